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
VERIFIED, PER_ITEM, FEW = 0.018, 50, 5_000
#: Numbers that stand for what a latent's code leaves over, while pairs to verify are chosen.
SKETCH = 64
#: With many codes, this many times the share is looked at on sketches.
SKETCHED = 3
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

    Blocking: of many codes, two are compared if each uses the strongest atom of the other, or,
    where there are latents to verify on, one that of the other. The product of two latents is then
    estimated: that of the reconstructions, and that of random projections of what these leave over
    (Johnson and Lindenstrauss 1984). The pairs with the largest estimates, up to a fixed share of
    all pairs, are verified.

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
    bar, least = threshold - 1e-6, -np.inf
    sketches = np.zeros((0, 0), np.float32)
    if latents is not None:
        sketches = _sketches(dictionary, codes, latents)
        share = max(min(VERIFIED, 2 * PER_ITEM / n), FEW / max(total, 1))
        bar, least = _bars(c, geometry, lengths, distinct.place, sketches, share)
    by_atom = csr_matrix((values, c.indices, c.indptr), shape=c.shape).tocsc()
    order = np.argsort(distinct.place, kind="stable").astype(np.int64)
    starts = np.concatenate([[0], np.cumsum(distinct.counts)]).astype(np.int64)
    z = np.zeros((0, 0), np.float32) if latents is None else np.ascontiguousarray(latents)
    most = MOST_PAIRS * n + 1000
    shared = (
        c.indptr, c.indices, values, by_atom.indptr, by_atom.indices, geometry.gram, lengths,
        strongest, len(lengths) <= ALL_PAIRS, bar, order, starts, z, sketches, np.float32(least),
        np.float32(threshold), most,
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


def _sketches(
    dictionary: SemanticDictionary, codes: csr_matrix, latents: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(N, SKETCH + 1): random projections of latents less their reconstructions.

    The last column is the product of that rest with the dictionary's mean, which every
    reconstruction has in it, so that it need not be estimated.
    """
    rng = np.random.default_rng(0)
    projection = rng.standard_normal((latents.shape[1], SKETCH), np.float32) / np.sqrt(SKETCH)
    along = (dictionary.atoms_ @ projection).astype(np.float32)
    mean = (dictionary.mean_ @ projection).astype(np.float32)
    rebuilt = np.asarray(codes.astype(np.float32) @ along)
    rest = latents @ projection.astype(np.float32) - rebuilt - mean
    beside = np.asarray(codes.astype(np.float32) @ (dictionary.atoms_ @ dictionary.mean_))
    beside = latents @ dictionary.mean_ - beside - np.square(dictionary.mean_).sum()
    return np.column_stack([rest, beside]).astype(np.float32)


def _bars(
    codes: csr_matrix,
    geometry: Geometry,
    lengths: NDArray,
    place: NDArray,
    sketches: NDArray[np.float32],
    share: float,
) -> tuple[float, float]:
    """Cosine of codes, and estimate of latents' product, above which pairs are looked at.

    About ``share`` of all pairs have a larger estimate, from a sample of them. Where codes are not
    compared all with all, about ``SKETCHED * share`` have codes with a larger cosine.
    """
    if share >= 1:
        return -2.0, -np.inf
    rng = np.random.default_rng(0)
    one, other = rng.integers(len(place), size=(2, _SAMPLE))
    one, other = one[one != other], other[one != other]
    first, second = place[one], place[other]
    cosines = _some_cosines(
        first, second, codes.indptr, codes.indices, codes.data.astype(np.float32), geometry.gram,
        lengths,
    )  # fmt: skip
    a, b = sketches[one], sketches[other]
    left = np.einsum("ij,ij->i", a[:, :-1], b[:, :-1]) + a[:, -1] + b[:, -1]
    estimates = cosines * lengths[first] * lengths[second] + left
    every = len(lengths) <= ALL_PAIRS or SKETCHED * share >= 1
    bar = -2.0 if every else float(np.quantile(cosines, 1 - SKETCHED * share))
    return bar, float(np.quantile(estimates, 1 - share))


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
    bar, order, starts, latents, sketches, least, threshold, most,
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
                mutual = uses[strongest[j]]
                # A mutual pair is met from the other side too: it is taken once. Codes of more
                # than .9 share their strongest atoms; latents that near may have other codes.
                if (mutual and j < i) or not (mutual or verify):
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
                        a, b = sketches[order[x]], sketches[order[y]]
                        both = cosine * lengths[i] * lengths[j] + a[-1] + b[-1]
                        for k in range(a.shape[0] - 1):
                            both += a[k] * b[k]
                        if both < least:
                            continue
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
