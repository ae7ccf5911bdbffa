"""Rate-distortion-optimised sparse coding with small integer coefficients.

An item y (the latent minus the collection's mean) becomes ``sum_j q_j d_j`` with integers ``q_j``.
The codes minimise

    |y - sum_j q_j d_j|^2 + lam * bits(q),
    bits = size[n] - log2 n! + sum_j (index[j] + c(j, q_j)),

where ``c(j, 1) = unit[j]``, else ``c(j, q) = other[j] + level[q]``, and ``- log2 n!`` is what
coding the *set* of indices saves over coding their sequence. Greedy selection by the best change of
that objective (orthogonal steps are not needed: the coefficients are integers), then one sweep that
takes out every chosen atom in turn and puts the best one back, or none. Correlations with the
residual are kept up to date through the atoms' Gram matrix, as in Batch-OMP (Rubinstein et al.
2008), so an item costs one row of a GEMM and a few passes over K numbers.

Items are independent, chunks have a fixed size and each chunk's GEMM runs on one BLAS thread: the
number of threads does not change the result.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.utils.parallel import in_chunks

BLOCK = 64  # atoms whose largest bound decides whether each of them is looked at


@nb.njit(cache=True, nogil=True, fastmath=True)
def _step(source, row, q, target):
    """target = source - q row"""
    for j in range(source.shape[0]):
        target[j] = source[j] - q * row[j]


@nb.njit(cache=True, nogil=True, fastmath=True)
def _bound(c, near, far, slope, rest):
    """What adding an atom of correlation c gains at most: exact where its best coefficient is +1 or
    -1.

    The gain of coefficient p is 2 p |c| - p^2 energy, less its costs: the line of p = 1 until
    1.5 energy, then no steeper than the line of the largest coefficient.
    """
    v = abs(c)
    first, steepest = v + v - near, slope * v - far
    return (first if first > steepest else steepest) - rest


@nb.njit(cache=True, nogil=True)
def _as_integer(x):
    return np.float32(x).view(np.int32)


@nb.njit(cache=True, nogil=True, fastmath=True)
def _step_and_bound(source, row, q, target, limits, rest, tops):
    """target = source - q row, and of each block the largest bound, 0 where none is positive.

    One pass, because this is where the time goes; the target must be another array than the source,
    or it is not vectorised. Positive floats are ordered as the integers of the same bits, and the
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


@nb.njit(cache=True, nogil=True, fastmath=True)
def _bounds(c, near, far, slope, rest, target):
    for j in range(BLOCK):
        target[j] = _bound(c[j], near[j], far[j], slope, rest)


@nb.njit(cache=True, nogil=True)
def _gain(v, energy, unit, other, level_cost, nonnegative):
    """Gain and value of the best coefficient of an atom whose correlation is v."""
    qmax = level_cost.shape[0] // 2
    best = np.float32(-np.inf)
    level = 0
    if energy > 0 and not (nonnegative and v <= 0):
        top = int(min(max(np.rint(abs(v) / energy), 1), qmax))
        s = 1 if v > 0 else -1
        # One more, where a coefficient of 1 is the dear one.
        for p in range(max(top - 1, 1), min(top + 1, qmax) + 1):
            cost = unit if s * p == 1 else other + level_cost[s * p + qmax]
            value = 2 * p * abs(v) - p * p * energy - cost
            if value > best:
                best = value
                level = s * p
    return best, level


@nb.njit(cache=True, nogil=True)
def _best(c, tops, block, limits, costs, rest, taken):
    """The atom and coefficient that gain most when added, or atom -1 if none gains.

    ``tops`` and ``block`` are overwritten. The atoms ``taken`` are not considered.
    """
    near, far, slope = limits
    energy, unit, other, level_cost, nonnegative = costs
    gain = np.float32(0.0)
    atom = -1
    level = 0
    while True:
        b = 0
        for i in range(1, len(tops)):
            if tops[i] > tops[b]:
                b = i
        if not tops[b] > _as_integer(gain):
            return atom, level
        tops[b] = 0
        i = b * BLOCK
        _bounds(c[i : i + BLOCK], near[i : i + BLOCK], far[i : i + BLOCK], slope, rest, block)
        for o in range(BLOCK):
            if block[o] > gain:
                j = i + o
                if j not in taken:
                    cost = unit[j] + rest, other[j] + rest
                    value, q = _gain(c[j], energy[j], *cost, level_cost, nonnegative)
                    if value > gain:
                        gain, atom, level = value, j, q


@nb.njit(cache=True, nogil=True)
def _pursue(
    corr, gram, unit, other, level_cost, size_cost, nonnegative, sweeps, idx, levels, sizes
):
    """Codes of the rows of ``corr`` (m, K); costs are in distortion units (lam * bits), those of
    ``unit`` and ``other`` with the atom's; K is a multiple of BLOCK."""
    m, k = corr.shape
    limit = size_cost.shape[0] - 1
    middle = level_cost.shape[0] // 2
    slope = np.float32(2 * middle)
    least = level_cost[:middle].min()
    for p in range(middle + 2, len(level_cost)):
        least = min(least, level_cost[p])
    energy = np.empty(k, np.float32)
    for j in range(k):
        energy[j] = gram[j, j]
    near = energy + np.minimum(unit, other + least)
    limits = (near, near + (slope - np.float32(2)) * np.float32(1.5) * energy, slope)
    costs = (energy, unit, other, level_cost, nonnegative)
    tops = np.empty(k // BLOCK, np.int32)
    block = np.empty(BLOCK, np.float32)
    c, trial = np.empty(k, np.float32), np.empty(k, np.float32)
    for i in range(m):
        chosen, q = idx[i], levels[i]
        n = 0
        rest = size_cost[1] - size_cost[0]
        _step_and_bound(corr[i], gram[0], np.float32(0), c, limits, rest, tops)
        while True:
            atom, level = _best(c, tops, block, limits, costs, rest, chosen[:n])
            if atom < 0:
                break
            chosen[n], q[n] = atom, level
            n += 1
            c, trial = trial, c
            if n == limit:
                _step(trial, gram[atom], np.float32(level), c)
                break
            rest = size_cost[n + 1] - size_cost[n]
            _step_and_bound(trial, gram[atom], np.float32(level), c, limits, rest, tops)
        # The last atom was the best beside the others: only a change of these can change it.
        changed = False
        for _ in range(sweeps):
            last = n if changed else n - 1
            changed = False
            a = 0
            while a < (n if changed else last):
                old = chosen[a]
                chosen[a] = -1
                rest = size_cost[n] - size_cost[n - 1]
                _step_and_bound(c, gram[old], np.float32(-q[a]), trial, limits, rest, tops)
                atom, level = _best(trial, tops, block, limits, costs, rest, chosen[:n])
                if atom < 0:
                    n -= 1
                    chosen[a], q[a] = chosen[n], q[n]
                    c, trial = trial, c
                    changed = True
                    continue
                chosen[a] = atom
                if atom != old or level != q[a]:
                    q[a] = level
                    _step(trial, gram[atom], np.float32(level), c)
                    changed = True
                a += 1
            if not changed:
                break
        sizes[i] = n


class Pursuit:
    """Codes items over atoms.

    Args:
        atoms: (K, d) float32; an all-zero atom is never used.
        costs: code lengths in bits. ``len(costs.size) - 1`` is the largest number of atoms per
            item, and ``len(costs.level) // 2`` the largest coefficient.
        lam: squared distance per bit, >= 0.
        mean: (d,) float32, what the codes do not have to explain; None for zero.
        nonnegative: allow only positive coefficients.
        sweeps: most sweeps that remove and reselect each atom.
        n_jobs: number of threads, see :func:`fiftyone_smic.utils.parallel.thread_count`.
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
    ) -> None:
        self.n_atoms, self.limit = len(atoms), len(costs.size) - 1
        self.nonnegative, self.sweeps, self.n_jobs = nonnegative, sweeps, n_jobs
        self.atoms = np.zeros((-(-len(atoms) // BLOCK) * BLOCK, atoms.shape[1]), np.float32)
        self.atoms[: len(atoms)] = atoms
        wide = self.atoms.astype(np.float64)
        self.gram = (wide @ wide.T).astype(np.float32)
        self.offset = None if mean is None else mean @ self.atoms.T
        # An atom that cannot be used costs more than any item is worth.
        self.unit, self.other = np.full((2, len(self.atoms)), 1e30, np.float32)
        usable = np.diag(self.gram)[: len(atoms)] > 0
        for target, bits in ((self.unit, costs.unit), (self.other, costs.other)):
            target[: len(atoms)][usable] = (lam * (costs.index + bits))[usable]
        self.level = (lam * costs.level).astype(np.float32)
        self.support = (lam * costs.support).astype(np.float32)

    def code(self, items: NDArray[np.float32]) -> csr_matrix:
        """Codes (N, K) of items (N, d) float32, as CSR of integers, indices sorted in each row."""
        parts = in_chunks(lambda part: self.code_chunk(items[part]), len(items), self.n_jobs)
        return vstack(parts, format="csr") if parts else self.code_chunk(items)

    def code_chunk(self, items: NDArray[np.float32]) -> csr_matrix:
        """Codes of a few items, on this thread."""
        idx = np.zeros((len(items), self.limit), np.int32)
        levels = np.zeros(idx.shape, np.int16)
        sizes = np.zeros(len(items), np.int64)
        if self.n_atoms and self.limit:
            corr = items @ self.atoms.T
            if self.offset is not None:
                corr -= self.offset
            _pursue(
                corr,
                self.gram,
                self.unit,
                self.other,
                self.level,
                self.support,
                self.nonnegative,
                self.sweeps,
                idx,
                levels,
                sizes,
            )
        return _to_csr(idx, levels, sizes, self.n_atoms, len(self.level) // 2)


def _to_csr(idx: NDArray, levels: NDArray, sizes: NDArray, k: int, qmax: int) -> csr_matrix:
    mask = np.arange(idx.shape[1]) < sizes[:, None]
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    data = levels[mask].astype(np.int8 if qmax <= 127 else np.int16)
    codes = csr_matrix((data, idx[mask], indptr), shape=(len(idx), k))
    codes.sort_indices()
    return codes
