import itertools
import math

import numpy as np
import pytest

from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.pursuit import Pursuit


def problem(n=300, d=24, k=40, seed=0):
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(k, d)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True) * 2
    q = rng.integers(-2, 3, size=(n, k)) * (rng.random((n, k)) < 2 / k)
    items = (q @ atoms + 0.02 * rng.normal(size=(n, d))).astype(np.float32)
    return items, atoms, Costs.initial(k, 4, 6)


def bits_of(costs, atom, q):
    """Of one coefficient of up to 4."""
    c = costs.coefficients
    return costs.index[atom] + (c.one[atom] if q == 1 else c.other[atom] + c.value[q + 4])


def objective(items, atoms, codes, costs, lam):
    """Distortion + lam * bits per item, straight from the definition."""
    out = []
    for y, row in zip(items, codes.toarray().astype(int), strict=True):
        used = np.flatnonzero(row)
        bits = costs.size[len(used)] - math.log2(math.factorial(len(used)))
        bits += sum(bits_of(costs, j, row[j]) for j in used)
        out.append(((y - row @ atoms) ** 2).sum() + lam * bits)
    return np.array(out)


def usual(k, odds):
    """Costs of atoms of which every second one has ``2**odds`` times as many other coefficients
    as ones."""
    counts = np.full(k, 1000)
    others = np.where(np.arange(k) % 2, 1000 * 2**odds / (1 + 2**odds), 100).astype(np.int64)
    return Costs.from_counts(counts, others, np.array([5, 9, 30, 90, 0, 9e3, 900, 90, 9]), [9, 99])


@pytest.mark.parametrize("costs", [Costs.initial(40, 4, 1), usual(40, 1), usual(40, 5)])
def test_finds_the_best_single_atom_exactly(costs):
    items, atoms, _ = problem(60)
    lam = 0.003
    codes = Pursuit(atoms, costs, lam).code(items)
    found = objective(items, atoms, codes, costs, lam)
    for y, value in zip(items, found, strict=True):
        candidates = [(y**2).sum() + lam * costs.size[0]]
        for j, q in itertools.product(range(len(atoms)), [-4, -3, -2, -1, 1, 2, 3, 4]):
            bits = costs.size[1] + bits_of(costs, j, q)
            candidates.append(((y - q * atoms[j]) ** 2).sum() + lam * bits)
        assert value == pytest.approx(min(candidates), abs=1e-5)


def test_reselecting_improves_the_objective_for_the_collection():
    items, atoms, costs = problem()
    without, with_ = (
        objective(items, atoms, Pursuit(atoms, costs, 0.003, sweeps=s).code(items), costs, 0.003)
        for s in (0, 2)
    )
    assert (with_ <= without + 1e-5).all() and with_.sum() < without.sum()


def test_larger_lambda_means_fewer_coefficients():
    items, atoms, costs = problem()
    counts = [Pursuit(atoms, costs, lam).code(items).nnz for lam in (0.0003, 0.01, 0.1, 10.0)]
    assert counts == sorted(counts, reverse=True) and counts[0] > 0 and counts[-1] == 0


def test_nonnegative_limits_and_sorted_indices():
    items, atoms, costs = problem()
    codes = Pursuit(atoms, costs, 1e-4, nonnegative=True).code(items)
    assert codes.data.min() > 0 and codes.data.max() <= 4 and np.diff(codes.indptr).max() <= 6
    assert codes.has_sorted_indices and codes.dtype == np.int8
    assert all((np.diff(codes[i].indices) > 0).all() for i in range(20))


def test_threads_and_chunks_do_not_change_codes(monkeypatch):
    items, atoms, costs = problem(2500)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    one = Pursuit(atoms, costs, 0.003).code(items)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    four = Pursuit(atoms, costs, 0.003).code(items)
    assert (one != four).nnz == 0


def test_no_atoms_no_items_and_zero_atoms():
    items, atoms, costs = problem(5)
    assert Pursuit(atoms[:0], Costs.initial(0, 4, 6), 0.003).code(items).shape == (5, 0)
    assert Pursuit(atoms, costs, 0.003).code(items[:0]).shape == (0, 40)
    atoms[:] = 0
    assert Pursuit(atoms, costs, 0.003).code(items).nnz == 0
