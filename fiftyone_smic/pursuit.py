"""Rate-distortion-optimised sparse coding with small integer coefficients.

An item y (the latent minus the collection's mean) becomes ``sum_j q_j d_j`` with integers ``q_j``.
The codes minimise

    |y - sum_j q_j d_j|^2 + lam * bits(q),    bits = size[n] - log2 n! + sum_j (index[j] +
    level[q_j])

where ``- log2 n!`` is what coding the *set* of indices saves over coding their sequence. Greedy
selection by the best change of that objective (orthogonal steps are not needed: the coefficients
are integers), then one sweep that takes out every chosen atom in turn and puts the best one back,
or none. Correlations with the residual are kept up to date through the atoms' Gram matrix, as in
Batch-OMP (Rubinstein et al. 2008), so an item costs one row of a GEMM and a few passes over K
numbers.

Items are independent, chunks have a fixed size and each chunk's GEMM runs on one BLAS thread: the
number of threads does not change the result.
"""

from __future__ import annotations

import math
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

CHUNK = 1024


@dataclass(frozen=True)
class Costs:
    """Code lengths in bits.

    Attributes:
        index: (K,) of using atom j.
        level: (2 L + 1,) of coefficient q at position q + L; the entry of q = 0 is unused.
        size: (max_nonzero + 1,) of an item with n atoms.
    """

    index: NDArray[np.float64]
    level: NDArray[np.float64]
    size: NDArray[np.float64]

    @classmethod
    def initial(cls, n_atoms: int, max_level: int, max_nonzero: int) -> Costs:
        """A flat start: all atoms alike, +1 the cheapest coefficient, then -1."""
        level = np.full(2 * max_level + 1, 3.0)
        level[max_level - 1], level[max_level + 1] = 2.0, 0.7
        return cls(
            np.full(n_atoms, math.log2(max(n_atoms, 2))), level, np.full(max_nonzero + 1, 2.0)
        )

    @classmethod
    def from_counts(cls, index: NDArray, level: NDArray, size: NDArray) -> Costs:
        """Krichevsky-Trofimov estimates from how often each atom, coefficient and size was used."""
        level = np.array(level, np.float64)
        level[len(level) // 2] = 0
        return cls(_code_lengths(index), _code_lengths(level), _code_lengths(size))


def _code_lengths(counts: NDArray) -> NDArray[np.float64]:
    c = np.asarray(counts, np.float64) + 0.5
    return -np.log2(c / c.sum()) if len(c) else c


@nb.njit(cache=True, nogil=True, fastmath=True, inline="always")
def _scores(c, inverse, index_cost, score):
    for j in range(c.shape[0]):
        score[j] = c[j] * c[j] * inverse[j] - index_cost[j]


@nb.njit(cache=True, nogil=True)
def _best(c, diag, score, index_cost, level_cost, least_level, base, qmax, nonnegative, idx, n):
    """Best (gain, atom, coefficient) to add, gain > 0, else atom -1. ``score`` bounds every atom's
    gain from above."""
    for a in range(n):
        score[idx[a]] = -np.inf
    gain = np.float32(0.0)
    atom = -1
    level = 0
    first = int(np.argmax(score))
    for step in range(-1, c.shape[0]):
        j = first if step < 0 else step
        if not score[j] - least_level - base > gain:
            if step < 0:
                break
            continue
        v = c[j]
        if nonnegative and v <= 0:
            continue
        g = diag[j]
        top = int(min(max(np.rint(abs(v) / g), 1), qmax))
        s = 1 if v > 0 else -1
        for p in range(max(top - 1, 1), top + 1):
            value = 2 * p * abs(v) - p * p * g - index_cost[j] - level_cost[s * p + qmax] - base
            if value > gain:
                gain = value
                atom = j
                level = s * p
    return gain, atom, level


@nb.njit(cache=True, nogil=True, fastmath=True)
def _subtract(c, row, q):
    for j in range(c.shape[0]):
        c[j] -= q * row[j]


@nb.njit(cache=True, nogil=True)
def _pursue(
    corr, gram, index_cost, level_cost, size_cost, qmax, nonnegative, sweeps, idx, levels, sizes
):
    """Codes of the rows of ``corr`` (m, K), which is overwritten; costs are in distortion units
    (lam * bits)."""
    m, k = corr.shape
    limit = size_cost.shape[0] - 1
    diag = np.empty(k, np.float32)
    inverse = np.empty(k, np.float32)
    for j in range(k):
        diag[j] = gram[j, j]
        inverse[j] = 1 / diag[j] if diag[j] > 0 else 0.0
    least = np.float32(np.inf)
    for q in range(2 * qmax + 1):
        if q != qmax and level_cost[q] < least:
            least = level_cost[q]
    score = np.empty(k, np.float32)
    for i in range(m):
        c = corr[i]
        n = 0
        while n < limit:
            _scores(c, inverse, index_cost, score)
            _, atom, q = _best(
                c,
                diag,
                score,
                index_cost,
                level_cost,
                least,
                size_cost[n + 1] - size_cost[n],
                qmax,
                nonnegative,
                idx[i],
                n,
            )
            if atom < 0:
                break
            idx[i, n] = atom
            levels[i, n] = q
            n += 1
            _subtract(c, gram[atom], q)
        for _ in range(sweeps):
            changed = False
            a = 0
            while a < n:
                old, old_q = idx[i, a], levels[i, a]
                _subtract(c, gram[old], -old_q)
                n -= 1
                idx[i, a], levels[i, a] = idx[i, n], levels[i, n]
                _scores(c, inverse, index_cost, score)
                _, atom, q = _best(
                    c,
                    diag,
                    score,
                    index_cost,
                    level_cost,
                    least,
                    size_cost[n + 1] - size_cost[n],
                    qmax,
                    nonnegative,
                    idx[i],
                    n,
                )
                if atom < 0:
                    changed = True
                    continue
                if atom != old or q != old_q:
                    changed = True
                idx[i, n], levels[i, n] = idx[i, a], levels[i, a]
                idx[i, a], levels[i, a] = atom, q
                n += 1
                _subtract(c, gram[atom], q)
                a += 1
            if not changed:
                break
        sizes[i] = n


def threads() -> int:
    """How many worker threads to use: ``OMP_NUM_THREADS`` if set, else the processor count."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(value)) if value.isdigit() else os.cpu_count() or 1


def pursue(
    items: NDArray[np.float32],
    atoms: NDArray[np.float32],
    costs: Costs,
    lam: float,
    *,
    mean: NDArray[np.float32] | None = None,
    nonnegative: bool = False,
    sweeps: int = 1,
) -> csr_matrix:
    """Codes items over atoms.

    Args:
        items: (N, d) float32, the mean taken off, or given as ``mean``.
        atoms: (K, d) float32; an all-zero atom is never used.
        costs: code lengths in bits. ``len(costs.size) - 1`` is the largest number of atoms per
            item, and ``len(costs.level) // 2`` the largest coefficient.
        lam: squared distance per bit, >= 0.
        mean: (d,) float32, what the codes do not have to explain; None for zero.
        nonnegative: allow only positive coefficients.
        sweeps: how many remove-and-reselect sweeps to make at most.

    Returns:
        (N, K) CSR matrix of integers (int8 if they fit), indices sorted in each row.
    """
    n_items, k = len(items), len(atoms)
    limit, qmax = len(costs.size) - 1, len(costs.level) // 2
    idx = np.zeros((n_items, limit), np.int32)
    levels = np.zeros((n_items, limit), np.int16)
    sizes = np.zeros(n_items, np.int64)
    if k and n_items and limit:
        gram = (atoms.astype(np.float64) @ atoms.T.astype(np.float64)).astype(np.float32)
        # An atom that cannot be used costs more than any item is worth.
        index_cost = np.where(np.diag(gram) > 0, lam * costs.index, 1e30).astype(np.float32)
        sets = np.array([math.lgamma(n + 1) / math.log(2) for n in range(limit + 1)])
        size_cost = (lam * (costs.size - sets)).astype(np.float32)
        level_cost = (lam * costs.level).astype(np.float32)
        offset = 0 if mean is None else mean @ atoms.T
        transposed = np.ascontiguousarray(atoms.T)

        def chunk(start: int) -> None:
            part = slice(start, start + CHUNK)
            corr = items[part] @ transposed
            if mean is not None:
                corr -= offset
            _pursue(
                corr,
                gram,
                index_cost,
                level_cost,
                size_cost,
                qmax,
                nonnegative,
                sweeps,
                idx[part],
                levels[part],
                sizes[part],
            )

        from threadpoolctl import threadpool_limits

        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads()) as pool:
            list(pool.map(chunk, range(0, n_items, CHUNK)))
    return _to_csr(idx, levels, sizes, k, qmax)


def _to_csr(idx: NDArray, levels: NDArray, sizes: NDArray, k: int, qmax: int) -> csr_matrix:
    mask = np.arange(idx.shape[1]) < sizes[:, None]
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    data = levels[mask].astype(np.int8 if qmax <= 127 else np.int16)
    codes = csr_matrix((data, idx[mask], indptr), shape=(len(idx), k))
    codes.sort_indices()
    return codes
