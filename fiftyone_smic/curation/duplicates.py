"""Items that say the same: same codes, near duplicates, and duplicates across splits."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation.geometry import Distinct, Geometry
from fiftyone_smic.curation.inference import permutation_p
from fiftyone_smic.curation.inputs import (
    accepts_archives,
    as_codes,
    check_beside,
    check_count,
    check_groups,
    check_pair,
    check_threshold,
    check_vector,
)
from fiftyone_smic.curation.pairs import NearPairs, near_pairs
from fiftyone_smic.curation.results import SHOWN, several
from fiftyone_smic.dictionary.estimator import SemanticDictionary

_UNVERIFIED = (
    "These items have the same meaning at this rate; whether they are duplicates only latents or "
    "files can tell."
)
_BLOCKED = "Of so many items only those that share a strongest atom were compared."


def _caveats(verified: bool, every: bool) -> str:
    """What a result cannot say, each sentence on a line of its own."""
    return ("" if verified else f"\n{_UNVERIFIED}") + ("" if every else f"\n{_BLOCKED}")


def _group_lines(groups: Sequence[NDArray[np.intp]]) -> str:
    lines = []
    for group in groups[:SHOWN]:
        rest = ", ".join(map(str, group[1:9])) + (", ..." if len(group) > 9 else "")
        lines.append(f"  keep {group[0]}, then {rest}")
    return "\n".join(lines)


class _Grouped:
    """Groups of items, in each of which the first is to be kept."""

    groups: tuple[NDArray[np.intp], ...]

    @property
    def kept(self) -> NDArray[np.intp]:
        """The item to keep of each group."""
        return np.array([g[0] for g in self.groups], np.intp)

    @property
    def removable(self) -> NDArray[np.intp]:
        """All other items of the groups, in order."""
        rest = [g[1:] for g in self.groups]
        return np.sort(np.concatenate(rest)) if rest else np.zeros(0, np.intp)


@dataclass(frozen=True, eq=False)
class SameMeaning(_Grouped):
    """Items with the same code.

    Attributes:
        groups: each two items or more, the one to keep first; largest group first.
        items: number of items there are.
    """

    groups: tuple[NDArray[np.intp], ...]
    items: int

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per item of a group: group, index, kept."""
        return [
            {"group": g, "index": int(i), "kept": place == 0}
            for g, group in enumerate(self.groups)
            for place, i in enumerate(group)
        ]

    def __str__(self) -> str:
        if not self.groups:
            return f"No two of {several(self.items, 'item')} have the same code."
        inside = sum(map(len, self.groups))
        return (
            f"{inside:,} of {several(self.items, 'item')} share their code with another, in "
            f"{several(len(self.groups), 'group')}.\n{_group_lines(self.groups)}\n{_UNVERIFIED}"
        )


@accepts_archives
def same_meaning(codes: csr_matrix, distortion: ArrayLike | None = None) -> SameMeaning:
    """Group the items that have exactly the same code.

    At usual rates this is no sign of a duplicate: it means that the dictionary tells no difference.

    Args:
        codes: (N, K), or an archive.
        distortion: (N,) squared distances of latents and reconstructions: then the best represented
            item of a group is kept, else the first.

    Raises:
        ValueError: no codes, or a distortion of another length.

    Example:
        >>> codes = csr_matrix([[1, 0], [0, 2], [1, 0], [1, 0]])
        >>> [g.tolist() for g in same_meaning(codes).groups]
        [[0, 2, 3]]
        >>> same_meaning(codes, distortion=[0.3, 0.1, 0.2, 0.4]).kept.tolist()
        [2]
    """
    c = as_codes(codes)
    members = [g for g in Distinct.of(c).members() if len(g) > 1]
    if distortion is not None:
        d = check_vector(distortion, c.shape[0], "distortion")
        members = [g[np.argsort(d[g], kind="stable")] for g in members]
    return SameMeaning(tuple(sorted(members, key=len, reverse=True)), c.shape[0])


@dataclass(frozen=True, eq=False)
class Duplicates(_Grouped):
    """Near duplicates.

    Attributes:
        pairs: (n, 2) all pairs of items at or above the threshold, each once, smaller item first.
        cosines: (n,) of each pair: of latents if verified, else of codes without their mean.
        groups: stars: the kept item first, and every other one is near *it*; largest first. An
            item is in one group at most.
        threshold: cosine.
        verified: whether the pairs were verified on latents.
        share: share of all pairs that were looked at on latents.
        every: whether every pair was compared, not only those that share a strongest atom.
        items: number of items there are.
    """

    pairs: NDArray[np.intp]
    cosines: NDArray[np.float64]
    groups: tuple[NDArray[np.intp], ...]
    threshold: float
    verified: bool
    share: float
    every: bool
    items: int

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per item of a group: group, index, kept, of (the kept item), cosine with it,
        why."""
        known = dict(zip(map(tuple, self.pairs.tolist()), self.cosines.tolist(), strict=True))
        rows = []
        for number, group in enumerate(self.groups):
            keep = int(group[0])
            for i in map(int, group):
                near = 1.0 if i == keep else known[(min(i, keep), max(i, keep))]
                why = (
                    f"{several(len(group) - 1, 'item')} of the group are near this one"
                    if i == keep
                    else f"cosine {near:.3f} with item {keep}"
                )
                rows.append(
                    {"group": number, "index": i, "kept": i == keep, "of": keep, "cosine": near,
                     "why": why}
                )  # fmt: skip
        return rows

    def __str__(self) -> str:
        if not self.groups:
            return (
                f"No two of {several(self.items, 'item')} have a cosine of {self.threshold:g} or "
                "more." + _caveats(True, self.every)
            )
        inside = sum(map(len, self.groups))
        text = (
            f"{several(len(self.pairs), 'pair')} with a cosine of {self.threshold:g} or more; "
            f"{inside:,} of {several(self.items, 'item')} in "
            f"{several(len(self.groups), 'group')}, of which {len(self.removable):,} can go.\n"
            + _group_lines(self.groups)
        )
        if self.verified:
            text += f"\nVerified on latents, at {self.share:.2%} of all pairs."
        return text + _caveats(self.verified, self.every)


@accepts_archives
def near_duplicates(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    threshold: float = 0.95,
    latents: ArrayLike | None = None,
) -> Duplicates:
    """Find near duplicates and say which to keep.

    Latents decide where given. Of more than 20,000 items codes choose which pairs are worth a look:
    those of which one uses the strongest atom of the other. Groups are stars round the item with
    the most others near it, so that each item that is removed is near one that is kept. Chains of
    items, each near the next, never end up in one group.

    Args:
        dictionary: the one the codes were made with; or an archive in place of both.
        codes: (N, K).
        threshold: cosine from which two items are near: of latents where given, else of
            reconstructions without their mean.
        latents: (N, d) latents of the items; without them the result is "same meaning" and says so.

    Raises:
        ValueError: codes of another dictionary, a threshold outside 0..1, latents that do not fit,
            or more than a hundred pairs for each item.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(60, 16)).astype(np.float32)
        >>> z[59] = z[3] + 0.01
        >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(n_atoms=20, max_iter=3, n_swaps=0).fit(z)
        >>> near_duplicates(dictionary, dictionary.transform(z), 0.95, latents=z).pairs.tolist()
        [[3, 59]]
    """
    dictionary, c, found = _checked_pairs(dictionary, codes, threshold, latents)
    energies = Geometry.of(dictionary).energies(c)
    groups = stars(found.pairs, c.shape[0], energies)
    return Duplicates(
        found.pairs,
        found.cosines,
        groups,
        threshold,
        found.verified,
        found.share,
        found.every,
        c.shape[0],
    )


def _checked_pairs(
    dictionary: SemanticDictionary, codes: Any, threshold: float, latents: ArrayLike | None
) -> tuple[SemanticDictionary, csr_matrix, NearPairs]:
    check_threshold(threshold)
    dictionary, c = check_pair(dictionary, codes, minimum=2)
    z = None if latents is None else check_beside(latents, c.shape[0], dictionary.n_features_in_)
    return dictionary, c, near_pairs(dictionary, c, threshold, z)


def stars(
    pairs: NDArray[np.intp], n: int, quality: NDArray[np.float64]
) -> tuple[NDArray[np.intp], ...]:
    """Stars of a graph: again and again the item with the most items near it that are still free.

    Args:
        pairs: (p, 2) items near each other.
        n: number of items.
        quality: (n,) among items with as many neighbours the largest is the centre, then the first.

    Returns:
        Groups of two items or more, the centre first, the others in order; largest group first.
    """
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    ends = np.searchsorted(both[:, 0], np.arange(n + 1))
    near = both[:, 1]
    free = np.ones(n, bool)
    degree = np.diff(ends)
    heap = [(-int(degree[i]), -float(quality[i]), int(i)) for i in np.flatnonzero(degree)]
    heapq.heapify(heap)
    groups = []
    while heap:
        size, order, i = heapq.heappop(heap)
        if not free[i]:
            continue
        around = near[ends[i] : ends[i + 1]]
        around = around[free[around]]
        if len(around) < -size:
            if len(around):
                heapq.heappush(heap, (-len(around), order, i))
            continue
        free[i] = False
        free[around] = False
        groups.append(np.concatenate([[i], around]).astype(np.intp))
    return tuple(sorted(groups, key=len, reverse=True))


@dataclass(frozen=True, eq=False)
class Leaks:
    """Near duplicates that lie in different splits.

    Attributes:
        pairs: (n, 2) all such pairs, smaller item first.
        cosines: (n,) of each.
        near: number of pairs within the threshold, of one split or of two.
        expected: how many of these would cross if splits were given by chance.
        low, high: between how many 95 % of permuted splits lie.
        p: two-sided p-value of the number that crosses, under permuted splits.
        between: (split, split) -> number of pairs.
        splits: N names of splits as given.
        threshold, verified, share, every: as in :class:`Duplicates`.
    """

    pairs: NDArray[np.intp]
    cosines: NDArray[np.float64]
    near: int
    expected: float
    low: float
    high: float
    p: float
    between: dict[tuple[Any, Any], int]
    splits: tuple[Any, ...]
    threshold: float
    verified: bool
    share: float
    every: bool

    def items(self, split: Any) -> NDArray[np.intp]:
        """The items of a split that have a near duplicate in another one."""
        found = np.unique(self.pairs)
        return found[[self.splits[i] == split for i in found]] if len(found) else found

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per pair: one, other, their splits, cosine."""
        return [
            {"one": i, "other": j, "split": self.splits[i], "other_split": self.splits[j],
             "cosine": cosine}
            for (i, j), cosine in zip(self.pairs.tolist(), self.cosines.tolist(), strict=True)
        ]  # fmt: skip

    def __str__(self) -> str:
        if not len(self.pairs):
            text = (
                f"Nothing leaks: no item has a near duplicate (cosine {self.threshold:g} or more) "
                f"in another split; {several(self.near, 'pair')} lie within one."
            )
        else:
            text = f"{several(len(self.pairs), 'pair')} cross between splits:"
            for (a, b), count in sorted(self.between.items(), key=lambda x: -x[1])[:SHOWN]:
                text += f"\n  {a} and {b}: {count:,}"
        text += (
            f"\nNull run: splits given by chance would let {self.expected:.1f} of "
            f"{self.near:,} pairs cross ({self.low:.0f} to {self.high:.0f}); p = {self.p:.2g}."
        )
        return text + _caveats(self.verified, self.every)


@accepts_archives
def leaks(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    splits: Sequence[Any],
    threshold: float = 0.95,
    latents: ArrayLike | None = None,
    *,
    permutations: int = 200,
    seed: int = 0,
) -> Leaks:
    """Find all near duplicates across splits, and how many chance alone would put there.

    Args:
        dictionary: the one the codes were made with; or an archive in place of both.
        codes: (N, K) of all splits together.
        splits: N names like "train" and "test".
        threshold, latents: as in :func:`near_duplicates`.
        permutations: permuted splits for the null run.
        seed: of these.

    Raises:
        ValueError: as in :func:`near_duplicates`; one split only, or some missing.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(60, 16)).astype(np.float32)
        >>> z[59] = z[3] + 0.01
        >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(n_atoms=20, max_iter=3, n_swaps=0).fit(z)
        >>> codes, splits = dictionary.transform(z), ["train"] * 40 + ["test"] * 20
        >>> leaks(dictionary, codes, splits, latents=z).to_rows()[0]["other_split"]
        'test'
    """
    n = check_pair(dictionary, codes, minimum=2)[1].shape[0]
    split, values = check_groups(splits, n, "splits")
    dictionary, _, found = _checked_pairs(dictionary, codes, threshold, latents)
    sides = split[found.pairs]
    crossing = sides[:, 0] != sides[:, 1]
    rng = np.random.default_rng(seed)
    null = np.zeros(check_count(permutations, "permutations", 1))
    for run in range(len(null)):
        mixed = rng.permutation(split)[found.pairs]
        null[run] = (mixed[:, 0] != mixed[:, 1]).sum()
    count = int(crossing.sum())
    p = 2 * min(permutation_p(count, null), permutation_p(-count, -null))
    between: dict[tuple[Any, Any], int] = {}
    for a, b in np.sort(sides[crossing], axis=1).tolist():
        between[values[a], values[b]] = between.get((values[a], values[b]), 0) + 1
    low, high = np.quantile(null, [0.025, 0.975])
    return Leaks(
        found.pairs[crossing], found.cosines[crossing], len(found.pairs), float(null.mean()),
        float(low), float(high), min(1.0, p), between, tuple(values[s] for s in split), threshold,
        found.verified, found.share, found.every,
    )  # fmt: skip
