"""A fitted dictionary stays what it is, and a stored one is what it was or an error."""

import pickle

import numpy as np
import pytest

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary import Prior, SemanticDictionary
from tests.archive.test_golden import DATA

from .test_stream import latents, new

#: Files that an earlier version wrote.
FOLDER = DATA / "format6"


@pytest.fixture(scope="module")
def fitted():
    z = latents(120, 0)
    return new().fit(z), z


@pytest.fixture(scope="module")
def with_prior():
    z = latents(100, 0)
    return new(prior=Prior.build(latents(100, 1))).fit(z)


def same(a, b):
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


# --- fitting --------------------


def interrupt(share):
    if share > 0.5:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "arguments", "error"),
    [
        ({}, {"X": np.full((5, 4), np.nan)}, ValueError),
        ({"lam": -1}, {"X": latents(20, 0)[:, :4]}, ValueError),
        ({"prior": FOLDER / "golden.prior.npz"}, {"X": latents(20, 0)[:, :4]}, ValueError),
        ({"prior": "/nowhere/x.npz"}, {"X": latents(20, 0)[:, :4]}, OSError),
        ({"max_level": 2}, {"X": latents(20, 0)[:, :4], "progress": interrupt}, KeyboardInterrupt),
        ({}, {"X": latents(20, 0)[:, :4], "n_items": 3}, ValueError),
    ],
)
def test_a_failed_refit_changes_nothing(fitted, change, arguments, error):
    _, z = fitted
    dictionary = new().fit(z)
    before, state = dictionary.to_arrays(stream=True), set(vars(dictionary))
    dictionary.set_params(**change)
    with pytest.raises(error):
        dictionary.fit(**arguments)
    assert set(vars(dictionary)) == state and dictionary.n_features_in_ == 16
    assert same(dictionary.to_arrays(stream=True), before)
    codes = dictionary.transform(z)
    assert np.array_equal(dictionary.inverse_transform(codes).shape, z.shape)


def test_a_refit_replaces_everything(fitted):
    import pandas as pd

    named = pd.DataFrame(fitted[1], columns=[f"c{i}" for i in range(16)])
    dictionary = new().fit(named)
    assert dictionary.feature_names_in_[3] == "c3"
    dictionary.set_params(max_level=2, nonnegative=True, lam=0.004)
    dictionary.fit(fitted[1][:, :9])
    assert not hasattr(dictionary, "feature_names_in_")
    expected = new(max_level=2, nonnegative=True, lam=0.004).fit(fitted[1][:, :9])
    assert same(dictionary.to_arrays(stream=True), expected.to_arrays(stream=True))


def test_parameters_set_after_fit_hold_from_the_next_fit_on(fitted):
    dictionary, z = fitted
    codes = dictionary.transform(z)
    expected = (
        dictionary.to_arrays(),
        dictionary.code_bits(codes),
        encode_archive(dictionary, codes, encoder="e")[0],
        pickle.loads(pickle.dumps(dictionary)).partial_fit(z[:30]).atoms_,
    )
    changed = pickle.loads(pickle.dumps(dictionary)).set_params(
        lam=0.5,
        max_level=1,
        max_nonzero=1,
        nonnegative=True,
        n_atoms=3,
        max_iter=1,
        n_swaps=5,
        prior=FOLDER / "golden.prior.npz",
    )
    assert (changed.transform(z) != codes).nnz == 0
    assert same(changed.to_arrays(), expected[0])
    assert np.array_equal(changed.code_bits(codes), expected[1])
    assert encode_archive(changed, codes, encoder="e")[0] == expected[2]
    assert np.array_equal(changed.partial_fit(z[:30]).atoms_, expected[3])
    assert (changed.lam_, changed.max_level_, changed.max_nonzero_) == (0.001, 4, 16)


@pytest.mark.parametrize("n_items", [0, -5, 119, 120.0, 1e9, "many", True, np.nan])
def test_n_items_is_the_size_of_a_collection(fitted, n_items):
    with pytest.raises(ValueError, match="n_items"):
        new().fit(fitted[1], n_items=n_items)


def test_more_items_make_finer_atoms(fitted):
    _, z = fitted
    bits = [new(max_iter=2).fit(z, n_items=n).atom_rows_.bits for n in (None, np.int64(120), 12000)]
    assert bits[0] == bits[1] < bits[2]


def test_the_result_does_not_depend_on_n_jobs():
    z = latents(2100, 0)
    arrays = [new(max_iter=2, n_jobs=n).fit(z).to_arrays() for n in (1, 3, -1)]
    assert same(arrays[0], arrays[1]) and same(arrays[0], arrays[2])
    with pytest.raises(ValueError, match="n_jobs"):
        new(n_jobs=0).fit(z)


def test_rounds_are_counted(fitted):
    _, z = fitted
    assert new(max_iter=3).fit(z).n_iter_ == 4  # the last round only measures
    assert new(max_iter=3, n_swaps=1).fit(z).n_iter_ > 20
    assert SemanticDictionary.from_arrays(fitted[0].to_arrays()).n_iter_ == 0


# --- memory --------------------


def test_nothing_of_the_callers_is_shared_or_kept():
    z = latents(6000, 0)
    dictionary = new(n_atoms=8, max_iter=1).fit(z)
    # 20 items for each of 8 atoms, not the 6,000 latents (384 kB).
    assert len(pickle.dumps(dictionary)) < 40_000
    small = z[:150].copy()
    dictionary = new(max_iter=1).fit(small)
    dictionary.partial_fit(small)
    arrays = dictionary.to_arrays(stream=True)
    held = [*dictionary.to_arrays(stream=True).values(), dictionary.atoms_, dictionary.mean_]
    stream = dictionary._stream
    held += [stream.known_sample, stream.window_sample.items, stream.known.cross]
    assert not any(np.shares_memory(small, array) for array in held)
    expected = dictionary.transform(small)
    for array in arrays.values():
        array[...] = 0  # neither are the arrays that it gave away
    assert (dictionary.transform(small) != expected).nnz == 0


# --- storing --------------------


def test_the_default_arrays_are_those_of_earlier_versions(fitted, with_prior):
    rows = [
        f"{row}_{part}" for row in ("mean", "atom") for part in ("levels", "exponents", "terms")
    ]
    counts = ["counts", "other_counts", "level_counts", "size_counts"]
    assert sorted(fitted[0].to_arrays()) == sorted(["parameters", *rows, *counts])
    prior = [f"prior_{name}" for name in ("mean", "basis", "profile", "atoms")]
    assert sorted(with_prior.to_arrays()) == sorted(["parameters", *rows, *counts, *prior])


def test_the_arrays_of_a_golden_run_load():
    with np.load(FOLDER / "run.npz", allow_pickle=False) as file:
        dictionary = SemanticDictionary.from_arrays(file)
        assert same(dictionary.to_arrays(), dict(file))


def broken_arrays(arrays):
    """What is wrong, and arrays of which that is true."""
    a = {name: np.array(array) for name, array in arrays.items()}
    k, d = a["atom_levels"].shape

    def put(name, place, value):
        out = a[name].copy()
        out[place] = value
        return {name: out}

    def term(row, source, quarters):
        return {"atom_terms": np.array([[row, source, quarters]], np.int32)}

    yield "one exponent for all atoms", {"atom_exponents": a["atom_exponents"][:1]}
    yield "no exponents", {"atom_exponents": np.zeros(0, np.int32)}
    yield "an exponent out of range", put("atom_exponents", 0, 100)
    yield "two means", {"mean_levels": np.repeat(a["mean_levels"], 2, axis=0)}
    yield "a mean of another dimension", {"mean_levels": a["mean_levels"][:, 1:]}
    yield "a flat mean", {"mean_levels": a["mean_levels"][0]}
    yield "atoms of floats", {"atom_levels": a["atom_levels"].astype(float)}
    yield "atoms of objects", {"atom_levels": a["atom_levels"].astype(object)}
    yield "an atom too few", {"atom_levels": a["atom_levels"][:-1]}
    yield "an atom too many", {"atom_levels": np.concatenate([a["atom_levels"]] * 2)}
    yield "a level out of range", put("atom_levels", (0, 0), 1 << 20)
    yield "a level of 64 bits", {"atom_levels": a["atom_levels"].astype(np.int64) + (1 << 40)}
    yield "a term of an atom that is not there", term(k, 0, 4)
    yield "a term that names a later row", term(1, 1, 4)
    yield "a term that names a row of a prior", term(1, -2000, 4)
    yield "a term of a negative row", term(-1, -2, 4)
    yield "a term of 9 quarters", term(1, 0, 9)
    yield "a term of the least of all numbers", term(1, 0, -(1 << 31))
    yield "no quarters", term(1, 0, 0)
    yield "seven terms", {"atom_terms": np.repeat(term(1, 0, 4)["atom_terms"], 7, axis=0)}
    yield "terms out of order", {"atom_terms": np.array([[2, 0, 1], [1, 0, 1]], np.int32)}
    yield "flat terms", {"atom_terms": np.zeros(3, np.int32)}
    yield "negative counts", put("counts", 0, -1)
    yield "negative sizes", put("size_counts", 0, -1)
    yield "counts of floats", {"counts": a["counts"] + 0.5}
    yield "counts of another number of atoms", {"counts": a["counts"][:-1]}
    yield "more other coefficients than uses", {"other_counts": a["counts"] + 1}
    yield "levels of another max_level", {"level_counts": a["level_counts"][1:-1]}
    yield "sizes of another max_nonzero", {"size_counts": a["size_counts"][:-1]}
    yield "NaN", put("parameters", 1, np.nan)
    yield "no lam", put("parameters", 1, 0)
    yield "half a level", put("parameters", 3, 4.5)
    yield "a max_level of 200", put("parameters", 3, 200)
    yield "neither true nor false", put("parameters", 4, 2)
    yield "a parameter too few", {"parameters": a["parameters"][:-1]}
    yield "text", {"parameters": np.array(["a"] * 7)}
    for name in arrays:
        yield f"{name} missing", {name: None}
    if "prior_mean" in a:
        yield "a prior with NaN", put("prior_mean", 0, np.nan)
        yield "a prior of another dimension", {"prior_mean": a["prior_mean"][1:]}
        yield "a prior's rows of another dimension", {"prior_atoms": a["prior_atoms"][:, 1:]}
        yield "fewer rows than are named", {"prior_atoms": a["prior_atoms"][:0]}
        yield "a prior of another type", {"prior_basis": a["prior_basis"].astype(float)}
        yield "a profile of zeros", {"prior_profile": a["prior_profile"] * 0}
    if "stream_known_gram" in a:
        yield "sums of other atoms", {"stream_known_gram": a["stream_known_gram"][1:]}
        yield "sums of NaN", put("stream_window_cross", (0, 0), np.nan)
        yield "a key too few", {"stream_window_keys": a["stream_window_keys"][:-1]}
        yield "a sample of another dimension", {"stream_known_sample": np.zeros((3, d + 1))}
        yield "negative items", {"stream_known_items": np.array(-1)}


@pytest.mark.parametrize("kind", ["plain", "prior", "stream"])
def test_arrays_that_no_dictionary_has_are_refused(fitted, with_prior, kind):
    dictionary = with_prior if kind == "prior" else pickle.loads(pickle.dumps(fitted[0]))
    if kind == "stream":
        dictionary.partial_fit(fitted[1][:30])
    arrays = dictionary.to_arrays(stream=kind == "stream")
    assert same(SemanticDictionary.from_arrays(arrays).to_arrays(stream=kind == "stream"), arrays)
    assert kind != "prior" or (arrays["atom_terms"][:, 1] < 0).any(), "the prior predicts something"
    accepted = []
    for what, changes in broken_arrays(arrays):
        changed = {n: a for n, a in {**arrays, **changes}.items() if a is not None}
        try:
            SemanticDictionary.from_arrays(changed)
        except ValueError:
            continue
        accepted.append(what)
    assert accepted == []
