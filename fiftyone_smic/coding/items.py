"""Write and read the codes of items as a range-coded stream.

The same function writes and reads. ``docs/format.md`` describes the layout of each
stream, which is part of the format.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.code_tables import CodeTables, in_common
from fiftyone_smic.coding.coefficients import code_coefficient
from fiftyone_smic.coding.range_coder import Coder, advance, code_bit, is_reading, target_of
from fiftyone_smic.coding.tables import TOTAL, CorruptStream
from fiftyone_smic.utils.compiled import compiled

#: Adaptive flags of the inter mode: the first count of each value, and what each flag adds to it.
_START, _LEARN = 8, 16


@compiled(error_model="numpy")
def _code_index(coder, mantissas, shifts, first, last, index):
    """Write or read an index in first..last, given the polynomials of one degree."""
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


@compiled(error_model="numpy")
def _code_items(coder, mantissas, shifts, ones, other_ends, sizes, indices, values):
    k = mantissas.shape[1] - 1
    at = 0
    for size in sizes:
        first = 0
        for remaining in range(size, 0, -1):
            set_of = mantissas[remaining], shifts[remaining]
            indices[at] = _code_index(coder, *set_of, first, k - remaining, indices[at])
            first = indices[at] + 1
            at += 1
        for i in range(at - size, at):
            values[i] = code_coefficient(coder, ones[indices[i]], other_ends, values[i])


@compiled(error_model="numpy")
def _code_flag(coder, counts, flag):
    """Write or read 0 or 1 under adaptive counts (2,), which it changes."""
    zero = 1 + counts[0] * (TOTAL - 2) // (counts[0] + counts[1])
    flag = code_bit(coder, zero, flag)
    counts[flag] += _LEARN
    return flag


@compiled(error_model="numpy")
def _code_structure(coder, sizes, stays, largest):
    """Write or read how items differ from the item before them.

    ``stays`` says of each coefficient whether the next item has its atom too, and ``sizes`` how
    many atoms each item has. Returns the number of coefficients, or -1 if there is no room for so
    many.
    """
    flags = np.full((9, 2), _START, np.int64)
    others = np.full((4, largest, 2), _START, np.int64)
    total, before, kept_before = 0, 0, 0
    for i in range(len(sizes)):
        kept = 0
        for at in range(total - before, total):
            counts = flags[3 * min(kept, 2) + min(kept_before, 2)]
            stays[at] = _code_flag(coder, counts, np.int64(stays[at]))
            kept += stays[at]
        new = 0
        while kept + new < largest and _code_flag(
            coder, others[min(kept, 3), new], np.int64(kept + new < sizes[i])
        ):
            new += 1
        sizes[i] = kept + new
        if total + sizes[i] > len(stays):
            return -1
        total += sizes[i]
        before, kept_before = sizes[i], kept
    return total


@compiled(error_model="numpy")
def _code_inter(coder, mantissas, shifts, ones, other_ends, sizes, stays, indices, values):
    """Write or read the atoms that the item before does not have, and all coefficients.

    Returns whether they are possible: no atom comes twice.
    """
    k = mantissas.shape[1] - 1
    old, new = np.empty(256, np.int64), np.empty(256, np.int64)
    at, before = 0, 0
    for size in sizes:
        kept = 0
        for b in range(at - before, at):
            if stays[b]:
                old[kept] = indices[b]
                kept += 1
        others = size - kept
        if not is_reading(coder):
            o, n = 0, 0
            for index in indices[at : at + size]:
                if o < kept and index == old[o]:
                    o += 1
                else:
                    new[n] = index
                    n += 1
        first = 0
        for n in range(others):
            left = others - n
            new[n] = _code_index(coder, mantissas[left], shifts[left], first, k - left, new[n])
            first = new[n] + 1
        o, n = 0, 0
        for i in range(at, at + size):
            if o < kept and n < others and old[o] == new[n]:
                return False
            if n == others or (o < kept and old[o] < new[n]):
                indices[i] = old[o]
                o += 1
            else:
                indices[i] = new[n]
                n += 1
            values[i] = code_coefficient(coder, ones[indices[i]], other_ends, values[i])
        at += size
        before = size
    return True


def encode_items(
    codes: csr_matrix, tables: CodeTables, *, own: bool = False, inter: bool = False
) -> bytes:
    """Write items as a stream.

    Args:
        codes: (N, K) CSR matrix with sorted indices.
        tables: the models of sizes, indices and coefficients.
        own: write the tables into the stream too.
        inter: write how each item differs from the one before. This is shorter where neighbours
            are similar, as in video frames and bursts.

    Returns:
        The stream.
    """
    coder = Coder()
    coder.uniform(own, 2)
    if own:
        tables.put(coder)
    coder.uniform(inter, 2)
    (_code_inter_block if inter else _code_block)(coder, tables, codes, codes.nnz)
    stream = coder.finish()
    return stream + bytes(max(0, tables.least - len(stream)) if own else 0)


def decode_items(
    data: bytes, n_items: int, tables: CodeTables, most: int, stop: int | None = None
) -> csr_matrix:
    """Read what :func:`encode_items` wrote, or its first items.

    Args:
        data: the stream.
        n_items: number of items in it.
        tables: the models that wrote it; unused if the stream has its own.
        most: largest number of coefficients to accept.
        stop: number of items to decode; those after them are left out. None decodes all.

    Returns:
        (N, K) CSR matrix of int8; N is ``stop`` if that is given.

    Raises:
        CorruptStream: no writer makes this stream, or it holds more than ``most`` coefficients.
    """
    coder = Coder(data)
    if coder.uniform(0, 2):
        if len(data) < tables.least:
            raise CorruptStream("larger tables than a block of this size can have")
        tables = CodeTables.read(coder, tables.n_atoms, tables.max_level, len(tables.size) - 1)
    code = _code_inter_block if coder.uniform(0, 2) else _code_block
    return code(coder, tables, csr_matrix((n_items, tables.n_atoms)), most, stop)


def _code_block(
    coder: Coder, tables: CodeTables, codes: csr_matrix, most: int, stop: int | None = None
) -> csr_matrix:
    """Write codes, or read as many: all sizes, then each item's indices and coefficients.

    The items from ``stop`` on are neither written nor read.
    """
    sizes = coder.code(np.diff(codes.indptr), tables.sizes)
    total = int(sizes.sum())
    if total > most or sizes.max(initial=0) > min(tables.n_atoms, tables.largest):
        raise CorruptStream("more coefficients than there can be")
    sizes = sizes[:stop]
    indices, values = _room(coder, codes, int(sizes.sum()))
    room = coder.compiled(3 * total)
    _code_items(room, *_arrays_of(tables), sizes, indices, values)
    coder.check()
    return csr_of(sizes, indices, values, tables)


def _code_inter_block(
    coder: Coder, tables: CodeTables, codes: csr_matrix, most: int, stop: int | None = None
) -> csr_matrix:
    """Write or read codes by what each item has in common with the one before, then the rest.

    The rest of the items from ``stop`` on is neither written nor read.
    """
    sizes = np.diff(codes.indptr).astype(np.int64)
    largest = min(tables.n_atoms, tables.largest)
    stays = (
        np.zeros(min(most, len(sizes) * largest), np.uint8)
        if coder.reading
        else in_common(codes.indptr, codes.indices)[1]
    )
    room = coder.compiled(2 * len(stays) + len(sizes))
    total = _code_structure(room, sizes, stays, largest)
    coder.check()
    if total < 0:
        raise CorruptStream("more coefficients than there can be")
    sizes = sizes[:stop]
    indices, values = _room(coder, codes, int(sizes.sum()))
    room = coder.compiled(3 * total)
    sound = _code_inter(room, *_arrays_of(tables), sizes, stays, indices, values)
    coder.check()
    if not sound:
        raise CorruptStream("an item has an atom twice")
    return csr_of(sizes, indices, values, tables)


def _arrays_of(tables: CodeTables) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    coefficients = tables.coefficients
    return *tables.polynomials, coefficients.ones, coefficients.other_ends


def _room(coder: Coder, codes: csr_matrix, total: int) -> tuple[NDArray, NDArray]:
    """Return the indices and coefficients to write, or zeros (total,) to read them into."""
    if coder.reading:
        return np.zeros(total, np.int64), np.zeros(total, np.int64)
    return codes.indices.astype(np.int64), codes.data.astype(np.int64)


def csr_of(sizes: NDArray, indices: NDArray, values: NDArray, tables: CodeTables) -> csr_matrix:
    """Return items as a CSR matrix (N, K) of int8.

    Args:
        sizes: (N,) number of coefficients of each item.
        indices: (nnz,) atoms.
        values: (nnz,) coefficients.
        tables: the tables, which know K.
    """
    parts = (
        values.astype(np.int8),
        indices.astype(np.int32),
        np.concatenate([[0], np.cumsum(sizes)]),
    )
    return csr_matrix(parts, shape=(len(sizes), tables.n_atoms))
