"""Statistics of counts: intervals, exact tests, and the correction for many of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.stats import false_discovery_control, norm

from fiftyone_smic.utils.compiled import compiled

#: Confidence of every interval.
CONFIDENCE = 0.95
#: q-value below which something counts as found.
LEVEL = 0.05

_Z = float(norm.ppf((1 + CONFIDENCE) / 2))
#: Tables whose chi-square lies below this have p > 0.2 in the exact test too, and there the
#: normal approximation with continuity correction is close enough.
_CLEAR = 1.0


def wilson(successes: ArrayLike, n: ArrayLike) -> tuple[NDArray, NDArray]:
    """Score interval of a rate (Wilson 1927).

    Args:
        successes, n: counts of one shape.

    Example:
        >>> low, high = wilson(np.array([0]), np.array([10]))
        >>> low.round(3).item(), high.round(3).item()
        (0.0, 0.278)
    """
    x, n = np.asarray(successes, np.float64), np.maximum(np.asarray(n, np.float64), 1e-9)
    p, z2 = x / n, _Z**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def newcombe(
    a: ArrayLike, n_a: ArrayLike, b: ArrayLike, n_b: ArrayLike
) -> tuple[NDArray, NDArray, NDArray]:
    """Difference of two rates and its interval (Newcombe 1998, method 10).

    Args:
        a, n_a: successes and trials of the first.
        b, n_b: of the second.

    Returns:
        ``a / n_a - b / n_b``, and the ends of its 95 % interval.

    Example:
        >>> [round(float(v), 3) for v in newcombe(56, 70, 48, 80)]  # Newcombe's table II (a)
        [0.2, 0.052, 0.334]
    """
    a, n_a, b, n_b = (np.asarray(x, np.float64) for x in (a, n_a, b, n_b))
    p, q = a / n_a, b / n_b
    low_a, high_a = wilson(a, n_a)
    low_b, high_b = wilson(b, n_b)
    d = p - q
    low = d - np.sqrt((p - low_a) ** 2 + (high_b - q) ** 2)
    high = d + np.sqrt((high_a - p) ** 2 + (q - low_b) ** 2)
    return d, low, high


def odds_ratio(a: ArrayLike, n_a: ArrayLike, b: ArrayLike, n_b: ArrayLike) -> NDArray:
    """Odds of the first over odds of the second, with half a count added everywhere."""
    a, n_a, b, n_b = (np.asarray(x, np.float64) for x in (a, n_a, b, n_b))
    return (a + 0.5) * (n_b - b + 0.5) / ((b + 0.5) * (n_a - a + 0.5))


def fisher(a: ArrayLike, n_a: ArrayLike, b: ArrayLike, n_b: ArrayLike) -> NDArray[np.float64]:
    """Two-sided p-values of Fisher's exact test, twice the smaller tail, for arrays of tables.

    Tables that are nowhere near significant get the normal approximation, which is a hundred times
    faster.

    Example:
        >>> fisher([8, 5], [10, 10], [1, 5], [10, 10]).round(4).tolist()
        [0.0055, 1.0]
    """
    a, n_a, b, n_b = np.broadcast_arrays(*(np.asarray(x, np.int64) for x in (a, n_a, b, n_b)))
    total, hits = (n_a + n_b).astype(np.float64), (a + b).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = n_a * hits / total
        sd = np.sqrt(mean * (n_b / total) * (total - hits) / np.maximum(total - 1, 1))
        z = np.maximum(np.abs(a - mean) - 0.5, 0) / sd
    z = np.nan_to_num(z, nan=0.0, posinf=np.inf)
    p = np.asarray(np.minimum(1.0, 2 * norm.sf(z)))
    exact = z > _CLEAR
    above = (a > mean)[exact]
    parts = a[exact], (n_a + n_b)[exact], (a + b)[exact], n_a[exact]
    p[exact] = np.minimum(1.0, 2 * np.where(above, over(*parts), under(*parts)))
    return p


@compiled(nogil=True)
def _tail(x, total, hits, drawn, step):
    """P(X >= x) for step 1, P(X <= x) for step -1, of a hypergeometric X: terms are added from x
    outwards, or from x inwards where that is the shorter way to 1."""
    low, high = max(0, drawn - (total - hits)), min(hits, drawn)
    if (step > 0 and x <= low) or (step < 0 and x >= high):
        return 1.0
    if (step > 0 and x > high) or (step < 0 and x < low):
        return 0.0
    inward = (x - drawn * hits / total) * step < 0
    if inward:  # the other tail is the smaller one
        return 1.0 - _tail(x - step, total, hits, drawn, -step)
    g = math.lgamma
    term = math.exp(
        g(hits + 1.0) - g(x + 1.0) - g(hits - x + 1.0)
        + g(total - hits + 1.0) - g(drawn - x + 1.0) - g(total - hits - drawn + x + 1.0)
        - g(total + 1.0) + g(drawn + 1.0) + g(total - drawn + 1.0)
    )  # fmt: skip
    found = term
    while term > 1e-17 * found:
        if step > 0:
            term *= (hits - x) * (drawn - x) / ((x + 1.0) * (total - hits - drawn + x + 1.0))
        else:
            term *= x * (total - hits - drawn + x) / ((hits - x + 1.0) * (drawn - x + 1.0))
        x += step
        found += term
    return min(1.0, found)


@compiled(nogil=True)
def _tails(x, total, hits, drawn, step):
    out = np.empty(len(x))
    for i in range(len(x)):
        out[i] = _tail(x[i], total[i], hits[i], drawn[i], step)
    return out


def _tails_of(arrays: Sequence[ArrayLike], step: int) -> NDArray[np.float64]:
    alike = np.broadcast_arrays(*(np.asarray(a, np.int64) for a in arrays))
    found = _tails(*(np.array(a).ravel() for a in alike), step)
    return found.reshape(alike[0].shape)


def over(x: ArrayLike, total: ArrayLike, hits: ArrayLike, drawn: ArrayLike) -> NDArray[np.float64]:
    """P(at least x hits) where ``drawn`` of ``total`` items are drawn and ``hits`` of these hit.

    The same numbers as ``scipy.stats.hypergeom.sf(x - 1, ...)``, a thousand times faster.

    Example:
        >>> over([2, 3], 10, 3, 5).round(4).tolist()
        [0.5, 0.0833]
    """
    return _tails_of((x, total, hits, drawn), 1)


def under(x: ArrayLike, total: ArrayLike, hits: ArrayLike, drawn: ArrayLike) -> NDArray[np.float64]:
    """P(at most x hits), see :func:`over`."""
    return _tails_of((x, total, hits, drawn), -1)


def bh(p: ArrayLike) -> NDArray[np.float64]:
    """q-values of Benjamini and Hochberg (1995), over everything in ``p``."""
    flat = np.asarray(p, np.float64)
    if flat.size == 0:
        return flat
    return false_discovery_control(flat.ravel(), method="bh").reshape(flat.shape)


def permutation_p(observed: float, null: ArrayLike) -> float:
    """P(null >= observed) of a permutation test, never 0 (Phipson and Smyth 2010)."""
    n = np.asarray(null, np.float64)
    tolerance = 1e-12 * max(1.0, abs(observed))
    return float((1 + (n >= observed - tolerance).sum()) / (1 + len(n)))


def uses(codes: csr_matrix) -> csr_matrix:
    """Which items use which atom with which sign: (N, 2 K) of ones, first positive, then negative
    coefficients."""
    parts = []
    for sign in (1, -1):
        part = csr_matrix(
            ((sign * codes.data > 0).astype(np.float32), codes.indices, codes.indptr),
            shape=codes.shape,
            copy=True,
        )
        part.eliminate_zeros()
        parts.append(part)
    return csr_matrix(hstack(parts, format="csr"))


def atom_and_sign(columns: Any, n_atoms: int) -> tuple[NDArray, NDArray]:
    """Columns of :func:`uses` as atoms and signs."""
    c = np.asarray(columns)
    return c % n_atoms, np.where(c < n_atoms, 1, -1)
