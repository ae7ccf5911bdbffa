"""Probability models of the items' codes.

One function writes and reads. How each stream is laid out is part of the format and described in
:mod:`fiftyone_smic.archive.format`.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.code_tables import CodeTables, in_common
from fiftyone_smic.coding.range_coder import Coder, advance, code_symbol, is_reading, target_of
from fiftyone_smic.coding.tables import (
    TOTAL,
    CorruptStream,
    ends_of,
)

#: Adaptive counts of the inter mode: what each starts from, and what a coded symbol adds.
_START, _LEARN = 8, 16


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
def _code_bit(coder, zero, bit):
    """Writes or reads 0 or 1; ``zero`` is the width of 0."""
    if is_reading(coder):
        bit = np.int64(target_of(coder) >= zero)
    if bit:
        advance(coder, zero, TOTAL - zero)
    else:
        advance(coder, 0, zero)
    return bit


@nb.njit(cache=True)
def _code_coefficient(coder, one, level_ends, level):
    """Writes or reads a coefficient; ``one`` is the width of 1."""
    if not _code_bit(coder, one, np.int64(level != 1)):
        return np.int64(1)
    max_level = len(level_ends) // 2
    if max_level == 1:
        return np.int64(-1)
    symbol = code_symbol(coder, level_ends, level + max_level - 2 * (level > 0))
    return symbol - max_level + 2 * (symbol >= max_level)


@nb.njit(cache=True)
def _code_items(coder, mantissas, shifts, ones, level_ends, sizes, indices, levels):
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
            levels[i] = _code_coefficient(coder, ones[indices[i]], level_ends, levels[i])


@nb.njit(cache=True)
def _code_flag(coder, counts, flag):
    """Writes or reads 0 or 1 under adaptive counts."""
    zero = 1 + counts[0] * (TOTAL - 2) // (counts[0] + counts[1])
    flag = _code_bit(coder, zero, flag)
    counts[flag] += _LEARN
    return flag


@nb.njit(cache=True)
def _code_structure(coder, sizes, stays, largest):
    """Writes or reads which atoms each item has in common with the item before it, and how many
    others: ``stays`` for each coefficient, and the sizes.

    Returns the number of coefficients, or -1 if they have no room.
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


@nb.njit(cache=True)
def _code_inter(coder, mantissas, shifts, ones, level_ends, sizes, stays, indices, levels):
    """Writes or reads the atoms that the item before does not have, and all coefficients.

    Returns whether they make sense: no atom comes twice.
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
            levels[i] = _code_coefficient(coder, ones[indices[i]], level_ends, levels[i])
        at += size
        before = size
    return True


def encode_items(
    codes: csr_matrix, tables: CodeTables, *, own: bool = False, inter: bool = False
) -> bytes:
    """Writes the items of a CSR matrix with sorted indices.

    Args:
        codes: (N, K).
        tables: what to code them under.
        own: write the tables too.
        inter: say of each item how it differs from the one before, which is shorter where
            neighbours are alike, as frames and bursts are.
    """
    coder = Coder()
    coder.uniform(own, 2)
    if own:
        tables.put(coder)
    coder.uniform(inter, 2)
    (_code_inter_block if inter else _code_block)(coder, tables, codes, codes.nnz)
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
        tables = CodeTables.read(coder, tables.n_atoms, tables.max_level, len(tables.size) - 1)
    code = _code_inter_block if coder.uniform(0, 2) else _code_block
    return code(coder, tables, csr_matrix((n_items, tables.n_atoms)), most)


def _code_block(coder: Coder, tables: CodeTables, codes: csr_matrix, most: int) -> csr_matrix:
    """Writes codes, or reads as many: all sizes, then each item's indices and coefficients."""
    sizes = coder.code(np.diff(codes.indptr), tables.sizes)
    total = int(sizes.sum())
    if total > most or sizes.max(initial=0) > min(tables.n_atoms, tables.largest):
        raise CorruptStream("more coefficients than there can be")
    indices, levels = _room(coder, codes, total)
    room = coder.compiled(3 * total)
    _code_items(room, *_of_coefficients(tables), sizes, indices, levels)
    coder.check()
    return csr_of(sizes, indices, levels, tables)


def _code_inter_block(coder: Coder, tables: CodeTables, codes: csr_matrix, most: int) -> csr_matrix:
    """The same, but of each item what it has in common with the one before, then the rest."""
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
    indices, levels = _room(coder, codes, total)
    room = coder.compiled(3 * total)
    sound = _code_inter(room, *_of_coefficients(tables), sizes, stays, indices, levels)
    coder.check()
    if not sound:
        raise CorruptStream("an item has an atom twice")
    return csr_of(sizes, indices, levels, tables)


def _of_coefficients(tables: CodeTables) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    return *tables.polynomials, tables.ones, ends_of(tables.levels)


def _room(coder: Coder, codes: csr_matrix, total: int) -> tuple[NDArray, NDArray]:
    """Indices and coefficients to write, or room for so many."""
    if coder.reading:
        return np.zeros(total, np.int64), np.zeros(total, np.int64)
    return codes.indices.astype(np.int64), codes.data.astype(np.int64)


def csr_of(sizes: NDArray, indices: NDArray, levels: NDArray, tables: CodeTables) -> csr_matrix:
    """The items of these sizes as a CSR matrix."""
    parts = (
        levels.astype(np.int8),
        indices.astype(np.int32),
        np.concatenate([[0], np.cumsum(sizes)]),
    )
    return csr_matrix(parts, shape=(len(sizes), tables.n_atoms))
