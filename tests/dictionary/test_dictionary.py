import copy
import warnings

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.base import clone

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.initialization import auto_atoms
from fiftyone_smic.metrics import fidelity


def make_latents(n=400, d=32, topics=20, seed=0):
    """Unit vectors: a common mean, two topics each, some noise."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(size=(topics + 1, d))
    z = (
        1.5 * basis[-1]
        + sum(basis[rng.integers(0, topics, n)] for _ in range(2))
        + 0.3 * rng.normal(size=(n, d))
    )
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def fitted():
    z = make_latents()
    return SemanticDictionary(lam=0.003, max_iter=8).fit(z), z


def test_a_stream_may_have_more_atoms_than_are_wanted_later():
    z = make_latents(1200)
    stream = SemanticDictionary(lam=0.0005, max_iter=3, n_swaps=2).fit(z[:300])
    stream.set_params(n_atoms=5)
    for part in (z[300:500], z[500:]):
        stream.partial_fit(part)
    assert fidelity(z, stream.inverse_transform(stream.transform(z))).explained_variance > 0.5


def test_explains_what_topics_explain_with_few_bits(fitted):
    dictionary, z = fitted
    codes = dictionary.transform(z)
    assert fidelity(z, dictionary.inverse_transform(codes)).explained_variance > 0.6
    assert codes.dtype == np.int8 and codes.shape == (400, dictionary.n_atoms_)
    assert dictionary.code_bits(codes).mean() < 25
    fresh = make_latents(seed=5)
    rebuilt = dictionary.inverse_transform(dictionary.transform(fresh))
    assert fidelity(fresh, rebuilt).explained_variance > 0.5  # it learned the topics, not the items


def test_counts_are_those_of_the_training_codes(fitted):
    dictionary, z = fitted
    codes = dictionary.transform(z)
    assert np.abs(dictionary.counts_ - codes.getnnz(axis=0)).sum() <= 0.1 * codes.nnz
    assert (
        dictionary.counts_.shape == (dictionary.n_atoms_,) and dictionary.counts_.dtype == np.int64
    )
    assert dictionary.size_counts_.sum() == len(z)


def test_codes_of_an_item_do_not_depend_on_the_others(fitted):
    dictionary, z = fitted
    whole = dictionary.transform(z)
    assert (whole[50:80] != dictionary.transform(z[50:80])).nnz == 0


def test_same_seed_same_result_whatever_the_threads(fitted, monkeypatch):
    dictionary, z = fitted
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    again = clone(dictionary).fit(z)
    assert np.array_equal(again.atoms_, dictionary.atoms_) and np.array_equal(
        again.counts_, dictionary.counts_
    )


def test_larger_lambda_fewer_bits_less_fidelity():
    z = make_latents()
    rates, variances = [], []
    for lam in (0.0005, 0.003, 0.02):
        dictionary = SemanticDictionary(lam=lam, max_iter=6).fit(z)
        codes = dictionary.transform(z)
        rates.append(dictionary.code_bits(codes).mean())
        variances.append(fidelity(z, dictionary.inverse_transform(codes)).explained_variance)
    assert rates == sorted(rates, reverse=True) and variances == sorted(variances, reverse=True)


def test_inverse_is_mean_plus_sum_of_atoms(fitted):
    dictionary, _ = fitted
    codes = csr_matrix(([2, -1], ([0, 0], [0, 3])), shape=(2, dictionary.n_atoms_))
    rebuilt = dictionary.inverse_transform(codes)
    assert np.allclose(
        rebuilt[0], dictionary.mean_ + 2 * dictionary.atoms_[0] - dictionary.atoms_[3], atol=1e-6
    )
    assert np.array_equal(rebuilt[1], dictionary.mean_)
    assert np.array_equal(rebuilt, dictionary.inverse_transform(codes.toarray()))


def test_nonnegative_codes():
    z = make_latents()
    dictionary = SemanticDictionary(nonnegative=True, max_iter=5).fit(z)
    assert dictionary.transform(z).data.min() > 0


def test_arrays_round_trip_without_pickle(fitted, tmp_path):
    dictionary, z = fitted
    np.savez(tmp_path / "d.npz", **dictionary.to_arrays())
    with np.load(tmp_path / "d.npz", allow_pickle=False) as f:
        back = SemanticDictionary.from_arrays(dict(f))
    assert np.array_equal(back.atoms_, dictionary.atoms_) and np.array_equal(
        back.mean_, dictionary.mean_
    )
    assert (back.transform(z) != dictionary.transform(z)).nnz == 0
    assert back.get_params() | {"random_state": 0} == dictionary.get_params()


def test_from_arrays_refuses_what_does_not_fit(fitted):
    arrays = fitted[0].to_arrays()
    with pytest.raises(ValueError, match="stored dictionary"):
        SemanticDictionary.from_arrays({k: v for k, v in arrays.items() if k != "counts"})
    with pytest.raises(ValueError, match="do not fit"):
        SemanticDictionary.from_arrays(arrays | {"counts": arrays["counts"][:-1]})


def test_stream_learns_as_well_as_batch():
    z = make_latents(1500)
    batch = SemanticDictionary(lam=0.003).fit(z)
    stream = SemanticDictionary(lam=0.003)
    for _ in range(3):
        for part in np.array_split(z, 5):
            stream.partial_fit(part)

    def objective(dictionary):
        """Of the stream's items: each pass counts, the dictionary is paid once."""
        codes = dictionary.transform(z)
        error = np.square(z - dictionary.inverse_transform(codes)).sum()
        payload = dictionary.code_bits(codes).sum()
        return 3 * (error + 0.003 * payload) + 0.003 * dictionary.atom_rows_.bits

    assert objective(stream) < 1.01 * objective(batch)
    with pytest.raises(ValueError, match="expecting 32 features"):
        stream.partial_fit(z[:, :5])


def test_learning_goes_on_after_storing():
    z = make_latents(1500)
    dictionary = SemanticDictionary(lam=0.003).fit(z[:1400])
    back = SemanticDictionary.from_arrays(dictionary.to_arrays())
    before = np.square(z - back.inverse_transform(back.transform(z))).sum()
    back.partial_fit(z[1400:])
    after = np.square(z - back.inverse_transform(back.transform(z))).sum()
    assert back.n_atoms_ == dictionary.n_atoms_
    assert after < 1.1 * before, "a hundred items must not undo what 1,400 taught"


def test_bad_input_is_named(fitted):
    dictionary, z = fitted
    broken = z.copy()
    broken[[7, 40]] = np.nan
    broken[9, 3] = np.inf
    for act in (lambda: SemanticDictionary().fit(broken), lambda: dictionary.transform(broken)):
        with pytest.raises(ValueError, match=r"3 of 400 .* rows 7, 9, 40"):
            act()
    with pytest.raises(ValueError, match="at least 2 items, got 1"):
        SemanticDictionary().fit(z[:1])
    with pytest.raises(ValueError, match=r"X has 31 features, but .* expecting 32"):
        dictionary.transform(z[:, :31])
    with pytest.raises(ValueError, match="columns"):
        dictionary.inverse_transform(np.zeros((2, dictionary.n_atoms_ + 1)))
    with pytest.raises(ValueError, match="exceed"):
        dictionary.code_bits(np.full((1, dictionary.n_atoms_), 9))
    assert dictionary.transform(z[:0]).shape == (0, dictionary.n_atoms_)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_atoms": 0},
        {"n_atoms": "many"},
        {"lam": 0},
        {"lam": float("nan")},
        {"max_level": 128},
        {"max_nonzero": 0},
        {"max_iter": 0},
        {"n_swaps": -1},
    ],
)
def test_parameters_out_of_range(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        SemanticDictionary(**parameters).fit(make_latents(20))


def test_more_atoms_than_items_is_reduced_with_a_warning():
    with pytest.warns(UserWarning, match="500 is more than the 30 items"):
        dictionary = SemanticDictionary(n_atoms=500, max_iter=2).fit(make_latents(30))
    assert dictionary.n_atoms_ <= 30
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SemanticDictionary(max_iter=2).fit(make_latents(3))
    assert auto_atoms(1) == 1 and auto_atoms(3045) == 165


def test_identical_items_need_no_atoms():
    z = np.repeat(make_latents(1), 50, axis=0)
    dictionary = SemanticDictionary().fit(z)
    codes = dictionary.transform(z)
    assert codes.nnz == 0 and fidelity(z, dictionary.inverse_transform(codes)).cosine > 0.99
    assert dictionary.code_bits(codes).mean() < 0.3


def test_progress_goes_from_zero_to_one():
    seen = []
    SemanticDictionary(max_iter=4).fit(make_latents(60), progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0 and len(seen) > 3


def test_feature_names(fitted):
    assert fitted[0].get_feature_names_out()[:2].tolist() == ["atom0", "atom1"]


def test_shards_merge_to_what_one_pass_gives_bit_for_bit(fitted):
    dictionary, _ = fitted
    parts = np.array_split(make_latents(3000, seed=3), 3)  # more than were known before

    def shard(z):
        """A worker that learns from its shard, starting from the common dictionary."""
        return copy.deepcopy(dictionary).partial_fit(z)

    whole = shard(np.concatenate(parts))
    for order in ((0, 1, 2), (2, 0, 1)):
        first, second, third = (shard(parts[i]) for i in order)
        merged = first.merge(second).merge(third)
        assert np.array_equal(merged.atoms_, whole.atoms_)
        assert np.array_equal(merged.counts_, whole.counts_)
    assert not np.array_equal(whole.atoms_, dictionary.atoms_)
    with pytest.raises(ValueError, match="same atoms"):
        merged.merge(SemanticDictionary(max_iter=2).fit(parts[0]))
