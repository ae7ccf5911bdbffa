"""Numbers that are known from elsewhere, or can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import false_discovery_control, hypergeom, norm

from fiftyone_smic import curation, write_archive
from fiftyone_smic.curation.duplicates import stars
from fiftyone_smic.curation.inference import newcombe, permutation_p
from fiftyone_smic.curation.searching import best
from fiftyone_smic.curation.surprise import _robust


def test_among_equal_scores_the_first_item_comes_first():
    assert best(np.array([1.0, 2.0, 2.0, 2.0, 0.0]), 2).tolist() == [1, 2]
    assert best(np.array([1.0, 2.0, 2.0, 2.0, 0.0]), 4).tolist() == [1, 2, 3, 0]


def test_the_interval_of_a_difference_is_that_of_the_paper():
    # Newcombe (1998), table II, (b), method 10.
    found = [round(float(v), 4) for v in newcombe(9, 10, 3, 10)]
    assert found == [0.6, 0.1705, 0.809]


def test_a_permutation_test_counts_what_was_observed():
    assert permutation_p(5, [1, 2, 3]) == 0.25
    assert permutation_p(5, [5, 5, 1]) == 0.75


def test_of_two_copies_the_better_one_is_kept():
    assert [g.tolist() for g in stars(np.array([[0, 1]]), 2, np.array([1.0, 2.0]))] == [[1, 0]]
    assert [g.tolist() for g in stars(np.array([[0, 1]]), 2, np.array([1.0, 1.0]))] == [[0, 1]]


def test_splits_that_keep_copies_together_are_no_chance_either(collection):
    z, _, dictionary, codes = collection
    twice = np.vstack([z[:40], z[:40]])
    both = csr_matrix(np.vstack([codes[:40].toarray()] * 2))
    splits = (["train"] * 20 + ["test"] * 20) * 2
    found = curation.leaks(dictionary, both, splits, 0.9999, latents=twice)
    assert not len(found.pairs) and found.near == 40 and found.p < 0.05


def test_pairs_of_atoms_are_tested_as_they_should_be():
    rng = np.random.default_rng(0)
    used = rng.random((300, 14)) < np.linspace(0.02, 0.3, 14)
    used[:40, [10, 13]] = True
    n, counts = len(used), used.sum(axis=0)
    wanted = {}
    for i in range(14):
        for j in range(i + 1, 14):
            both = int((used[:, i] & used[:, j]).sum())
            tail = hypergeom(n, counts[i], counts[j])
            nearer = tail.sf(both - 1) if both > counts[i] * counts[j] / n else tail.cdf(both)
            # What never occurs together is no finding, and a test all the same.
            wanted[i, j] = min(1.0, 2 * nearer) if both else 1.0
    q = dict(zip(wanted, false_discovery_control(list(wanted.values())), strict=True))
    found = {(row.atom, row.other): row for row in curation.rare(csr_matrix(used * 1)).pairs}
    assert found and set(found) == {pair for pair in q if q[pair] < 0.05}
    for pair, row in found.items():
        assert row.p == pytest.approx(wanted[pair], rel=1e-6)
        assert row.q == pytest.approx(q[pair], rel=1e-6)


def test_a_slice_within_one_label_is_the_test_of_mantel_and_haenszel():
    rng = np.random.default_rng(1)
    used = (rng.random((200, 1)) < 0.4) * 1
    wrong = rng.random(200) < np.where(used[:, 0], 0.4, 0.2)
    row = curation.weak_slices(csr_matrix(used), wrong, ["a"] * 200, pairs=False).slices[0]
    table = hypergeom(200, int(wrong.sum()), int(used.sum()))
    z = (row.errors - table.mean() - 0.5) / table.std()
    assert row.errors == int((wrong & (used[:, 0] > 0)).sum())
    assert row.p == pytest.approx(norm.sf(z), rel=1e-9)


def test_deviations_where_most_values_are_one():
    values = np.r_[np.zeros(90), np.ones(10)]
    assert _robust(values)[-1] == pytest.approx(1 / values.std())
    assert not _robust(np.ones(20)).any()


def test_a_covering_set_leaves_preselected_items_out(collection):
    dictionary = collection[2]
    codes = np.zeros((4, dictionary.n_atoms_), int)
    codes[0, [0, 1]] = codes[1, 0] = codes[2, 1] = 1
    found = curation.select(dictionary, csr_matrix(codes), None, "covering", [0], times=2)
    assert sorted(found.indices.tolist()) == [1, 2]
    # More often than an atom occurs it cannot be shown, and that is no failure.
    found = curation.select(dictionary, csr_matrix(codes), None, "covering", times=3)
    assert sorted(found.indices.tolist()) == [0, 1, 2] and "proven" in found.bound


def test_a_search_block_by_block_has_the_same_scores(collection, tmp_path):
    z, _, dictionary, codes = collection
    write_archive(tmp_path / "x.smic", dictionary, codes, encoder="me/1")
    scores, indices = curation.search_archive(tmp_path / "x.smic", z[:3], k=7)
    wanted = curation.search(dictionary, codes, z[:3], k=7)
    assert np.array_equal(indices, wanted.indices)
    assert scores == pytest.approx(wanted.scores, rel=1e-5)
