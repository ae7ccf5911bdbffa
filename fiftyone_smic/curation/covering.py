"""Subsets by what they show: a fair share for every atom, or every atom at least r times."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix

from fiftyone_smic.curation.inference import uses
from fiftyone_smic.curation.inputs import check_count
from fiftyone_smic.utils.compiled import compiled

#: Seconds and items up to which the smallest covering set is sought exactly.
SECONDS, EXACT = 5.0, 5_000


def balanced(
    codes: csr_matrix, sizes: NDArray, k: int, before: NDArray[np.intp]
) -> tuple[NDArray[np.intp], str]:
    """Greedy for the sum over atoms and signs of the square root of their use.

    The use of an atom by an item is its share of the item's code: |coefficient| times the atom's
    norm, divided by the sum of these.
    """
    n, atoms = codes.shape
    weights = np.abs(codes.data) * sizes[codes.indices]
    totals = np.bincount(np.repeat(np.arange(n), np.diff(codes.indptr)), weights, minlength=n)
    shares = weights / np.maximum(np.repeat(totals, np.diff(codes.indptr)), 1e-12)
    columns = codes.indices + atoms * (codes.data < 0)
    filled = np.zeros(2 * atoms)
    for i in before:
        part = slice(codes.indptr[i], codes.indptr[i + 1])
        np.add.at(filled, columns[part], shares[part])

    free = np.setdiff1d(np.arange(n), before)
    chosen = _balance(codes.indptr, columns, shares, filled, free, k)
    shown = int((filled > 0).sum())
    there = len(np.unique(columns))
    return chosen, (
        f"{shown} of {there} atoms (each sign by itself) are shown; the balance is at least "
        "1 - 1/e = 63 % of the best possible for as many items."
    )


@compiled(nogil=True)
def _balance(indptr, columns, shares, filled, free, k):
    """The k free items, by lazy greedy choice; ``filled`` is added to."""
    heap = [(-_gain(indptr[i], indptr[i + 1], columns, shares, filled), i) for i in free]
    heapq.heapify(heap)
    chosen = np.empty(k, np.intp)
    n = 0
    while n < k:
        _, i = heapq.heappop(heap)
        now = _gain(indptr[i], indptr[i + 1], columns, shares, filled)
        if len(heap) and -now > heap[0][0]:
            heapq.heappush(heap, (-now, i))
            continue
        chosen[n] = i
        n += 1
        for a in range(indptr[i], indptr[i + 1]):
            filled[columns[a]] += shares[a]
    return chosen


@compiled(nogil=True)
def _gain(start, stop, columns, shares, filled):
    """What an item adds to the sum of square roots."""
    total = 0.0
    for a in range(start, stop):
        total += np.sqrt(filled[columns[a]] + shares[a]) - np.sqrt(filled[columns[a]])
    return total


def covering(
    codes: csr_matrix, k: int | None, before: NDArray[np.intp], times: int, fewest: int
) -> tuple[NDArray[np.intp], str]:
    """Few items that show every atom and sign ``times`` times, or k that show the most."""
    times, fewest = check_count(times, "times", 1), check_count(fewest, "fewest", 1)
    shown = uses(codes)
    counts = np.asarray(shown.sum(axis=0)).ravel()
    wanted = np.where(counts >= fewest, np.minimum(counts, times), 0)
    total = int((wanted > 0).sum())
    rest = np.maximum(wanted - np.asarray(shown[before].sum(axis=0)).ravel(), 0)
    taken = set(before.tolist())
    greedy, left = _greedy(shown, rest.copy(), len(counts), k, taken)
    what = f"each of {total} atoms (each sign by itself) that {fewest} items or more use"
    if k is None:
        best, proven = _smallest(shown, rest, greedy, taken)
        proof = (
            "No smaller set does (proven by integer programming)."
            if proven
            else f"It is at most 1 + ln({max(total, 1)}) = {1 + np.log(max(total, 1)):.1f} times "
            "as large as the smallest that does (Chvatal 1979)."
        )
        return best, f"{what} is shown {times} times or more, or as often as it occurs. {proof}"
    missing = int((left > 0).sum())
    chosen = greedy[:k]
    if len(chosen) < k:  # everything is shown: go on with what shows most atoms
        rows = np.diff(shown.indptr)
        free = np.setdiff1d(np.argsort(-rows, kind="stable"), chosen, assume_unique=True)
        free = np.array([i for i in free if i not in taken], np.intp)
        chosen = np.concatenate([chosen, free[: k - len(chosen)]]).astype(np.intp)
    if missing:
        return chosen, (
            f"{missing} of {total} atoms are not shown {times} times yet; the atoms shown are at "
            "least 1 - 1/e = 63 % of the most that as many items can show."
        )
    return chosen, f"{what} is shown {times} times or more, or as often as it occurs."


def _greedy(
    shown: csr_matrix, rest: NDArray, columns: int, k: int | None, taken: set[int]
) -> tuple[NDArray[np.intp], NDArray]:
    def gain(i: int) -> int:
        return int((rest[shown.indices[shown.indptr[i] : shown.indptr[i + 1]]] > 0).sum())

    heap = [(-gain(i), i) for i in range(shown.shape[0]) if i not in taken]
    heapq.heapify(heap)
    chosen: list[int] = []
    while heap and (rest > 0).any() and (k is None or len(chosen) < k):
        _, i = heapq.heappop(heap)
        now = gain(i)
        if now == 0:
            continue
        if heap and -now > heap[0][0]:
            heapq.heappush(heap, (-now, i))
            continue
        chosen.append(i)
        rest[shown.indices[shown.indptr[i] : shown.indptr[i + 1]]] -= 1
    return np.array(chosen, np.intp), rest


def _smallest(
    shown: csr_matrix, rest: NDArray, greedy: NDArray[np.intp], taken: set[int]
) -> tuple[NDArray[np.intp], bool]:
    if not (rest > 0).any():
        return np.zeros(0, np.intp), True
    n = shown.shape[0]
    if n > EXACT:
        return greedy, False
    upper = np.ones(n)
    upper[list(taken)] = 0
    needed = np.flatnonzero(rest > 0)
    found = milp(
        np.ones(n),
        integrality=np.ones(n),
        bounds=Bounds(0, upper),
        constraints=LinearConstraint(shown[:, needed].T, lb=rest[needed]),
        options={"time_limit": SECONDS},
    )
    if found.x is None or found.x.sum() > len(greedy) + 0.5:
        return greedy, False
    chosen = np.flatnonzero(found.x > 0.5)
    # What shows most atoms comes first.
    order = np.argsort(-np.diff(shown.indptr)[chosen], kind="stable")
    return chosen[order].astype(np.intp), found.status == 0
