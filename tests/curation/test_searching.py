import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic import curation
from fiftyone_smic.archive import decode_archive, encode_archive
from fiftyone_smic.utils.vectors import unit
from tests.curation.conftest import topics


def test_search_finds_the_class_asked_for(collection):
    z, place, dictionary, codes = collection
    queries = np.stack([z[place == c].mean(axis=0) for c in range(8)])
    scores, indices = curation.search(dictionary, codes, queries, k=20)
    assert scores.shape == indices.shape == (8, 20)
    assert (place[indices] == np.arange(8)[:, None]).mean() > 0.99
    assert (np.diff(scores, axis=1) <= 0).all()


def test_search_scores_are_cosines_without_the_mean(collection):
    z, _, dictionary, codes = collection
    found = curation.search(dictionary, codes, z[5], k=400)
    along = dictionary.mean_ / np.linalg.norm(dictionary.mean_)
    asked = z[5] - (z[5] @ along) * along
    rest = dictionary.inverse_transform(codes) - dictionary.mean_
    lengths = np.square(rest).sum(axis=1)
    expected = rest @ asked / np.linalg.norm(asked) / np.sqrt(lengths + 0.1 * lengths.mean())
    np.testing.assert_allclose(found.scores[0], expected[found.indices[0]], atol=1e-4)
    assert sorted(found.indices[0]) == list(range(400))


def test_search_by_product_ranks_like_rebuilt_latents(collection):
    z, _, dictionary, codes = collection
    found = curation.search(dictionary, codes, z[:4], k=400, by="product")
    expected = dictionary.inverse_transform(codes) @ z[:4].T
    for row in range(4):
        np.testing.assert_allclose(found.scores[row], expected[found.indices[row], row], atol=1e-5)
    with pytest.raises(ValueError, match="'cosine' or 'product', got 'dot'"):
        curation.search(dictionary, codes, z[:4], by="dot")


def test_a_text_lies_apart_from_images_and_is_found_all_the_same(collection):
    _, place, dictionary, codes = collection
    rng = np.random.default_rng(3)
    gap = 5 * rng.normal(size=32)
    basis = np.random.default_rng(99).normal(size=(9, 32))
    texts = unit(basis[:8] + gap)
    _, indices = curation.search(dictionary, codes, texts, 20, text_mean=texts.mean(axis=0))
    assert (place[indices] == np.arange(8)[:, None]).mean() > 0.95


def test_search_says_how_far_codes_agree_with_latents(collection):
    z, _, dictionary, codes = collection
    found = curation.search(dictionary, codes, z[:10], 20, latents=z)
    best = np.argsort(-(z[:10] @ z.T), axis=1)[:, :20]
    share = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(best, found.indices, strict=True)])
    assert found.agreement == pytest.approx(share, abs=0.02)
    assert f"{found.agreement:.0%}" in str(found)
    empty = csr_matrix(codes.shape, dtype=np.int8)
    with pytest.warns(UserWarning, match="by full latents"):
        blind = curation.search(dictionary, empty, z[:10], 20, latents=z)
    assert blind.tied == 1 and "arbitrary" in str(blind)


def test_an_archive_stands_for_its_dictionary_and_codes(collection):
    z, place, dictionary, codes = collection
    archive = decode_archive(encode_archive(dictionary, codes, encoder="test")[0])
    one = curation.search(archive, z[:3], k=5)
    two = curation.search(dictionary, codes, z[:3], k=5)
    assert np.array_equal(one.indices, two.indices)
    assert curation.compare(archive, archive).p == 1
    rows = curation.associations(archive, place).to_rows()
    assert rows == curation.associations(codes, place).to_rows()
    assert len(curation.select(archive, k=5).indices) == 5


def test_two_archives_need_one_dictionary(collection):
    _, _, dictionary, codes = collection
    z, _ = topics(seed=7)
    other = type(dictionary)(lam=0.001, max_iter=2, n_swaps=0).fit(z)
    archives = [
        decode_archive(encode_archive(d, c, encoder="test")[0])
        for d, c in ((dictionary, codes), (other, other.transform(z)))
    ]
    with pytest.raises(ValueError, match="different dictionaries"):
        curation.compare(*archives)


# --- expressions --------------------

NAMES = ["snow", "people", "night", "night (2)", "bread and butter"]
CODES = csr_matrix([[1, 0, 0, 0, 0], [2, 1, 0, 0, 0], [0, 0, -1, 1, 0], [0, 3, 0, 0, 1]])


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("snow", [1, 0]),
        ("snow & !people", [0]),
        ("snow and not people", [0]),
        ("SNOW | people", [1, 3, 0]),
        ("snow & people | bread and butter", [1, 3]),
        ("snow & (people | bread and butter)", [1]),
        ("-night", [2]),
        ("night", []),
        ("+snow", [1, 0]),
        ("night (2)", [2]),
        ("'night (2)' | \"bread and butter\"", [2, 3]),
        ("5*snow | people", [1, 0, 3]),
        ("atom 1", [3, 1]),
        ("!snow", [2, 3]),
        ("!!snow", [0, 1]),
        ("!(snow | people)", [2]),
    ],
)
def test_an_expression_matches(expression, expected):
    found = curation.match(CODES, expression, NAMES)
    assert found.indices.tolist() == expected
    assert found.mask.sum() == len(expected)


@pytest.mark.parametrize(
    ("expression", "position", "problem"),
    [
        ("snow & poeple", 7, "did you mean 'people'"),
        ("snow &", 6, "an atom is expected"),
        ("(snow | people", 0, "not closed"),
        ("snow) & people", 4, "without an opening"),
        ("", 0, "an atom is expected"),
        ("snow 'people'", 5, "join atoms"),
        ("'snow", 0, "not closed"),
        ("3*", 2, "an atom is expected"),
        ("snow & atom 5", 7, "no atom 'atom 5'"),
        ("& snow", 0, "an atom is expected"),
    ],
)
def test_a_mistake_in_an_expression_is_shown_at_its_place(expression, position, problem):
    with pytest.raises(curation.ExpressionError, match=problem) as caught:
        curation.match(CODES, expression, NAMES)
    assert caught.value.position == position
