"""Subsets by similarity: facility location and farthest first, on the different codes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation.geometry import Distinct, Geometry
from fiftyone_smic.utils.compiled import compiled

#: More different codes than this are judged on a sample of this size.
DEMAND, CANDIDATES, SEEN = 3_000, 20_000, 20_000
#: "representative" compares by exp((cosine - 1) / SHARPNESS): an item is hardly represented by one
#: that is only a little like it. On 1,000 food pictures a probe on 50 items then keeps 96 % of the
#: accuracy of all data, with (1 + cosine) / 2 it keeps 95 %.
SHARPNESS = 0.15
#: How many candidates the lazy greedy choice evaluates at once.
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the different codes: which, their scaled codes, and whether they say anything."""

    codes: NDArray[np.int64]
    scaled: csr_matrix
    said: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike items are: (1 + cosine) / 2 of their codes without the mean.

    Attributes:
        items: the different codes.
        scaled: (U, K) float32, each code divided by the length of its reconstruction.
        gram: (K, K) products of atoms.
        said: (U,) bool, whether a code says anything; an empty code is like another empty one.
        rng: for samples.
    """

    items: Distinct
    scaled: csr_matrix
    gram: NDArray[np.float32]
    said: NDArray[np.bool_]
    rng: np.random.Generator

    @classmethod
    def of(cls, codes: csr_matrix, geometry: Geometry, seed: int) -> Similarity:
        items = Distinct.of(codes)
        lengths = np.sqrt(geometry.displacements(items.codes))
        said = lengths > 1e-6
        scaled = items.codes.astype(np.float32)
        inverse = np.where(said, 1 / np.maximum(lengths, 1e-6), 0).astype(np.float32)
        scaled.data *= np.repeat(inverse, np.diff(scaled.indptr))
        return cls(items, scaled, geometry.gram, said, np.random.default_rng(seed))

    def to(self, code: int, of: Part | None = None) -> NDArray[np.float32]:
        """(U,) similarity of every different code to one, or of some of them."""
        scaled, said = (self.scaled, self.said) if of is None else (of.scaled, of.said)
        if not self.said[code]:
            return np.where(said, np.float32(0.5), np.float32(1))
        at = slice(self.scaled.indptr[code], self.scaled.indptr[code + 1])
        products = self.scaled.data[at] @ self.gram[self.scaled.indices[at]]
        near = scaled @ products
        near *= 0.5
        near += 0.5
        return np.minimum(near, 1, out=near)

    def part(self, of: NDArray[np.int64]) -> Part:
        """Some of the different codes, to compare with many."""
        return Part(of, self.scaled[of], self.said[of])

    def coverage(self, chosen: NDArray[np.intp]) -> tuple[NDArray[np.float64], float]:
        """Mean similarity to the nearest of the first j chosen, and the radius at the end.

        Of more than :data:`SEEN` different codes, a sample of this size is looked at.
        """
        looked, weights = self.demand(SEEN)
        of = self.part(looked)
        nearest = np.zeros(len(looked), np.float32)
        curve = np.zeros(len(chosen))
        for j, item in enumerate(chosen):
            np.maximum(nearest, self.to(self.items.place[item], of), out=nearest)
            curve[j] = weights @ nearest
        return curve, float(1 - nearest.min()) if len(chosen) else 1.0

    def demand(self, most: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Codes to judge a choice on, at most this many, and their weights: all by multiplicity, or
        a sample drawn by it, which then weighs alike."""
        counts = self.items.counts
        if len(counts) <= most:
            return np.arange(len(counts)), counts / counts.sum()
        drawn = self.rng.choice(len(counts), most, p=counts / counts.sum())
        return np.sort(drawn), np.full(most, 1 / most)

    def to_items(self, order: list[int], k: int, before: NDArray[np.intp]) -> NDArray[np.intp]:
        """One item for each code in order, and then again, until there are k."""
        place, counts = self.items.place, self.items.counts.copy()
        np.subtract.at(counts, place[before], 1)
        first = np.zeros(len(counts), bool)
        first[order] = True
        rest = np.flatnonzero(~first)
        rest = rest[np.argsort(-counts[rest], kind="stable")]
        turn = np.empty(len(counts), np.intp)
        turn[np.concatenate([np.asarray(order, np.intp), rest])] = np.arange(len(counts))
        left = np.setdiff1d(np.arange(len(place)), before)
        left = left[np.argsort(turn[place[left]], kind="stable")]
        turns = turn[place[left]]
        # How many items of the same code come before each.
        again = np.arange(len(left)) - np.searchsorted(turns, turns)
        return left[np.argsort(again, kind="stable")[:k]]


def _sharp(similarity: NDArray[np.float32]) -> NDArray[np.float32]:
    """exp((cosine - 1) / SHARPNESS) of (1 + cosine) / 2."""
    return np.exp((2 * similarity - 2) / np.float32(SHARPNESS))


@compiled(nogil=True)
def _gains(candidates, indptr, indices, data, said, gram, demand, weights, nearest):
    """How much each candidate adds to the weighted similarity of demand to its nearest.

    Demand is the pointers, atoms, values and words of its codes.
    """
    pointers, atoms, values, heard = demand
    out = np.zeros(len(candidates))
    products = np.zeros(gram.shape[0], np.float32)
    # The cosine above which an exponential is worth its time, with room for rounding.
    bars = np.log(np.maximum(nearest, 1e-30)) * SHARPNESS + 1 - 1e-5
    apart = np.exp(-1 / SHARPNESS)
    for position in range(len(candidates)):
        c = candidates[position]
        products[:] = 0
        for a in range(indptr[c], indptr[c + 1]):
            row = gram[indices[a]]
            for k in range(len(products)):
                products[k] += data[a] * row[k]
        total = 0.0
        for x in range(len(nearest)):
            if said[c] and heard[x]:
                dot = np.float32(0)
                for b in range(pointers[x], pointers[x + 1]):
                    dot += values[b] * products[atoms[b]]
                if dot < bars[x]:
                    continue
                near = np.exp((min(dot, np.float32(1)) - 1) / SHARPNESS)
            elif said[c] or heard[x]:
                near = apart
            else:
                near = 1.0
            if near > nearest[x]:
                total += weights[x] * (near - nearest[x])
        out[position] = total
    return out


def representative(s: Similarity, k: int, before: NDArray[np.intp]) -> tuple[NDArray[np.intp], str]:
    """Lazy greedy facility location."""
    counts = s.items.counts
    everything = np.arange(len(counts))
    demand, weights = s.demand(DEMAND)
    sampled, of = len(demand) < len(counts), s.part(demand)
    candidates = everything
    if len(counts) > max(CANDIDATES, 2 * k):
        candidates = np.sort(s.rng.choice(everything, max(CANDIDATES, 2 * k), replace=False))
    nearest = np.zeros(len(demand), np.float32)
    for u in np.unique(s.items.place[before]):
        np.maximum(nearest, _sharp(s.to(u, of)), out=nearest)
    used = set(np.unique(s.items.place[before]).tolist())
    candidates = np.array([u for u in candidates.tolist() if u not in used], np.int64)
    arrays = (s.scaled.indptr, s.scaled.indices, s.scaled.data, s.said, s.gram)

    asked = (of.scaled.indptr, of.scaled.indices, of.scaled.data, of.said)

    def gains(of: NDArray[np.int64]) -> NDArray[np.float64]:
        return _gains(of, *arrays, asked, weights, nearest)

    bounds = gains(candidates)
    fresh = np.ones(len(candidates), bool)
    order: list[int] = []
    while len(order) < min(k, len(candidates)):
        top = np.argpartition(-bounds, min(_BATCH, len(bounds) - 1))[:_BATCH]
        best = top[np.argmax(bounds[top])]
        if not fresh[best]:
            stale = top[~fresh[top]]
            bounds[stale] = gains(candidates[stale])
            fresh[stale] = True
            continue
        u = int(candidates[best])
        order.append(u)
        bounds[best] = -1.0
        np.maximum(nearest, _sharp(s.to(u, of)), out=nearest)
        fresh[:] = False
        fresh[best] = True
    bound = (
        "The sum it maximises is at least 1 - 1/e = 63 % of the best possible for as many items "
        "(Nemhauser et al. 1978)"
    )
    if sampled or len(candidates) + len(used) < len(counts):
        bound += (
            f", on a sample of {several_of(len(demand))} and {several_of(len(candidates))} "
            "candidates"
        )
    return s.to_items(order, k, before), bound + "."


def several_of(n: int) -> str:
    """A count of different codes."""
    return f"{n:,} of the different codes"


def diverse(s: Similarity, k: int, before: NDArray[np.intp]) -> tuple[NDArray[np.intp], str]:
    """Farthest first, from the most common code if nothing is preselected."""
    nearest = np.zeros(len(s.items.counts), np.float32)
    known = np.unique(s.items.place[before])
    for u in known:
        np.maximum(nearest, s.to(u), out=nearest)
    order: list[int] = []
    if not len(known):
        order.append(int(s.items.counts.argmax()))
        nearest = s.to(order[0])
        nearest[order[0]] = 2
    nearest[known] = 2
    while len(order) < k and nearest.min() < 2:
        u = int(nearest.argmin())
        order.append(u)
        np.maximum(nearest, s.to(u), out=nearest)
        nearest[u] = 2
    bound = "No subset of as many items has less than half this radius, in angles (Gonzalez 1985)."
    return s.to_items(order, k, before), bound
