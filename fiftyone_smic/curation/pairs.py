"""All pairs of items that lie near each other, found through the atoms they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from fiftyone_smic.curation.geometry import Distinct, Geometry
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.utils.compiled import compiled
from fiftyone_smic.utils.parallel import in_chunks

#: Up to this many points, each is compared with each.
ALL_PAIRS = 20_000
#: Dimensions in which products are bounded before anything is looked at in full.
PROJECTED = 63
#: More pairs than this for each item are not listed.
MOST_PAIRS = 100
#: Points that the projection is fitted to, and products bounded at once.
_SAMPLE, _BLOCK = 2_000, 1 << 20
#: What rounding may take from a bound, and from the square of a rest.
_SLACK, _REST = 1e-5, 1e-6
#: What rounding may take from the cosine of a copy.
_ROUNDING = 1e-6

Judge = Callable[[NDArray[np.intp], NDArray[np.intp]], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Pairs of items.

    Attributes:
        pairs: (n, 2) items, the first the smaller, in order.
        cosines: (n,) their cosine: of latents if verified, else of codes without the mean.
        verified: whether latents were looked at.
        share: share of all pairs that were looked at on latents.
        every: whether every pair was compared, not only those that share a strongest atom.
    """

    pairs: NDArray[np.intp]
    cosines: NDArray[np.float64]
    verified: bool
    share: float
    every: bool


class _TooMany(Exception):
    """There are more pairs than can be listed."""


def near_pairs(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    threshold: float,
    latents: NDArray[np.float32] | None,
) -> NearPairs:
    """Pairs with a cosine of at least ``threshold``, of latents where given, else of codes.

    Blocking: of more than :data:`ALL_PAIRS` points (items where there are latents, else different
    codes), two are compared if each uses the strongest atom of the other, or, where there are
    latents to verify on, one that of the other. The inequality of Cauchy and Schwarz then rules out
    nearly all of them for certain, from their projections to few dimensions and the lengths of what
    these leave out. All others are looked at in full.

    Raises:
        ValueError: more than :data:`MOST_PAIRS` pairs for each item.
    """
    n = codes.shape[0]
    bar = threshold - _ROUNDING
    most = MOST_PAIRS * n + 1000
    try:
        if latents is None:
            pairs, cosines, points = _of_codes(dictionary, codes, bar, most)
            looked = 0
        else:
            points = n
            pairs, cosines, looked = _of_latents(dictionary, codes, bar, latents, most)
    except _TooMany:
        raise ValueError(
            f"more than {most:,} pairs of {n:,} items are this near: "
            + (
                "raise the threshold, or remove exact copies first (same_meaning)"
                if latents is not None
                else "codes at this rate cannot tell them apart; raise the threshold, give "
                "latents to verify on, or group items with the same code (same_meaning)"
            )
        ) from None
    pairs = np.sort(pairs, axis=1)
    by_item = np.lexsort((pairs[:, 1], pairs[:, 0]))
    share = looked / max(n * (n - 1) / 2, 1)
    return NearPairs(
        pairs[by_item], cosines[by_item], latents is not None, share, points <= ALL_PAIRS
    )


def _of_latents(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    bar: float,
    latents: NDArray[np.float32],
    most: int,
) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Pairs (n, 2) of items, cosines of their latents, and how many were looked at."""
    z = np.ascontiguousarray(latents)
    basis = _basis(z[_some(len(z))])
    bounds = _bounds(z @ basis, np.einsum("ij,ij->i", z, z))

    def judge(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.float64]:
        return _products(z, one, other)

    return _search(dictionary, codes, bounds, bar, judge, most, mutual=False)


def _of_codes(
    dictionary: SemanticDictionary, codes: csr_matrix, bar: float, most: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Pairs (n, 2) of items, cosines of their codes, and the number of different codes."""
    distinct, geometry = Distinct.of(codes), Geometry.of(dictionary)
    c, counts = distinct.codes, distinct.counts
    if (counts * (counts - 1) // 2).sum() > most:
        raise _TooMany
    lengths = np.sqrt(geometry.displacements(c))
    said = lengths > 0
    inverse = np.where(said, 1 / np.where(said, lengths, 1), 0)
    scaled = c.astype(np.float32)
    scaled.data *= np.repeat(inverse, np.diff(c.indptr)).astype(np.float32)
    sample = np.asarray(scaled[_some(len(counts))] @ dictionary.atoms_)
    projected = np.asarray(scaled @ (dictionary.atoms_ @ _basis(sample)))
    bounds = _bounds(projected, said.astype(np.float32))

    def judge(one: NDArray[np.intp], other: NDArray[np.intp]) -> NDArray[np.float64]:
        return _code_products(scaled.indptr, scaled.indices, scaled.data, geometry.gram, one, other)

    pairs, cosines, _ = _search(dictionary, c, bounds, bar, judge, most, mutual=True)
    # Codes that say nothing beyond the mean are near to those that say little.
    empty = np.flatnonzero(~said)
    close = [(i, j) for i in empty for j in np.flatnonzero(1 - lengths >= bar) if said[j] or i < j]
    more = np.array(close, np.intp).reshape(-1, 2)
    alike = np.flatnonzero(counts > 1)
    every = np.concatenate([pairs, more, np.column_stack([alike, alike])]).astype(np.intp)
    of_every = np.concatenate([cosines, 1 - lengths[more[:, 1]], np.ones(len(alike))])
    if (counts[every[:, 0]] * counts[every[:, 1]]).sum() > 2 * most + counts.sum():
        raise _TooMany
    items, place = _expand(every, distinct)
    if len(items) > most:
        raise _TooMany
    return items, of_every[place], len(counts)


def _expand(
    pairs: NDArray[np.intp], distinct: Distinct
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (m, 2) of items of pairs of different codes, or of one with itself, and (m,) the pair
    of codes that each comes from."""
    members = np.argsort(distinct.place, kind="stable")
    starts = np.cumsum(distinct.counts) - distinct.counts
    one, other = pairs.T
    sizes = distinct.counts[one] * distinct.counts[other]
    place = np.repeat(np.arange(len(pairs)), sizes)
    offset = np.arange(len(place)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    first, second = np.divmod(offset, distinct.counts[other][place])
    once = (one != other)[place] | (first < second)
    place, first, second = place[once], first[once], second[once]
    x, y = members[starts[one[place]] + first], members[starts[other[place]] + second]
    return np.column_stack([x, y]), place


def _some(n: int) -> NDArray[np.intp]:
    """At most :data:`_SAMPLE` of n points."""
    return np.random.default_rng(0).choice(n, min(n, _SAMPLE), replace=False)


def _basis(sample: NDArray) -> NDArray[np.float32]:
    """(d, m) orthonormal directions that hold most of a sample."""
    dense = np.asarray(sample, np.float64)
    _, vectors = np.linalg.eigh(dense.T @ dense)
    return np.ascontiguousarray(vectors[:, -PROJECTED:], np.float32)


def _bounds(projected: NDArray, squares: NDArray) -> NDArray[np.float32]:
    """(P, m + 1): projections, and lengths of the rest; products of these bound those of the
    points from above."""
    rest = squares - np.einsum("ij,ij->i", projected, projected)
    lengths = np.sqrt(np.maximum(rest, 0) + _REST)
    return np.ascontiguousarray(np.column_stack([projected, lengths]), np.float32)


def _search(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    bounds: NDArray[np.float32],
    bar: float,
    judge: Judge,
    most: int,
    mutual: bool,
) -> tuple[NDArray[np.intp], NDArray[np.float64], int]:
    """Pairs of points whose bound, and then whose product, is at least a bar.

    Args:
        codes: (P, K) of the points.
        bounds: (P, m + 1), see :func:`_bounds`.
        bar: least product.
        judge: products of pairs of points.
        most: number of pairs above which the search gives up.
        mutual: whether each must use the strongest atom of the other, not just one of them.

    Returns:
        (n, 2) points, (n,) products, and how many pairs were judged.
    """
    met = _all_blocks(bounds, bar)
    if len(bounds) > ALL_PAIRS:
        met = _blocks(dictionary, codes, bounds, bar, mutual)
    total = 0

    def part(rows: slice) -> tuple[list[NDArray[np.intp]], list[NDArray[np.float64]], int]:
        nonlocal total
        pairs, products, looked = [], [], 0
        for one, other in met(rows):
            if total > most:
                break
            found = judge(one, other)
            near = found >= bar
            pairs.append(np.column_stack([one[near], other[near]]))
            products.append(found[near])
            looked += len(one)
            total += len(pairs[-1])
        return pairs, products, looked

    parts = in_chunks(part, len(bounds))
    pairs = [np.zeros((0, 2), np.intp), *(x for p in parts for x in p[0])]
    if sum(map(len, pairs)) > most:
        raise _TooMany
    products = [np.zeros(0), *(x for p in parts for x in p[1])]
    return np.concatenate(pairs), np.concatenate(products), sum(p[2] for p in parts)


Blocks = Callable[[slice], Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]]


def _above(
    rows: NDArray[np.intp], columns: NDArray[np.intp], bounds: NDArray[np.float32], bar: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of rows and columns whose bound is at least a bar, block by block."""
    right = np.ascontiguousarray(bounds[columns].T)
    step = max(1, _BLOCK // len(columns))
    for start in range(0, len(rows), step):
        some = rows[start : start + step]
        row, column = np.divmod(
            np.flatnonzero(bounds[some] @ right >= np.float32(bar - _SLACK)), len(columns)
        )
        yield some[row], columns[column]


def _all_blocks(bounds: NDArray[np.float32], bar: float) -> Blocks:
    """Every pair, once."""

    def met(part: slice) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        rows, columns = np.arange(part.start, part.stop), np.arange(part.start, len(bounds))
        for one, other in _above(rows, columns, bounds, bar):
            yield one[one < other], other[one < other]

    return met


def _blocks(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    bounds: NDArray[np.float32],
    bar: float,
    mutual: bool,
) -> Blocks:
    """Pairs of which one uses the strongest atom of the other, once."""
    # Codes without an atom share one that stands for that.
    empty = csr_matrix((np.diff(codes.indptr) == 0).astype(codes.dtype)[:, None])
    c = csr_matrix(hstack([codes, empty], format="csr"))
    strongest = _strongest(c, np.append(np.linalg.norm(dictionary.atoms_, axis=1), 1))
    order = np.argsort(strongest, kind="stable")
    users = c.tocsc()

    def met(part: slice) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        rows = order[part]
        atoms, starts = np.unique(strongest[rows], return_index=True)
        for atom, some in zip(atoms, np.split(rows, starts[1:]), strict=True):
            columns = users.indices[users.indptr[atom] : users.indptr[atom + 1]].astype(np.intp)
            for one, other in _above(some, columns, bounds, bar):
                once = _once(one, other, c.indptr, c.indices, strongest, mutual)
                yield one[once], other[once]

    return met


def _strongest(codes: csr_matrix, sizes: NDArray) -> NDArray[np.int64]:
    """(P,) atom with the largest share of each code, none of which is empty."""
    out = np.zeros(codes.shape[0], np.int64)
    rows = np.repeat(np.arange(len(out)), np.diff(codes.indptr))
    weight = np.abs(codes.data) * sizes[codes.indices]
    by_weight = np.lexsort((weight, rows))
    out[rows[by_weight]] = codes.indices[by_weight]  # the last one written is the heaviest
    return out


@compiled(nogil=True)
def _once(one, other, indptr, indices, strongest, mutual):
    """Which pairs to keep, of which the second point uses the strongest atom of the first.

    Pairs in which the first uses that of the second too are met from both sides, and kept once.
    """
    keep = np.zeros(len(one), np.bool_)
    for p in range(len(one)):
        i, j = one[p], other[p]
        both = False
        for a in range(indptr[i], indptr[i + 1]):
            both |= indices[a] == strongest[j]
        keep[p] = i < j if both else not mutual
    return keep


@compiled(nogil=True)
def _products(points, one, other):
    """(n,) products of pairs of points."""
    out = np.empty(len(one), np.float64)
    for p in range(len(one)):
        out[p] = np.dot(points[one[p]], points[other[p]])
    return out


@compiled(nogil=True)
def _code_products(indptr, indices, values, gram, one, other):
    """(n,) products of pairs of rebuilt points, the mean left out."""
    out = np.zeros(len(one), np.float64)
    for p in range(len(one)):
        i, j = one[p], other[p]
        for a in range(indptr[i], indptr[i + 1]):
            for b in range(indptr[j], indptr[j + 1]):
                out[p] += np.float64(values[a]) * values[b] * gram[indices[a], indices[b]]
    return out
