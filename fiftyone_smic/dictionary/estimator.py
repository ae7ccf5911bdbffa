"""SemanticDictionary: a collection's latents as a mean plus a few atoms with small integer
coefficients."""

from __future__ import annotations

import warnings
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted, check_random_state

from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary import quantisation, serialization
from fiftyone_smic.dictionary.alternation import STEP_ROUNDS, Alternation
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.initialization import auto_atoms
from fiftyone_smic.dictionary.priors import Prior, as_prior
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.sampling import reservoir, some
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.dictionary.validation import (
    check_codes,
    check_latents,
    check_limits,
    check_parameters,
)
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.progress import Progress

#: How many items for each atom a sample of a large collection has.
ITEMS_PER_ATOM = 20


class SemanticDictionary(TransformerMixin, BaseEstimator):
    """Learns atoms and codes latents with them: ``z ~ mean + sum_j q_j atom_j``, integer ``q_j``,
    few of them.

    Everything minimises ``sum |z - z'|^2 + lam * (payload bits + dictionary bits)``: alternately a
    rate-distortion optimised pursuit (:mod:`fiftyone_smic.dictionary.pursuit`), a closed-form
    least-squares update of the atoms (from ``A = C'C`` and ``B = C'Z``, as in Mairal et al.
    2009 but exact), and a rate-distortion optimised quantisation of the atoms and the mean. The
    idea of a semantic dictionary on CLIP latents is Bachard and Maugey's (arXiv 2412.05035).

    Args:
        n_atoms: number of atoms to start with, or "auto" for ``0.6 N**0.7``. Atoms that do not pay
            for themselves are dropped, so ``n_atoms_`` may be smaller.
        lam: squared distance one bit is worth, for unit-norm latents. Larger: fewer bits. 0.0025
            keeps about 40 % of the variance of 3,000 photographs, 0.001 about 56 %.
        max_nonzero: at most so many atoms per item.
        max_level: coefficients are between -max_level and max_level, at most 127.
        nonnegative: only positive coefficients.
        max_iter: rounds of pursuit and update.
        n_swaps: how often to leave the local minimum afterwards, by spending more bits for a few
            rounds and then by putting some atoms anew, and keep what is better; "auto" for 10,000
            // N, at most 6, which save up to 5 % of the bits of some hundred or thousand items.
        random_state: seed of the initialisation and the swaps.
        prior: public basis the atoms are coded in, a Prior or its file; an archive then needs it to
            be read.

    Attributes:
        mean_: (d,) float32. Exactly the value an archive holds.
        atoms_: (K, d) float32, most used first. Exactly the values an archive holds.
        n_atoms_: K.
        n_features_in_: d.
        counts_: (K,) int64, how many training items use each atom.
        other_counts_: (K,) int64, in how many of these its coefficient is not 1.
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
        lam: float = LAM,
        max_nonzero: int = 16,
        max_level: int = 4,
        nonnegative: bool = False,
        max_iter: int = 20,
        n_swaps: int | str = "auto",
        random_state: Any = 0,
        prior: Prior | str | None = None,
    ) -> None:
        self.n_atoms = n_atoms
        self.lam = lam
        self.max_nonzero = max_nonzero
        self.max_level = max_level
        self.nonnegative = nonnegative
        self.max_iter = max_iter
        self.n_swaps = n_swaps
        self.random_state = random_state
        self.prior = prior

    # --- learning --------------------

    def fit(
        self,
        Z: ArrayLike,
        y: Any = None,
        *,
        n_items: int | None = None,
        progress: Progress | None = None,
    ) -> SemanticDictionary:
        """Learns mean and atoms.

        Args:
            Z: (N, d) latents, N >= 2, finite, normally of unit norm. Any float dtype.
            y: ignored.
            n_items: how many items the dictionary is for, if these are a sample of more: the more
                they are, the finer its atoms are coded.
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
        return self._learn(z, len(z) if n_items is None else n_items, progress)

    def _learn(
        self,
        z: NDArray[np.float32],
        n_items: int,
        progress: Progress | None = None,
        anew: bool = False,
    ) -> SemanticDictionary:
        """Learns from z (N, d), which stands for ``n_items`` items; ``anew``: and from the atoms
        that there are, if that is better."""
        rng = check_random_state(self.random_state)
        mean = z.mean(axis=0, dtype=np.float64)
        self._set_mean(quantisation.quantise_mean(mean, n_items, self.lam, self.prior_))
        wanted = self._wanted_atoms(n_items, len(z))
        # The first rounds need not see every item of a large collection.
        self.sample_ = some(z, ITEMS_PER_ATOM * wanted, rng)
        swaps = self.swaps_for(len(z))
        rounds, total = count(1), self.max_iter + 1 + swaps * STEP_ROUNDS

        def done() -> None:
            share = next(rounds) / total
            if progress:
                progress(share)

        alternation = Alternation(
            z,
            n_items,
            self.mean_,
            lam=self._lam,
            max_level=self.max_level,
            max_nonzero=self.max_nonzero,
            nonnegative=self.nonnegative,
            prior=self.prior_,
            done=done,
        )
        learned = alternation.start(self.sample_, wanted, self.max_iter, rng)
        if anew:
            learned = alternation.go_on(learned, self.atoms_, self._costs())
        for _ in range(swaps):
            learned = alternation.step(learned, wanted, rng)
        if progress:
            progress(1.0)
        self._set_rows(learned.rows)
        self._set_counts(*learned.sums.of_codes)
        self.statistics_, self.window_ = learned.sums, self._nothing()
        return self

    def _nothing(self) -> Statistics:
        return Statistics.empty(
            self.n_atoms_, self.n_features_in_, self.max_level, self.max_nonzero
        )

    def _wanted_atoms(self, n_items: int, most: int) -> int:
        if self.n_atoms == "auto":
            return min(auto_atoms(n_items), most)
        if int(self.n_atoms) > most:
            warnings.warn(
                f"n_atoms={self.n_atoms} is more than the {most} items there are: using {most}",
                stacklevel=4,
            )
        return min(int(self.n_atoms), most)

    def swaps_for(self, n: int) -> int:
        """How many swaps :meth:`fit` makes with n items."""
        return min(6, 10_000 // n) if self.n_swaps == "auto" else int(self.n_swaps)

    @property
    def _lam(self) -> float:
        """As an archive keeps it, so that a dictionary read back codes exactly alike."""
        return float(np.float32(self.lam))

    def _pursuit(self) -> Pursuit:
        return Pursuit(
            self.atoms_, self._costs(), self._lam, mean=self.mean_, nonnegative=self.nonnegative
        )

    def _costs(self) -> Costs:
        return Costs.from_counts(*self._counts())

    def _set_mean(self, rows: Rows) -> None:
        self.mean_rows_ = rows
        self.mean_ = quantisation.mean_value(rows, self.prior_)

    def _set_rows(self, rows: Rows) -> None:
        self.atom_rows_ = rows
        self.atoms_ = quantisation.atom_values(rows, self.prior_)
        self.n_atoms_ = len(self.atoms_)

    def _counts(self) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        return self.counts_, self.other_counts_, self.level_counts_, self.size_counts_

    def _set_counts(
        self, counts: NDArray, others: NDArray, levels: NDArray, sizes: NDArray
    ) -> None:
        self.counts_, self.other_counts_ = counts, others
        self.level_counts_, self.size_counts_ = levels, sizes

    def partial_fit(self, Z: ArrayLike, y: Any = None) -> SemanticDictionary:
        """Learns from one more batch of a stream: codes it, adds its statistics, solves again.

        The first call is :meth:`fit`, so its batch should hold a few hundred items. When two calls
        or more have brought twice as many items as were known before, everything is learned anew
        from a sample of the stream (of :data:`ITEMS_PER_ATOM` items for each atom), unless going on
        with the atoms that there are is better, so that the number of atoms grows with the stream
        and what codes of long ago said is forgotten. Until then atoms keep their place.

        Args:
            Z: (N, d) latents; the first batch at least 2.
            y: ignored.

        Raises:
            ValueError: as in :meth:`fit`, or another dimension than before.
        """
        if not hasattr(self, "atoms_"):
            return self.fit(Z)
        z = check_latents(Z, dimensions=self.n_features_in_)
        self._continue()
        known, came = self.statistics_.items, self.window_.items
        wanted = auto_atoms(known + came) if self.n_atoms == "auto" else int(self.n_atoms)
        self.sample_ = reservoir(self.sample_, z, known + came, ITEMS_PER_ATOM * max(wanted, 50))
        # Not in the first call: a shard of any size, given at once, can then be merged.
        grown = came > 0 and came + len(z) >= 2 * known
        if grown and len(self.sample_) > self.n_atoms_:
            return self._learn(self.sample_, came + len(z), anew=True)
        found = Statistics.of_pursuit(self._pursuit(), z, self.max_level, self.max_nonzero)
        self.window_.add(found)
        return self._relearn()

    def merge(self, other: SemanticDictionary) -> SemanticDictionary:
        """Takes in what a copy of this dictionary has learned from another shard.

        Copies that each called :meth:`partial_fit` on their shard merge to exactly what one call
        with all shards gives, in whatever order.

        Raises:
            ValueError: the other does not continue from the same atoms.
        """
        for dictionary in (self, other):
            check_is_fitted(dictionary, "atoms_")
            dictionary._continue()
        if not self.statistics_.same(other.statistics_):
            raise ValueError("only dictionaries that continue from the same atoms can be merged")
        self.window_.add(other.window_)
        return self._relearn()

    def _relearn(self) -> SemanticDictionary:
        """Atoms from the statistics; all are kept, so that codes made before stay readable."""
        found = self._nothing()
        found.add(self.statistics_)
        found.add(self.window_)
        idle = found.counts == 0
        gram = found.gram + 2 * self.lam * np.eye(self.n_atoms_)
        cross = found.centred(self.mean_)
        # An atom without evidence yet stays as it was.
        gram[idle, idle] = 1.0
        cross[idle] = self.atoms_[idle]
        if self.n_atoms_:
            atoms = np.asarray(np.linalg.solve(gram, cross), np.float64)
            self._set_rows(quantisation.quantise_atoms(atoms, gram, self.lam, self.prior_))
        self._set_counts(*found.of_codes)
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
        return self._pursuit().code(z)

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
        check_limits(c, self)
        return self._costs().of_items(c)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Names of the K columns of the codes: atom0, atom1, ..."""
        check_is_fitted(self, "atoms_")
        return np.array([f"atom{j}" for j in range(self.n_atoms_)], dtype=object)

    # --- storing --------------------

    def to_arrays(self) -> dict[str, NDArray]:
        """Everything learned and every parameter as arrays that load without pickle; see
        :meth:`from_arrays`."""
        check_is_fitted(self, "atoms_")
        return serialization.to_arrays(self)

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> SemanticDictionary:
        """A dictionary equal to the one :meth:`to_arrays` was called on (the seed and partial_fit's
        sums are not kept).

        Raises:
            ValueError: an array is missing or the shapes do not fit together.
        """
        return serialization.from_arrays(cls, arrays)

    def _restore(
        self,
        mean: Rows,
        atoms: Rows,
        counts: NDArray,
        others: NDArray,
        levels: NDArray,
        sizes: NDArray,
    ) -> SemanticDictionary:
        """Sets what was learned; the prior is the parameter's."""
        d = mean.levels.shape[-1]
        self.prior_ = as_prior(self.prior)
        if (
            mean.levels.shape != (1, d)
            or atoms.levels.shape != (len(counts), d)
            or others.shape != counts.shape
            or (others > counts).any()
            or min(a.min(initial=0) for a in (counts, others, levels, sizes)) < 0
            or levels.shape != (2 * self.max_level + 1,)
            or sizes.shape != (self.max_nonzero + 1,)
            or (self.prior_ is not None and self.prior_.mean.shape != (d,))
        ):
            raise ValueError("not a stored dictionary: its arrays do not fit together")
        self.n_features_in_ = d
        self._set_mean(mean)
        self._set_rows(atoms)
        self._set_counts(counts, others, levels, sizes)
        return self

    def _continue(self) -> None:
        """What learning on from a stored dictionary needs: K x K numbers, too much for whoever only
        reads it."""
        if not hasattr(self, "statistics_"):
            self.statistics_ = Statistics.implied(self.mean_, self.atoms_, *self._counts())
            self.window_ = self._nothing()
            self.sample_ = np.zeros((0, self.n_features_in_), np.float32)
