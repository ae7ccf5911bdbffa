"""A metric says which differences between latents the bits go to."""

import numpy as np
import pytest

from fiftyone_smic.archive import encode_archive, read_archive, write_archive
from fiftyone_smic.dictionary import Metric, Prior, SemanticDictionary

from .test_dictionary import make_latents

SETTINGS = {"lam": 0.004, "max_iter": 8, "n_swaps": 1}


def spread(n=500, seed=0):
    """Unit vectors that vary in all directions, so that no few atoms explain them."""
    z = np.random.default_rng(seed).normal(size=(n, 32)) * 0.93 ** np.arange(32)
    z[:, 0] += 3
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def texts():
    """Directions that see 4 of 32 dimensions."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(60, 4)) @ rng.normal(size=(4, 32)) + 0.02 * rng.normal(size=(60, 32))


@pytest.fixture(scope="module", params=[False, True], ids=["no prior", "prior"])
def pair(request, texts):
    """Latents, the plain dictionary, and the one of a metric at no more bits."""
    z = spread()
    prior = Prior.build(spread(seed=8)) if request.param else None
    plain = SemanticDictionary(prior=prior, **{**SETTINGS, "lam": 0.006}).fit(z)
    metric = Metric.of_texts(texts, floor=0.1)
    found = SemanticDictionary(prior=prior, metric=metric, **SETTINGS).fit(z)
    return z, plain, found


def distortion(dictionary, z, m):
    error = z - dictionary.inverse_transform(dictionary.transform(z))
    return float(np.einsum("ni,ij,nj->", error, m, error))


def total_bits(dictionary, z):
    return encode_archive(dictionary, dictionary.transform(z), encoder="x")[1].total_bits


def test_distortion_by_the_metric_falls_and_bits_do_not_rise(pair):
    z, plain, found = pair
    m = found.metric_
    assert total_bits(found, z) < total_bits(plain, z)
    assert distortion(found, z, m) < 0.6 * distortion(plain, z, m)
    assert distortion(found, z, np.eye(32)) > distortion(plain, z, np.eye(32))


def test_lam_keeps_its_meaning(pair, texts):
    z, _, found = pair
    y = z - z.mean(axis=0)
    assert np.einsum("ni,ij,nj->", y, found.metric_, y) == pytest.approx(np.square(y).sum(), 1e-3)
    large = SemanticDictionary(
        metric=1000 * Metric.of_texts(texts, floor=0.1).matrix, prior=found.prior_, **SETTINGS
    ).fit(z)
    assert total_bits(large, z) == pytest.approx(total_bits(found, z), rel=0.05)


def test_atoms_are_quantised_by_the_metric(pair):
    """With the rows of squared distance in their place, the objective by the metric is worse."""
    from fiftyone_smic.dictionary.quantisation import quantise_atoms

    _, _, found = pair
    rng = np.random.default_rng(0)
    gram = np.diag(rng.integers(5, 60, 20)).astype(float)
    atoms = 0.1 * rng.normal(size=(20, 32))
    m = found.metric_.astype(np.float64)
    scores = []
    for metric in (found.metric_, None):
        rows = quantise_atoms(atoms, gram, 0.004, None, metric=metric)
        error = rows.values() - atoms
        scores.append(np.trace(error @ m @ error.T @ gram) + 0.004 * rows.bits)
    assert scores[0] < 0.97 * scores[1]


def test_the_identity_is_squared_distance():
    z = make_latents()
    plain, found = (SemanticDictionary(metric=m, **SETTINGS).fit(z) for m in (None, np.eye(32)))
    assert found.metric_ == pytest.approx(np.eye(32), abs=1e-6)
    assert distortion(found, z, np.eye(32)) == pytest.approx(
        distortion(plain, z, np.eye(32)), rel=0.05
    )
    assert "metric" not in plain.to_arrays() and plain.metric_ is None


def test_a_stored_dictionary_codes_as_the_fitted_one(pair, tmp_path):
    z, plain, found = pair
    np.savez(tmp_path / "d.npz", **found.to_arrays(stream=True))
    with np.load(tmp_path / "d.npz", allow_pickle=False) as f:
        back = SemanticDictionary.from_arrays(dict(f))
    assert np.array_equal(back.metric_, found.metric_)
    assert (back.transform(z) != found.transform(z)).nnz == 0
    more = make_latents(100, seed=9)
    assert np.array_equal(back.partial_fit(more).atoms_, _copy(found).partial_fit(more).atoms_)
    assert np.array_equal(back.fit(z).atoms_, found.atoms_)
    assert SemanticDictionary.from_arrays(plain.to_arrays()).metric_ is None  # as of old


def _copy(dictionary):
    return SemanticDictionary.from_arrays(dictionary.to_arrays(stream=True))


def test_a_file_is_read_without_the_metric(pair, tmp_path):
    z, _, found = pair
    codes = found.transform(z)
    write_archive(tmp_path / "x.smic", found, codes, encoder="x")
    back = read_archive(tmp_path / "x.smic", found.prior_)
    assert back.dictionary.metric_ is None
    assert np.array_equal(
        back.dictionary.inverse_transform(back.codes), found.inverse_transform(codes)
    )


def test_a_prior_file_carries_a_metric(tmp_path, texts):
    z = make_latents()
    metric, prior = Metric.of_texts(texts), Prior.build(make_latents(seed=8))
    path = tmp_path / "words.prior.npz"
    prior.save(path, metric=metric)
    assert Prior.load(path).hash == prior.hash
    settings = {**SETTINGS, "max_iter": 2, "n_swaps": 0}
    named = SemanticDictionary(prior=path, metric=path, **settings).fit(z)
    given = SemanticDictionary(prior=prior, metric=metric, **settings).fit(z)
    assert np.array_equal(named.atoms_, given.atoms_)
    prior.save(path)
    with pytest.raises(ValueError, match="holds no metric"):
        SemanticDictionary(metric=path).fit(z)


def test_a_metric_of_labels_keeps_what_separates_classes():
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    z = 0.3 * rng.normal(size=(300, 16))
    z[:, 0] += 1
    z[np.arange(300), 1 + labels] += 0.3
    m = Metric.of_labels(z, labels).matrix
    assert np.diag(m)[1:4].min() > 3 * np.diag(m)[4:].max()
    named = Metric.of_labels(z, [("cat", "dog", "owl")[label] for label in labels]).matrix
    assert np.allclose(named, m, rtol=1e-4, atol=1e-5)


NOT_SYMMETRIC = np.eye(32) + np.eye(32, k=1)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (NOT_SYMMETRIC, "symmetric"),
        (np.diag([1.0] * 31 + [-1.0]), "positive definite"),
        (np.diag([1.0] * 31 + [0.0]), "positive definite"),
        (np.eye(31), "for 31 dimensions, the latents have 32"),
        (np.diag([1.0] * 31 + [np.nan]), "finite"),
        (np.diag([1.0] * 31 + [1e300]), "finite"),
        (np.ones(32), "matrix of real numbers"),
        (np.eye(32) * 1j, "matrix of real numbers"),
    ],
)
def test_what_is_no_metric_is_refused_and_changes_nothing(matrix, message):
    z = make_latents(60)
    dictionary = SemanticDictionary(4, max_iter=1, n_swaps=0).fit(z)
    before = dictionary.atoms_
    with pytest.raises(ValueError, match=message):
        dictionary.set_params(metric=matrix).fit(z)
    assert dictionary.atoms_ is before and dictionary.metric_ is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Metric.of_texts(np.zeros((0, 4))),
        lambda: Metric.of_texts(np.zeros((3, 4))),
        lambda: Metric.of_texts(np.eye(4), floor=0),
        lambda: Metric.of_texts(np.full((3, 4), np.nan)),
        lambda: Metric.of_labels(np.eye(4), [0, 0, 0, 0]),
        lambda: Metric.of_labels(np.eye(4), [0, 1]),
    ],
)
def test_what_makes_no_metric_is_refused(make):
    with pytest.raises(ValueError, match=r"metric needs|floor must|say nothing|metric of labels"):
        make()


def test_a_stored_metric_that_is_none_is_refused(pair):
    _, _, found = pair
    for wrong in (np.eye(31, dtype=np.float32), NOT_SYMMETRIC.astype(np.float32)):
        with pytest.raises(ValueError, match="not a stored dictionary"):
            SemanticDictionary.from_arrays(found.to_arrays() | {"metric": wrong})
