"""Learn a mean and atoms from latents: the steps that the estimator and priors share."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary import quantisation
from fiftyone_smic.dictionary.alternation import STEP_ROUNDS, Alternation
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.sampling import subsample
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.utils.progress import Portion, Progress

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.priors import Prior

#: Size of the sample of a large collection, in items for each atom.
ITEMS_PER_ATOM = 20
#: Share of the progress that the initial atoms take.
FIRST = 0.05


@dataclass(frozen=True)
class Settings:
    """What codes may be and what a bit is worth: settings that hold from learning to decoding.

    Attributes:
        lam: squared distance that one bit is worth.
        max_level: largest magnitude of a coefficient.
        max_nonzero: most atoms of an item.
        nonnegative: whether all coefficients are positive.
        prior: public prior in whose basis the rows are coded, or None.
        n_jobs: number of threads, see :func:`fiftyone_smic.utils.parallel.thread_count`.
        metric: (d, d) by which distances are measured, or None for squared distance.
    """

    lam: float
    max_level: int
    max_nonzero: int
    nonnegative: bool
    prior: Prior | None
    n_jobs: int | None = None
    metric: NDArray[np.float32] | None = None

    @property
    def stored_lam(self) -> float:
        """``lam`` as an archive stores it (float32), so that a dictionary read back codes alike."""
        return float(np.float32(self.lam))


@dataclass(frozen=True)
class Learned:
    """A mean, atoms, and what is known of the items they were learned from.

    Attributes:
        mean_rows: the mean as integers.
        mean: (d,) float32, its value.
        atom_rows: the atoms as integers.
        atoms: (K, d) float32, their values, most used first.
        sums: sums over the items and their codes.
        sample: (n, d) float32, an even sample of the items; it may share their memory.
        rounds: number of rounds of pursuit and update that were made.
    """

    mean_rows: Rows
    mean: NDArray[np.float32]
    atom_rows: Rows
    atoms: NDArray[np.float32]
    sums: Statistics
    sample: NDArray[np.float32]
    rounds: int


def swap_count(n_swaps: int | str, n: int) -> int:
    """Number of steps out of a local minimum; "auto" means ``10,000 // n``, at most 6."""
    return min(6, 10_000 // n) if n_swaps == "auto" else int(n_swaps)


def learn(
    items: NDArray[np.float32],
    settings: Settings,
    *,
    n_items: int,
    n_atoms: int,
    max_iter: int,
    n_swaps: int | str,
    rng: np.random.RandomState,
    progress: Progress | None = None,
    known: tuple[NDArray[np.float32], Costs] | None = None,
) -> Learned:
    """Learn a dictionary from latents.

    Args:
        items: (N, d) latents, finite.
        settings: what codes may be and what a bit is worth.
        n_items: number of items that these stand for, at least N.
        n_atoms: most atoms to learn.
        max_iter: rounds of pursuit and update, at least 1.
        n_swaps: steps out of a local minimum afterwards, see :func:`swap_count`.
        rng: source of the initial atoms and of the swaps.
        progress: called with the fraction done, 0..1.
        known: atoms (K, d) and costs to go on from too; the better of both results is returned.
    """
    mean = items.mean(axis=0, dtype=np.float64)
    mean_rows = quantisation.quantise_mean(
        mean, n_items, settings.lam, settings.prior, metric=settings.metric
    )
    mean_value = quantisation.mean_value(mean_rows, settings.prior)
    # The first rounds need not see every item of a large collection.
    sample = subsample(items, ITEMS_PER_ATOM * n_atoms, rng)
    swaps = swap_count(n_swaps, len(items))
    rounds = count(1)
    total = max_iter + 1 + swaps * STEP_ROUNDS

    def done() -> None:
        share = min(next(rounds) / total, 1.0)
        if progress:
            progress(FIRST + (1 - FIRST) * share)

    alternation = Alternation(
        items,
        n_items,
        mean_value,
        lam=settings.stored_lam,
        max_level=settings.max_level,
        max_nonzero=settings.max_nonzero,
        nonnegative=settings.nonnegative,
        prior=settings.prior,
        n_jobs=settings.n_jobs,
        metric=settings.metric,
        done=done,
    )
    first = Portion(progress, 0.0, FIRST) if progress else None
    found = alternation.start(sample, n_atoms, max_iter, rng, first)
    if known is not None:
        found = alternation.go_on(found, *known)
    for _ in range(swaps):
        found = alternation.step(found, n_atoms, rng)
    found = alternation.or_none(found)
    if progress:
        progress(1.0)
    return Learned(
        mean_rows, mean_value, found.rows, found.atoms, found.sums, sample, next(rounds) - 1
    )
