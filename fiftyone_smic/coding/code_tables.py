"""The tables that a collection's codes are coded with, and how an archive stores them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import (
    LARGEST_ODDS,
    CoefficientTables,
    odds_of,
    others_of,
    symbol_counts,
)
from fiftyone_smic.coding.limits import least_block, table_entries
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import (
    TOTAL,
    CorruptStream,
    frequencies,
    half_octaves_of,
    weights_of,
)
from fiftyone_smic.utils.compiled import compiled

#: Counts in half octaves are below this.
_HALF_OCTAVES = 45


def _unsigned(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Differences as numbers >= 0, the small ones first: 0, 1, -1, 2, -2, ..."""
    return np.where(steps > 0, 2 * steps - 1, -2 * steps)


def _signed(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reverses :func:`_unsigned`."""
    return np.where(numbers % 2, (numbers + 1) // 2, -(numbers // 2))


def code_table(coder: Coder, half_octaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write a table of counts in half octaves (n,), or read one of n numbers.

    See :func:`fiftyone_smic.coding.tables.half_octaves_of`. Neighbours' differences are coded.
    """
    top = coder.uniform(int(np.max(half_octaves, initial=0)), 256)
    coded = coder.numbers(_unsigned(np.diff(half_octaves, prepend=top)), 2 * _HALF_OCTAVES)
    out = top + np.cumsum(_signed(coded))
    if len(out) and (out.min() < 0 or out.max() >= _HALF_OCTAVES):
        raise CorruptStream("a frequency table is out of range")
    return out


def _code_odds(coder: Coder, odds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write odds (K,), see :func:`coefficients.odds_of`, or read K of them.

    Differences from a middle one are coded.
    """
    usual = 0 if coder.reading or not len(odds) else int(np.median(odds))
    usual = coder.uniform(usual + LARGEST_ODDS, 2 * LARGEST_ODDS + 1) - LARGEST_ODDS
    odds = usual + _signed(coder.numbers(_unsigned(odds - usual), 4 * LARGEST_ODDS + 1))
    if np.abs(odds).max(initial=0) > LARGEST_ODDS:
        raise CorruptStream("the odds of an atom's coefficients are out of range")
    return odds


@dataclass(frozen=True)
class CodeCounts:
    """What tables of codes are made of. The counts of consecutive blocks of items can be added.

    Attributes:
        uses: (K,) int64, items that have each atom.
        new: (K,) int64, those of them whose item before, in the same block, does not have it.
        others: (K,) int64, uses of each atom with a coefficient other than 1.
        levels: (2 L - 1,) int64, uses of each coefficient other than 1.
        sizes: (M + 1,) int64, items with n atoms.

    Example:
        >>> codes = csr_matrix([[1, 0], [1, 2], [0, 0]])
        >>> counts = CodeCounts.of(codes, max_level=2, max_nonzero=2)
        >>> counts.uses.tolist(), counts.new.tolist(), counts.sizes.tolist()
        ([2, 1], [1, 1], [1, 1, 1])
        >>> (counts + counts).uses.tolist()
        [4, 2]
    """

    uses: NDArray[np.int64]
    new: NDArray[np.int64]
    others: NDArray[np.int64]
    levels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def of(cls, codes: csr_matrix, max_level: int, max_nonzero: int) -> CodeCounts:
        """Count the codes of one block.

        Args:
            codes: (N, K) with sorted indices.
            max_level: L.
            max_nonzero: M.
        """
        k = codes.shape[1]
        new = in_common(codes.indptr, codes.indices)[0] == 0
        return cls(
            np.bincount(codes.indices, minlength=k),
            np.bincount(codes.indices[new], minlength=k),
            others_of(codes),
            symbol_counts(codes, max_level),
            np.bincount(np.diff(codes.indptr), minlength=max_nonzero + 1),
        )

    def __add__(self, other: CodeCounts) -> CodeCounts:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return CodeCounts(*(a + b for a, b in pairs))

    def tables(self, inter: bool = False) -> CodeTables:
        """Return the tables that suit these counts.

        Args:
            inter: whether items will be coded by their differences from the item before.
        """
        return CodeTables(
            half_octaves_of(self.new if inter else self.uses),
            odds_of(self.uses, self.others),
            half_octaves_of(self.levels),
            half_octaves_of(self.sizes),
        )


class CodeTables:
    """The static tables of codes: counts in half octaves, as stored, and frequencies, as used.

    A set of n atoms out of K has ``P(set) ~ product of weights``. Its indices are coded in
    ascending order. Let ``e[r][j]`` be the elementary symmetric polynomial of degree r of the
    weights of atoms j, j + 1, ...: after index ``previous``, with r atoms still to come, the next
    one is below j with probability ``1 - e[r][j] / e[r][previous + 1]``. Unlike a sequence of
    independent draws this wastes no bits, neither on the order (log2 n!) nor on repetitions, and it
    needs no table per context. The polynomials are kept as ``mantissa << shift`` with mantissas of
    31 bits.

    Args:
        index: (K,) int64, uses of each atom, in half octaves.
        odds: (K,) int64, odds that an atom's coefficient is not 1, in half octaves.
        level: (2 L - 1,) int64, uses of each coefficient other than 1, in half octaves.
        size: (M + 1,) int64, items with n atoms, in half octaves.

    Attributes:
        n_atoms: K.
        max_level: L.
        coefficients: tables of the coefficients.
        sizes: (M + 1,) int64, frequencies of the sizes.
        largest: largest size that occurs.
        least: least number of bytes of a block that brings tables of this size.
    """

    def __init__(self, index: NDArray, odds: NDArray, level: NDArray, size: NDArray) -> None:
        self.index, self.odds, self.level, self.size = index, odds, level, size
        self.n_atoms = len(index)
        self.coefficients = CoefficientTables(odds, level)
        self.max_level = self.coefficients.max_level
        self.sizes = frequencies(weights_of(size))
        self.largest = int(np.flatnonzero(size).max(initial=0))
        self.least = least_block(0, 0, 0, table_entries(len(index), len(size) - 1))

    @cached_property
    def polynomials(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Mantissas and shifts, both (largest + 1, K + 1), of ``e[r][j]``."""
        return _polynomials(np.maximum(weights_of(self.index), 1), self.largest)

    @classmethod
    def of(
        cls, codes: csr_matrix, max_level: int, max_nonzero: int, inter: bool = False
    ) -> CodeTables:
        """Return the tables that suit codes; see :meth:`CodeCounts.of` and its ``tables``."""
        return CodeCounts.of(codes, max_level, max_nonzero).tables(inter)

    def put(self, coder: Coder) -> None:
        """Write the tables."""
        self._code(coder, self.index, self.odds, self.level, self.size)

    @classmethod
    def read(cls, coder: Coder, n_atoms: int, max_level: int, max_nonzero: int) -> CodeTables:
        """Read the tables that :meth:`put` wrote."""
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
        """Return the frequencies of the atoms that may come next.

        Args:
            previous: the atom before, -1 for the first of a set.
            remaining: number of atoms still to come, this one included.

        Returns:
            (n,) int64 for atoms previous + 1 ... K - remaining: later ones leave no room for the
            atoms after them.
        """
        first, last = previous + 1, self.n_atoms - remaining
        mantissas, shifts = (part[remaining, first : last + 2] for part in self.polynomials)
        values = mantissas.astype(np.int64) >> np.minimum(shifts[0] - shifts, 31)
        n = last + 1 - first
        return np.diff(np.arange(n + 1) + (values[0] - values) * (TOTAL - n) // values[0])


@compiled()
def _polynomials(weights, largest):
    """``e[r][j]`` for r = 0..largest and j = 0..K; integer arithmetic that rounds down."""
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


@compiled()
def in_common(indptr, indices):
    """Which coefficients' atoms neighbours share.

    Returns two (nnz,) uint8: 1 where the item before has the atom too, and 1 where the next item
    has it too.
    """
    repeated, stays = np.zeros(len(indices), np.uint8), np.zeros(len(indices), np.uint8)
    for i in range(1, len(indptr) - 1):
        a, b = indptr[i], indptr[i - 1]
        while a < indptr[i + 1] and b < indptr[i]:
            if indices[a] == indices[b]:
                repeated[a] = stays[b] = 1
            a, b = a + (indices[a] <= indices[b]), b + (indices[b] <= indices[a])
    return repeated, stays
