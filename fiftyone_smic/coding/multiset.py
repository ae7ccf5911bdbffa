"""Codes as a multiset: the content of an archive that does not keep the order of its items.

``docs/format.md`` describes the layout of the stream, which is part of the format.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.ans_stack import Stack
from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.coefficients import StackCoefficients
from fiftyone_smic.coding.items import csr_of
from fiftyone_smic.coding.tables import CorruptStream

#: Largest number of table entries that are cached at a time.
_MOST_KEPT = 1 << 22


def sort_keys(codes: csr_matrix) -> list[tuple[int, ...]]:
    """Return the keys by which the items of an unordered archive are sorted.

    Args:
        codes: (N, K) CSR matrix with sorted indices.

    Returns:
        N tuples: the size of the item, its indices, and its coefficients.
    """
    return [
        (b - a, *codes.indices[a:b].tolist(), *codes.data[a:b].tolist())
        for a, b in pairwise(codes.indptr.tolist())
    ]


def push_codes(codes: csr_matrix, tables: CodeTables) -> bytes:
    """Write items as a multiset, which saves log2 N! bits.

    Any of the remaining items may be written next. The choice is popped off the stack as if it had
    been written there, so it carries bits that the reader recovers by pushing the choice back
    (Severo et al. 2021, arXiv 2107.09202). Equal items cannot be told apart, so the place among
    them is written again.

    Args:
        codes: (N, K) CSR matrix, sorted by :func:`sort_keys`.
        tables: the models of sizes, indices and coefficients.

    Returns:
        The stream.
    """
    coder = _StackItems(tables)
    stack = coder.stack
    left = sort_keys(codes)
    for remaining in range(len(left), 0, -1):
        at = stack.pop_uniform(remaining)
        first = bisect_left(left, left[at])
        stack.push_uniform(at - first, bisect_right(left, left[at]) - first)
        coder.push(left.pop(at))
    return stack.finish()


def pop_codes(data: bytes, n_items: int, tables: CodeTables, most: int) -> csr_matrix:
    """Read what :func:`push_codes` wrote.

    Args:
        data: the stream.
        n_items: number of items in it.
        tables: the models that wrote it.
        most: largest number of coefficients to accept.

    Returns:
        (N, K) CSR matrix of int8, sorted.

    Raises:
        CorruptStream: no writer makes this stream, or it holds more than ``most`` coefficients.
    """
    coder = _StackItems(tables, data)
    stack = coder.stack
    items: list[tuple[int, ...]] = []
    total = 0
    for count in range(1, n_items + 1):
        item = coder.pop()
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
    values = np.array([q for item in items for q in item[item[0] + 1 :]], np.int64)
    return csr_of(sizes, indices, values, tables)


class _StackItems:
    """Pushes and pops single items, and keeps the coder's tables."""

    def __init__(self, tables: CodeTables, data: bytes = b"") -> None:
        self.stack = Stack(data)
        self._tables = tables
        self._sizes = self.stack.model(tables.sizes)
        self._coefficients = StackCoefficients(self.stack, tables.coefficients)
        self._sets: dict[tuple[int, int], Any] = {}
        self._kept = 0

    def _set(self, previous: int, remaining: int) -> Any:
        key = (previous, remaining)
        if key not in self._sets:
            freqs = self._tables.frequencies(previous, remaining)
            self._kept += len(freqs)
            if self._kept > _MOST_KEPT:
                self._sets, self._kept = {}, len(freqs)
            self._sets[key] = self.stack.model(freqs)
        return self._sets[key]

    def push(self, item: tuple[int, ...]) -> None:
        """Put an item (size, indices, coefficients) on the stack."""
        size = item[0]
        for atom, value in zip(item[size:0:-1], item[:size:-1], strict=True):
            self._coefficients.push(atom, value)
        for position in range(size, 0, -1):
            previous = item[position - 1] if position > 1 else -1
            self.stack.push(item[position] - previous - 1, self._set(previous, size + 1 - position))
        self.stack.push(size, self._sizes)

    def pop(self) -> tuple[int, ...]:
        """Take an item off the stack."""
        size = self.stack.pop(self._sizes)
        if size > min(self._tables.n_atoms, self._tables.largest):
            raise CorruptStream("more coefficients than atoms")
        atoms, previous = [], -1
        for remaining in range(size, 0, -1):
            previous += 1 + self.stack.pop(self._set(previous, remaining))
            atoms.append(previous)
        return (size, *atoms, *[self._coefficients.pop(atom) for atom in atoms])
