"""Rate control: the dictionary that meets a target of bits per item or of fidelity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.utils.defaults import LAM

#: A target counts as met within this share of it.
TOLERANCE = 0.025


def learn_to_target(
    latents: ArrayLike,
    *,
    bits_per_item: float | None = None,
    explained_variance: float | None = None,
    ordered: bool = True,
    n_items: int | None = None,
    max_fits: int = 10,
    progress: Callable[[float], None] | None = None,
    **parameters: Any,
) -> SemanticDictionary:
    """Learns a dictionary with the lam that meets a target, by a few fits.

    Args:
        latents: (N, d).
        bits_per_item: bits of the whole archive (without names) per item, or
        explained_variance: of the rebuilt latents, in 0..1. Exactly one of the two.
        ordered: whether the archive will be.
        n_items: see :meth:`SemanticDictionary.fit`.
        max_fits: give up after so many.
        progress: called with the fraction of ``max_fits + 2`` done, 0..1; most targets take fewer.
        parameters: of :class:`SemanticDictionary`, except ``lam``.

    Returns:
        The fitted dictionary; its ``lam`` is the one found. It has no swaps if these lead past the
        target.

    Raises:
        ValueError: not exactly one target, or one that cannot be met within 5 %: the message says
            how near it came.
    """
    if (bits_per_item is None) == (explained_variance is None):
        raise ValueError("give either bits_per_item or explained_variance, not both")
    target = bits_per_item if bits_per_item is not None else explained_variance
    assert target is not None
    if not target > 0 or (explained_variance is not None and target >= 1):
        bound = "" if explained_variance is None else " and below 1"
        raise ValueError(f"the target {target} is out of range: it must be above 0{bound}")
    low: tuple[float, float] | None = None  # (log lam, log of what it reaches / target), too much
    high: tuple[float, float] | None = None  # too little
    best: SemanticDictionary | None = None
    value, nearest, at = 0.0, math.inf, math.log(LAM)
    slope = 1.1 if explained_variance is None else 3.0

    def one_of(before: int) -> Callable[[float], None]:
        assert progress is not None
        return lambda part: progress((before + part) / (max_fits + 2))

    for fits in range(max_fits):
        # Without the swaps, which take longest and mostly change little of where a lam leads.
        dictionary = SemanticDictionary(lam=math.exp(at), **{**parameters, "n_swaps": 0})
        dictionary.fit(latents, n_items=n_items, progress=progress and one_of(fits))
        reached = _reach(dictionary, latents, explained_variance is None, ordered)
        off = math.log(max(reached, 1e-6) / target)
        if abs(reached / target - 1) < nearest:
            best, nearest, value = dictionary, abs(reached / target - 1), reached
        if nearest <= TOLERANCE:
            break
        low, high = ((at, off), high) if off > 0 else (low, (at, off))
        if low is None or high is None:
            # Bits fall about as lam grows, variance slower, and both hardly at all where atoms are
            # few: so ever longer steps.
            step = off * slope * 2**fits
            at += max(-2.5, min(2.5, step))
        else:
            share = min(0.85, max(0.15, low[1] / (low[1] - high[1])))
            at = low[0] + share * (high[0] - low[0])
    if best is None or nearest > 0.05:
        what = "bits per item" if explained_variance is None else "explained variance"
        raise ValueError(f"{target:.4g} {what} cannot be met: the nearest is {value:.4g}")
    if not SemanticDictionary(**parameters).swaps_for(len(np.asarray(latents))):
        return best
    at, final = math.log(best.lam), best
    for fits in (max_fits, max_fits + 1):
        dictionary = SemanticDictionary(lam=math.exp(at), **parameters)
        dictionary.fit(latents, n_items=n_items, progress=progress and one_of(fits))
        reached = _reach(dictionary, latents, explained_variance is None, ordered)
        if abs(reached / target - 1) <= TOLERANCE:
            return dictionary
        if abs(reached / target - 1) <= 0.05:
            final = dictionary
        at += math.log(max(reached, 1e-6) / target) * slope
    return final


def _reach(dictionary: SemanticDictionary, latents: ArrayLike, bits: bool, ordered: bool) -> float:
    codes = dictionary.transform(latents)
    if bits:
        return encode_archive(dictionary, codes, encoder="", ordered=ordered)[1].bits_per_item
    rebuilt = dictionary.inverse_transform(codes)
    return fidelity(np.asarray(latents), rebuilt, max_queries=1).explained_variance
