import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic import curation
from fiftyone_smic.utils.vectors import unit


def likeness(dictionary, codes):
    rest = unit(dictionary.inverse_transform(codes) - dictionary.mean_)
    return (1 + rest @ rest.T) / 2


@pytest.mark.parametrize("method", ["representative", "diverse", "balanced", "covering"])
def test_a_selection_is_k_different_items_with_a_growing_coverage(collection, method):
    _, _, dictionary, codes = collection
    chosen = curation.select(dictionary, codes, 25, method)
    assert len(set(chosen.indices.tolist())) == 25
    near = likeness(dictionary, codes)[:, chosen.indices]
    expected = np.maximum.accumulate(near, axis=1).mean(axis=0)
    np.testing.assert_allclose(chosen.coverage, expected, atol=1e-4)
    assert chosen.radius == pytest.approx(1 - near.max(axis=1).min(), abs=1e-4)
    assert chosen.bound in str(chosen)
    again = curation.select(dictionary, codes, 25, method)
    assert np.array_equal(chosen.indices, again.indices)


def test_representative_is_the_greedy_choice_itself(collection):
    _, _, dictionary, codes = collection
    near = np.exp((2 * likeness(dictionary, codes) - 2) / 0.15)
    best = np.zeros(len(near))
    for item in curation.select(dictionary, codes, 12).indices:
        gains = np.maximum(near, best[:, None]).mean(axis=0)
        assert gains[item] == pytest.approx(gains.max(), abs=1e-4)
        best = np.maximum(best, near[:, item])


def test_diverse_is_farthest_first(collection):
    _, _, dictionary, codes = collection
    near = likeness(dictionary, codes)
    chosen = curation.select(dictionary, codes, 15, "diverse").indices
    for j in range(1, 15):
        to_chosen = near[:, chosen[:j]].max(axis=1)
        assert to_chosen[chosen[j]] == pytest.approx(to_chosen.min(), abs=1e-4)


def test_balanced_brings_in_the_rare_kind(collection):
    z, place, dictionary, _ = collection
    rng = np.random.default_rng(0)
    kept = np.concatenate([np.flatnonzero(place != 3), np.flatnonzero(place == 3)[:4]])
    codes = dictionary.transform(z[kept])
    share = np.mean([
        (place[kept][curation.select(dictionary, codes, 16, m).indices] == 3).any()
        for m in ("balanced", "diverse")
    ])  # fmt: skip
    drawn = np.mean([3 in place[kept][rng.choice(len(kept), 16)] for _ in range(400)])
    assert share == 1 and drawn < 0.4


def test_balanced_is_the_greedy_choice_itself(collection):
    _, _, dictionary, codes = collection
    weight = np.abs(codes.toarray()) * np.linalg.norm(dictionary.atoms_, axis=1)
    shares = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
    signed = np.hstack([shares * (codes.toarray() > 0), shares * (codes.toarray() < 0)])
    filled, left = np.zeros(signed.shape[1]), np.ones(len(signed), bool)
    for item in curation.select(dictionary, codes, 30, "balanced").indices:
        gains = (np.sqrt(filled + signed) - np.sqrt(filled)).sum(axis=1)
        assert left[item] and gains[item] == pytest.approx(gains[left].max(), abs=1e-9)
        filled, left[item] = filled + signed[item], False


def test_items_of_one_code_take_turns(collection):
    _, _, dictionary, codes = collection
    few = codes[[5, 0, 0, 1, 0, 1, 2, 5, 5, 5]]
    chosen = curation.select(dictionary, few, 9, preselected=[0]).indices.tolist()
    kinds = [[5, 0, 0, 1, 0, 1, 2, 5, 5, 5][i] for i in chosen]
    assert sorted(kinds[:3]) == [0, 1, 2]  # what is preselected is represented already
    assert kinds[3] == 5 and sorted(kinds[4:7]) == [0, 1, 5] and sorted(kinds[7:]) == [0, 5]
    assert sorted(chosen) == list(range(1, 10))


def test_covering_shows_every_atom_with_the_fewest_items():
    codes = csr_matrix(
        [[1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]
        + [[1, 0, 1, 0, 1, 0]] * 2
        + [[0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 1]]
    )
    from fiftyone_smic.curation.covering import covering

    chosen, proof = covering(codes, None, np.zeros(0, np.intp), 1, 2)
    shown = codes[chosen].toarray().sum(axis=0) > 0
    assert len(chosen) == 3 and shown.all() and "proven" in proof
    twice, _ = covering(codes, None, np.zeros(0, np.intp), 2, 2)
    assert (codes[twice].toarray().sum(axis=0) >= 2).all()
    rest, _ = covering(codes, None, np.array([0]), 1, 2)
    assert 0 not in rest and len(rest) == 2


def test_preselected_items_count_and_are_not_chosen_again(collection):
    _, _, dictionary, codes = collection
    for method in ("representative", "diverse", "balanced", "covering"):
        first = curation.select(dictionary, codes, 5, method).indices
        rest = curation.select(dictionary, codes, 5, method, preselected=first)
        assert not set(first.tolist()) & set(rest.indices.tolist())
        if method != "covering":
            both = curation.select(dictionary, codes, 10, method)
            assert rest.coverage[-1] == pytest.approx(both.coverage[-1], abs=1e-4)


def test_all_items_can_be_chosen_even_with_few_codes(collection):
    _, _, dictionary, codes = collection
    few = codes[[0, 0, 0, 1, 1, 2]]
    for method in ("representative", "diverse", "balanced", "covering"):
        chosen = curation.select(dictionary, few, 6, method)
        assert sorted(chosen.indices.tolist()) == list(range(6))
    empty = csr_matrix((4, codes.shape[1]), dtype=np.int8)
    assert len(curation.select(dictionary, empty, 3).indices) == 3


def test_covering_without_k_says_what_is_proven(collection):
    _, _, dictionary, codes = collection
    chosen = curation.select(dictionary, codes, None, "covering")
    assert "integer programming" in chosen.bound or "Chvatal" in chosen.bound
    from fiftyone_smic.curation.inference import uses

    all_uses = uses(codes)
    wanted = all_uses.getnnz(axis=0) >= 2
    assert (all_uses[chosen.indices].getnnz(axis=0)[wanted] > 0).all()
