"""Every bad input gets a message that says what to do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic import curation
from fiftyone_smic.curation.results import UNSEEN

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
