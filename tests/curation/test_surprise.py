import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import average_precision_score, roc_auc_score

from fiftyone_smic import SemanticDictionary, curation, read_archive, write_archive
from fiftyone_smic.archive import item_distortion
from fiftyone_smic.utils.vectors import unit
from tests.curation.conftest import topics


def distortions(dictionary, codes, z):
    return np.square(z - dictionary.inverse_transform(codes)).sum(axis=1)


def test_scattered_outliers_stand_out():
    z, _ = topics(spread=0.5)
    rng = np.random.default_rng(4)
    odd = np.vstack([
        unit(rng.normal(size=(6, 32))),  # share nothing with the rest
        unit(unit(z.mean(axis=0)[None]) * 2 + rng.normal(size=(6, 32)) / 2),  # near the mean only
    ])  # fmt: skip
    everything = np.vstack([z, odd]).astype(np.float32)
    truth = np.arange(412) >= 400
    dictionary = SemanticDictionary(lam=0.001, max_iter=6, n_swaps=0).fit(everything)
    codes = dictionary.transform(everything)
    from_codes = curation.outliers(dictionary, codes)
    assert from_codes.scores.shape == (412,) and not from_codes.measured
    assert roc_auc_score(truth[:406], from_codes.scores[:406]) > 0.95
    d = distortions(dictionary, codes, everything)
    measured = curation.outliers(dictionary, codes, d)
    assert measured.measured and roc_auc_score(truth, measured.scores) > 0.9
    row = measured.to_rows()[0]
    assert row["index"] in np.flatnonzero(truth) and row["cause"] in ("unexplained", "far")
    assert "rare()" in str(from_codes) and "distortion" in str(from_codes)


def test_the_distortion_of_an_archive_is_what_outliers_are_told_by(tmp_path):
    z, _ = topics(spread=0.5)
    odd = unit(np.random.default_rng(4).normal(size=(6, 32)))
    z = np.vstack([z, odd]).astype(np.float32)
    dictionary = SemanticDictionary(lam=0.001, max_iter=6, n_swaps=0).fit(z)
    codes = dictionary.transform(z)
    names = [str(i) for i in range(406)]  # which keep the order
    found = {}
    for name, given in (("without", None), ("with", item_distortion(dictionary, z, codes))):
        path = tmp_path / f"{name}.smic"
        write_archive(path, dictionary, codes, names=names, encoder="me/1", distortion=given)
        found[name] = curation.outliers(read_archive(path))
        assert found[name].seen in str(found[name])
    exact = curation.outliers(dictionary, codes, distortions(dictionary, codes, z))
    assert found["with"].measured and not found["without"].measured
    np.testing.assert_allclose(found["with"].unexplained, exact.unexplained, atol=0.5, rtol=0.1)
    assert roc_auc_score(np.arange(406) >= 400, found["with"].scores) > 0.98
    assert not np.allclose(found["without"].unexplained, exact.unexplained, atol=0.5, rtol=0.1)


def test_outliers_say_what_they_are_made_of(collection):
    _, _, dictionary, codes = collection
    found = curation.outliers(dictionary, codes)
    rebuilt = dictionary.inverse_transform(codes)
    left = 1 - np.square(rebuilt).sum(axis=1)
    deviation = np.median(np.abs(left - np.median(left))) / 0.6745
    np.testing.assert_allclose(found.unexplained, (left - np.median(left)) / deviation, atol=1e-2)
    assert np.array_equal(found.scores, np.maximum(found.unexplained, found.far))


def test_items_that_are_all_alike_have_no_outlier(collection):
    _, _, dictionary, codes = collection
    found = curation.outliers(dictionary, codes[[0] * 10])
    assert (found.scores == 0).all() and str(found).startswith("None of 10 items")


def test_clustered_outliers_show_among_the_rare_atoms():
    z, _ = topics(n=600, spread=0.3)
    rng = np.random.default_rng(8)
    direction = rng.normal(size=32)
    cluster = unit(direction + 0.1 * rng.normal(size=(6, 32)))
    z = np.vstack([z, cluster]).astype(np.float32)
    dictionary = SemanticDictionary(lam=0.0005, max_iter=8, n_swaps=0).fit(z)
    codes = dictionary.transform(z)
    users = [
        set(np.flatnonzero(codes[:, [r.atom]].toarray()[:, 0] * r.sign > 0))
        for r in curation.rare(codes).atoms
    ]
    assert set(range(600, 606)) in users


def test_novelty_finds_what_the_dictionary_does_not_know():
    z, place = topics(n=900, spread=0.2)
    known, new = z[place < 7], z[place == 7]
    dictionary = SemanticDictionary(lam=0.001, max_iter=6, n_swaps=0).fit(known[:400])
    reference = known[400:700]
    found = curation.novelty(dictionary, reference, np.vstack([known[700:], new]))
    truth = np.arange(len(known) - 700 + len(new)) >= len(known) - 700
    assert roc_auc_score(truth, found.scores) > 0.95
    assert truth[found.indices].mean() > 0.9 and found.relearn and "learn" in str(found)
    assert sorted(np.concatenate(found.groups)) == sorted(found.indices)
    assert len(found.groups[0]) >= len(found.groups[-1])


def test_novelty_p_values_are_conformal():
    z, _ = topics(n=900, spread=0.5)
    dictionary = SemanticDictionary(lam=0.001, max_iter=5, n_swaps=0).fit(z[:300])
    found = curation.novelty(dictionary, z[300:600], z[600:])
    for level in (0.05, 0.2, 0.5):
        assert (found.p <= level).mean() <= level + 0.09
    assert found.p.min() >= 1 / 301
    codes = [dictionary.transform(part) for part in (z[300:600], z[600:])]
    from_codes = curation.novelty(dictionary, *codes)
    assert not from_codes.measured and "From codes alone" in str(from_codes)
    rebuilt = dictionary.inverse_transform(codes[1])
    np.testing.assert_allclose(from_codes.scores, 1 - np.square(rebuilt).sum(axis=1), atol=1e-4)


def test_a_small_reference_says_that_it_is():
    z, _ = topics(n=60)
    dictionary = SemanticDictionary(n_atoms=6, max_iter=3, n_swaps=0).fit(z[:30])
    assert "larger reference" in str(curation.novelty(dictionary, z[30:35], z[35:]))


@pytest.mark.parametrize("with_dictionary", [True, False])
def test_flipped_labels_are_found(collection, with_dictionary):
    _, place, dictionary, codes = collection
    rng = np.random.default_rng(0)
    flipped = rng.choice(400, 40, replace=False)
    labels = place.copy()
    labels[flipped] = (labels[flipped] + rng.integers(1, 8, 40)) % 8
    truth = np.isin(np.arange(400), flipped)
    names = np.array([f"class {c}" for c in range(8)])
    found = curation.label_issues(
        codes, names[labels], dictionary=dictionary if with_dictionary else None
    )
    assert roc_auc_score(truth, found.scores) > 0.98
    assert average_precision_score(truth, found.scores) > 0.9
    assert (found.suggested[flipped] == names[place[flipped]]).mean() > 0.9
    row = found.to_rows()[0]
    assert row["label"] != row["suggested"] and 0 < row["score"] <= 1


def test_labels_of_too_few_items_are_not_judged(collection):
    _, place, _, codes = collection
    labels = place.astype(object)
    labels[:2] = 99
    found = curation.label_issues(codes, labels)
    assert np.isnan(found.scores[:2]).all() and found.unjudged == (99,)
    assert not {0, 1} & set(found.indices.tolist()) and "99" in str(found)


def test_codes_that_tell_nothing_say_so():
    rng = np.random.default_rng(0)
    codes = csr_matrix(rng.random((200, 5)) < 0.3, dtype=np.int8)
    assert "mean little" in str(curation.label_issues(codes, rng.integers(0, 4, 200)))
