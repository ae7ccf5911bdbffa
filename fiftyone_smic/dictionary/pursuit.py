"""Rate-distortion optimised sparse coding with small integer coefficients.

An item y (the latent minus the collection's mean) becomes ``sum_j q_j d_j`` with integers ``q_j``.
The codes minimise

    |y - sum_j q_j d_j|^2 + lam * bits(q),
    bits = size[n] - log2 n! + sum_j (index[j] + c(j, q_j)),

where ``c(j, q)`` is the cost of a coefficient (:mod:`fiftyone_smic.coding.coefficients`) and
``- log2 n!`` is what coding the *set* of indices saves against coding their sequence. Atoms are
selected greedily, by the best change of that objective (orthogonal steps are not needed: the
coefficients are integers). Then one sweep takes out every chosen atom in turn and puts back the
best one, or none. The atoms' Gram matrix keeps the correlations with the residual up to date, as in
Batch-OMP (Rubinstein et al. 2008), so an item costs one row of a GEMM and a few passes over K
numbers.

Items are independent, chunks have a fixed size and each chunk's GEMM runs on one BLAS thread: the
number of threads does not change the result.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from fiftyone_smic.coding.coefficients import cost_of, least_costs
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.utils.compiled import compiled
from fiftyone_smic.utils.parallel import in_chunks

#: Atoms of a block. Its largest bound decides whether its atoms are looked at one by one.
BLOCK = 64


@compiled(nogil=True, fastmath=True)
def _step(source, row, q, target):
    """Set target = source - q row."""
    for j in range(source.shape[0]):
        target[j] = source[j] - q * row[j]


@compiled(nogil=True, fastmath=True)
def _bound(c, near, far, slope, rest):
    """Upper bound of what adding an atom of correlation c gains.

    It is exact where the best coefficient is 1 or -1. The gain of coefficient p is
    2 p |c| - p^2 energy, less its costs: the line of p = 1 until 1.5 energy, then no steeper than
    the line of the largest coefficient.
    """
    v = abs(c)
    first, steepest = v + v - near, slope * v - far
    return (first if first > steepest else steepest) - rest


@compiled(nogil=True)
def _as_integer(x):
    return np.float32(x).view(np.int32)


@compiled(nogil=True, fastmath=True)
def _step_and_bound(source, row, q, target, limits, rest, tops):
    """Set target = source - q row, and store each block's largest bound, 0 if none is positive.

    This is one pass because it takes most of the time. The target must not be the source, or the
    loop is not vectorised. Positive floats are ordered as the integers of the same bits, and the
    compiler has a fast maximum for integers only.
    """
    near, far, slope = limits
    for b in range(tops.shape[0]):
        i = b * BLOCK
        s, r, t = source[i : i + BLOCK], row[i : i + BLOCK], target[i : i + BLOCK]
        n, f = near[i : i + BLOCK], far[i : i + BLOCK]
        top = np.int32(0)
        for j in range(BLOCK):
            c = s[j] - q * r[j]
            t[j] = c
            top = max(top, _as_integer(_bound(c, n[j], f[j], slope, rest)))
        tops[b] = top


@compiled(nogil=True, fastmath=True)
def _bounds(c, near, far, slope, rest, target):
    for j in range(BLOCK):
        target[j] = _bound(c[j], near[j], far[j], slope, rest)


@compiled(nogil=True)
def _gain(v, energy, one, other, value_costs, nonnegative):
    """Gain and value of the best coefficient of an atom whose correlation is v."""
    qmax = value_costs.shape[0] // 2
    best = np.float32(-np.inf)
    coefficient = 0
    if energy > 0 and not (nonnegative and v <= 0):
        top = int(min(max(np.rint(abs(v) / energy), 1), qmax))
        s = 1 if v > 0 else -1
        # One more than the nearest, in case a coefficient of 1 is the expensive one.
        for p in range(max(top - 1, 1), min(top + 1, qmax) + 1):
            gain = 2 * p * abs(v) - p * p * energy - cost_of(s * p, one, other, value_costs)
            if gain > best:
                best = gain
                coefficient = s * p
    return best, coefficient


@compiled(nogil=True)
def _best(c, tops, block, limits, costs, rest, taken):
    """Return the atom and coefficient that gain most when added, or atom -1 if none gains.

    ``tops`` and ``block`` are overwritten. The atoms ``taken`` are not considered.
    """
    near, far, slope = limits
    energy, one, other, value_costs, nonnegative = costs
    gain = np.float32(0.0)
    atom = -1
    coefficient = 0
    while True:
        b = 0
        for i in range(1, len(tops)):
            if tops[i] > tops[b]:
                b = i
        if not tops[b] > _as_integer(gain):
            return atom, coefficient
        tops[b] = 0
        i = b * BLOCK
        _bounds(c[i : i + BLOCK], near[i : i + BLOCK], far[i : i + BLOCK], slope, rest, block)
        for o in range(BLOCK):
            if block[o] > gain:
                j = i + o
                if j not in taken:
                    cost = one[j] + rest, other[j] + rest
                    value, q = _gain(c[j], energy[j], *cost, value_costs, nonnegative)
                    if value > gain:
                        gain, atom, coefficient = value, j, q


@compiled(nogil=True)
def _pursue(
    corr, gram, one, other, value_costs, size_costs, nonnegative, sweeps, idx, coefficients, sizes
):
    """Store the codes of the rows of ``corr`` (m, K), K a multiple of BLOCK.

    Costs are in units of distortion (lam * bits). ``one`` and ``other`` include the atom's cost.
    """
    m, k = corr.shape
    limit = size_costs.shape[0] - 1
    slope = np.float32(2 * (value_costs.shape[0] // 2))
    energy = np.empty(k, np.float32)
    for j in range(k):
        energy[j] = gram[j, j]
    near = energy + least_costs(one, other, value_costs)
    limits = (near, near + (slope - np.float32(2)) * np.float32(1.5) * energy, slope)
    costs = (energy, one, other, value_costs, nonnegative)
    tops = np.empty(k // BLOCK, np.int32)
    block = np.empty(BLOCK, np.float32)
    c, trial = np.empty(k, np.float32), np.empty(k, np.float32)
    for i in range(m):
        chosen, q = idx[i], coefficients[i]
        n = 0
        rest = size_costs[1] - size_costs[0]
        _step_and_bound(corr[i], gram[0], np.float32(0), c, limits, rest, tops)
        while True:
            atom, coefficient = _best(c, tops, block, limits, costs, rest, chosen[:n])
            if atom < 0:
                break
            chosen[n], q[n] = atom, coefficient
            n += 1
            c, trial = trial, c
            if n == limit:
                _step(trial, gram[atom], np.float32(coefficient), c)
                break
            rest = size_costs[n + 1] - size_costs[n]
            _step_and_bound(trial, gram[atom], np.float32(coefficient), c, limits, rest, tops)
        # The last atom is the best beside the others, so only a change of these can change it.
        changed = False
        for _ in range(sweeps):
            last = n if changed else n - 1
            changed = False
            a = 0
            while a < (n if changed else last):
                old = chosen[a]
                chosen[a] = -1
                rest = size_costs[n] - size_costs[n - 1]
                _step_and_bound(c, gram[old], np.float32(-q[a]), trial, limits, rest, tops)
                atom, coefficient = _best(trial, tops, block, limits, costs, rest, chosen[:n])
                if atom < 0:
                    n -= 1
                    chosen[a], q[a] = chosen[n], q[n]
                    c, trial = trial, c
                    changed = True
                    continue
                chosen[a] = atom
                if atom != old or coefficient != q[a]:
                    q[a] = coefficient
                    _step(trial, gram[atom], np.float32(coefficient), c)
                    changed = True
                a += 1
            if not changed:
                break
        sizes[i] = n


class Pursuit:
    """Codes items with atoms.

    Args:
        atoms: (K, d) float32; an all-zero atom is never used.
        costs: code lengths in bits. They also say how many atoms an item may have and how large a
            coefficient may be.
        lam: squared distance per bit, >= 0.
        mean: (d,) float32, subtracted from the items; None for zero.
        nonnegative: allow only positive coefficients.
        sweeps: most sweeps that remove and reselect each atom.
        n_jobs: number of threads, see :func:`fiftyone_smic.utils.parallel.thread_count`.
        metric: (d, d) float32 by which distances are measured; None for squared distance. It is
            in the atoms' correlations once, so that an item costs no more.
    """

    def __init__(
        self,
        atoms: NDArray[np.float32],
        costs: Costs,
        lam: float,
        *,
        mean: NDArray[np.float32] | None = None,
        nonnegative: bool = False,
        sweeps: int = 1,
        n_jobs: int | None = None,
        metric: NDArray[np.float32] | None = None,
    ) -> None:
        self.n_atoms, self.limit = len(atoms), len(costs.size) - 1
        self.nonnegative, self.sweeps, self.n_jobs = nonnegative, sweeps, n_jobs
        self.atoms = np.zeros((-(-len(atoms) // BLOCK) * BLOCK, atoms.shape[1]), np.float32)
        self.atoms[: len(atoms)] = atoms
        wide = self.atoms.astype(np.float64)
        if metric is not None:
            seen = wide @ metric.astype(np.float64)
            self.gram = (seen @ wide.T).astype(np.float32)
            self.atoms = seen.astype(np.float32)
        else:
            self.gram = (wide @ wide.T).astype(np.float32)
        self.offset = None if mean is None else mean @ self.atoms.T
        # An atom that cannot be used costs more than any item is worth.
        self.one, self.other = np.full((2, len(self.atoms)), 1e30, np.float32)
        usable = np.diag(self.gram)[: len(atoms)] > 0
        coefficients = costs.coefficients
        for target, bits in ((self.one, coefficients.one), (self.other, coefficients.other)):
            target[: len(atoms)][usable] = (lam * (costs.index + bits))[usable]
        self.value_costs = (lam * coefficients.value).astype(np.float32)
        self.support = (lam * costs.support).astype(np.float32)

    def code(self, items: NDArray[np.float32]) -> csr_matrix:
        """Return the codes of items (N, d) float32: (N, K) CSR of int8 with sorted indices."""
        parts = in_chunks(lambda part: self.code_chunk(items[part]), len(items), self.n_jobs)
        return vstack(parts, format="csr") if parts else self.code_chunk(items)

    def code_chunk(self, items: NDArray[np.float32]) -> csr_matrix:
        """Return the codes of a few items, computed on this thread."""
        idx = np.zeros((len(items), self.limit), np.int32)
        coefficients = np.zeros(idx.shape, np.int16)
        sizes = np.zeros(len(items), np.int64)
        if self.n_atoms and self.limit:
            corr = items @ self.atoms.T
            if self.offset is not None:
                corr -= self.offset
            _pursue(
                corr,
                self.gram,
                self.one,
                self.other,
                self.value_costs,
                self.support,
                self.nonnegative,
                self.sweeps,
                idx,
                coefficients,
                sizes,
            )
        return _to_csr(idx, coefficients, sizes, self.n_atoms, len(self.value_costs) // 2)


def _to_csr(idx: NDArray, coefficients: NDArray, sizes: NDArray, k: int, qmax: int) -> csr_matrix:
    mask = np.arange(idx.shape[1]) < sizes[:, None]
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    data = coefficients[mask].astype(np.int8 if qmax <= 127 else np.int16)
    codes = csr_matrix((data, idx[mask], indptr), shape=(len(idx), k))
    codes.sort_indices()
    return codes
