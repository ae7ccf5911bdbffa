"""Probability models of the items' codes.

One function writes and reads. How each stream is laid out is part of the format and described in
:mod:`fiftyone_smic.container`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .container import least_block, table_entries
from .entropy import (
    TOTAL,
    Coder,
    CorruptStream,
    Stack,
    advance,
    code_symbol,
    ends_of,
    frequencies,
    is_reading,
    log_weights,
    target_of,
    weight_levels,
)

_LEVEL_SYMBOLS = 45
#: Numbers of all tables that the unordered mode keeps at a time.
_KEPT = 1 << 22


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
        raw: the level tables of indices (K,), coefficients (2 L,) and sizes (M + 1,).
        n_atoms, max_level: K and L.
        largest: largest size that occurs.
        least: bytes a block must have to bring tables of this size.
    """

    def __init__(self, index: NDArray, level: NDArray, size: NDArray) -> None:
        self.raw = (index, level, size)
        self.n_atoms, self.max_level = len(index), len(level) // 2
        self.levels = frequencies(log_weights(level))
        self.sizes = frequencies(log_weights(size))
        self.largest = int(np.flatnonzero(size).max(initial=0))
        self.least = least_block(0, 0, 0, table_entries(len(index), len(size) - 1))
        weights = np.maximum(log_weights(index), 1)
        self.mantissas, self.shifts = _polynomials(weights, self.largest)

    @classmethod
    def of(cls, codes: csr_matrix, max_level: int, max_nonzero: int) -> CodeTables:
        """The tables that suit codes (N, K)."""
        symbols = codes.data.astype(np.int64) + max_level - (codes.data > 0)
        return cls(
            weight_levels(np.bincount(codes.indices, minlength=codes.shape[1])),
            weight_levels(np.bincount(symbols, minlength=2 * max_level)),
            weight_levels(np.bincount(np.diff(codes.indptr), minlength=max_nonzero + 1)),
        )

    def put(self, coder: Coder) -> None:
        """Writes the three tables."""
        for table in self.raw:
            code_table(coder, table)

    @classmethod
    def read(cls, coder: Coder, *lengths: int) -> CodeTables:
        """Reads three tables of these lengths."""
        return cls(*(code_table(coder, np.zeros(length, np.int64)) for length in lengths))

    def frequencies(self, previous: int, remaining: int) -> NDArray[np.int64]:
        """Frequencies of atoms previous + 1 ... K - remaining, which leave room for those still to
        come."""
        first, last = previous + 1, self.n_atoms - remaining
        values = self.mantissas[remaining, first : last + 2].astype(np.int64)
        values >>= np.minimum(
            self.shifts[remaining, first] - self.shifts[remaining, first : last + 2], 31
        )
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


@nb.njit(cache=True, error_model="numpy")
def _code_index(coder, mantissas, shifts, first, last, index):
    """Writes or reads an index in first..last, with the polynomials of one degree."""
    if first == last:
        return first
    spare = TOTAL - (last - first + 1)
    everything, top = np.int64(mantissas[first]), shifts[first]
    if is_reading(coder):
        target = target_of(coder)
        index, high = first, last
        while index < high:
            middle = (index + high + 1) // 2
            before = everything - (np.int64(mantissas[middle]) >> min(top - shifts[middle], 31))
            # left <= target, without a division
            if before * spare < (target - middle + first + 1) * everything:
                index = middle
            else:
                high = middle - 1
    before = everything - (np.int64(mantissas[index]) >> min(top - shifts[index], 31))
    until = everything - (np.int64(mantissas[index + 1]) >> min(top - shifts[index + 1], 31))
    left = index - first + before * spare // everything
    advance(coder, left, index + 1 - first + until * spare // everything - left)
    return index


@nb.njit(cache=True)
def _code_items(coder, mantissas, shifts, level_ends, sizes, indices, levels):
    k, max_level = mantissas.shape[1] - 1, len(level_ends) // 2
    at = 0
    for size in sizes:
        first = 0
        for remaining in range(size, 0, -1):
            set_of = mantissas[remaining], shifts[remaining]
            indices[at] = _code_index(coder, *set_of, first, k - remaining, indices[at])
            first = indices[at] + 1
            at += 1
        for i in range(at - size, at):
            symbol = code_symbol(coder, level_ends, levels[i] + max_level - (levels[i] > 0))
            levels[i] = symbol - max_level + (symbol >= max_level)


def encode_items(codes: csr_matrix, tables: CodeTables, own: bool = False) -> bytes:
    """Writes the items of a CSR matrix with sorted indices, the tables too if they are its own."""
    coder = Coder()
    coder.uniform(own, 2)
    if own:
        tables.put(coder)
    _code_block(coder, tables, codes)
    stream = coder.finish()
    return stream + bytes(max(0, tables.least - len(stream)) if own else 0)


def decode_items(data: bytes, n_items: int, tables: CodeTables, most: int) -> csr_matrix:
    """Reads what :func:`encode_items` wrote.

    Raises:
        CorruptStream: it cannot have been written, or has more than ``most`` coefficients (noticed
            before there is room for them).
    """
    coder = Coder(data)
    if coder.uniform(0, 2):
        if len(data) < tables.least:
            raise CorruptStream("larger tables than a block of this size can have")
        tables = CodeTables.read(coder, *map(len, tables.raw))
    return _code_block(coder, tables, csr_matrix((n_items, tables.n_atoms)), most)


def _code_block(
    coder: Coder, tables: CodeTables, codes: csr_matrix, most: int = 1 << 62
) -> csr_matrix:
    """Writes codes, or reads as many: all sizes, then each item's indices and coefficients."""
    sizes = coder.code(np.diff(codes.indptr), tables.sizes)
    total = int(sizes.sum())
    if total > most or sizes.max(initial=0) > min(tables.n_atoms, tables.largest):
        raise CorruptStream("more coefficients than there can be")
    reading = coder.reading
    indices = np.zeros(total, np.int64) if reading else codes.indices.astype(np.int64)
    levels = np.zeros(total, np.int64) if reading else codes.data.astype(np.int64)
    ends = ends_of(tables.levels)
    room = coder.compiled(2 * total)
    _code_items(room, tables.mantissas, tables.shifts, ends, sizes, indices, levels)
    coder.check()
    return _csr(sizes, indices, levels, tables)


def _csr(sizes: NDArray, indices: NDArray, levels: NDArray, tables: CodeTables) -> csr_matrix:
    parts = (
        levels.astype(np.int8),
        indices.astype(np.int32),
        np.concatenate([[0], np.cumsum(sizes)]),
    )
    return csr_matrix(parts, shape=(len(sizes), tables.n_atoms))


# --- unordered --------------------


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
        self.kept = 0

    def _set(self, previous: int, remaining: int) -> Any:
        key = (previous, remaining)
        if key not in self.sets:
            freqs = self.tables.frequencies(previous, remaining)
            self.kept += len(freqs)
            if self.kept > _KEPT:
                self.sets, self.kept = {}, len(freqs)
            self.sets[key] = self.stack.model(freqs)
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
