"""The learned part of a dictionary: its attributes, and what computes them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_random_state

from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary import quantisation
from fiftyone_smic.dictionary.alternation import Alternation
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.initialization import auto_atoms
from fiftyone_smic.dictionary.learning import ITEMS_PER_ATOM, Settings, learn
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior, as_prior
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.dictionary.stream import Stream
from fiftyone_smic.utils.progress import Progress

if TYPE_CHECKING:
    from typing import Self

#: A stream's sample has room for the items of at least this many atoms.
_LEAST_SAMPLED_ATOMS = 50


class Fitted:
    """The learned attributes of a :class:`SemanticDictionary`, which documents them.

    Nothing that is learned depends on a parameter that was changed since: what transforms and
    stores reads the attributes that :meth:`_fix` set.
    """

    # Parameters, which the estimator sets.
    n_atoms: int | str
    lam: float
    max_nonzero: int
    max_level: int
    nonnegative: bool
    max_iter: int
    n_swaps: int | str
    random_state: Any
    prior: Prior | str | os.PathLike[str] | None
    n_jobs: int | None
    metric: Metric | ArrayLike | str | os.PathLike[str] | None

    _stream: Stream | None
    _learned_with: tuple[int | str, int, int | str]

    def _become(self, other: Self) -> Self:
        """Take over all that the other has learned, at once."""
        parameters = self.get_params(deep=False)  # type: ignore[attr-defined]
        learned = {name: v for name, v in vars(other).items() if name not in parameters}
        stale = [name for name in vars(self) if name.endswith("_") and name not in learned]
        vars(self).update(learned)
        for name in stale:
            delattr(self, name)
        return self

    def _fix(self, prior: Prior | None, metric: NDArray[np.float32] | None) -> None:
        """Set the attributes that hold parameters as they are now."""
        self.metric_ = metric
        self.lam_ = float(self.lam)
        self.max_nonzero_ = int(self.max_nonzero)
        self.max_level_ = int(self.max_level)
        self.nonnegative_ = bool(self.nonnegative)
        self.prior_ = prior
        self._learned_with = (self.n_atoms, self.max_iter, self.n_swaps)

    def _settings(self) -> Settings:
        return Settings(
            self.lam_,
            max_level=self.max_level_,
            max_nonzero=self.max_nonzero_,
            nonnegative=self.nonnegative_,
            prior=self.prior_,
            n_jobs=self.n_jobs,
            metric=self.metric_,
        )

    def _learn(
        self,
        z: NDArray[np.float32],
        n_items: int,
        progress: Progress | None = None,
        *,
        seen: int | None = None,
        anew: bool = False,
    ) -> None:
        """Learn from z (N, d), which stands for ``n_items`` items.

        Args:
            z: latents.
            n_items: number of items that they stand for where bits are counted.
            progress: called with the fraction done.
            seen: number of items that a sample of these stands for; ``n_items`` by default.
            anew: go on from the present atoms too, and keep what is better.
        """
        learned = learn(
            z,
            self._settings(),
            n_items=n_items,
            n_atoms=self._wanted_atoms(n_items, len(z)),
            max_iter=self.max_iter,
            n_swaps=self.n_swaps,
            rng=check_random_state(self.random_state),
            progress=progress,
            known=(self.atoms_, self._costs()) if anew else None,
        )
        self._learned_with = (self.n_atoms, self.max_iter, self.n_swaps)
        self._set_mean(learned.mean_rows)
        self._set_atoms(learned.atom_rows)
        self._set_counts(*learned.sums.of_codes)
        self.n_iter_ = learned.rounds
        self._stream = Stream.start(
            learned.sums, learned.sample, n_items if seen is None else seen, self.max_level_
        )

    def _refine(
        self,
        gather: Callable[[Pursuit], Statistics],
        mean: NDArray[np.float64],
        n_items: int,
        rounds: int,
        progress: Progress | None = None,
    ) -> None:
        """Go on from atoms that were learned on a sample, with sums over all items.

        Args:
            gather: returns the exact sums over all items and their codes under a pursuit; it is
                called ``rounds + 1`` times.
            mean: (d,) float64 mean of all items.
            n_items: number of items.
            rounds: rounds of pursuit and update.
            progress: called with the fraction done after each call of ``gather``.
        """
        settings = self._settings()
        rows = quantisation.quantise_mean(
            mean, n_items, settings.lam, settings.prior, metric=settings.metric
        )
        self._set_mean(rows)
        done = count(1)
        alternation = Alternation(
            np.zeros((0, self.n_features_in_), np.float32),
            n_items,
            self.mean_,
            lam=settings.stored_lam,
            max_level=settings.max_level,
            max_nonzero=settings.max_nonzero,
            nonnegative=settings.nonnegative,
            prior=settings.prior,
            n_jobs=settings.n_jobs,
            done=lambda: progress and progress(next(done) / (rounds + 1)),
            gather=gather,
            metric=self.metric_,
        )
        found = alternation.refine(self.atom_rows_, self.atoms_, self._costs(), rounds)
        self._set_atoms(found.rows)
        self._set_counts(*found.sums.of_codes)
        self.n_iter_ += rounds
        none = np.zeros((0, self.n_features_in_), np.float32)
        self._stream = Stream.start(found.sums, none, n_items, self.max_level_)

    def _wanted_atoms(self, n_items: int, most: int) -> int:
        if self.n_atoms == "auto":
            return min(auto_atoms(n_items), most)
        if int(self.n_atoms) > most:
            warnings.warn(
                f"n_atoms={self.n_atoms} is more than the {most} items there are: using {most}",
                stacklevel=4,
            )
        return min(int(self.n_atoms), most)

    def _room(self, n_items: int) -> int:
        """Size of the sample of a stream of this many items."""
        wanted = auto_atoms(n_items) if self.n_atoms == "auto" else int(self.n_atoms)
        return ITEMS_PER_ATOM * max(wanted, _LEAST_SAMPLED_ATOMS)

    def _solve(self, stream: Stream) -> None:
        """Set the atoms that fit the stream's sums best.

        All atoms are kept, and keep their places, so that codes made before stay readable.
        """
        sums = stream.sums
        idle = sums.counts == 0
        gram = sums.gram + 2 * self.lam_ * np.eye(self.n_atoms_)
        cross = sums.centred(self.mean_)
        # An atom without evidence yet stays as it was.
        gram[idle, idle] = 1.0
        cross[idle] = self.atoms_[idle]
        if self.n_atoms_:
            atoms = np.asarray(np.linalg.solve(gram, cross), np.float64)
            self._set_atoms(
                quantisation.quantise_atoms(
                    atoms, gram, self.lam_, self.prior_, metric=self.metric_
                )
            )
        self._set_counts(*sums.of_codes)
        self._stream = stream

    def _pursuit(self) -> Pursuit:
        return Pursuit(
            self.atoms_,
            self._costs(),
            self._settings().stored_lam,
            mean=self.mean_,
            nonnegative=self.nonnegative_,
            n_jobs=self.n_jobs,
            metric=self.metric_,
        )

    def _costs(self) -> Costs:
        return Costs.from_counts(
            self.counts_, self.other_counts_, self.level_counts_, self.size_counts_
        )

    def _the_stream(self) -> Stream:
        """The stream, or what the counts of a stored dictionary imply of it."""
        if self._stream is not None:
            return self._stream
        implied = Statistics.implied(
            self.mean_,
            self.atoms_,
            self.counts_,
            self.other_counts_,
            self.level_counts_,
            self.size_counts_,
        )
        none = np.zeros((0, self.n_features_in_), np.float32)
        return Stream.start(implied, none, implied.items, self.max_level_)

    def _set_mean(self, rows: Rows) -> None:
        self.mean_rows_ = rows
        self.mean_ = quantisation.mean_value(rows, self.prior_)

    def _set_atoms(self, rows: Rows) -> None:
        self.atom_rows_ = rows
        self.atoms_ = quantisation.atom_values(rows, self.prior_)
        self.n_atoms_ = len(self.atoms_)

    def _set_counts(
        self, counts: NDArray, other_counts: NDArray, level_counts: NDArray, size_counts: NDArray
    ) -> None:
        self.counts_, self.other_counts_ = counts, other_counts
        self.level_counts_, self.size_counts_ = level_counts, size_counts

    def _restore(
        self,
        mean: Rows,
        atoms: Rows,
        counts: NDArray,
        other_counts: NDArray,
        level_counts: NDArray,
        size_counts: NDArray,
        metric: NDArray[np.float32] | None = None,
    ) -> Self:
        """Set what was learned, from an archive or stored arrays; the prior is the parameter's."""
        prior = as_prior(self.prior)
        d = mean.levels.shape[-1]
        if (
            mean.levels.shape != (1, d)
            or atoms.levels.shape != (len(counts), d)
            or other_counts.shape != counts.shape
            or (other_counts > counts).any()
            or level_counts.shape != (2 * self.max_level + 1,)
            or size_counts.shape != (self.max_nonzero + 1,)
            or (prior is not None and prior.mean.shape != (d,))
            or (metric is not None and metric.shape != (d, d))
        ):
            raise ValueError("not a stored dictionary: its arrays do not fit together")
        self._fix(prior, metric)
        self.n_features_in_ = d
        with np.errstate(over="ignore", invalid="ignore"):
            self._set_mean(mean)
            self._set_atoms(atoms)
        if not (np.isfinite(self.mean_).all() and np.isfinite(self.atoms_).all()):
            raise ValueError("not a stored dictionary: its atoms are too large")
        self._set_counts(counts, other_counts, level_counts, size_counts)
        self.n_iter_ = 0
        self._stream = None
        return self
