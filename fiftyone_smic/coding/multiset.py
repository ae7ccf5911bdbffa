"""Codes as a multiset: what an archive holds that gave up the order of its items.

How the stream is laid out is part of the format and described in
:mod:`fiftyone_smic.archive.format`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.ans_stack import Stack
from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.items import csr_of
from fiftyone_smic.coding.tables import TOTAL, CorruptStream

#: Numbers of all tables that are kept at a time.
_KEPT = 1 << 22


def sort_keys(codes: csr_matrix) -> list[tuple[int, ...]]:
    """What items of an unordered collection are sorted by: size, indices, levels."""
    return [
        (b - a, *codes.indices[a:b].tolist(), *codes.data[a:b].tolist())
        for a, b in pairwise(codes.indptr.tolist())
    ]


def push_codes(codes: csr_matrix, tables: CodeTables) -> bytes:
    """Writes items as a multiset, in sorted order (:func:`sort_keys`), which saves log2 N! bits.

    Which of the remaining items to write next is free. The choice is popped off the stack as if it
    had been written there, so it carries bits of what the reader recovers by pushing it back
    (Severo et al. 2021, arXiv 2107.09202). Equal items cannot be told apart, so the place among
    them is written again.
    """
    models = _StackModels(tables)
    stack = models.stack
    left = sort_keys(codes)
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
    return csr_of(sizes, indices, levels, tables)


class _StackModels:
    """Pushes and pops single items; keeps the coder's tables."""

    def __init__(self, tables: CodeTables, data: bytes = b"") -> None:
        self.stack = Stack(data)
        self.tables = tables
        self.sizes, self.levels = (self.stack.model(t) for t in (tables.sizes, tables.levels))
        flags = {width: self.stack.model(_flag(width)) for width in set(tables.ones.tolist())}
        self.flags = [flags[width] for width in tables.ones.tolist()]
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
        for index, level in zip(item[size:0:-1], item[:size:-1], strict=True):
            if level != 1:
                self.stack.push(level + self.tables.max_level - 2 * (level > 0), self.levels)
            self.stack.push(int(level != 1), self.flags[index])
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
        for index in item[1:]:
            level = 1
            if self.stack.pop(self.flags[index]):
                level = self.stack.pop(self.levels) - self.tables.max_level
                level += 2 * (level >= 0)
            item.append(level)
        return tuple(item)


def _flag(width: int) -> NDArray[np.int64]:
    return np.array([width, TOTAL - width])
