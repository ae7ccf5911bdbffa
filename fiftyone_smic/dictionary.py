"""SemanticDictionary: a collection's latents as a mean plus a few atoms with small integer coefficients."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, check_random_state

from .pursuit import Costs, pursue
from .quantise import Quantised, quantise_mean, quantise_rows

Progress = Callable[[float], None]

#: Fixed point of the additive statistics: sums of latents in units of 2**-20 are whole numbers in float64, so they do
#: not depend on the order of summation.
_GRID = float(1 << 20)


def auto_atoms(n_items: int) -> int:
    """The number of atoms to start from for N items: about ``N**0.7``, at least 1 and at most N."""
    return max(1, min(n_items, round(n_items**0.7)))


class SemanticDictionary(TransformerMixin, BaseEstimator):
    """Learns atoms and codes latents with them: ``z ~ mean + sum_j q_j atom_j``, integer ``q_j``, few of them.

    Everything minimises ``sum |z - z'|^2 + lam * (payload bits + dictionary bits)``: alternately a rate-distortion
    optimised pursuit (:mod:`fiftyone_smic.pursuit`), a closed-form least-squares update of the atoms (from
    ``A = C'C`` and ``B = C'Z``, as in Mairal et al. 2009 but exact), and a rate-distortion optimised quantisation of
    the atoms and the mean. The idea of a semantic dictionary on CLIP latents is Bachard and Maugey's (arXiv
    2412.05035).

    Args:
        n_atoms: number of atoms to start with, or "auto" for about ``N**0.7``. Atoms that do not pay for themselves
            are dropped, so ``n_atoms_`` may be smaller.
        lam: squared distance one bit is worth, for unit-norm latents. Larger: fewer bits. 0.002 keeps about 40 % of
            the variance of a few thousand photographs, 0.0005 about 60 %.
        max_nonzero: at most so many atoms per item.
        max_level: coefficients are between -max_level and max_level, at most 127.
        nonnegative: only positive coefficients.
        max_iter: rounds of pursuit and update.
        random_state: seed of the initialisation.

    Attributes:
        mean_: (d,) float32. Exactly the value an archive holds.
        atoms_: (K, d) float32, most used first. Exactly the values an archive holds.
        n_atoms_: K.
        n_features_in_: d.
        counts_: (K,) int64, how many training items use each atom.
        level_counts_: (2 max_level + 1,) int64, how often coefficient q was used, at position q + max_level.
        size_counts_: (max_nonzero + 1,) int64, how many training items have n atoms.
        quantised_atoms_, quantised_mean_: the integers behind atoms_ and mean_.
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
    ) -> None:
        self.n_atoms = n_atoms
        self.lam = lam
        self.max_nonzero = max_nonzero
        self.max_level = max_level
        self.nonnegative = nonnegative
        self.max_iter = max_iter
        self.random_state = random_state

    # --- learning -----------------------------------------------------------------------------------------------

    def fit(
        self, Z: ArrayLike, y: Any = None, *, progress: Progress | None = None
    ) -> SemanticDictionary:
        """Learns mean and atoms.

        Args:
            Z: (N, d) latents, N >= 2, finite, normally of unit norm. Any float dtype.
            y: ignored.
            progress: called with the fraction done, 0..1.

        Raises:
            ValueError: fewer than two items, rows with NaN or infinity (named), or a parameter out of range.
        """
        self._check_parameters()
        z = self._check_latents(Z, minimum=2)
        self.n_features_in_ = z.shape[1]
        rng = check_random_state(self.random_state)
        self._set_mean(z.mean(axis=0, dtype=np.float64), len(z))
        items = z - self.mean_
        atoms = self._initial_atoms(items, rng)
        costs = Costs.initial(len(atoms), self.max_level, self.max_nonzero)
        for step in range(self.max_iter):
            codes = self._pursue(items, atoms, costs)
            quantised, codes = self._update(codes, items, minimum_uses=1 if step < 2 else 2)
            atoms, costs = quantised.values(), self._count(codes)
            if progress:
                progress((step + 1) / (self.max_iter + 1))
        self._finish(items, quantised, costs)
        if progress:
            progress(1.0)
        return self

    def _initial_atoms(
        self, items: NDArray[np.float32], rng: np.random.RandomState
    ) -> NDArray[np.float32]:
        n = len(items)
        wanted = auto_atoms(n) if self.n_atoms == "auto" else int(self.n_atoms)
        if wanted > n:
            warnings.warn(
                f"n_atoms={wanted} is more than the {n} items there are: using {n}", stacklevel=3
            )
            wanted = n
        stages = 4 if wanted >= 16 else 1
        residual = items[np.sort(rng.permutation(n)[: max(40 * wanted, 4000)])]
        atoms: list[NDArray[np.float32]] = []
        for stage in range(stages):
            k = wanted * (stage + 1) // stages - wanted * stage // stages
            centres, labels = _kmeans(residual, k, rng)
            atoms.append(centres)
            residual = residual - centres[labels]
        return np.vstack(atoms)

    def _pursue(
        self, items: NDArray[np.float32], atoms: NDArray[np.float32], costs: Costs
    ) -> csr_matrix:
        # lam as an archive keeps it, so that a dictionary read back codes exactly alike.
        return pursue(
            items, atoms, costs, float(np.float32(self.lam)), nonnegative=self.nonnegative
        )

    def _update(
        self, codes: csr_matrix, items: NDArray[np.float32], minimum_uses: int
    ) -> tuple[Quantised, csr_matrix]:
        """Least-squares atoms for the codes, quantised; atoms that are hardly used or quantise to zero go."""
        codes = codes[:, np.flatnonzero(codes.getnnz(axis=0) >= minimum_uses)]
        wide = codes.astype(np.float64)
        gram = (wide.T @ wide).toarray() + 2 * self.lam * np.eye(codes.shape[1])
        atoms = (
            np.linalg.solve(gram, wide.T @ items.astype(np.float64)) if len(gram) else gram[:, :0]
        )
        quantised = quantise_rows(atoms.reshape(-1, items.shape[1]), gram, self.lam)
        alive = np.flatnonzero(quantised.levels.any(axis=1))
        return quantised.take(alive), codes[:, alive]

    def _count(self, codes: csr_matrix) -> Costs:
        self.counts_ = np.asarray(codes.getnnz(axis=0), np.int64).reshape(-1)
        self.level_counts_ = np.bincount(
            codes.data.astype(np.int64) + self.max_level, minlength=2 * self.max_level + 1
        ).astype(np.int64)
        self.size_counts_ = np.bincount(
            np.diff(codes.indptr), minlength=self.max_nonzero + 1
        ).astype(np.int64)
        return self._costs()

    def _finish(self, items: NDArray[np.float32], quantised: Quantised, costs: Costs) -> None:
        codes = self._pursue(items, quantised.values(), costs)
        order = np.argsort(-codes.getnnz(axis=0), kind="stable")
        order = order[codes.getnnz(axis=0)[order] > 0]
        self._set_atoms(quantised.take(order))
        self._count(self._pursue(items, self.atoms_, self._count(codes[:, order])))

    def _set_mean(self, mean: NDArray[np.float64], n_items: int) -> None:
        self.quantised_mean_ = quantise_mean(mean, n_items, self.lam)
        self.mean_ = self.quantised_mean_.values()[0]

    def _set_atoms(self, quantised: Quantised) -> None:
        self.quantised_atoms_ = quantised
        self.atoms_ = quantised.values()
        self.n_atoms_ = len(self.atoms_)

    def partial_fit(self, Z: ArrayLike, y: Any = None) -> SemanticDictionary:
        """Learns from one more batch of a stream: codes it, adds its statistics, solves for the atoms again.

        The first call learns from its batch alone, so it should hold a few hundred items.

        Args:
            Z: (N, d) latents; the first batch at least 2.
            y: ignored.

        Raises:
            ValueError: as in :meth:`fit`, or another dimension than before.
        """
        if not hasattr(self, "atoms_"):
            self.fit(Z)
            self._reset_sums()
        z = self._check_latents(Z)
        if not hasattr(self, "sums_"):
            self._reset_sums()
        codes = self.transform(z)
        wide = codes.astype(np.float64)
        s = self.sums_
        s["gram"] += (wide.T @ wide).toarray()
        s["cross"] += wide.T @ np.rint(z.astype(np.float64) * _GRID)
        s["total"] += np.asarray(wide.sum(axis=0)).reshape(-1)
        s["counts"] += codes.getnnz(axis=0)
        s["levels"] += np.bincount(
            codes.data.astype(np.int64) + self.max_level, minlength=2 * self.max_level + 1
        )
        s["sizes"] += np.bincount(np.diff(codes.indptr), minlength=self.max_nonzero + 1)
        gram = s["gram"] + 2 * self.lam * np.eye(self.n_atoms_)
        cross = s["cross"] / _GRID - s["total"][:, None] * self.mean_.astype(np.float64)
        if self.n_atoms_:
            quantised = quantise_rows(np.linalg.solve(gram, cross), gram, self.lam)
            # An atom without evidence yet stays as it was.
            idle = s["counts"] == 0
            quantised.levels[idle] = self.quantised_atoms_.levels[idle]
            quantised.exponents[idle] = self.quantised_atoms_.exponents[idle]
            self._set_atoms(quantised)
        self.counts_, self.level_counts_, self.size_counts_ = (
            s[name].astype(np.int64) for name in ("counts", "levels", "sizes")
        )
        return self

    def _reset_sums(self) -> None:
        k = self.n_atoms_
        self.sums_ = {
            "gram": np.zeros((k, k)),
            "cross": np.zeros((k, self.n_features_in_)),
            "total": np.zeros(k),
            "counts": np.zeros(k),
            "levels": np.zeros(2 * self.max_level + 1),
            "sizes": np.zeros(self.max_nonzero + 1),
        }

    # --- using --------------------------------------------------------------------------------------------------

    def transform(self, Z: ArrayLike) -> csr_matrix:
        """Codes latents under the training statistics; an item's code does not depend on the others.

        Args:
            Z: (N, d) latents, finite.

        Returns:
            (N, K) CSR matrix of int8 coefficients.

        Raises:
            ValueError: wrong dimension, or rows with NaN or infinity (named).
        """
        check_is_fitted(self, "atoms_")
        return self._pursue(self._check_latents(Z) - self.mean_, self.atoms_, self._costs())

    def fit_transform(self, Z: ArrayLike, y: Any = None, **fit_params: Any) -> csr_matrix:
        """:meth:`fit`, then :meth:`transform` of the same latents."""
        return self.fit(Z, y, **fit_params).transform(Z)

    def inverse_transform(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float32]:
        """Codes (N, K) -> latents (N, d) float32, not renormalised, the mean added.

        Raises:
            ValueError: the number of columns is not K.
        """
        check_is_fitted(self, "atoms_")
        c = self._check_codes(codes)
        return np.asarray(c.astype(np.float32) @ self.atoms_, np.float32) + self.mean_

    def code_bits(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float64]:
        """Bits each item takes (N,) under the training statistics; an archive's own statistics are at least as good.

        Raises:
            ValueError: the number of columns is not K, or coefficients or sizes exceed max_level or max_nonzero.
        """
        check_is_fitted(self, "atoms_")
        c = self._check_codes(codes)
        sizes = np.diff(c.indptr)
        if c.nnz and (
            np.abs(c.data.astype(np.int64)).max() > self.max_level or sizes.max() > self.max_nonzero
        ):
            raise ValueError(
                f"codes exceed this dictionary's max_level={self.max_level} or max_nonzero={self.max_nonzero}"
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

    # --- storing ------------------------------------------------------------------------------------------------

    def to_arrays(self) -> dict[str, NDArray]:
        """Everything learned and every parameter as arrays that load without pickle; see :meth:`from_arrays`."""
        check_is_fitted(self, "atoms_")
        auto = self.n_atoms == "auto"
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
            "mean_levels": self.quantised_mean_.levels,
            "mean_exponents": self.quantised_mean_.exponents,
            "atom_levels": self.quantised_atoms_.levels,
            "atom_exponents": self.quantised_atoms_.exponents,
            "counts": self.counts_,
            "level_counts": self.level_counts_,
            "size_counts": self.size_counts_,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> SemanticDictionary:
        """A dictionary equal to the one :meth:`to_arrays` was called on (the seed and partial_fit's sums are not kept).

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
            mean = Quantised(arrays["mean_levels"], arrays["mean_exponents"])
            atoms = Quantised(arrays["atom_levels"], arrays["atom_exponents"])
            counts = [
                np.asarray(arrays[n], np.int64) for n in ("counts", "level_counts", "size_counts")
            ]
        except (KeyError, IndexError) as e:
            raise ValueError(f"not a stored dictionary: {e}") from e
        return out._restore(mean, atoms, *counts)

    def _restore(
        self, mean: Quantised, atoms: Quantised, counts: NDArray, levels: NDArray, sizes: NDArray
    ) -> SemanticDictionary:
        d = mean.levels.shape[-1]
        if (
            mean.levels.shape != (1, d)
            or atoms.levels.shape != (len(counts), d)
            or levels.shape != (2 * self.max_level + 1,)
            or sizes.shape != (self.max_nonzero + 1,)
        ):
            raise ValueError("not a stored dictionary: its arrays do not fit together")
        self.n_features_in_ = d
        self.quantised_mean_, self.mean_ = mean, mean.values()[0]
        self._set_atoms(atoms)
        self.counts_, self.level_counts_, self.size_counts_ = counts, levels, sizes
        return self

    # --- checking -----------------------------------------------------------------------------------------------

    def _check_parameters(self) -> None:
        if self.n_atoms != "auto" and (isinstance(self.n_atoms, str) or int(self.n_atoms) < 1):
            raise ValueError(f'n_atoms must be "auto" or a positive integer, got {self.n_atoms!r}')
        if not self.lam > 0 or not math.isfinite(self.lam):
            raise ValueError(f"lam must be a positive number, got {self.lam!r}")
        if not 1 <= self.max_level <= 127:
            raise ValueError(f"max_level must be in 1..127, got {self.max_level!r}")
        if not 1 <= self.max_nonzero <= 255:
            raise ValueError(f"max_nonzero must be in 1..255, got {self.max_nonzero!r}")
        if self.max_iter < 1:
            raise ValueError(f"max_iter must be at least 1, got {self.max_iter!r}")

    def _check_latents(self, latents: ArrayLike, minimum: int = 0) -> NDArray[np.float32]:
        z = check_array(
            latents,
            dtype=np.float32,
            ensure_all_finite=False,
            ensure_min_samples=0,
            ensure_min_features=1,
        )
        if len(z) < minimum:
            raise ValueError(f"learning a dictionary needs at least {minimum} items, got {len(z)}")
        bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
        if len(bad):
            shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
            raise ValueError(
                f"{len(bad)} of {len(z)} latents contain NaN or infinity: rows {shown}"
            )
        if minimum == 0 and z.shape[1] != self.n_features_in_:
            raise ValueError(
                f"latents have {z.shape[1]} dimensions but this dictionary was learned on {self.n_features_in_}: "
                "use latents of the same encoder"
            )
        return z

    def _check_codes(self, codes: csr_matrix | ArrayLike) -> csr_matrix:
        c = codes.tocsr() if issparse(codes) else csr_matrix(np.asarray(codes))
        if c.shape[1] != self.n_atoms_:
            raise ValueError(
                f"codes have {c.shape[1]} columns but the dictionary has {self.n_atoms_} atoms"
            )
        return c


def _kmeans(
    items: NDArray[np.float32], k: int, rng: np.random.RandomState, rounds: int = 6
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Lloyd's algorithm from k random items: centres (k, d) and labels (n,); an empty cluster takes a far item."""
    centres = items[rng.permutation(len(items))[:k]].copy()
    for _ in range(rounds):
        scores = items @ centres.T - 0.5 * np.square(centres).sum(axis=1)
        labels = scores.argmax(axis=1)
        counts = np.bincount(labels, minlength=k)
        members = csr_matrix(
            (np.ones(len(items), np.float32), (labels, np.arange(len(items)))), (k, len(items))
        )
        centres = np.asarray(members @ items) / np.maximum(counts, 1)[:, None].astype(np.float32)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            far = np.argsort(scores.max(axis=1) - 0.5 * np.square(items).sum(axis=1), kind="stable")
            centres[empty] = items[far[: len(empty)]]
    scores = items @ centres.T - 0.5 * np.square(centres).sum(axis=1)
    return centres, scores.argmax(axis=1)
