"""Code lengths, in bits, that pursuit assumes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import odds_of


@dataclass(frozen=True)
class Costs:
    """Code lengths in bits.

    Attributes:
        index: (K,) of using atom j.
        unit, other: (K,) of that its coefficient is 1, or that it is another.
        level: (2 L + 1,) of which other one, coefficient q at position q + L; 0 for q = 1, the
            entry of q = 0 is unused.
        size: (max_nonzero + 1,) of an item with n atoms.
    """

    index: NDArray[np.float64]
    unit: NDArray[np.float64]
    other: NDArray[np.float64]
    level: NDArray[np.float64]
    size: NDArray[np.float64]

    @property
    def support(self) -> NDArray[np.float64]:
        """(max_nonzero + 1,) of the size of a set of n atoms, less what its order would say."""
        orders = [math.lgamma(n + 1) / math.log(2) for n in range(len(self.size))]
        return self.size - np.array(orders)

    @classmethod
    def initial(cls, n_atoms: int, max_level: int, max_nonzero: int) -> Costs:
        """A flat start: all atoms alike, +1 the cheapest coefficient, then -1."""
        level = np.full(2 * max_level + 1, 3.0)
        level[max_level - 1], level[max_level + 1] = 2.0, 0.0
        return cls(
            np.full(n_atoms, math.log2(max(n_atoms, 2))),
            np.full(n_atoms, 0.7),
            np.zeros(n_atoms),
            level,
            np.full(max_nonzero + 1, 2.0),
        )

    @classmethod
    def from_counts(cls, index: NDArray, others: NDArray, level: NDArray, size: NDArray) -> Costs:
        """Krichevsky-Trofimov estimates from how often each atom was used, and with another
        coefficient than 1, and how often each coefficient and each size was used."""
        odds = odds_of(index, others) / 2
        middle = len(level) // 2
        lengths = np.zeros(len(level))
        which = np.delete(np.arange(len(level)), [middle, middle + 1])  # neither 0 nor 1
        lengths[which] = _code_lengths(np.asarray(level)[which])
        return cls(
            _code_lengths(index),
            np.log2(1 + 2.0**odds),
            np.log2(1 + 2.0**-odds),
            lengths,
            _code_lengths(size),
        )

    def total(self, index: NDArray, others: NDArray, level: NDArray, size: NDArray) -> float:
        """Bits of all items together that these counts, as in :meth:`from_counts`, are of."""
        atoms = index @ (self.index + self.unit) + others @ (self.other - self.unit)
        return float(atoms + self.level @ level + self.support @ size)

    def of_items(self, codes: csr_matrix) -> NDArray[np.float64]:
        """Bits (N,) of each item of codes (N, K)."""
        sizes = np.diff(codes.indptr)
        rows = np.repeat(np.arange(len(sizes)), sizes)
        each = np.where(codes.data == 1, self.unit[codes.indices], self.other[codes.indices])
        each += self.index[codes.indices]
        each += self.level[codes.data.astype(np.int64) + len(self.level) // 2]
        return self.support[sizes] + np.bincount(rows, weights=each, minlength=len(sizes))


def _code_lengths(counts: NDArray) -> NDArray[np.float64]:
    c = np.asarray(counts, np.float64) + 0.5
    return -np.log2(c / c.sum()) if len(c) else c
