"""Tests of what tests: intervals, exact p-values, associations, drift, slices, and their nulls."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact, hypergeom

from fiftyone_smic import curation
from fiftyone_smic.curation import inference


def bernoulli(n, rates, rng):
    return csr_matrix(rng.random((n, len(rates))) < np.asarray(rates), dtype=np.int8)


def test_tails_are_those_of_the_hypergeometric_distribution():
    rng = np.random.default_rng(0)
    total = rng.integers(1, 400, 300)
    hits, drawn, x = (rng.integers(0, total + 1) for _ in range(3))
    expected = hypergeom.sf(x - 1, total, hits, drawn), hypergeom.cdf(x, total, hits, drawn)
    np.testing.assert_allclose(inference.over(x, total, hits, drawn), expected[0], atol=1e-10)
    np.testing.assert_allclose(inference.under(x, total, hits, drawn), expected[1], atol=1e-10)
    assert inference.over(9_000, 100_000, 20_000, 20_000) == pytest.approx(0, abs=1e-300)


def test_fisher_is_the_exact_test_where_it_matters():
    rng = np.random.default_rng(1)
    for _ in range(100):
        n_a, n_b = rng.integers(5, 200, 2)
        a, b = rng.integers(0, n_a + 1), rng.integers(0, n_b + 1)
        p = float(inference.fisher(a, n_a, b, n_b))
        exact = fisher_exact([[a, n_a - a], [b, n_b - b]]).pvalue
        if exact < 0.1:  # doubling the smaller tail is at least as large, and at most twice
            assert 0.49 * exact <= p / 2 <= 1.001 * exact
        else:
            assert p > 0.05


def test_an_association_is_found_with_its_effect():
    rng = np.random.default_rng(0)
    labels = np.repeat(["cat", "dog", "cow"], 100)
    codes = bernoulli(300, [0.3] * 6, rng).toarray()
    codes[labels == "cow", 2] = rng.random(100) < 0.9
    codes[labels == "dog", 4] = -(rng.random(100) < 0.8).astype(np.int8)
    found = curation.associations(csr_matrix(codes), labels, null=3)
    top = {(r.label, r.atom, r.sign) for r in found.found[:2]}
    assert top == {("cow", 2, 1), ("dog", 4, -1)}
    row = next(r for r in found.atoms if (r.label, r.atom, r.sign) == ("cow", 2, 1))
    inside, outside = codes[labels == "cow", 2] > 0, codes[labels != "cow", 2] > 0
    assert row.difference == pytest.approx(inside.mean() - outside.mean())
    assert row.low < row.difference < row.high and row.low > 0.3
    assert row.p <= row.q < 1e-6 and row.bits > 0.1 and row.odds > 5
    assert found.null.runs == 3 and "Null run" in str(found)
    assert "cow" in str(found)
    assert list(found.atoms.column("p")) == sorted(found.atoms.column("p"))


def test_associations_find_nothing_where_nothing_is():
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        codes = bernoulli(120, [0.2] * 10, rng)
        alarms += len(curation.associations(codes, rng.permutation([0, 1, 2] * 40)).found) > 0
    assert alarms <= 16  # 5 % of 200, and three standard deviations
    nothing = curation.associations(codes, [0, 1] * 60)
    assert str(nothing).startswith("No atom goes together")


def test_drift_is_found_in_the_atom_that_moved():
    rng = np.random.default_rng(0)
    base = np.full(12, 0.25)
    moved = base.copy()
    moved[7] = 0.5
    hits, first = 0, 0
    for _ in range(20):
        found = curation.compare(
            bernoulli(200, base, rng), bernoulli(200, moved, rng), permutations=199
        )
        hits += found.p < 0.05
        first += (found.atoms[0].atom, found.atoms[0].sign) == (7, 1)
    assert hits == 20 and first == 20
    assert found.atoms[0].difference == pytest.approx(0.25, abs=0.12)
    assert found.atoms[0].share > 0.5 and "occurs in" in str(found)


def test_drift_alarms_are_as_rare_as_said():
    globally = single = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        a, b = bernoulli(80, [0.3] * 12, rng), bernoulli(120, [0.3] * 12, rng)
        found = curation.compare(a, b, permutations=99, seed=seed)
        globally += found.p <= 0.05
        single += len(found.found) > 0
    assert globally <= 27 and single <= 27  # 5 % of 300, and three standard deviations
    assert globally >= 4  # a test that never rejects is no test
    quiet = str(curation.compare(a, a, null=2))
    assert quiet.startswith("No difference") and "Null run" in quiet


def test_a_weak_slice_is_found_and_a_hard_class_is_not_blamed():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000)
    codes = np.zeros((1000, 6), np.int8)
    codes[:, 0] = rng.random(1000) < np.where(labels == 1, 0.8, 0.2)  # goes with the hard class
    codes[:, 1] = rng.random(1000) < 0.2
    codes[:, 2:] = rng.random((1000, 4)) < 0.3
    errors = rng.random(1000) < np.where(labels == 1, 0.3, 0.05) + 0.35 * (codes[:, 1] > 0)
    plain = curation.weak_slices(csr_matrix(codes), errors, pairs=False)
    assert {row.atoms[0] for row in plain.found} == {0, 1}
    held = curation.weak_slices(csr_matrix(codes), errors, labels, pairs=False, null=3)
    assert {row.atoms[0] for row in held.found} == {1}
    row = held.found[0]
    inside = codes[:, 1] > 0
    assert (row.size, row.errors) == (inside.sum(), errors[inside].sum())
    assert row.rate_low < row.rate and row.low < row.difference < row.high
    assert "Null run" in str(held)


def test_a_weak_pair_is_found():
    rng = np.random.default_rng(2)
    codes = bernoulli(1500, [0.4] * 5, rng)
    both = (codes.toarray()[:, [1, 3]] > 0).all(axis=1)
    errors = rng.random(1500) < np.where(both, 0.5, 0.05)
    assert curation.weak_slices(codes, errors).found[0].atoms == (1, 3)


def test_no_weak_slice_has_words_of_its_own_and_is_usual_under_the_null():
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        codes = bernoulli(300, [0.3] * 8, rng)
        errors = rng.random(300) < 0.15
        labels = rng.integers(0, 3, 300) if seed % 2 else None
        found = curation.weak_slices(codes, errors, labels, pairs=False)
        alarms += len(found.found) > 0
    assert alarms <= 19
    assert "No weak slice is found" in str(curation.weak_slices(codes, rng.random(300) < 0.15))


def test_rare_atoms_and_pairs():
    rng = np.random.default_rng(0)
    codes = bernoulli(1000, [0.3, 0.3, 0.3, 0.3, 0.002], rng).toarray()
    codes[:, 1] = np.where(codes[:, 0] > 0, rng.random(1000) < 0.02, codes[:, 1])
    codes[:, 3] = codes[:, 2] * (rng.random(1000) < 0.9)
    codes[5, 4] = 1
    found = curation.rare(csr_matrix(codes))
    assert [(r.atom, r.items) for r in found.atoms] == [(4, int((codes[:, 4] > 0).sum()))]
    pairs = {(r.atom, r.other): r for r in found.pairs}
    assert set(pairs) == {(0, 1), (2, 3)}
    assert pairs[0, 1].lift < 0.3 and pairs[2, 3].lift > 2
    assert found.scores.argmax() in np.flatnonzero(codes[:, 4])
    assert found.scores[5] == pytest.approx(-np.log2((codes[:, 4] > 0).mean()))
    alone = curation.rare(bernoulli(500, [0.3] * 4, rng))
    assert not len(alone.atoms) and "No pair" in str(alone)


def test_rows_are_plain_values():
    rng = np.random.default_rng(0)
    rows = curation.compare(bernoulli(50, [0.3] * 3, rng), bernoulli(50, [0.4] * 3, rng)).to_rows()
    assert type(rows[0]["atom"]) is int and type(rows[0]["q"]) is float
    assert rows[0]["name"].startswith("atom ")
