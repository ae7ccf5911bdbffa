"""Probability models of the items' codes.

Both directions are written side by side; a writer and a reader run the same integer computations. How each stream is
laid out is part of the format and described in :mod:`fiftyone_smic.archive`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .entropy import CorruptStream, Decoder, Encoder, frequencies, log_weights

_BYTE = frequencies(np.ones(256, np.int64))
_LEVEL_SYMBOLS = 45


# --- frequency tables ---------------------------------------------------------------------------------------------


def put_table(coder: Encoder, levels: NDArray[np.int64]) -> None:
    """Writes a table of half-octave levels (:func:`entropy.weight_levels`) as differences between neighbours."""
    steps = np.diff(levels, prepend=np.max(levels, initial=0))
    coder.put(np.array([np.max(levels, initial=0)]), _BYTE)
    coder.put_numbers(np.where(steps > 0, 2 * steps - 1, -2 * steps), 2 * _LEVEL_SYMBOLS)


def get_table(coder: Decoder, size: int) -> NDArray[np.int64]:
    """Reads what :func:`put_table` wrote."""
    top = int(coder.get(1, _BYTE)[0])
    coded = coder.get_numbers(size, 2 * _LEVEL_SYMBOLS)
    levels = top + np.cumsum(np.where(coded % 2, (coded + 1) // 2, -(coded // 2)))
    if size and (levels.min() < 0 or levels.max() >= _LEVEL_SYMBOLS):
        raise CorruptStream("a frequency table is out of range")
    return levels


# --- codes ----------------------------------------------------------------------------------------------------------


class SetModel:
    """Sets of n atoms out of K, ``P(set) ~ product of weights``, coded in increasing order of index.

    With ``e[r][j]`` the elementary symmetric polynomial of degree r of the weights of atoms j, j+1, ...: after index
    ``previous``, with r atoms still to come, atom j > previous has probability
    ``w[j] e[r-1][j+1] / e[r][previous+1]``. Unlike a sequence of independent draws this wastes nothing, neither on
    the order (log2 n!) nor on repetitions. The polynomials are exact (Python integers), kept to 31 bits and a shift.
    """

    def __init__(self, weights: NDArray[np.int64], largest: int) -> None:
        self.weights = np.maximum(np.asarray(weights, np.int64), 1)
        k = len(self.weights)
        self.mantissas = np.zeros((largest + 1, k + 1), np.int64)
        self.shifts = np.zeros((largest + 1, k + 1), np.int64)
        row = [1] * (k + 1)
        for r in range(largest + 1):
            for j, value in enumerate(row):
                shift = max(0, value.bit_length() - 31)
                self.mantissas[r, j], self.shifts[r, j] = value >> shift, shift
            following = [0] * (k + 1)
            for j in range(k - 1, -1, -1):
                following[j] = following[j + 1] + int(self.weights[j]) * row[j + 1]
            row = following
        self._tables: dict[tuple[int, int], NDArray[np.int64]] = {}

    def table(self, previous: int, remaining: int) -> NDArray[np.int64]:
        """Frequencies of atoms previous + 1 ... K - remaining, which leave room for those still to come."""
        first, last = previous + 1, len(self.weights) - remaining
        key = (previous, remaining)
        if key not in self._tables:
            inner = slice(first + 1, last + 2)
            mantissas, shifts = (
                self.mantissas[remaining - 1, inner],
                self.shifts[remaining - 1, inner],
            )
            values = self.weights[first : last + 1] * mantissas >> np.minimum(
                shifts.max() - shifts, 62
            )
            # Products have up to 61 bits: keep the sum of all of them inside int64.
            self._tables[key] = frequencies(values >> len(values).bit_length())
        return self._tables[key]


def put_codes(coder: Encoder, codes: csr_matrix, tables: CodeTables) -> None:
    """Writes the items of a CSR matrix with sorted indices: sizes, then first atoms, second atoms, ..., then levels."""
    sizes = np.diff(codes.indptr).astype(np.int64)
    coder.put(sizes, tables.sizes)
    previous = np.full(len(sizes), -1, np.int64)
    for position in range(int(sizes.max(initial=0))):
        items = np.flatnonzero(sizes > position)
        chosen = codes.indices[codes.indptr[items] + position].astype(np.int64)
        for group, before, remaining in _groups(items, previous, sizes - position):
            coder.put(chosen[group] - before - 1, tables.sets.table(before, remaining))
        previous[items] = chosen
    levels = codes.data.astype(np.int64)
    coder.put(levels + tables.max_level - (levels > 0), tables.levels)


def get_codes(coder: Decoder, n_items: int, tables: CodeTables, most: int) -> csr_matrix:
    """Reads what :func:`put_codes` wrote; refuses more than ``most`` coefficients before making room for them."""
    sizes = coder.get(n_items, tables.sizes)
    total = int(sizes.sum())
    if total > most or sizes.max(initial=0) > tables.n_atoms:
        raise CorruptStream("more coefficients than the file can hold")
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    indices = np.zeros(total, np.int32)
    previous = np.full(n_items, -1, np.int64)
    for position in range(int(sizes.max(initial=0))):
        items = np.flatnonzero(sizes > position)
        chosen = np.zeros(len(items), np.int64)
        for group, before, remaining in _groups(items, previous, sizes - position):
            chosen[group] = before + 1 + coder.get(len(group), tables.sets.table(before, remaining))
        indices[indptr[items] + position] = chosen
        previous[items] = chosen
    symbols = coder.get(total, tables.levels)
    levels = symbols - tables.max_level
    levels += levels >= 0
    dtype = np.int8 if tables.max_level <= 127 else np.int16
    return csr_matrix((levels.astype(dtype), indices, indptr), shape=(n_items, tables.n_atoms))


def _groups(items: NDArray, previous: NDArray, remaining: NDArray):
    """Positions within ``items`` grouped by (remaining, previous), in that order, each group in item order."""
    key = remaining[items] * (int(previous.max(initial=0)) + 2) + previous[items] + 1
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        item = items[group[0]]
        yield group, int(previous[item]), int(remaining[item])


class CodeTables:
    """The static tables of the codes: level tables (half octaves) as transmitted, frequencies as used."""

    def __init__(self, index: NDArray, level: NDArray, size: NDArray) -> None:
        self.raw = (index, level, size)
        self.n_atoms, self.max_level = len(index), len(level) // 2
        self.levels = frequencies(log_weights(level))
        self.sizes = frequencies(log_weights(size))
        self.sets = SetModel(log_weights(index), len(size) - 1)

    def put(self, coder: Encoder) -> None:
        """Writes the three tables."""
        for table in self.raw:
            put_table(coder, table)

    @classmethod
    def get(cls, coder: Decoder, n_atoms: int, max_level: int, largest: int) -> CodeTables:
        """Reads what :meth:`put` wrote."""
        return cls(*(get_table(coder, n) for n in (n_atoms, 2 * max_level, largest + 1)))
