"""Probability models of the items' codes.

Both directions are written side by side; a writer and a reader run the same integer computations.
How each stream is laid out is part of the format and described in :mod:`fiftyone_smic.container`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .entropy import CorruptStream, Decoder, Encoder, Stack, frequencies, log_weights

_BYTE = frequencies(np.ones(256, np.int64))
_LEVEL_SYMBOLS = 45


# --- frequency tables --------------------


def put_table(coder: Encoder, levels: NDArray[np.int64]) -> None:
    """Writes a table of half-octave levels (:func:`entropy.weight_levels`) as differences between
    neighbours."""
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


# --- codes --------------------


class SetModel:
    """Sets of n atoms out of K, ``P(set) ~ product of weights``, coded in increasing order of
    index.

    With ``e[r][j]`` the elementary symmetric polynomial of degree r of the weights of atoms j, j+1,
    ...: after index ``previous``, with r atoms still to come, atom j > previous has probability
    ``w[j] e[r-1][j+1] / e[r][previous+1]``. Unlike a sequence of independent draws this wastes
    nothing, neither on the order (log2 n!) nor on repetitions. The polynomials are exact (Python
    integers), kept to 31 bits and a shift.
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
        """Frequencies of atoms previous + 1 ... K - remaining, which leave room for those still to
        come."""
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
    """Writes the items of a CSR matrix with sorted indices: sizes, then first atoms, second atoms,
    ..., then levels."""
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
    """Reads what :func:`put_codes` wrote; refuses more than ``most`` coefficients before making
    room for them."""
    sizes = coder.get(n_items, tables.sizes)
    total = int(sizes.sum())
    if total > most or sizes.max(initial=0) > min(tables.n_atoms, tables.largest):
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
    return _csr(sizes, indices, levels + (levels >= 0), tables)


def _csr(sizes: NDArray, indices: NDArray, levels: NDArray, tables: CodeTables) -> csr_matrix:
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    data = levels.astype(np.int8)
    return csr_matrix((data, indices, indptr), shape=(len(sizes), tables.n_atoms))


def _groups(items: NDArray, previous: NDArray, remaining: NDArray):
    """Positions within ``items`` grouped by (remaining, previous), in that order, each group in
    item order."""
    key = remaining[items] * (int(previous.max(initial=0)) + 2) + previous[items] + 1
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    for group in np.split(order, starts[1:]):
        item = items[group[0]]
        yield group, int(previous[item]), int(remaining[item])


def sort_key(indices: NDArray, levels: NDArray) -> tuple[int, ...]:
    """What items of an unordered collection are sorted by: size, indices, levels."""
    return (len(indices), *indices.tolist(), *levels.tolist())


def push_codes(codes: csr_matrix, tables: CodeTables) -> bytes:
    """Writes items as a multiset, in sorted order (:func:`sort_key`), which saves log2 N! bits.

    Which of the remaining items to write next is free. The choice is popped off the stack as if it
    had been written there, so it carries bits of what the reader recovers by pushing it back
    (Severo et al. 2021, arXiv 2107.09202). Equal items cannot be told apart, so the place among
    them is written again.
    """
    models = _StackModels(tables)
    stack = models.stack
    bounds = codes.indptr
    left = [sort_key(codes.indices[a:b], codes.data[a:b]) for a, b in pairwise(bounds)]
    for remaining in range(len(left), 0, -1):
        at = stack.pop_uniform(remaining)
        first = bisect_left(left, left[at])
        stack.push_uniform(at - first, bisect_right(left, left[at]) - first)
        models.push(left.pop(at))
    return stack.finish()


def pop_codes(data: bytes, n_items: int, tables: CodeTables, most: int) -> csr_matrix:
    """Reads what :func:`push_codes` wrote, sorted."""
    models = _StackModels(tables, data)
    stack = models.stack
    items: list[tuple[int, ...]] = []
    total = 0
    for count in range(1, n_items + 1):
        item = models.pop()
        total += item[0]
        if total > most:
            raise CorruptStream("more coefficients than the file can hold")
        first, last = bisect_left(items, item), bisect_right(items, item)
        items.insert(last, item)
        stack.push_uniform(first + stack.pop_uniform(last + 1 - first), count)
    if not stack.empty:
        raise CorruptStream("something is left after the last item")
    sizes = np.array([item[0] for item in items], np.int64)
    indices = np.array([j for item in items for j in item[1 : item[0] + 1]], np.int32)
    levels = np.array([q for item in items for q in item[item[0] + 1 :]], np.int64)
    return _csr(sizes, indices, levels, tables)


class _StackModels:
    """Pushes and pops single items; keeps the coder's tables."""

    def __init__(self, tables: CodeTables, data: bytes = b"") -> None:
        self.stack = Stack(data)
        self.tables = tables
        self.sizes, self.levels = (self.stack.model(t) for t in (tables.sizes, tables.levels))
        self.sets: dict[tuple[int, int], Any] = {}

    def _set(self, previous: int, remaining: int) -> Any:
        key = (previous, remaining)
        if key not in self.sets:
            self.sets[key] = self.stack.model(self.tables.sets.table(previous, remaining))
        return self.sets[key]

    def push(self, item: tuple[int, ...]) -> None:
        size = item[0]
        for level in reversed(item[size + 1 :]):
            self.stack.push(level + self.tables.max_level - (level > 0), self.levels)
        for position in range(size, 0, -1):
            previous = item[position - 1] if position > 1 else -1
            self.stack.push(item[position] - previous - 1, self._set(previous, size + 1 - position))
        self.stack.push(size, self.sizes)

    def pop(self) -> tuple[int, ...]:
        size = self.stack.pop(self.sizes)
        if size > min(self.tables.n_atoms, self.tables.largest):
            raise CorruptStream("more coefficients than atoms")
        item, previous = [size], -1
        for remaining in range(size, 0, -1):
            previous += 1 + self.stack.pop(self._set(previous, remaining))
            item.append(previous)
        for _ in range(size):
            level = self.stack.pop(self.levels) - self.tables.max_level
            item.append(level + (level >= 0))
        return tuple(item)


class CodeTables:
    """The static tables of the codes: level tables (half octaves) as transmitted, frequencies as
    used."""

    def __init__(self, index: NDArray, level: NDArray, size: NDArray) -> None:
        self.raw = (index, level, size)
        self.n_atoms, self.max_level = len(index), len(level) // 2
        self.levels = frequencies(log_weights(level))
        self.sizes = frequencies(log_weights(size))
        # Sizes that do not occur have no table; a stream that claims one is damaged.
        self.largest = int(np.flatnonzero(size).max(initial=0))
        self.sets = SetModel(log_weights(index), self.largest)

    def put(self, coder: Encoder) -> None:
        """Writes the three tables."""
        for table in self.raw:
            put_table(coder, table)

    @classmethod
    def get(cls, coder: Decoder, n_atoms: int, max_level: int, largest: int) -> CodeTables:
        """Reads what :meth:`put` wrote."""
        return cls(*(get_table(coder, n) for n in (n_atoms, 2 * max_level, largest + 1)))
