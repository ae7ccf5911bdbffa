"""Rate control: the dictionary that meets a target of bits per item or of fidelity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .archive import encode_archive
from .dictionary import SemanticDictionary
from .metrics import fidelity

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
        progress: called with the fraction of ``max_fits`` done, 0..1; most targets take fewer.
        parameters: of :class:`SemanticDictionary`, except ``lam``.

    Returns:
        The fitted dictionary; its ``lam`` is the one found.

    Raises:
        ValueError: not exactly one target, or one that cannot be met within 5 %: the message says
            how near it came.
    """
    if (bits_per_item is None) == (explained_variance is None):
        raise ValueError("give either bits_per_item or explained_variance")
    target = bits_per_item if bits_per_item is not None else explained_variance
    assert target is not None
    if not target > 0 or (explained_variance is not None and target >= 1):
        raise ValueError(f"the target {target} is out of range")
    low: tuple[float, float] | None = None  # (log lam, log of what it reaches / target), too much
    high: tuple[float, float] | None = None  # too little
    best: SemanticDictionary | None = None
    value, nearest, at = 0.0, math.inf, math.log(0.002)
    for fits in range(max_fits):
        # Swaps take longest, and hardly change where a lam leads.
        dictionary = SemanticDictionary(lam=math.exp(at), **{**parameters, "n_swaps": 0})
        fitting = progress and _one_of(max_fits + 1, fits, progress)
        dictionary.fit(latents, n_items=n_items, progress=fitting)
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
            step = off * (1.1 if explained_variance is None else 3.0) * 2**fits
            at += max(-2.5, min(2.5, step))
        else:
            share = min(0.85, max(0.15, low[1] / (low[1] - high[1])))
            at = low[0] + share * (high[0] - low[0])
    if best is not None and nearest <= 0.05:
        final = SemanticDictionary(lam=best.lam, **parameters)
        if not final.swaps_for(len(np.asarray(latents))):
            return best
        fitting = progress and _one_of(max_fits + 1, max_fits, progress)
        final.fit(latents, n_items=n_items, progress=fitting)
        reached = _reach(final, latents, explained_variance is None, ordered)
        return final if abs(reached / target - 1) <= 0.05 else best
    what = "bits per item" if explained_variance is None else "explained variance"
    raise ValueError(f"{target:.4g} {what} cannot be met: the nearest is {value:.4g}")


def _one_of(total: int, before: int, progress: Callable[[float], None]) -> Callable[[float], None]:
    """Progress of one fit as progress of all."""
    return lambda part: progress((before + part) / total)


def _reach(dictionary: SemanticDictionary, latents: ArrayLike, bits: bool, ordered: bool) -> float:
    codes = dictionary.transform(latents)
    if bits:
        return encode_archive(dictionary, codes, encoder="", ordered=ordered)[1].bits_per_item
    rebuilt = dictionary.inverse_transform(codes)
    return fidelity(np.asarray(latents), rebuilt, max_queries=1).explained_variance
