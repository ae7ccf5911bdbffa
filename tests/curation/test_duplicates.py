import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from fiftyone_smic import SemanticDictionary, curation
from fiftyone_smic.curation import pairs as pairs_module
from fiftyone_smic.curation.duplicates import stars
from fiftyone_smic.utils.vectors import unit
from tests.curation.conftest import topics


def planted(copies=30, seed=1):
    """Topics in which the last items are noisy copies of the first ones."""
    z, _ = topics(spread=0.9)
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(copies, z.shape[1]))
    again = unit(z[:copies] + 0.15 * unit(noise))
    return np.vstack([z, again]).astype(np.float32)


def near_by_hand(z, threshold):
    one, other = np.nonzero(np.triu(z @ z.T >= threshold, 1))
    return set(zip(one.tolist(), other.tolist(), strict=True))


@pytest.mark.parametrize("everyone", [True, False])
def test_planted_duplicates_are_all_found_and_nothing_else(monkeypatch, everyone):
    if not everyone:  # through the atoms they share, as in a large collection
        monkeypatch.setattr(pairs_module, "ALL_PAIRS", 0)
    z = planted()
    dictionary = SemanticDictionary(lam=0.001, max_iter=5, n_swaps=0).fit(z)
    found = curation.near_duplicates(dictionary, dictionary.transform(z), 0.95, latents=z)
    true = near_by_hand(z, 0.95)
    pairs = set(map(tuple, found.pairs.tolist()))
    assert len(true) >= 25 and pairs <= true and len(pairs) >= 0.96 * len(true)
    assert len(pairs) == len(found.pairs) and found.verified and found.share <= 0.02
    cosines = [z[i] @ z[j] for i, j in found.pairs]
    np.testing.assert_allclose(found.cosines, cosines, atol=1e-5)


def sharing(dictionary, codes, both):
    """Pairs of items of which one uses the strongest atom of the other, or each does."""
    levels = np.abs(codes.toarray()) * np.linalg.norm(dictionary.atoms_, axis=1)
    uses = np.column_stack([levels > 0, ~levels.any(axis=1)])  # no atom counts as one
    strongest = np.where(uses[:, -1], levels.shape[1], levels.argmax(axis=1))
    one_way = uses[:, strongest]
    allowed = one_way & one_way.T if both else one_way | one_way.T
    return set(map(tuple, np.argwhere(np.triu(allowed, 1)).tolist()))


@pytest.mark.parametrize("everyone", [True, False])
@pytest.mark.parametrize("verified", [True, False])
def test_what_projections_rule_out_is_not_near(monkeypatch, everyone, verified):
    """Latents of more dimensions than are projected to, with pairs on both sides of the bar."""
    monkeypatch.setattr(pairs_module, "PROJECTED", 6)
    monkeypatch.setattr(pairs_module, "ALL_PAIRS", 20_000 if everyone else 0)
    rng = np.random.default_rng(3)
    z, _ = topics(n=500, d=96, classes=5, spread=0.6)
    noise = unit(rng.normal(size=(150, 96))) * np.tan(np.arccos(rng.uniform(0.8, 1, (150, 1))))
    z = unit(np.vstack([z, z[:150] + noise, z[:20]])).astype(np.float32)
    dictionary = SemanticDictionary(lam=0.003, max_iter=4, n_swaps=0).fit(z)
    codes = dictionary.transform(z)
    bar = 0.75
    found = curation.near_duplicates(dictionary, codes, bar, latents=z if verified else None)
    points = z if verified else unit(dictionary.inverse_transform(codes) - dictionary.mean_)
    near = near_by_hand(points, bar)
    of_one, of_both = (near & sharing(dictionary, codes, both) for both in (False, True))
    assert of_both < of_one < near
    expected = near if everyone else of_one if verified else of_both
    assert set(map(tuple, found.pairs.tolist())) == expected
    cosines = [points[i] @ points[j] for i, j in found.pairs]
    np.testing.assert_allclose(found.cosines, cosines, atol=1e-5)
    assert found.share < 0.5
    assert found.every is everyone and ("strongest atom" in str(found)) is not everyone


def test_blocks_and_all_pairs_agree_on_codes(monkeypatch, collection):
    _, _, dictionary, codes = collection
    everything = curation.near_duplicates(dictionary, codes, 0.9)
    rest = dictionary.inverse_transform(codes) - dictionary.mean_
    expected = near_by_hand(unit(rest), 0.9)
    assert set(map(tuple, everything.pairs.tolist())) == expected and not everything.verified
    assert "same meaning" in str(everything)


def test_groups_are_stars_and_never_chains():
    # A path of five items, each 25 degrees from the next: 0-1-2-3-4.
    angles = np.deg2rad(25 * np.arange(5))
    line = np.zeros((5, 8), np.float32)
    line[:, 0], line[:, 1] = np.cos(angles), np.sin(angles)
    z = np.vstack([line, np.eye(8, dtype=np.float32)[2:]])
    dictionary = SemanticDictionary(n_atoms=10, lam=1e-5, max_iter=5, n_swaps=0).fit(z)
    codes = dictionary.transform(z)
    found = curation.near_duplicates(dictionary, codes, 0.9, latents=z)
    near = near_by_hand(z, 0.9)
    assert near == {(0, 1), (1, 2), (2, 3), (3, 4)}
    assert set(map(tuple, found.pairs.tolist())) == near
    for group in found.groups:
        keep = group[0]
        assert all((min(i, keep), max(i, keep)) in near for i in group[1:])
    assert max(map(len, found.groups)) == 3
    kept = set(range(11)) - set(found.removable.tolist())
    for i in found.removable:  # whatever goes is near something that stays
        assert any((min(i, k), max(i, k)) in near for k in kept)
    rows = found.to_rows()
    assert {r["index"] for r in rows if r["kept"]} == set(found.kept.tolist())
    assert all("cosine" in r["why"] for r in rows if not r["kept"])


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=30))
def test_stars_of_any_graph(edges):
    pairs = {(min(e), max(e)) for e in edges if e[0] != e[1]}
    array = np.array(sorted(pairs), np.intp).reshape(-1, 2)
    groups = stars(array, 12, np.zeros(12))
    members = [int(i) for g in groups for i in g]
    assert len(members) == len(set(members))
    for g in groups:
        assert len(g) >= 2
        assert all((min(g[0], i), max(g[0], i)) in pairs for i in g[1:])
    free = set(range(12)) - set(members)
    assert not any(a in free and b in free for a, b in pairs)


def test_same_meaning_is_the_same_code_exactly(collection):
    _, _, _, codes = collection
    found = curation.same_meaning(codes)
    rows = [tuple(r) for r in codes.toarray().tolist()]
    expected = {r: [i for i, x in enumerate(rows) if x == r] for r in rows}
    expected = sorted(v for v in expected.values() if len(v) > 1)
    assert sorted(g.tolist() for g in found.groups) == expected
    assert "duplicates only latents" in str(found)
    alone = curation.same_meaning(csr_matrix(np.eye(3, dtype=int)))
    assert not alone.groups and str(alone) == "No two of 3 items have the same code."


def test_leaks_are_all_found_chains_included():
    z = planted()
    chain = unit(z[0] + 0.12 * unit(np.random.default_rng(5).normal(size=(3, 32))).cumsum(axis=0))
    z = np.vstack([z, chain]).astype(np.float32)
    splits = ["train"] * 400 + ["test"] * 30 + ["train", "val", "test"]
    dictionary = SemanticDictionary(lam=0.001, max_iter=5, n_swaps=0).fit(z)
    found = curation.leaks(dictionary, dictionary.transform(z), splits, 0.95, latents=z)
    true = {(i, j) for i, j in near_by_hand(z, 0.95) if splits[i] != splits[j]}
    assert set(map(tuple, found.pairs.tolist())) == true and len(true) >= 28
    assert sum(found.between.values()) == len(true)
    assert found.p < 0.05 and found.expected < len(true)
    assert set(found.items("test").tolist()) == {
        i for pair in true for i in pair if splits[i] == "test"
    }
    assert "Null run" in str(found)


@pytest.mark.parametrize("verified", [True, False])
def test_copies_are_found_at_a_threshold_of_one(collection, verified):
    z, _, dictionary, _ = collection
    z = np.vstack([z, z[:50]])
    codes = dictionary.transform(z)
    found = curation.near_duplicates(dictionary, codes, 1.0, latents=z if verified else None)
    assert {(i, 400 + i) for i in range(50)} <= set(map(tuple, found.pairs.tolist()))
    assert not verified or len(found.pairs) == 50


def test_no_leak_has_words_of_its_own(collection):
    z, _, dictionary, codes = collection
    found = curation.leaks(dictionary, codes, [0, 1] * 200, 1.0, latents=z)
    assert not len(found.pairs) and str(found).startswith("Nothing leaks")


def test_too_many_pairs_say_what_to_do():
    z, _ = topics(n=300)
    dictionary = SemanticDictionary(n_atoms=4, lam=0.01, max_iter=2, n_swaps=0).fit(z)
    codes = csr_matrix((1000, dictionary.n_atoms_), dtype=np.int8)
    with pytest.raises(ValueError, match="same_meaning"):
        curation.near_duplicates(dictionary, codes)
