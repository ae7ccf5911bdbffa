"""What a dictionary needs to know of the items it was learned on: additive, exact, small."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import others_of
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.utils.parallel import in_chunks

#: Latents are rounded to multiples of 2**-20 here, so that all sums are sums of whole numbers below
#: 2**53 in float64: exact, whatever the order or the sharding.
_GRID = float(1 << 20)


@nb.njit(cache=True, nogil=True)
def _accumulate(indptr, indices, levels, latents, gram, cross, total, sums):
    """Adds items to the sums; returns the sum of their squares in units of 2**-30."""
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
            q = float(levels[a])
            total[j] += q
            target = cross[j]
            for x in range(d):
                target[x] += q * z[x]
            for b in range(indptr[i], indptr[i + 1]):
                gram[j, indices[b]] += q * levels[b]
    return energy


@dataclass
class Statistics:
    """Sums over items of codes c (K,) and latents z (d,).

    Attributes:
        gram: (K, K) sum of c c'.
        cross: (K, d) sum of c z', in units of 2**-20.
        total: (K,) sum of c.
        latents: (d,) sum of z, in units of 2**-20.
        energy: sum of z'z, in units of 2**-30.
        counts, others: (K,) items that use each atom, and with another coefficient than 1.
        levels: (2 L + 1,) uses of coefficient q at q + L.
        sizes: (M + 1,) items with n atoms.
    """

    gram: NDArray[np.float64]
    cross: NDArray[np.float64]
    total: NDArray[np.float64]
    latents: NDArray[np.float64]
    energy: float
    counts: NDArray[np.int64]
    others: NDArray[np.int64]
    levels: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def empty(cls, k: int, d: int, max_level: int, max_nonzero: int) -> Statistics:
        """Of no items."""
        return cls(
            np.zeros((k, k)),
            np.zeros((k, d)),
            np.zeros(k),
            np.zeros(d),
            0.0,
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
        others: NDArray[np.int64],
        levels: NDArray[np.int64],
        sizes: NDArray[np.int64],
    ) -> Statistics:
        """As if each use of an atom had been an item of its own: when the items are not there."""
        q = np.arange(len(levels)) - len(levels) // 2
        energy = counts * float(levels @ np.square(q)) / max(int(levels.sum()), 1)
        total = counts.astype(np.float64)
        m = mean.astype(np.float64)
        return cls(
            np.diag(energy),
            np.rint((total[:, None] * m + energy[:, None] * atoms) * _GRID),
            total,
            np.rint(sizes.sum() * m * _GRID),
            0.0,
            counts,
            others,
            levels,
            sizes,
        )

    @classmethod
    def of_pursuit(
        cls, pursuit: Pursuit, latents: NDArray[np.float32], max_level: int, max_nonzero: int
    ) -> Statistics:
        """Of latents (N, d) and the codes they get, which are not kept."""
        own, parts = threading.local(), []

        def chunk(part: slice) -> None:
            if not hasattr(own, "sums"):
                own.sums = cls.empty(pursuit.n_atoms, latents.shape[1], max_level, max_nonzero)
                parts.append(own.sums)
            own.sums.add_items(pursuit.code_chunk(latents[part]), latents[part])

        in_chunks(chunk, len(latents))
        for other in parts[1:]:
            parts[0].add(other)
        return parts[0]

    def add_items(self, codes: csr_matrix, latents: NDArray[np.float32]) -> None:
        """Takes items in: codes (N, K), latents (N, d)."""
        self.energy += _accumulate(
            codes.indptr,
            codes.indices,
            codes.data,
            np.ascontiguousarray(latents),
            self.gram,
            self.cross,
            self.total,
            self.latents,
        )
        self.counts += np.bincount(codes.indices, minlength=len(self.counts))
        self.others += others_of(codes)
        middle = len(self.levels) // 2
        self.levels += np.bincount(codes.data.astype(np.int64) + middle, minlength=len(self.levels))
        self.sizes += np.bincount(np.diff(codes.indptr), minlength=len(self.sizes))

    @property
    def of_codes(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        """The counts that :class:`fiftyone_smic.dictionary.costs.Costs` are of."""
        return self.counts, self.others, self.levels, self.sizes

    @property
    def items(self) -> int:
        """How many items these are."""
        return int(self.sizes.sum())

    def add(self, other: Statistics) -> None:
        """Takes the items of the other in."""
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def same(self, other: Statistics) -> bool:
        """Whether these are the same sums."""
        return all(
            np.array_equal(getattr(self, n), getattr(other, n)) for n in self.__dataclass_fields__
        )

    def scaled(self, factor: float) -> Statistics:
        """What ``factor`` times as many items like these would give, in whole numbers."""
        sums = {n: np.rint(getattr(self, n) * factor) for n in self.__dataclass_fields__}
        for name in ("counts", "others", "levels", "sizes"):
            sums[name] = sums[name].astype(np.int64)
        return Statistics(**sums)

    def take(self, atoms: NDArray[np.intp]) -> Statistics:
        """Of the given atoms only, in that order."""
        return Statistics(
            self.gram[np.ix_(atoms, atoms)],
            self.cross[atoms],
            self.total[atoms],
            self.latents,
            self.energy,
            self.counts[atoms],
            self.others[atoms],
            self.levels,
            self.sizes,
        )

    def centred(self, mean: NDArray[np.float32]) -> NDArray[np.float64]:
        """(K, d) sum of c (z - mean)'."""
        return self.cross / _GRID - self.total[:, None] * mean.astype(np.float64)

    def distortion(self, mean: NDArray[np.float32], atoms: NDArray[np.float32]) -> float:
        """Sum over items of |z - mean - sum_j c_j atom_j|^2."""
        m, a = mean.astype(np.float64), atoms.astype(np.float64)
        spread = (
            self.energy / 2.0**30 - 2 * float(self.latents @ m) / _GRID + self.items * float(m @ m)
        )
        fit = np.einsum("ij,ij->", a, self.gram @ a - 2 * self.centred(mean))
        return max(0.0, spread + float(fit))
