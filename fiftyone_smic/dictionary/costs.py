"""Code lengths, in bits, that pursuit assumes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.coefficients import CoefficientCosts, code_lengths


@dataclass(frozen=True)
class Costs:
    """Code lengths in bits.

    Attributes:
        index: (K,) float64, of saying that an item uses atom k.
        coefficients: of the coefficients.
        size: (max_nonzero + 1,) float64, of saying that an item has n atoms.
    """

    index: NDArray[np.float64]
    coefficients: CoefficientCosts
    size: NDArray[np.float64]

    @property
    def support(self) -> NDArray[np.float64]:
        """(max_nonzero + 1,) float64: the cost of a size, less the log2 n! bits that a *set* of
        atoms saves against a sequence."""
        orders = [math.lgamma(n + 1) / math.log(2) for n in range(len(self.size))]
        return self.size - np.array(orders)

    @classmethod
    def initial(cls, n_atoms: int, max_level: int, max_nonzero: int) -> Costs:
        """Return costs to start from, with which all atoms and all sizes are alike."""
        return cls(
            np.full(n_atoms, math.log2(max(n_atoms, 2))),
            CoefficientCosts.initial(n_atoms, max_level),
            np.full(max_nonzero + 1, 2.0),
        )

    @classmethod
    def from_counts(
        cls,
        counts: NDArray,
        other_counts: NDArray,
        level_counts: NDArray,
        size_counts: NDArray,
    ) -> Costs:
        """Return Krichevsky-Trofimov estimates from counts.

        Args:
            counts: (K,) uses of each atom.
            other_counts: (K,) uses of these with another coefficient than 1.
            level_counts: (2 max_level + 1,) uses of coefficient q at position q + max_level.
            size_counts: (max_nonzero + 1,) items with n atoms.
        """
        return cls(
            code_lengths(counts),
            CoefficientCosts.from_counts(counts, other_counts, level_counts),
            code_lengths(size_counts),
        )

    def total(
        self,
        counts: NDArray,
        other_counts: NDArray,
        level_counts: NDArray,
        size_counts: NDArray,
    ) -> float:
        """Return the bits of all items together that have these counts."""
        one, other, value = (getattr(self.coefficients, n) for n in ("one", "other", "value"))
        atoms = counts @ (self.index + one) + other_counts @ (other - one)
        return float(atoms + value @ level_counts + self.support @ size_counts)

    def of_items(self, codes: csr_matrix) -> NDArray[np.float64]:
        """Return the bits (N,) float64 of each item of codes (N, K)."""
        sizes = np.diff(codes.indptr)
        items = np.repeat(np.arange(len(sizes)), sizes)
        bits = self.index[codes.indices] + self.coefficients.of(codes.indices, codes.data)
        return self.support[sizes] + np.bincount(items, weights=bits, minlength=len(sizes))
