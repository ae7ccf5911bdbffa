"""Every bad input gets a message that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic import SemanticDictionary, curation, read_archive, write_archive
from fiftyone_smic.archive import item_distortion
from fiftyone_smic.curation.results import UNSEEN
from fiftyone_smic.utils.vectors import unit

PAIRED = {
    "search": lambda d, c: curation.search(d, c, np.ones((1, 32)), k=1),
    "near_duplicates": lambda d, c: curation.near_duplicates(d, c),
    "select": lambda d, c: curation.select(d, c, 1),
    "outliers": lambda d, c: curation.outliers(d, c),
    "leaks": lambda d, c: curation.leaks(d, c, ["a", "b"] * (c.shape[0] // 2)),
    "novelty": lambda d, c: curation.novelty(d, c, c),
}
ALONE = {
    "match": lambda c: curation.match(c, "atom 0"),
    "same_meaning": curation.same_meaning,
    "rare": curation.rare,
    "associations": lambda c: curation.associations(c, ["a", "b"] * (c.shape[0] // 2)),
    "label_issues": lambda c: curation.label_issues(c, ["a", "b"] * (c.shape[0] // 2)),
    "compare": lambda c: curation.compare(c, c),
    "weak_slices": lambda c: curation.weak_slices(c, [0, 1] * (c.shape[0] // 2)),
}


@pytest.mark.parametrize("name", PAIRED)
def test_codes_of_another_dictionary(collection, name):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="another dictionary"):
        PAIRED[name](dictionary, csr_matrix((20, codes.shape[1] + 3), dtype=np.int8))
    large = codes[:20].astype(np.int16)
    large.data[0] = 90
    with pytest.raises(ValueError, match="another dictionary"):
        PAIRED[name](dictionary, large)
    with pytest.raises(TypeError, match="read_archive"):
        PAIRED[name]("smic", codes)


@pytest.mark.parametrize("name", [*PAIRED, *ALONE])
def test_no_codes(collection, name):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="no codes"):
        if name in PAIRED:
            PAIRED[name](dictionary, codes[:0])
        else:
            ALONE[name](codes[:0])


@pytest.mark.parametrize("name", [*PAIRED, *ALONE])
def test_a_result_says_what_codes_cannot_show(collection, name):
    _, _, dictionary, codes = collection
    found = PAIRED[name](dictionary, codes) if name in PAIRED else ALONE[name](codes)
    says = (UNSEEN, "only latents or files can tell", "from codes alone", "From codes alone",
            "Codes tell")  # fmt: skip
    assert sum(words in str(found) for words in says) == 1


@pytest.mark.parametrize("name", ALONE)
def test_latents_are_no_codes(collection, name):
    z = collection[0]
    with pytest.raises(ValueError, match="whole numbers"):
        ALONE[name](z)


@pytest.mark.parametrize("k", [0, -1, 401, 2.5, "all"])
def test_a_k_that_cannot_be(collection, k):
    z, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="k must be"):
        curation.search(dictionary, codes, z[:1], k=k)
    with pytest.raises(ValueError, match="k must be"):
        curation.select(dictionary, codes, k)


def test_k_beside_preselected_items(collection):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="not preselected"):
        curation.select(dictionary, codes, 399, preselected=[1, 2])
    with pytest.raises(ValueError, match="preselected must be items"):
        curation.select(dictionary, codes, 3, preselected=[400])
    with pytest.raises(ValueError, match="representative, diverse"):
        curation.select(dictionary, codes, 3, "best")
    with pytest.raises(ValueError, match="k is needed"):
        curation.select(dictionary, codes, None)


def test_queries_of_another_encoder(collection):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="use latents of the encoder"):
        curation.search(dictionary, codes, np.ones((1, 16)), 3)
    with pytest.raises(ValueError, match="NaN"):
        curation.search(dictionary, codes, np.full((1, 32), np.nan), 3)
    with pytest.raises(ValueError, match="no queries"):
        curation.search(dictionary, codes, np.ones((0, 32)), 3)
    with pytest.raises(ValueError, match="text_mean"):
        curation.search(dictionary, codes, np.ones((1, 32)), 3, text_mean=np.ones(8))


def test_labels_missing_alike_or_too_many(collection):
    codes = collection[3]
    for function in (curation.associations, curation.label_issues):
        with pytest.raises(ValueError, match="are missing"):
            function(codes, None)
        with pytest.raises(ValueError, match="missing, the first at item 3"):
            function(codes, ["a", "b", "a", None] + ["a"] * 396)
        with pytest.raises(ValueError, match="all 400 are 'a'"):
            function(codes, ["a"] * 400)
        with pytest.raises(ValueError, match="give one for each"):
            function(codes, ["a", "b"])
    with pytest.raises(ValueError, match="group the labels"):
        curation.label_issues(csr_matrix((2000, 5), dtype=np.int8), np.arange(2000) % 1000)


def test_a_thousand_classes_are_many_tests(monkeypatch):
    from fiftyone_smic.curation import labels

    monkeypatch.setattr(labels, "MOST_TESTS", 1000)
    codes = csr_matrix(np.eye(5, dtype=np.int8)[np.arange(2000) % 5])
    with pytest.raises(ValueError, match="group the labels"):
        curation.associations(codes, np.arange(2000) % 1000)


def test_one_split(collection):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="splits must have at least 2"):
        curation.leaks(dictionary, codes, ["train"] * 400)


@pytest.mark.parametrize("threshold", [0, 1.5, -1, float("nan")])
def test_a_threshold_that_is_no_cosine(collection, threshold):
    _, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="between 0 and 1"):
        curation.near_duplicates(dictionary, codes, threshold)


def test_latents_and_distortions_that_do_not_fit(collection):
    z, _, dictionary, codes = collection
    with pytest.raises(ValueError, match="399 latents for 400 codes"):
        curation.near_duplicates(dictionary, codes, latents=z[:399])
    with pytest.raises(ValueError, match="one number for each"):
        curation.outliers(dictionary, codes, np.ones(3))
    with pytest.raises(ValueError, match="negative"):
        curation.outliers(dictionary, codes, -np.ones(400))
    with pytest.raises(ValueError, match="NaN"):
        curation.same_meaning(codes, np.full(400, np.nan))
    with pytest.raises(ValueError, match="both as latents"):
        curation.novelty(dictionary, z, codes)


def test_collections_of_two_dictionaries(collection):
    codes = collection[3]
    with pytest.raises(ValueError, match="two dictionaries"):
        curation.compare(codes, codes[:, :-1])


def test_errors_that_say_nothing(collection):
    codes = collection[3]
    with pytest.raises(ValueError, match="no item is wrong"):
        curation.weak_slices(codes, np.zeros(400))
    with pytest.raises(ValueError, match="all items are wrong"):
        curation.weak_slices(codes, np.ones(400))
    with pytest.raises(ValueError, match="true or false"):
        curation.weak_slices(codes, np.linspace(0, 1, 400))


def test_names_that_do_not_fit(collection):
    codes = collection[3]
    for call in (
        lambda: curation.rare(codes, names=["a"]),
        lambda: curation.match(codes, "a", ["a"]),
        lambda: curation.compare(codes, codes, names=["a"]),
    ):
        with pytest.raises(ValueError, match="names were given"):
            call()


@pytest.mark.parametrize("value", [65537, -32768, np.inf, 1e30])
@pytest.mark.parametrize("name", ALONE)
def test_coefficients_that_no_dictionary_has(collection, name, value):
    codes = collection[3][:20].toarray().astype(np.float64)
    codes[3, 1] = value
    with pytest.raises(ValueError, match=r"between -127 and 127|infinite"):
        ALONE[name](codes)


@pytest.mark.parametrize("depth", [51, 10_000])
def test_an_expression_may_be_nested_and_negated(collection, depth):
    codes = collection[3]
    mask = curation.match(codes, "atom 0").mask
    assert np.array_equal(curation.match(codes, "(" * 50 + "atom 0" + ")" * 50).mask, mask)
    assert np.array_equal(curation.match(codes, "!" * depth + "atom 0").mask, mask ^ depth % 2)
    with pytest.raises(curation.ExpressionError, match="nested deeper") as found:
        curation.match(codes, "(" * depth + "atom 0" + ")" * depth)
    assert found.value.position == 50


def test_a_name_is_found_however_it_is_written(collection):
    codes = collection[3]
    rest = [None] * (codes.shape[1] - 2)
    for name, asked in (("caf\u00e9", "CAFE\u0301"), ("\u0130stanbul", "\u0130stanbul")):
        found = curation.match(codes, f"{asked}&snow", [name, "snow", *rest])
        assert np.array_equal(found.mask, curation.match(codes, "atom 0 & atom 1").mask)
    with pytest.raises(curation.ExpressionError, match="2 atoms are called 'snow': write 'atom 0'"):
        curation.match(codes, "Snow", ["snow", "snow", *rest])
    with pytest.raises(ValueError, match="one is 7"):
        curation.match(codes, "7", [7] * codes.shape[1])


def test_labels_keep_their_types(collection):
    _, place, dictionary, codes = collection
    for names in ([1, "b", 2.5], [(1, 2), (3, 4), (5, 6)], [1, 2, 3]):
        labels = [names[p % 3] for p in place]
        labels[0] = names[(place[0] + 1) % 3]
        found = curation.label_issues(codes, labels, dictionary=dictionary)
        assert found.labels.tolist() == labels
        assert {row["suggested"] for row in found.to_rows()} <= set(names)
        assert type(found.to_rows()[0]["label"]) in {type(name) for name in names}
        assert {row.label for row in curation.associations(codes, labels).atoms} == set(names)


def test_labels_that_cannot_be(collection):
    codes = collection[3]
    half = codes.shape[0] // 2
    for value in ([1], {"a": 1}, np.ones(2)):
        with pytest.raises(ValueError, match=r"labels must be single values.*item 0 has a"):
            curation.associations(codes, [value, "b"] * half)
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=f"{half} of {2 * half} labels are missing"):
        curation.associations(codes, [pandas.NA, "b"] * half)


def test_numbers_of_another_type(collection):
    z, _, dictionary, codes = collection
    splits = ["a", "b"] * 200
    for call, what in (
        (lambda: curation.near_duplicates(dictionary, codes, "0.9"), "threshold is a cosine"),
        (lambda: curation.near_duplicates(dictionary, codes, codes), "threshold is a cosine"),
        (lambda: curation.rare(codes, float("nan")), "fewest must be a whole number"),
        (lambda: curation.compare(codes, codes, null=-1), "null must be at least 0"),
        (lambda: curation.compare(codes, codes, permutations="9"), "permutations must be a whole"),
        (lambda: curation.leaks(dictionary, codes, splits, permutations=0), "must be at least 1"),
        (lambda: curation.weak_slices(codes, [0, 1] * 200, smallest=2.5), "smallest must be"),
        (lambda: curation.select(dictionary, codes, 3, "covering", times=1.5), "times must be"),
        (lambda: curation.search(dictionary, codes, "a red house"), "encode_texts"),
        (lambda: curation.search(dictionary, codes, []), "no queries"),
        (lambda: curation.search(dictionary, codes, z[0], text_mean=np.full(32, np.nan)), "finite"),
    ):
        with pytest.raises(ValueError, match=what):
            call()


def test_a_dictionary_without_atoms_says_nothing():
    none = csr_matrix((60, 0), dtype=np.int8)
    assert curation.compare(none, none).p == 1
    assert len(curation.same_meaning(none).groups[0]) == 60
    with pytest.raises(ValueError, match="no atoms"):
        curation.label_issues(none, ["a", "b"] * 30)


@pytest.fixture(scope="module")
def measured(collection, tmp_path_factory):
    """An archive that holds distortions."""
    z, _, dictionary, codes = collection
    path = tmp_path_factory.mktemp("archive") / "x.smic"
    known = item_distortion(dictionary, z, codes)
    write_archive(path, dictionary, codes, encoder="me/1", distortion=known)
    return read_archive(path)


def test_what_is_given_beside_an_archive_counts(collection, measured):
    z, _, dictionary, codes = collection
    known = np.ones(400)
    known[7] = 3
    found = curation.outliers(measured, known)
    assert found.measured and found.unexplained.argmax() == 7
    assert curation.same_meaning(measured, known).items == 400
    by_name = curation.search(dictionary=measured, queries=z[:2], k=3)
    assert np.array_equal(by_name.indices, curation.search(measured, z[:2], 3).indices)
    assert np.array_equal(by_name.indices, curation.search(dictionary, codes, z[:2], 3).indices)
    with pytest.raises(TypeError, match="codes beside it"):
        curation.search(measured, codes=codes, queries=z[:2])


def test_a_dictionary_beside_an_archive_is_its_own(collection, measured):
    z, place, dictionary, _ = collection
    arrays = dictionary.to_arrays()
    arrays["atom_levels"] = -arrays["atom_levels"]
    other = SemanticDictionary.from_arrays(arrays)
    for call in (
        lambda: curation.search(other, measured, z[:1]),
        lambda: curation.label_issues(measured, place, dictionary=other),
    ):
        with pytest.raises(ValueError, match="two different dictionaries"):
            call()


def test_a_parameter_that_was_changed_since_does_not_count(collection):
    _, _, dictionary, codes = collection
    changed = SemanticDictionary.from_arrays(dictionary.to_arrays())
    before = curation.outliers(changed, codes).scores
    changed.set_params(max_level=1)
    assert np.array_equal(curation.outliers(changed, codes).scores, before)


@pytest.mark.parametrize("scale", [1e30, 1e-30, 1e-42])
def test_the_length_of_latents_does_not_matter(collection, scale):
    z, _, dictionary, codes = collection
    far = z * np.float32(scale)
    if scale > 1e-40:  # below, float32 keeps few digits
        pairs = curation.near_duplicates(dictionary, codes, 0.9, latents=far).pairs
        near = curation.near_duplicates(dictionary, codes, 0.9, latents=z).pairs
        assert len(pairs) and abs(len(pairs) - len(near)) <= 1
        found = curation.search(dictionary, codes, far[:5], 3)
        assert np.array_equal(found.indices, curation.search(dictionary, codes, z[:5], 3).indices)
    assert np.allclose(np.linalg.norm(unit(far), axis=1), 1)
    assert not unit(np.zeros((2, 3))).any()
