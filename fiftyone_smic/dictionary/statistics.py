"""Sums over items and their codes: all that learning needs to know of them, exact and additive."""

from __future__ import annotations

import threading
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import others_of
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.utils.compiled import compiled
from fiftyone_smic.utils.parallel import in_chunks

#: Latents are rounded to multiples of 2**-20 here, so that all sums are sums of whole numbers below
#: 2**53 in float64: exact in any order and with any sharding. Sums of squares outgrow 2**53 at 8
#: million items of unit norm, so they are a Python integer.
_GRID = float(1 << 20)


@compiled(nogil=True)
def _accumulate(indptr, indices, coefficients, latents, gram, cross, total, sums):
    """Add items to the sums; return the sum of their squares in units of 2**-30."""
    d = latents.shape[1]
    z = np.empty(d)
    energy = 0.0
    for i in range(latents.shape[0]):
        row = latents[i]
        for x in range(d):
            z[x] = np.rint(row[x] * _GRID)
            sums[x] += z[x]
        energy += np.rint((z * z).sum() / 1024.0)
        for a in range(indptr[i], indptr[i + 1]):
            j = indices[a]
            q = float(coefficients[a])
            total[j] += q
            target = cross[j]
            for x in range(d):
                target[x] += q * z[x]
            for b in range(indptr[i], indptr[i + 1]):
                gram[j, indices[b]] += q * coefficients[b]
    return energy


def grid_sum(latents: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the sum (d,) of latents (N, d) in units of 2**-20, exact in any order.

    Example:
        >>> grid_sum(np.full((3, 1), 0.5, np.float32)) / 2**20
        array([1.5])
    """
    return np.rint(latents * np.float64(_GRID)).sum(axis=0)


@dataclass
class Statistics:
    """Sums over items with codes c (K,) and latents z (d,).

    Attributes:
        gram: (K, K) float64, sum of c c'.
        cross: (K, d) float64, sum of c z', in units of 2**-20.
        total: (K,) float64, sum of c.
        latents: (d,) float64, sum of z, in units of 2**-20.
        energy: sum of z'z, a whole number of units of 2**-30.
        counts: (K,) int64, number of items that use each atom.
        other_counts: (K,) int64, number of these in which its coefficient is not 1.
        level_counts: (2 max_level + 1,) int64, uses of coefficient q at position q + max_level.
        size_counts: (max_nonzero + 1,) int64, number of items with n atoms.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    total: NDArray[np.float64]
    latents: NDArray[np.float64]
    energy: int
    counts: NDArray[np.int64]
    other_counts: NDArray[np.int64]
    level_counts: NDArray[np.int64]
    size_counts: NDArray[np.int64]

    @classmethod
    def empty(cls, k: int, d: int, max_level: int, max_nonzero: int) -> Statistics:
        """Return the sums of no items."""
        return cls(
            np.zeros((k, k)),
            np.zeros((k, d)),
            np.zeros(k),
            np.zeros(d),
            0,
            np.zeros(k, np.int64),
            np.zeros(k, np.int64),
            np.zeros(2 * max_level + 1, np.int64),
            np.zeros(max_nonzero + 1, np.int64),
        )

    @classmethod
    def implied(
        cls,
        mean: NDArray[np.float32],
        atoms: NDArray[np.float32],
        counts: NDArray[np.int64],
        other_counts: NDArray[np.int64],
        level_counts: NDArray[np.int64],
        size_counts: NDArray[np.int64],
    ) -> Statistics:
        """Return sums for when the items are not there, only the counts of their codes.

        Each use of an atom counts as an item of its own that the atom explains exactly.
        """
        q = np.arange(len(level_counts)) - len(level_counts) // 2
        energy = counts * float(level_counts @ np.square(q)) / max(int(level_counts.sum()), 1)
        total = counts.astype(np.float64)
        m = mean.astype(np.float64)
        return cls(
            np.diag(energy),
            np.rint((total[:, None] * m + energy[:, None] * atoms) * _GRID),
            total,
            np.rint(size_counts.sum() * m * _GRID),
            0,
            counts,
            other_counts,
            level_counts,
            size_counts,
        )

    @classmethod
    def of_pursuit(
        cls, pursuit: Pursuit, latents: NDArray[np.float32], max_level: int, max_nonzero: int
    ) -> Statistics:
        """Return the sums of latents (N, d) and the codes that they get, which are not kept."""
        own = threading.local()
        parts: list[Statistics] = []

        def add(part: slice) -> None:
            if not hasattr(own, "sums"):
                own.sums = cls.empty(pursuit.n_atoms, latents.shape[1], max_level, max_nonzero)
                parts.append(own.sums)
            own.sums.add_items(pursuit.code_chunk(latents[part]), latents[part])

        in_chunks(add, len(latents), pursuit.n_jobs)
        total = cls.empty(pursuit.n_atoms, latents.shape[1], max_level, max_nonzero)
        return sum(parts, total)

    def add_items(self, codes: csr_matrix, latents: NDArray[np.float32]) -> None:
        """Add items, in place: codes (N, K) and latents (N, d)."""
        energy = _accumulate(
            codes.indptr,
            codes.indices,
            codes.data,
            np.ascontiguousarray(latents),
            self.gram,
            self.cross,
            self.total,
            self.latents,
        )
        self.energy += int(energy)
        self.counts += np.bincount(codes.indices, minlength=len(self.counts))
        self.other_counts += others_of(codes)
        max_level = len(self.level_counts) // 2
        positions = codes.data.astype(np.int64) + max_level
        self.level_counts += np.bincount(positions, minlength=len(self.level_counts))
        self.size_counts += np.bincount(np.diff(codes.indptr), minlength=len(self.size_counts))

    @property
    def of_codes(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """The four counts that :meth:`fiftyone_smic.dictionary.costs.Costs.from_counts` takes."""
        return self.counts, self.other_counts, self.level_counts, self.size_counts

    @property
    def items(self) -> int:
        """Number of items."""
        return int(self.size_counts.sum())

    def __add__(self, other: Statistics) -> Statistics:
        """The sums of the items of both."""
        names = [each.name for each in fields(self)]
        return Statistics(*(getattr(self, name) + getattr(other, name) for name in names))

    def same(self, other: Statistics) -> bool:
        """Whether these are the same sums."""
        return all(
            np.array_equal(getattr(self, each.name), getattr(other, each.name))
            for each in fields(self)
        )

    def scaled(self, factor: float) -> Statistics:
        """Return the sums of ``factor`` times as many items like these, in whole numbers."""
        if factor == 1:
            return self
        sums = {each.name: np.rint(getattr(self, each.name) * factor) for each in fields(self)}
        sums["energy"] = int(sums["energy"])
        for name in ("counts", "other_counts", "level_counts", "size_counts"):
            sums[name] = sums[name].astype(np.int64)
        return Statistics(**sums)

    def take(self, atoms: NDArray[np.intp]) -> Statistics:
        """Return the sums for the atoms at these positions only, in that order."""
        return Statistics(
            self.gram[np.ix_(atoms, atoms)],
            self.cross[atoms],
            self.total[atoms],
            self.latents,
            self.energy,
            self.counts[atoms],
            self.other_counts[atoms],
            self.level_counts,
            self.size_counts,
        )

    def centred(self, mean: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the sum of c (z - mean)', (K, d) float64."""
        return self.cross / _GRID - self.total[:, None] * mean.astype(np.float64)

    def change(
        self, mean: NDArray[np.float32], atoms: NDArray[np.float32], metric: NDArray[np.float32]
    ) -> float:
        """Return by how much the codes change the sum over items of (z - z')' metric (z - z').

        Without codes every z' is the mean.
        """
        a = atoms.astype(np.float64)
        seen = a @ metric.astype(np.float64)
        return float(np.einsum("ij,ij->", seen, self.gram @ a - 2 * self.centred(mean)))

    def distortion(self, mean: NDArray[np.float32], atoms: NDArray[np.float32]) -> float:
        """Return the sum over items of |z - mean - sum_j c_j atom_j|^2."""
        m, a = mean.astype(np.float64), atoms.astype(np.float64)
        spread = (
            self.energy / 2.0**30 - 2 * float(self.latents @ m) / _GRID + self.items * float(m @ m)
        )
        fit = np.einsum("ij,ij->", a, self.gram @ a - 2 * self.centred(mean))
        return max(0.0, spread + float(fit))
