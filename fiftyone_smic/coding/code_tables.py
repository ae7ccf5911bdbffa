"""The tables that the codes of a collection are coded with."""

from __future__ import annotations

from functools import cached_property

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import LARGEST_ODDS, odds_of, others_of, widths_of_one
from fiftyone_smic.coding.limits import least_block, table_entries
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import (
    TOTAL,
    CorruptStream,
    frequencies,
    log_weights,
    weight_levels,
)

_LEVEL_SYMBOLS = 45


def code_table(coder: Coder, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Writes or reads a table of half-octave levels (:func:`entropy.weight_levels`) as differences
    between neighbours."""
    top = coder.uniform(int(np.max(levels, initial=0)), 256)
    steps = np.diff(levels, prepend=top)
    coded = coder.numbers(np.where(steps > 0, 2 * steps - 1, -2 * steps), 2 * _LEVEL_SYMBOLS)
    levels = top + np.cumsum(np.where(coded % 2, (coded + 1) // 2, -(coded // 2)))
    if len(levels) and (levels.min() < 0 or levels.max() >= _LEVEL_SYMBOLS):
        raise CorruptStream("a frequency table is out of range")
    return levels


def _code_odds(coder: Coder, odds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Writes or reads odds (:func:`coefficients.odds_of`) as differences from a middle one."""
    usual = 0 if coder.reading or not len(odds) else int(np.median(odds))
    usual = coder.uniform(usual + LARGEST_ODDS, 2 * LARGEST_ODDS + 1) - LARGEST_ODDS
    steps = odds - usual
    coded = coder.numbers(np.where(steps > 0, 2 * steps - 1, -2 * steps), 4 * LARGEST_ODDS + 1)
    odds = usual + np.where(coded % 2, (coded + 1) // 2, -(coded // 2))
    if np.abs(odds).max(initial=0) > LARGEST_ODDS:
        raise CorruptStream("the odds of an atom's coefficients are out of range")
    return odds


class CodeTables:
    """The static tables of the codes: level tables (half octaves) as transmitted, frequencies as
    used.

    Sets of n atoms out of K have ``P(set) ~ product of weights`` and are coded in increasing order
    of index. With ``e[r][j]`` the elementary symmetric polynomial of degree r of the weights of
    atoms j, j+1, ...: after index ``previous``, with r atoms still to come, the next one is below j
    with probability ``1 - e[r][j] / e[r][previous + 1]``. Unlike a sequence of independent draws
    this wastes nothing, neither on the order (log2 n!) nor on repetitions, and needs no table per
    context. The polynomials are kept as ``mantissa << shift`` with mantissas of 31 bits.

    Attributes:
        index, level, size: level tables of indices (K,), coefficients other than 1 (2 L - 1,) and
            sizes (M + 1,).
        odds: (K,) of that an atom's coefficient is not 1, in half octaves.
        n_atoms, max_level: K and L.
        largest: largest size that occurs.
        least: bytes a block must have to bring tables of this size.
    """

    def __init__(self, index: NDArray, odds: NDArray, level: NDArray, size: NDArray) -> None:
        self.index, self.odds, self.level, self.size = index, odds, level, size
        self.n_atoms, self.max_level = len(index), (len(level) + 1) // 2
        self.ones = widths_of_one(odds)
        self.levels = frequencies(log_weights(level))
        self.sizes = frequencies(log_weights(size))
        self.largest = int(np.flatnonzero(size).max(initial=0))
        self.least = least_block(0, 0, 0, table_entries(len(index), len(size) - 1))

    @cached_property
    def polynomials(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Mantissas and shifts (largest + 1, K + 1) of ``e[r][j]``."""
        return _polynomials(np.maximum(log_weights(self.index), 1), self.largest)

    @classmethod
    def of(
        cls, codes: csr_matrix, max_level: int, max_nonzero: int, inter: bool = False
    ) -> CodeTables:
        """The tables that suit codes (N, K) with sorted indices, to be coded so."""
        k = codes.shape[1]
        counts = np.bincount(codes.indices, minlength=k)
        values = codes.data[codes.data != 1].astype(np.int64)
        symbols = values + max_level - 2 * (values > 0)
        chosen = counts
        if inter:
            new = in_common(codes.indptr, codes.indices)[0] == 0
            chosen = np.bincount(codes.indices[new], minlength=k)
        return cls(
            weight_levels(chosen),
            odds_of(counts, others_of(codes)),
            weight_levels(np.bincount(symbols, minlength=2 * max_level - 1)),
            weight_levels(np.bincount(np.diff(codes.indptr), minlength=max_nonzero + 1)),
        )

    def put(self, coder: Coder) -> None:
        """Writes them."""
        self._code(coder, self.index, self.odds, self.level, self.size)

    @classmethod
    def read(cls, coder: Coder, n_atoms: int, max_level: int, max_nonzero: int) -> CodeTables:
        """Reads what :meth:`put` wrote."""
        lengths = n_atoms, n_atoms, 2 * max_level - 1, max_nonzero + 1
        return cls(*cls._code(coder, *(np.zeros(length, np.int64) for length in lengths)))

    @staticmethod
    def _code(
        coder: Coder, index: NDArray, odds: NDArray, level: NDArray, size: NDArray
    ) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        return (
            code_table(coder, index),
            _code_odds(coder, odds),
            code_table(coder, level),
            code_table(coder, size),
        )

    def frequencies(self, previous: int, remaining: int) -> NDArray[np.int64]:
        """Frequencies of atoms previous + 1 ... K - remaining, which leave room for those still to
        come."""
        first, last = previous + 1, self.n_atoms - remaining
        mantissas, shifts = (part[remaining, first : last + 2] for part in self.polynomials)
        values = mantissas.astype(np.int64) >> np.minimum(shifts[0] - shifts, 31)
        n = last + 1 - first
        return np.diff(np.arange(n + 1) + (values[0] - values) * (TOTAL - n) // values[0])


@nb.njit(cache=True)
def _polynomials(weights, largest):
    """``e[r][j]`` for r = 0..largest, j = 0..K; all arithmetic is on integers and rounds down."""
    k = len(weights)
    mantissas = np.zeros((largest + 1, k + 1), np.int32)
    shifts = np.zeros((largest + 1, k + 1), np.int32)
    mantissas[0] = 1
    for r in range(1, largest + 1):
        for j in range(k - 1, -1, -1):
            # e[r][j] = e[r][j + 1] + weight * e[r - 1][j + 1]
            a, b = np.int64(mantissas[r, j + 1]), weights[j] * np.int64(mantissas[r - 1, j + 1])
            sa, sb = shifts[r, j + 1], shifts[r - 1, j + 1]
            shift = max(sa, sb)
            value = (a >> min(shift - sa, 62)) + (b >> min(shift - sb, 62))
            while value >> 31:
                value >>= 1
                shift += 1
            mantissas[r, j], shifts[r, j] = value, shift
    return mantissas, shifts


@nb.njit(cache=True)
def in_common(indptr, indices):
    """Of each coefficient, 1 if the item before has its atom too, and 1 if the next one has."""
    repeated, stays = np.zeros(len(indices), np.uint8), np.zeros(len(indices), np.uint8)
    for i in range(1, len(indptr) - 1):
        a, b = indptr[i], indptr[i - 1]
        while a < indptr[i + 1] and b < indptr[i]:
            if indices[a] == indices[b]:
                repeated[a] = stays[b] = 1
            a, b = a + (indices[a] <= indices[b]), b + (indices[b] <= indices[a])
    return repeated, stays
