"""All pairs of items that lie near each other, found through the atoms they share."""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from fiftyone_smic.curation.geometry import Distinct, Geometry
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.utils.parallel import in_chunks

#: Up to this many different codes, each is compared with each.
ALL_PAIRS = 6_000
#: At most this share of all pairs is verified on latents, and at most this many for each item; but
#: this many pairs always are.
VERIFIED, PER_ITEM, FEW = 0.015, 50, 5_000
#: More pairs than this for each item are not listed.
MOST_PAIRS = 100
_SAMPLE = 200_000


@dataclass(frozen=True, eq=False)
class NearPairs:
    """Pairs of items.

    Attributes:
        pairs: (n, 2) items, the first the smaller, in order.
        cosines: (n,) their cosine: of latents if verified, else of codes without the mean.
        verified: whether latents were looked at.
        share: share of all pairs that were looked at on latents.
    """

    pairs: NDArray[np.intp]
    cosines: NDArray[np.float64]
    verified: bool
    share: float


def near_pairs(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    threshold: float,
    latents: NDArray[np.float32] | None,
) -> NearPairs:
    """Pairs with a cosine of at least ``threshold``, of latents where given, else of codes.

    Blocking: different codes are compared if the strongest atom of one is used by the other; the
    most alike of these, up to a fixed share of all pairs, are verified
    on latents. Items with the same code always are.

    Raises:
        ValueError: more than :data:`MOST_PAIRS` pairs for each item.
    """
    n = codes.shape[0]
    distinct = Distinct.of(codes)
    geometry = Geometry.of(dictionary)
    c = distinct.codes
    strongest = _strongest(c, np.linalg.norm(dictionary.atoms_, axis=1))
    if latents is not None:  # whole reconstructions tell better which latents are near
        c, geometry = _with_mean(c, geometry)
    lengths = np.sqrt(geometry.displacements(c)).astype(np.float32)
    values = c.data.astype(np.float32)
    total = n * (n - 1) / 2
    if latents is None:
        bar = threshold - 1e-6
    else:
        share = max(min(VERIFIED, 2 * PER_ITEM / n), FEW / max(total, 1))
        bar = _bar(c, geometry, lengths, distinct.counts, share) if share < 1 else -2.0
    by_atom = csr_matrix((values, c.indices, c.indptr), shape=c.shape).tocsc()
    order = np.argsort(distinct.place, kind="stable").astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(distinct.counts)]).astype(np.int64)
    z = np.zeros((0, 0), np.float32) if latents is None else np.ascontiguousarray(latents)
    most = MOST_PAIRS * n + 1000
    shared = (
        c.indptr, c.indices, values, by_atom.indptr, by_atom.indices, geometry.gram, lengths,
        strongest, len(lengths) <= ALL_PAIRS, bar, order, starts, z, np.float32(threshold), most,
    )  # fmt: skip

    def part(codes: slice) -> tuple[NDArray, NDArray, int]:
        return _near(codes.start, codes.stop, *shared)

    parts = in_chunks(part, len(lengths))
    looked = sum(p[2] for p in parts)
    found = sum(len(p[0]) for p in parts)
    if found >= most:
        raise ValueError(
            f"more than {most:,} pairs of {n:,} items are this near: "
            + (
                "raise the threshold, or remove exact copies first (same_meaning)"
                if latents is not None
                else "codes at this rate cannot tell them apart; raise the threshold, give "
                "latents to verify on, or group items with the same code (same_meaning)"
            )
        )
    pairs = np.sort(np.concatenate([p[0] for p in parts]), axis=1)
    cosines = np.concatenate([p[1] for p in parts]).astype(np.float64)
    by_item = np.lexsort((pairs[:, 1], pairs[:, 0]))
    verified = 0.0 if latents is None else looked / max(total, 1)
    return NearPairs(
        pairs[by_item].astype(np.intp), cosines[by_item], latents is not None, verified
    )


def _with_mean(codes: csr_matrix, geometry: Geometry) -> tuple[csr_matrix, Geometry]:
    """The mean as one more atom, which every item uses once."""
    ones = csr_matrix(np.ones((codes.shape[0], 1), codes.dtype))
    along = geometry.along[:, None]
    corner = np.full((1, 1), geometry.mean_square, np.float32)
    gram = np.block([[geometry.gram, along], [along.T, corner]]).astype(np.float32)
    with_mean = csr_matrix(hstack([codes, ones], format="csr"))
    return with_mean, Geometry(gram, np.zeros(len(gram), np.float32), 0.0)


def _strongest(codes: csr_matrix, sizes: NDArray) -> NDArray[np.int64]:
    """(U,) atom with the largest share of each code, -1 for the empty code."""
    out = np.full(codes.shape[0], -1, np.int64)
    rows = np.repeat(np.arange(len(out)), np.diff(codes.indptr))
    weight = np.abs(codes.data) * sizes[codes.indices]
    by_weight = np.lexsort((weight, rows))
    out[rows[by_weight]] = codes.indices[by_weight]  # the last one written is the heaviest
    return out


def _bar(
    codes: csr_matrix, geometry: Geometry, lengths: NDArray, counts: NDArray, share: float
) -> float:
    """Cosine of codes above which about ``share`` of all pairs lie, from a sample of them."""
    rng = np.random.default_rng(0)
    weights = counts / counts.sum()
    one, other = (rng.choice(len(lengths), _SAMPLE, p=weights) for _ in range(2))
    cosines = _some_cosines(
        one, other, codes.indptr, codes.indices, codes.data.astype(np.float32), geometry.gram,
        lengths,
    )  # fmt: skip
    return float(np.quantile(cosines[one != other], 1 - share)) if (one != other).any() else 0.0


@nb.njit(cache=True, nogil=True)
def _some_cosines(one, other, indptr, indices, values, gram, lengths):
    out = np.zeros(len(one), np.float32)
    for p in range(len(one)):
        i, j = one[p], other[p]
        total = np.float32(0)
        for a in range(indptr[i], indptr[i + 1]):
            for b in range(indptr[j], indptr[j + 1]):
                total += values[a] * values[b] * gram[indices[a], indices[b]]
        both = lengths[i] * lengths[j]
        if both > 0:
            out[p] = total / both
    return out


@nb.njit(cache=True, nogil=True)
def _near(
    start, stop, indptr, indices, values, atom_ptr, atom_items, gram, lengths, strongest, everyone,
    bar, order, starts, latents, threshold, most,
):  # fmt: skip
    """Pairs of items whose first code is start..stop-1: (n, 2) items, cosines, number verified."""
    atoms = gram.shape[0]
    uses = np.zeros(atoms, np.bool_)
    products = np.zeros(atoms, np.float32)
    pairs, cosines, n, looked = np.empty((256, 2), np.int64), np.empty(256, np.float32), 0, 0
    verify = latents.shape[0] > 0
    count = len(lengths)
    for i in range(start, stop):
        products[:] = 0
        for a in range(indptr[i], indptr[i + 1]):
            uses[indices[a]] = True
            row = gram[indices[a]]
            for k in range(atoms):
                products[k] += values[a] * row[k]
        top = strongest[i]
        alone = everyone or top < 0
        first = i if alone else atom_ptr[top]
        last = count if alone else atom_ptr[top + 1]
        for position in range(first, last):
            j = position if alone else atom_items[position]
            if not alone and i != j:
                # The pair is met from the other side too: take it once.
                if strongest[j] >= 0 and uses[strongest[j]] and j < i:
                    continue
                if strongest[j] < 0:
                    continue
            if not everyone and top < 0 and i != j and indptr[j + 1] - indptr[j] > 1:
                continue
            if i == j:
                cosine = np.float32(1)
            elif lengths[i] > 0 and lengths[j] > 0:
                total = np.float32(0)
                for b in range(indptr[j], indptr[j + 1]):
                    total += values[b] * products[indices[b]]
                cosine = total / (lengths[i] * lengths[j])
            else:
                # One says nothing beyond the mean: near to what says little.
                cosine = np.float32(1) - lengths[i] - lengths[j]
            if i != j and cosine < bar:
                continue
            for x in range(starts[i], starts[i + 1]):
                begin = x + 1 if i == j else starts[j]
                for y in range(begin, starts[j + 1]):
                    measured = cosine
                    if verify:
                        looked += 1
                        measured = np.dot(latents[order[x]], latents[order[y]])
                        if measured < threshold:
                            continue
                    if n >= most:
                        return pairs[:n], cosines[:n], looked
                    if n == len(pairs):
                        larger, longer = np.empty((2 * n, 2), np.int64), np.empty(2 * n, np.float32)
                        larger[:n], longer[:n] = pairs, cosines
                        pairs, cosines = larger, longer
                    pairs[n, 0], pairs[n, 1], cosines[n] = order[x], order[y], measured
                    n += 1
        for a in range(indptr[i], indptr[i + 1]):
            uses[indices[a]] = False
    return pairs[:n], cosines[:n], looked
