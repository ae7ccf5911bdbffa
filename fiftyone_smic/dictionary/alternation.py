"""Alternate pursuit and update until a dictionary stays, then leave the local minimum and go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary import quantisation
from fiftyone_smic.dictionary.costs import Costs
from fiftyone_smic.dictionary.initialization import centres, residual_stages
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.sampling import subsample
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.utils.progress import Progress

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.priors import Prior

#: Rounds of pursuit and update after the atoms were changed by a step out of a local minimum.
STEP_ITER = 12
#: Rounds with half of lam, the first way out of a local minimum.
LOOSE_ITER = 4
#: Number of calls of ``done`` in one step.
STEP_ROUNDS = 2 * (STEP_ITER + 1) + LOOSE_ITER + 1


class State(NamedTuple):
    """Atoms, and what is known of the items that are coded with them.

    Attributes:
        objective: distortion + lam * (payload bits + dictionary bits), summed over the items.
        rows: the atoms as integers.
        atoms: (K, d) float32, their values.
        sums: sums over the items and their codes.
    """

    objective: float
    rows: Rows
    atoms: NDArray[np.float32]
    sums: Statistics


@dataclass(frozen=True)
class Alternation:
    """Minimises ``distortion + lam * bits`` over the atoms, the mean being given.

    Attributes:
        items: (N, d) float32 latents.
        n_items: number of items that these stand for.
        mean: (d,) float32.
        lam, max_level, max_nonzero, nonnegative, prior, n_jobs, metric: see
            :class:`fiftyone_smic.dictionary.learning.Settings`.
        done: called after each round.
        gather: returns the sums over all items under a pursuit, where these are not in one array;
            ``items`` is then empty, and :meth:`refine` is all that can be called.
    """

    items: NDArray[np.float32]
    n_items: int
    mean: NDArray[np.float32]
    lam: float
    max_level: int
    max_nonzero: int
    nonnegative: bool
    prior: Prior | None
    n_jobs: int | None
    done: Callable[[], None]
    metric: NDArray[np.float32] | None = None
    gather: Callable[[Pursuit], Statistics] | None = None

    def start(
        self,
        sample: NDArray[np.float32],
        wanted: int,
        rounds: int,
        rng: np.random.RandomState,
        progress: Progress | None = None,
    ) -> State:
        """Learn up to ``wanted`` atoms from nothing.

        Args:
            sample: (n, d) items; the first half of the rounds sees these only.
            wanted: most atoms to learn.
            rounds: rounds of pursuit and update.
            rng: source of the initial atoms.
            progress: called with the fraction done of the initial atoms.
        """
        seen = subsample(self.items, max(10 * wanted, 4000), rng)
        atoms = self._seen(
            lambda items: residual_stages(items, wanted, rng, progress), seen - self.mean
        )
        costs = Costs.initial(len(atoms), self.max_level, self.max_nonzero)
        return self._run(atoms, costs, rounds, sample)

    def go_on(self, learned: State, atoms: NDArray[np.float32], costs: Costs) -> State:
        """Learn on from other atoms (K, d) and their costs; return the better of both results."""
        if not len(atoms):
            return learned
        found = self._run(atoms, costs, STEP_ITER)
        return min(learned, found, key=lambda each: each.objective)

    def refine(self, rows: Rows, atoms: NDArray[np.float32], costs: Costs, rounds: int) -> State:
        """Alternate from quantised atoms (K, d) that are themselves among the candidates.

        Returns:
            The best of these atoms and of those after each of the rounds.
        """
        return self._run(atoms, costs, rounds, rows=rows)

    def step(self, learned: State, wanted: int, rng: np.random.RandomState) -> State:
        """Leave the local minimum in which alternation alone stays.

        Two ways are tried, one after the other, and each result is kept only if it is better.
        """
        return self._swap(self._loosen(learned), wanted, rng)

    def or_none(self, learned: State) -> State:
        """Return what is learned, or no atom at all if the mean alone is better, as it can be for a
        few dozen items: pursuit finds uses for every atom that is there, not whether they save more
        than the atoms take."""
        atoms = np.zeros((0, self.items.shape[1]), np.float32)
        costs = Costs.initial(0, self.max_level, self.max_nonzero)
        sums = self._sums(self._pursuit(atoms, costs), self.items)
        rows, _ = self._solve(sums, predict=True)
        none = State(self._objective(rows, atoms, sums), rows, atoms, sums)
        return min(learned, none, key=lambda each: each.objective)

    def _loosen(self, learned: State) -> State:
        """Spend more bits for a few rounds, then save them again."""
        loose = replace(self, lam=self.lam / 2)._run(
            learned.atoms, _costs(learned.sums), LOOSE_ITER
        )
        return self.go_on(learned, loose.atoms, _costs(loose.sums))

    def _swap(self, learned: State, wanted: int, rng: np.random.RandomState) -> State:
        """Replace a few atoms, mostly rare ones, and go on from there.

        The new ones are centres of the residuals that the other atoms leave. There are at most
        ``wanted`` atoms afterwards.
        """
        counts, k = learned.sums.counts, len(learned.atoms)
        if not k:
            return learned
        rarity = 1 / (1 + counts)
        out = rng.choice(k, k // 12 + 1, replace=False, p=rarity / rarity.sum())
        kept = np.delete(np.arange(k), out)
        fewer = learned.sums.take(kept)
        atoms = learned.atoms[kept]
        new = min(k // 8 + 2, wanted - len(kept))
        if new < 1:  # a stream may have brought more atoms than are wanted now
            return learned
        codes = self._pursuit(atoms, _costs(fewer)).code(self.items)
        rest = self.items - self.mean - np.asarray(codes.astype(np.float32) @ atoms)
        found = self._seen(lambda items: centres(items, new, rng)[0], rest)
        atoms = np.concatenate([atoms, found])
        uses = self.n_items // (2 * new) + 1
        others = uses * fewer.other_counts.sum() // max(fewer.counts.sum(), 1)
        fewer.counts = np.append(fewer.counts, np.full(new, uses))
        fewer.other_counts = np.append(fewer.other_counts, np.full(new, others))
        return self.go_on(learned, atoms, _costs(fewer))

    def _run(
        self,
        atoms: NDArray[np.float32],
        costs: Costs,
        rounds: int,
        sample: NDArray[np.float32] | None = None,
        rows: Rows | None = None,
    ) -> State:
        """Alternate pursuit and update; return the best round that saw all items."""
        best: State | None = None
        coarse = 0 if sample is None else rounds // 2  # on the sample, and rows without predictors
        for step in range(rounds + 1):
            part = self.items if sample is None or step >= coarse else sample
            pursuit = self._pursuit(atoms, costs)
            sums = self._sums(pursuit, part)
            if rows is not None and len(part) == len(self.items):
                objective = self._objective(rows, atoms, sums)
                if best is None or objective < best.objective:
                    best = State(objective, rows, atoms, sums)
            self.done()
            if step == rounds:
                break
            order = np.argsort(-sums.counts, kind="stable")
            least = 1 if step < 2 and sample is not None else 2
            sums = sums.take(order[sums.counts[order] >= least])
            rows, alive = self._solve(sums, predict=step >= coarse)
            sums = sums.take(alive)
            atoms = quantisation.atom_values(rows, self.prior)
            costs = _costs(sums)
        assert best is not None  # there is at least one round
        return best

    def _sums(self, pursuit: Pursuit, part: NDArray[np.float32]) -> Statistics:
        if self.gather is not None:
            return self.gather(pursuit)
        sums = Statistics.of_pursuit(pursuit, part, self.max_level, self.max_nonzero)
        return sums.scaled(self.n_items / len(part))

    def _pursuit(self, atoms: NDArray[np.float32], costs: Costs) -> Pursuit:
        return Pursuit(
            atoms,
            costs,
            self.lam,
            mean=self.mean,
            nonnegative=self.nonnegative,
            n_jobs=self.n_jobs,
            metric=self.metric,
        )

    def _seen(
        self,
        find: Callable[[NDArray[np.float32]], NDArray[np.float32]],
        items: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Return the atoms (k, d) that ``find`` finds by squared distance, by the metric instead.

        It is given the items in a basis in which the one is the other.
        """
        if self.metric is None:
            return find(items)
        values, axes = np.linalg.eigh(self.metric.astype(np.float64))
        there = (axes * np.sqrt(values)).astype(np.float32)
        back = (axes / np.sqrt(values)).T.astype(np.float32)
        return find(items @ there) @ back

    def _solve(self, sums: Statistics, predict: bool) -> tuple[Rows, NDArray[np.intp]]:
        """Return the least-squares atoms, quantised, and the positions of those that are not 0."""
        gram, cross = sums.gram + 2 * self.lam * np.eye(len(sums.counts)), sums.centred(self.mean)
        atoms = np.asarray(np.linalg.solve(gram, cross), np.float64) if len(gram) else cross
        rows = quantisation.quantise_atoms(
            atoms, gram, self.lam, self.prior, predict=predict, metric=self.metric
        )
        used = np.asarray(rows.levels.any(axis=1))
        used[rows.terms[:, 0]] = True
        alive = np.flatnonzero(used)
        return rows.take(alive), alive

    def _objective(self, rows: Rows, atoms: NDArray[np.float32], sums: Statistics) -> float:
        payload = Costs.from_counts(*sums.of_codes).total(*sums.of_codes)
        distortion = (
            sums.distortion(self.mean, atoms)
            if self.metric is None
            else sums.change(self.mean, atoms, self.metric)  # the rest is the same for all atoms
        )
        return distortion + self.lam * (rows.bits + payload)


def _costs(sums: Statistics) -> Costs:
    """Code lengths from sums.

    The counts of sizes are spread over their neighbours. Otherwise a size that is rare once would
    stay rare, because it would be expensive.
    """
    padded = np.pad(sums.size_counts, 1, mode="edge")
    sizes = np.convolve(padded, [0.25, 0.5, 0.25], mode="valid")
    return Costs.from_counts(sums.counts, sums.other_counts, sums.level_counts, sizes)
