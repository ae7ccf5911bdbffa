"""SemanticDictionary: a collection's latents as a mean plus a few atoms with small integer
coefficients."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from fiftyone_smic.dictionary import serialization
from fiftyone_smic.dictionary.fitted import Fitted
from fiftyone_smic.dictionary.metric import Metric, as_metric
from fiftyone_smic.dictionary.priors import Prior, as_prior
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.dictionary.validation import (
    check_codes,
    check_item_count,
    check_latents,
    check_lengths,
    check_limits,
)
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.progress import Progress

_FLOAT32 = np.finfo(np.float32)


class SemanticDictionary(TransformerMixin, Fitted, BaseEstimator):
    """Learns atoms and codes latents with them: ``z ~ mean + sum_j q_j atom_j``, where few of the
    integers ``q_j`` are not 0.

    Learning minimises ``sum |z - z'|^2 + lam * (payload bits + dictionary bits)``. It alternates a
    rate-distortion optimised pursuit (:mod:`fiftyone_smic.dictionary.pursuit`), a closed-form
    least-squares update of the atoms (from ``A = C'C`` and ``B = C'Z``, as in Mairal et al. 2009
    but exact), and a rate-distortion optimised quantisation of the atoms and the mean. The idea of
    a semantic dictionary on CLIP latents is Bachard and Maugey's (arXiv 2412.05035).

    Args:
        n_atoms: number of atoms to start with, or "auto" for ``0.6 N**0.7``. Atoms that do not pay
            for themselves are dropped, so ``n_atoms_`` may be smaller.
        lam: squared distance that one bit is worth, for latents of unit norm. A larger one gives
            fewer bits: 0.0025 keeps about 40 % of the variance of 3,000 photographs, 0.001 about
            56 %.
        max_nonzero: most atoms of an item, 1..255.
        max_level: largest magnitude of a coefficient, 1..127.
        nonnegative: allow only positive coefficients.
        max_iter: rounds of pursuit and update, at least 1.
        n_swaps: number of steps out of a local minimum afterwards, each of which spends more bits
            for a few rounds, then replaces a few atoms, and keeps what is better. "auto" means
            10,000 // N, at most 6. They save up to 5 % of the bits of some hundred or thousand
            items.
        random_state: seed of the initial atoms and the swaps.
        prior: public prior in whose basis the atoms are coded, a :class:`Prior` or its file; an
            archive can then be read only with it.
        n_jobs: number of threads of the pursuit. None means ``OMP_NUM_THREADS`` or else all cores,
            -1 all cores. The result is the same for every number.
        metric: which differences between latents matter: a :class:`Metric`, a (d, d) symmetric
            positive definite matrix M, or the file of a metric or of a prior that carries one.
            Everywhere above ``|z - z'|^2`` then is ``(z - z')' M (z - z')``, with M scaled so that
            the latents vary by it as much as by squared distance. None means squared distance. An
            archive does not hold the metric and is read without it; :meth:`to_arrays` holds it.

    Attributes:
        mean_: (d,) float32, exactly the value that an archive holds.
        atoms_: (K, d) float32, most used first, exactly the values that an archive holds.
        n_atoms_: K.
        n_features_in_: d.
        feature_names_in_: names of the d columns, if the latents had names.
        n_iter_: rounds of pursuit and update that the last learning made, those of the swaps
            included; 0 for a dictionary that was read from arrays or an archive.
        counts_: (K,) int64, number of training items that use each atom.
        other_counts_: (K,) int64, number of these in which its coefficient is not 1.
        level_counts_: (2 max_level + 1,) int64, uses of coefficient q at position q + max_level.
        size_counts_: (max_nonzero + 1,) int64, number of training items with n atoms.
        atom_rows_: the integers behind ``atoms_``.
        mean_rows_: the integers behind ``mean_``.
        lam_: ``lam`` as it was when the dictionary was learned; so are the next four.
        max_nonzero_: most atoms of an item.
        max_level_: largest magnitude of a coefficient.
        nonnegative_: whether all coefficients are positive.
        prior_: the :class:`Prior`, or None.
        metric_: (d, d) float32, the metric as it was scaled to the latents, or None.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> latents = rng.normal(size=(6, 16))[rng.integers(0, 6, 200)]
        >>> latents += 0.05 * rng.normal(size=latents.shape)
        >>> latents /= np.linalg.norm(latents, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(lam=0.01, max_iter=5).fit(latents)
        >>> codes = dictionary.transform(latents)
        >>> codes.shape == (200, dictionary.n_atoms_), codes.dtype
        (True, dtype('int8'))
        >>> error = latents - dictionary.inverse_transform(codes)
        >>> bool(np.square(error).sum() < 0.1 * np.square(latents - latents.mean(0)).sum())
        True
        >>> bool(dictionary.code_bits(codes).mean() < 8)
        True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "n_atoms": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        # An archive stores it as float32.
        "lam": [Interval(Real, float(_FLOAT32.tiny), float(_FLOAT32.max), closed="both")],
        "max_nonzero": [Interval(Integral, 1, 255, closed="both")],
        "max_level": [Interval(Integral, 1, 127, closed="both")],
        "nonnegative": ["boolean"],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_swaps": [Interval(Integral, 0, None, closed="left"), StrOptions({"auto"})],
        "random_state": ["random_state"],
        "prior": [Prior, str, os.PathLike, None],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
        "metric": ["array-like", Metric, str, os.PathLike, None],
    }

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
        prior: Prior | str | os.PathLike[str] | None = None,
        n_jobs: int | None = None,
        metric: Metric | ArrayLike | str | os.PathLike[str] | None = None,
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
        self.n_jobs = n_jobs
        self.metric = metric

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # codes are int8 for latents of any type
        return tags

    # --- learning --------------------

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        *,
        n_items: int | None = None,
        progress: Progress | None = None,
    ) -> SemanticDictionary:
        """Learn mean and atoms from latents.

        A fit that fails or is interrupted leaves the dictionary as it was.

        Args:
            X: (N, d) latents, N >= 2, finite, normally of unit norm, of any float type.
            y: ignored.
            n_items: number of items that the dictionary is for, if the latents are a sample of
                more: the more items there are, the finer the atoms are coded.
            progress: called with the fraction done, 0..1. It may raise to stop.

        Raises:
            ValueError: fewer than two items, rows with NaN, infinity or too large a norm (the
                message names them), a parameter out of range, ``n_items`` less than N, a prior or a
                metric of another dimension, or a matrix that is no metric.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> SemanticDictionary(4, max_iter=2).fit(latents, n_items=1000).n_features_in_
            8
        """
        self._validate_params()
        fresh = type(self)(**self.get_params(deep=False))
        z = fresh._latents(X, reset=True, minimum=2)
        check_lengths(z)
        prior = as_prior(self.prior)
        if prior is not None and len(prior.mean) != z.shape[1]:
            raise ValueError(
                f"the prior is for {len(prior.mean)} dimensions, the latents have {z.shape[1]}"
            )
        metric = _fitting(self.metric, z)
        fresh._fix(prior, None if metric is None else metric.scaled_to(z))
        fresh._learn(z, check_item_count(n_items, len(z)), progress)
        return self._become(fresh)

    def partial_fit(self, X: ArrayLike, y: Any = None) -> SemanticDictionary:
        """Learn from one more batch of a stream: code it, add its statistics, solve again.

        The first call is :meth:`fit`, so its batch should hold a few hundred items. When two calls
        or more have brought twice as many items as were known before, everything is learned
        again from an even sample of the stream, 20 items for each atom. So the number of atoms
        grows with the stream, and early codes, which later atoms express better, lose their
        influence. If going on with the present atoms is better, they stay. Until then atoms keep
        their places.

        Args:
            X: (N, d) latents, N >= 1; the first batch at least 2.
            y: ignored.

        Raises:
            ValueError: as in :meth:`fit`, or another dimension than before.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(90, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents[:60])
            >>> int(dictionary.partial_fit(latents[60:]).size_counts_.sum())
            90
        """
        self._validate_params()
        if not hasattr(self, "atoms_"):
            return self.fit(X)
        z = self._latents(X, reset=False, minimum=1)
        check_lengths(z)
        changed = copy.copy(self)
        stream = self._the_stream()
        known, came = stream.known.items, stream.window.items
        room = self._room(known + came)
        stream = stream.sampled(z, room)
        # Not in the first call: a shard of any size, given at once, can then be merged.
        if came > 0 and came + len(z) >= 2 * known:
            sample = stream.sample(came + len(z), room)
            if len(sample) > self.n_atoms_:
                seen = stream.known_items + came + len(z)
                changed._learn(sample, came + len(z), seen=seen, anew=True)
                return self._become(changed)
        found = Statistics.of_pursuit(self._pursuit(), z, self.max_level_, self.max_nonzero_)
        changed._solve(stream.counted(found))
        return self._become(changed)

    def merge(self, other: SemanticDictionary) -> SemanticDictionary:
        """Take in what a copy of this dictionary has learned from another shard.

        Copies that each called :meth:`partial_fit` on their shard merge to exactly the atoms that
        one call with all shards gives, in any order. The samples of the shards merge too, so
        that later calls of :meth:`partial_fit` learn from all of them.

        Args:
            other: a dictionary that continues from the same atoms; it stays as it is. Another
                process sends it as ``to_arrays(stream=True)``.

        Raises:
            ValueError: the other does not continue from the same atoms, or is this dictionary.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(120, 8))
            >>> first = SemanticDictionary(4, max_iter=2).fit(latents[:60])
            >>> second = copy.deepcopy(first)
            >>> merged = first.partial_fit(latents[60:90]).merge(second.partial_fit(latents[90:]))
            >>> int(merged.size_counts_.sum())
            120
        """
        if not isinstance(other, SemanticDictionary) or other is self:
            raise ValueError(f"merge needs another SemanticDictionary, got {type(other).__name__}")
        for dictionary in (self, other):
            check_is_fitted(dictionary, "atoms_")
        mine, others = self._the_stream(), other._the_stream()
        room = self._room(mine.known.items + mine.window.items + others.window.items)
        changed = copy.copy(self)
        changed._solve(mine.merge(others, room))
        return self._become(changed)

    # --- using --------------------

    def with_metric(
        self, metric: Metric | ArrayLike | str | os.PathLike[str] | None, X: ArrayLike
    ) -> SemanticDictionary:
        """Return a copy with the same atoms that codes by a metric.

        A dictionary that was read from an archive has no metric, because an archive holds none.

        Args:
            metric: as for the parameter of that name; None for squared distance.
            X: (N, d) latents of the collection, or what its codes rebuild: the metric is scaled to
                them.

        Raises:
            ValueError: what is given is no metric, or of another dimension.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> dictionary.with_metric(np.eye(8), latents).transform(latents).shape[0]
            50
        """
        check_is_fitted(self, "atoms_")
        z = self._latents(X, reset=False)
        found = _fitting(metric, z)
        changed = copy.copy(self)
        changed.metric = found
        changed.metric_ = None if found is None else found.scaled_to(z)
        return changed

    def transform(self, X: ArrayLike) -> csr_matrix:
        """Code latents under the training statistics.

        An item's code does not depend on the other items.

        Args:
            X: (N, d) latents, finite.

        Returns:
            (N, K) CSR matrix of int8 coefficients, indices sorted in each row.

        Raises:
            ValueError: another dimension, or rows with NaN or infinity (the message names them).

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> dictionary.transform(latents[:3]).shape == (3, dictionary.n_atoms_)
            True
        """
        check_is_fitted(self, "atoms_")
        return self._pursuit().code(self._latents(X, reset=False))

    def fit_transform(self, X: ArrayLike, y: Any = None, **fit_params: Any) -> csr_matrix:
        """Call :meth:`fit`, then :meth:`transform` with the same latents.

        Args:
            X: (N, d) latents, N >= 2.
            y: ignored.
            fit_params: keyword arguments of :meth:`fit`.

        Returns:
            (N, K) CSR matrix of int8 coefficients.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> SemanticDictionary(4, max_iter=2).fit_transform(latents).shape[0]
            50
        """
        return self.fit(X, y, **fit_params).transform(X)

    def inverse_transform(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float32]:
        """Rebuild latents from codes.

        Args:
            codes: (N, K) coefficients, sparse or dense.

        Returns:
            (N, d) float32, mean plus atoms, not scaled to unit norm.

        Raises:
            ValueError: the number of columns is not K, or a coefficient is NaN or infinite.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> rebuilt = dictionary.inverse_transform(np.zeros((1, dictionary.n_atoms_)))
            >>> np.array_equal(rebuilt[0], dictionary.mean_)
            True
        """
        check_is_fitted(self, "atoms_")
        c = check_codes(codes, self.n_atoms_)
        return np.asarray(c.astype(np.float32) @ self.atoms_, np.float32) + self.mean_

    def code_bits(self, codes: csr_matrix | ArrayLike) -> NDArray[np.float64]:
        """Return the bits that each item takes under the training statistics.

        An archive codes with statistics of its own, which are at least as good.

        Args:
            codes: (N, K) coefficients, sparse or dense.

        Returns:
            (N,) float64, bits.

        Raises:
            ValueError: the number of columns is not K, or a coefficient or the number of atoms of
                an item exceeds ``max_level_`` or ``max_nonzero_``.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> dictionary.code_bits(dictionary.transform(latents)).shape
            (50,)
        """
        check_is_fitted(self, "atoms_")
        c = check_codes(codes, self.n_atoms_)
        check_limits(c, self.max_level_, self.max_nonzero_)
        if not np.array_equal(c.data, np.rint(c.data)):
            raise ValueError("codes must be whole numbers")
        return self._costs().of_items(c)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the K columns of the codes: atom0, atom1, ...

        Args:
            input_features: ignored.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> SemanticDictionary(2, max_iter=2).fit(latents).get_feature_names_out()[0]
            'atom0'
        """
        check_is_fitted(self, "atoms_")
        return np.array([f"atom{j}" for j in range(self.n_atoms_)], dtype=object)

    # --- storing --------------------

    def to_arrays(self, *, stream: bool = False) -> dict[str, NDArray]:
        """Return everything learned, and the parameters, as arrays that load without pickle.

        Args:
            stream: include the sums and the sample that :meth:`partial_fit` and :meth:`merge` go on
                from: K (K + d) numbers and some thousand latents. Two processes exchange what they
                learned this way.

        Returns:
            Arrays by name. The seed and ``n_jobs`` are not among them.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> back = SemanticDictionary.from_arrays(dictionary.to_arrays())
            >>> np.array_equal(back.atoms_, dictionary.atoms_)
            True
        """
        check_is_fitted(self, "atoms_")
        return serialization.to_arrays(self, stream)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> SemanticDictionary:
        """Return a dictionary equal to the one that :meth:`to_arrays` was called on.

        Args:
            arrays: what :meth:`to_arrays` returned.

        Raises:
            ValueError: an array is missing, has another type or shape, or holds numbers that no
                dictionary has.

        Example:
            >>> latents = np.random.default_rng(0).normal(size=(50, 8))
            >>> dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
            >>> arrays = dictionary.to_arrays(stream=True)
            >>> SemanticDictionary.from_arrays(arrays).partial_fit(latents).n_features_in_
            8
        """
        return serialization.from_arrays(cls, arrays)

    # --- inside --------------------

    def _latents(self, X: ArrayLike, *, reset: bool, minimum: int = 0) -> NDArray[np.float32]:
        """Return checked latents (N, d) float32; ``reset``: they say what d is."""
        z = check_latents(X, minimum=minimum, dimensions=None if reset else self.n_features_in_)
        validate_data(self, X, reset=reset, skip_check_array=True)
        return z


def _fitting(
    metric: Metric | ArrayLike | str | os.PathLike[str] | None, z: NDArray[np.float32]
) -> Metric | None:
    """The metric, if it is one for latents like z (N, d); else ValueError."""
    found = as_metric(metric)
    if found is not None and found.dim != z.shape[1]:
        raise ValueError(f"the metric is for {found.dim} dimensions, the latents have {z.shape[1]}")
    return found
