"""SemanticDictionary: a collection's latents as a mean plus a few atoms with small integer
coefficients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from . import basis
from .checking import check_codes, check_latents, check_parameters
from .initial import auto_atoms, residual_stages
from .priors import Prior, as_prior
from .pursuit import Costs, Pursuit
from .rows import Rows
from .statistics import Statistics

Progress = Callable[[float], None]


class SemanticDictionary(TransformerMixin, BaseEstimator):
    """Learns atoms and codes latents with them: ``z ~ mean + sum_j q_j atom_j``, integer ``q_j``,
    few of them.

    Everything minimises ``sum |z - z'|^2 + lam * (payload bits + dictionary bits)``: alternately a
    rate-distortion optimised pursuit (:mod:`fiftyone_smic.pursuit`), a closed-form least-squares
    update of the atoms (from ``A = C'C`` and ``B = C'Z``, as in Mairal et al. 2009 but exact), and
    a rate-distortion optimised quantisation of the atoms and the mean. The idea of a semantic
    dictionary on CLIP latents is Bachard and Maugey's (arXiv 2412.05035).

    Args:
        n_atoms: number of atoms to start with, or "auto" for about ``N**0.7``. Atoms that do not
            pay for themselves are dropped, so ``n_atoms_`` may be smaller.
        lam: squared distance one bit is worth, for unit-norm latents. Larger: fewer bits. 0.0025
            keeps about 40 % of the variance of 3,000 photographs, 0.001 about 56 %.
        max_nonzero: at most so many atoms per item.
        max_level: coefficients are between -max_level and max_level, at most 127.
        nonnegative: only positive coefficients.
        max_iter: rounds of pursuit and update.
        random_state: seed of the initialisation.
        prior: public basis the atoms are coded in, a Prior or its file; an archive then needs it to
            be read.

    Attributes:
        mean_: (d,) float32. Exactly the value an archive holds.
        atoms_: (K, d) float32, most used first. Exactly the values an archive holds.
        n_atoms_: K.
        n_features_in_: d.
        counts_: (K,) int64, how many training items use each atom.
        level_counts_: (2 max_level + 1,) int64, how often coefficient q was used, at position q +
            max_level.
        size_counts_: (max_nonzero + 1,) int64, how many training items have n atoms.
        atom_rows_, mean_rows_: the integers behind atoms_ and mean_.
        prior_: the Prior behind them, or None.
    """

    def __init__(
        self,
        n_atoms: int | str = "auto",
        *,
        lam: float = 0.002,
        max_nonzero: int = 16,
        max_level: int = 4,
        nonnegative: bool = False,
        max_iter: int = 20,
        random_state: Any = 0,
        prior: Prior | str | None = None,
    ) -> None:
        self.n_atoms = n_atoms
        self.lam = lam
        self.max_nonzero = max_nonzero
        self.max_level = max_level
        self.nonnegative = nonnegative
        self.max_iter = max_iter
        self.random_state = random_state
        self.prior = prior

    # --- learning --------------------

    def fit(
        self, Z: ArrayLike, y: Any = None, *, progress: Progress | None = None
    ) -> SemanticDictionary:
        """Learns mean and atoms.

        Args:
            Z: (N, d) latents, N >= 2, finite, normally of unit norm. Any float dtype.
            y: ignored.
            progress: called with the fraction done, 0..1.

        Raises:
            ValueError: fewer than two items, rows with NaN or infinity (named), or a parameter out
                of range.
        """
        check_parameters(self)
        z = check_latents(Z, minimum=2)
        self.n_features_in_ = z.shape[1]
        self.prior_ = as_prior(self.prior)
        if self.prior_ is not None and len(self.prior_.mean) != z.shape[1]:
            raise ValueError(
                f"the prior is for {len(self.prior_.mean)} dimensions, "
                f"the latents have {z.shape[1]}"
            )
        rng = check_random_state(self.random_state)
        mean = z.mean(axis=0, dtype=np.float64)
        self._set_mean(basis.quantise_mean(mean, len(z), self.lam, self.prior_))
        wanted = self._wanted_atoms(len(z))
        few = _some(z, max(10 * wanted, 4000), rng) - self.mean_
        atoms = residual_stages(few, wanted, rng)
        # The first rounds need not see every item of a large collection.
        few = _some(z, 20 * wanted, rng)
        costs = Costs.initial(len(atoms), self.max_level, self.max_nonzero)
        rows: Rows | None = None
        best: tuple[Rows, Statistics] | None = None
        least = math.inf
        for step in range(self.max_iter + 1):
            part = few if step < self.max_iter // 2 else z
            found = Statistics.of_pursuit(
                self._pursuit(atoms, costs), part, self.max_level, self.max_nonzero
            ).scaled(len(z) / len(part))
            if rows is not None and len(part) == len(z):
                bits = rows.bits + self._payload_bits(found)
                objective = found.distortion(self.mean_, atoms) + self.lam * bits
                if objective < least:
                    least, best = objective, (rows, found)
            if progress:
                progress((step + 1) / (self.max_iter + 1))
            if step == self.max_iter:
                break
            order = np.argsort(-found.counts, kind="stable")
            found = found.take(order[found.counts[order] >= (1 if step < 2 else 2)])
            rows, alive = self._solve(found, predict=step >= self.max_iter // 2)
            found = found.take(alive)
            atoms = basis.atom_values(rows, self.prior_)
            costs = Costs.from_counts(found.counts, found.levels, _smooth(found.sizes))
        assert best is not None  # max_iter is at least 1
        rows, found = best
        self._set_rows(rows)
        self._set_counts(found)
        return self

    def _wanted_atoms(self, n_items: int) -> int:
        wanted = auto_atoms(n_items) if self.n_atoms == "auto" else int(self.n_atoms)
        if wanted > n_items:
            warnings.warn(
                f"n_atoms={wanted} is more than the {n_items} items there are: using {n_items}",
                stacklevel=3,
            )
        return min(wanted, n_items)

    def _pursuit(self, atoms: NDArray[np.float32], costs: Costs) -> Pursuit:
        # lam as an archive keeps it, so that a dictionary read back codes exactly alike.
        lam = float(np.float32(self.lam))
        return Pursuit(atoms, costs, lam, mean=self.mean_, nonnegative=self.nonnegative)

    def _solve(self, found: Statistics, predict: bool) -> tuple[Rows, NDArray[np.intp]]:
        """Least-squares atoms, quantised, and which of them are not zero."""
        gram = found.gram + 2 * self.lam * np.eye(len(found.counts))
        cross = found.centred(self.mean_)
        atoms = np.asarray(np.linalg.solve(gram, cross), np.float64) if len(gram) else cross
        rows = basis.quantise_atoms(atoms, gram, self.lam, self.prior_, predict=predict)
        used = np.asarray(rows.levels.any(axis=1))
        used[rows.terms[:, 0]] = True
        alive = np.flatnonzero(used)
        return rows.take(alive), alive

    def _payload_bits(self, found: Statistics) -> float:
        costs = Costs.from_counts(found.counts, found.levels, found.sizes)
        sets = np.array([math.lgamma(n + 1) / math.log(2) for n in range(len(found.sizes))])
        return float(
            found.counts @ costs.index
            + found.levels @ costs.level
            + found.sizes @ (costs.size - sets)
        )

    def _set_mean(self, rows: Rows) -> None:
        self.mean_rows_ = rows
        self.mean_ = basis.mean_value(rows, self.prior_)

    def _set_rows(self, rows: Rows) -> None:
        self.atom_rows_ = rows
        self.atoms_ = basis.atom_values(rows, self.prior_)
        self.n_atoms_ = len(self.atoms_)

    def _set_counts(self, found: Statistics) -> None:
        self.counts_ = found.counts.astype(np.int64)
        self.level_counts_ = found.levels.astype(np.int64)
        self.size_counts_ = found.sizes.astype(np.int64)

    statistics_: Statistics

    def partial_fit(self, Z: ArrayLike, y: Any = None) -> SemanticDictionary:
        """Learns from one more batch of a stream: codes it, adds its statistics, solves again.

        The first call learns from its batch alone, so it should hold a few hundred items.

        Args:
            Z: (N, d) latents; the first batch at least 2.
            y: ignored.

        Raises:
            ValueError: as in :meth:`fit`, or another dimension than before.
        """
        if not hasattr(self, "atoms_"):
            self.fit(Z)
        z = check_latents(Z, dimensions=self.n_features_in_)
        if not hasattr(self, "statistics_") or len(self.statistics_.counts) != self.n_atoms_:
            self.statistics_ = Statistics.empty(
                self.n_atoms_, self.n_features_in_, self.max_level, self.max_nonzero
            )
        codes = self.transform(z)
        self.statistics_.add(Statistics.of(codes, z, self.max_level, self.max_nonzero))
        return self._relearn()

    def merge(self, other: SemanticDictionary) -> SemanticDictionary:
        """Takes in what a copy of this dictionary has learned from another shard by partial_fit.

        Raises:
            ValueError: the other has no statistics, or of other atoms.
        """
        mine, theirs = getattr(self, "statistics_", None), getattr(other, "statistics_", None)
        if mine is None or theirs is None or mine.cross.shape != theirs.cross.shape:
            raise ValueError("only dictionaries that continue from the same atoms can be merged")
        mine.add(theirs)
        return self._relearn()

    def _relearn(self) -> SemanticDictionary:
        """Atoms from the statistics; all are kept, so that codes made before stay readable."""
        found = self.statistics_
        idle = found.counts == 0
        gram = found.gram + 2 * self.lam * np.eye(self.n_atoms_)
        cross = found.centred(self.mean_)
        # An atom without evidence yet stays as it was.
        gram[idle, idle] = 1.0
        cross[idle] = self.atoms_[idle]
        if self.n_atoms_:
            atoms = np.asarray(np.linalg.solve(gram, cross), np.float64)
            self._set_rows(basis.quantise_atoms(atoms, gram, self.lam, self.prior_))
        self._set_counts(found)
        return self

    # --- using --------------------

    def transform(self, Z: ArrayLike) -> csr_matrix:
        """Codes latents under the training statistics; an item's code does not depend on the
        others.

        Args:
            Z: (N, d) latents, finite.

        Returns:
            (N, K) CSR matrix of int8 coefficients.

        Raises:
            ValueError: wrong dimension, or rows with NaN or infinity (named).
        """
        check_is_fitted(self, "atoms_")
        z = check_latents(Z, dimensions=self.n_features_in_)
        return self._pursuit(self.atoms_, self._costs()).code(z)

    def fit_transform(self, Z: ArrayLike, y: Any = None, **fit_params: Any) -> csr_matrix:
        """:meth:`fit`, then :meth:`transform` of the same latents."""
        return self.fit(Z, y, **fit_params).transform(Z)

    def inverse_transform(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float32]:
        """Codes (N, K) -> latents (N, d) float32, not renormalised, the mean added.

        Raises:
            ValueError: the number of columns is not K.
        """
        check_is_fitted(self, "atoms_")
        c = check_codes(codes, self.n_atoms_)
        return np.asarray(c.astype(np.float32) @ self.atoms_, np.float32) + self.mean_

    def code_bits(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float64]:
        """Bits each item takes (N,) under the training statistics; an archive's own statistics are
        at least as good.

        Raises:
            ValueError: the number of columns is not K, or coefficients or sizes exceed max_level or
            max_nonzero.
        """
        check_is_fitted(self, "atoms_")
        c = check_codes(codes, self.n_atoms_)
        sizes = np.diff(c.indptr)
        if c.nnz and (
            np.abs(c.data.astype(np.int64)).max() > self.max_level or sizes.max() > self.max_nonzero
        ):
            raise ValueError(
                f"codes exceed this dictionary's max_level={self.max_level} or "
                f"max_nonzero={self.max_nonzero}"
            )
        costs = self._costs()
        each = costs.index[c.indices] + costs.level[c.data.astype(np.int64) + self.max_level]
        rows = np.repeat(np.arange(len(sizes)), sizes)
        sets = np.array([math.lgamma(n + 1) / math.log(2) for n in range(self.max_nonzero + 1)])
        return (
            costs.size[sizes] - sets[sizes] + np.bincount(rows, weights=each, minlength=len(sizes))
        )

    def _costs(self) -> Costs:
        return Costs.from_counts(self.counts_, self.level_counts_, self.size_counts_)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the K columns of the codes: atom0, atom1, ..."""
        check_is_fitted(self, "atoms_")
        return np.array([f"atom{j}" for j in range(self.n_atoms_)], dtype=object)

    # --- storing --------------------

    def to_arrays(self) -> dict[str, NDArray]:
        """Everything learned and every parameter as arrays that load without pickle; see
        :meth:`from_arrays`."""
        check_is_fitted(self, "atoms_")
        auto = self.n_atoms == "auto"
        prior = {}
        if self.prior_ is not None:
            prior = {f"prior_{n}": getattr(self.prior_, n) for n in ("mean", "basis", "profile")}
        return {
            "parameters": np.array(
                [
                    -1 if auto else self.n_atoms,
                    self.lam,
                    self.max_nonzero,
                    self.max_level,
                    self.nonnegative,
                    self.max_iter,
                ],
                np.float64,
            ),
            **basis.rows_to_arrays("mean", self.mean_rows_),
            **basis.rows_to_arrays("atom", self.atom_rows_),
            **prior,
            "counts": self.counts_,
            "level_counts": self.level_counts_,
            "size_counts": self.size_counts_,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> SemanticDictionary:
        """A dictionary equal to the one :meth:`to_arrays` was called on (the seed and partial_fit's
        sums are not kept).

        Raises:
            ValueError: an array is missing or the shapes do not fit together.
        """
        try:
            p = arrays["parameters"]
            out = cls(
                "auto" if p[0] < 0 else int(p[0]),
                lam=float(p[1]),
                max_nonzero=int(p[2]),
                max_level=int(p[3]),
                nonnegative=bool(p[4]),
                max_iter=int(p[5]),
            )
            mean, atoms = (basis.rows_from_arrays(name, arrays) for name in ("mean", "atom"))
            if "prior_mean" in arrays:
                out.prior = Prior(*(arrays[f"prior_{n}"] for n in ("mean", "basis", "profile")))
            counts = [
                np.asarray(arrays[n], np.int64) for n in ("counts", "level_counts", "size_counts")
            ]
        except (KeyError, IndexError) as e:
            raise ValueError(f"not a stored dictionary: {e}") from e
        return out._restore(mean, atoms, *counts)

    def _restore(
        self, mean: Rows, atoms: Rows, counts: NDArray, levels: NDArray, sizes: NDArray
    ) -> SemanticDictionary:
        """Sets what was learned; the prior is the parameter's."""
        d = mean.levels.shape[-1]
        self.prior_ = as_prior(self.prior)
        if (
            mean.levels.shape != (1, d)
            or atoms.levels.shape != (len(counts), d)
            or levels.shape != (2 * self.max_level + 1,)
            or sizes.shape != (self.max_nonzero + 1,)
            or (self.prior_ is not None and self.prior_.mean.shape != (d,))
        ):
            raise ValueError("not a stored dictionary: its arrays do not fit together")
        self.n_features_in_ = d
        self._set_mean(mean)
        self._set_rows(atoms)
        self.counts_, self.level_counts_, self.size_counts_ = counts, levels, sizes
        return self


def _some(z: NDArray[np.float32], n: int, rng: np.random.RandomState) -> NDArray[np.float32]:
    """Up to n of the latents, in their order."""
    return z if n >= len(z) else z[np.sort(rng.permutation(len(z))[:n])]


def _smooth(sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts of sizes, spread over their neighbours: else a size that is rare once stays so."""
    return np.convolve(np.pad(sizes, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")
