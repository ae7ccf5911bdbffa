"""Frequency tables of whole numbers: what every entropy coder here codes symbols with."""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

PRECISION = 24
TOTAL = 1 << PRECISION

_SQRT2_Q15 = 46341


class CorruptStream(ValueError):
    """The bytes cannot have been written by :class:`Coder` with these models."""


@nb.njit(cache=True)
def frequencies(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer weights (n,) >= 0 -> integer frequencies (n,) >= 1 that sum to exactly ``2**24``.

    ``f = 1 + w * (2**24 - n) // sum(w)``, and what is left by the division goes to the first
    largest. All-zero weights give a uniform table. Weights that sum to 2**38 or more are all
    shifted right until they do not, so that the products stay inside int64; the sum itself must
    fit.
    """
    n = len(weights)
    total = weights.sum()
    shift = 0
    while total >> shift >> 38:
        shift += 1
    w = weights >> shift
    total = w.sum()
    if total == 0:
        w, total = np.ones(n, np.int64), n
    out = 1 + w * (TOTAL - n) // total
    out[out.argmax()] += TOTAL - out.sum()
    return out


def ideal_bits(counts: NDArray[np.int64], freqs: NDArray[np.int64]) -> float:
    """Code length in bits of symbols that occur ``counts`` (n,) times under ``freqs`` (n,)."""
    if len(freqs) < 2:
        return 0.0
    return float(np.dot(counts, PRECISION - np.log2(freqs)))


@lru_cache(maxsize=256)
def _geometric(parameter: int, size: int) -> tuple[int, ...]:
    ratio = (parameter + 1) * 2048
    weights, w = [], 1 << 30
    for _ in range(size):
        weights.append(w)
        w = (w * ratio) >> 16
    return tuple(int(f) for f in frequencies(np.array(weights, np.int64)))


def geometric(parameter: int, size: int) -> NDArray[np.int64]:
    """Frequencies (size,) of a geometric law with ratio ``(parameter + 1) / 32``, parameter in
    0..30."""
    return np.array(_geometric(parameter, size), np.int64)


#: The weight of a count of one has so many bits behind its first.
_ONE_BITS = 8


def log_weights(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels in half octaves -> weights: level 0 is absent (0), level v is ``2**(8 + (v - 1) / 2)``
    with a root of 2 that is rounded down to 362 / 256.

    Inverse of :func:`weight_levels` up to rounding; integer arithmetic only. Levels are limited to
    0..44.
    """
    v = np.clip(np.asarray(levels, np.int64) - 1, 0, 43)
    w = np.where(v % 2 == 1, _SQRT2_Q15, 1 << 15).astype(np.int64) >> 15 - _ONE_BITS
    return np.where(np.asarray(levels) > 0, w << (v // 2), 0)


def counts_of(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The counts (n,) that levels (n,) stand for, rounded down."""
    return log_weights(levels) >> _ONE_BITS


def weight_levels(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (n,) >= 0 -> levels (n,) in 0..44: 0 for a count of 0, else ``1 + round(2 log2
    count)`` at most 44.

    Larger counts than 2**21 are scaled down together first, because only ratios matter.
    """
    c = np.asarray(counts, np.float64)
    top = c.max(initial=1.0)
    if top > 2.0**21:
        c = np.where(c > 0, np.maximum(c * (2.0**21 / top), 1.0), 0)
    return np.where(c > 0, 1 + np.rint(2 * np.log2(np.maximum(c, 1))), 0).astype(np.int64)


@nb.njit(cache=True)
def ends_of(freqs):
    ends = np.zeros(len(freqs) + 1, np.int64)
    ends[1:] = np.cumsum(freqs)
    return ends
