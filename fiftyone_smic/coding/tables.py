"""Frequency tables of whole numbers: what every entropy coder here codes symbols with."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.utils.compiled import compiled

#: Frequencies sum to 2**PRECISION.
PRECISION = 24
TOTAL = 1 << PRECISION

_SQRT2_Q15 = 46341


class CorruptStream(ValueError):
    """The bytes cannot have been written by a :class:`Coder` with these models."""


def frequencies_in_python(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the frequencies that belong to weights; :func:`frequencies` is this, compiled.

    Every frequency is ``1 + w * (2**24 - n) // sum(w)``, and the first of the largest takes what
    the division leaves. Weights that are all zero give a uniform table. Weights that sum to 2**38
    or more are all shifted right until they do not, so that the products stay inside int64; the sum
    itself must fit.

    Args:
        weights: (n,) int64 >= 0.

    Returns:
        (n,) int64 >= 1 that sum to exactly 2**24.
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


frequencies = compiled()(frequencies_in_python)


def ideal_bits(counts: NDArray[np.int64], freqs: NDArray[np.int64]) -> float:
    """Return the code length, in bits, of symbols that occur ``counts`` (n,) times."""
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
    """Return the frequencies (size,) of a geometric law.

    Args:
        parameter: 0..30; the ratio is ``(parameter + 1) / 32``.
        size: number of symbols.
    """
    return np.array(_geometric(parameter, size), np.int64)


#: A count of one has a weight of 2**_ONE_BITS.
_ONE_BITS = 8


def weights_of(half_octaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the weights that counts in half octaves stand for.

    This reverses :func:`half_octaves_of` up to rounding, in integer arithmetic only.

    Args:
        half_octaves: (n,) int64 in 0..44. 0 means that a symbol is absent and has the weight 0.
            Any other v means ``2**(8 + (v - 1) / 2)``, with a root of 2 rounded down to 362 / 256.

    Returns:
        (n,) int64.
    """
    v = np.clip(np.asarray(half_octaves, np.int64) - 1, 0, 43)
    w = np.where(v % 2 == 1, _SQRT2_Q15, 1 << 15).astype(np.int64) >> 15 - _ONE_BITS
    return np.where(np.asarray(half_octaves) > 0, w << (v // 2), 0)


def counts_of(half_octaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts (n,) that counts in half octaves (n,) stand for, rounded down."""
    return weights_of(half_octaves) >> _ONE_BITS


def half_octaves_of(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return counts on a logarithmic scale, which an archive stores in a few bits.

    Args:
        counts: (n,) >= 0. If the largest exceeds 2**21 all are scaled down together, because only
            their ratios matter.

    Returns:
        (n,) int64 in 0..44: 0 for a count of 0, else ``1 + round(2 log2 count)``.
    """
    c = np.asarray(counts, np.float64)
    top = c.max(initial=1.0)
    if top > 2.0**21:
        c = np.where(c > 0, np.maximum(c * (2.0**21 / top), 1.0), 0)
    return np.where(c > 0, 1 + np.rint(2 * np.log2(np.maximum(c, 1))), 0).astype(np.int64)


@compiled()
def ends_of(freqs):
    """Return where the interval of each symbol begins, and 2**24 at the end: (n + 1,) int64."""
    ends = np.zeros(len(freqs) + 1, np.int64)
    for i in range(len(freqs)):
        ends[i + 1] = ends[i] + freqs[i]
    return ends
