"""Inner products of rebuilt latents, computed on codes: through the K x K products of atoms, never
on N x d latents."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.utils.compiled import compiled


@dataclass(frozen=True)
class Distinct:
    """The different codes of a collection.

    Attributes:
        codes: (U, K) the different codes, in order of their first item.
        first: (U,) the first item with each.
        place: (N,) which of them each item has.
        counts: (U,) how many items have each.
    """

    codes: csr_matrix
    first: NDArray[np.intp]
    place: NDArray[np.intp]
    counts: NDArray[np.int64]

    @classmethod
    def of(cls, codes: csr_matrix) -> Distinct:
        """Of canonical codes (N, K), by two independent 64-bit hashes of (atoms, coefficients)."""
        keys = _hashes(codes)
        _, first, place = np.unique(keys, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        first, place = first[order], rank[place.ravel()]
        return cls(codes[first], first, place, np.bincount(place, minlength=len(first)))

    def members(self) -> list[NDArray[np.intp]]:
        """The items of each different code."""
        order = np.argsort(self.place, kind="stable")
        return np.split(order, np.cumsum(self.counts)[:-1])


def _hashes(codes: csr_matrix) -> NDArray:
    with np.errstate(over="ignore"):
        entry = codes.indices.astype(np.uint64) << np.uint64(16)
        entry |= codes.data.astype(np.int64).view(np.uint64) & np.uint64(0xFFFF)
        both = np.empty(codes.shape[0], [("a", np.uint64), ("b", np.uint64)])
        for name, seed in (("a", 0x9E3779B97F4A7C15), ("b", 0xD1B54A32D192ED03)):
            mixed = _mix(entry + np.uint64(seed))
            sums = np.concatenate([[np.uint64(0)], np.cumsum(mixed, dtype=np.uint64)])
            both[name] = sums[codes.indptr[1:]] - sums[codes.indptr[:-1]]
    return both


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@dataclass(frozen=True)
class Geometry:
    """Products of the atoms and the mean of a dictionary.

    Attributes:
        gram: (K, K) products of atoms.
        along: (K,) products of atoms with the mean.
        mean_square: squared norm of the mean.
    """

    gram: NDArray[np.float32]
    along: NDArray[np.float32]
    mean_square: float

    @classmethod
    def of(cls, dictionary: SemanticDictionary) -> Geometry:
        atoms, mean = dictionary.atoms_, dictionary.mean_
        return cls(atoms @ atoms.T, atoms @ mean, float(mean @ mean))

    def displacements(self, codes: csr_matrix) -> NDArray[np.float64]:
        """(N,) squared length of the sum of each item's atoms, the mean left out."""
        values = codes.data.astype(np.float32)
        return _squares(codes.indptr, codes.indices, values, self.gram)

    def means(self, codes: csr_matrix) -> NDArray[np.float64]:
        """(N,) product of the sum of each item's atoms with the mean."""
        return np.asarray(codes.astype(np.float32) @ self.along, np.float64)

    def energies(self, codes: csr_matrix) -> NDArray[np.float64]:
        """(N,) squared norm of each rebuilt latent."""
        return self.displacements(codes) + 2 * self.means(codes) + self.mean_square


@compiled(nogil=True)
def _squares(indptr, indices, values, gram):
    """(N,) squared lengths of sums of atoms, from the products of atoms."""
    out = np.zeros(len(indptr) - 1)
    for i in range(len(out)):
        for a in range(indptr[i], indptr[i + 1]):
            row, value = gram[indices[a]], np.float64(values[a])
            out[i] += value * value * row[indices[a]]
            for b in range(indptr[i], a):
                out[i] += 2 * value * values[b] * row[indices[b]]
        out[i] = max(out[i], 0.0)
    return out
