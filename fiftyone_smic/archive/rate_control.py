"""Rate control: the dictionary that meets a target of bits per item or of fidelity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.archive.writer import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.learning import swap_count
from fiftyone_smic.dictionary.validation import check_item_count, check_latents
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.progress import Progress

#: A target is met within this share of it.
TOLERANCE = 0.025
#: A result within this share of the target is returned if nothing nearer was found.
_LARGEST_MISS = 0.05


def learn_to_target(
    latents: ArrayLike,
    *,
    bits_per_item: float | None = None,
    explained_variance: float | None = None,
    ordered: bool = True,
    n_items: int | None = None,
    max_fits: int = 10,
    progress: Progress | None = None,
    **parameters: Any,
) -> SemanticDictionary:
    """Learn a dictionary with the ``lam`` that meets a target, by a few fits.

    Args:
        latents: (N, d), N >= 2, normally of unit norm.
        bits_per_item: target in bits per item, of the whole archive without names. Give this or
            ``explained_variance``.
        explained_variance: target share of the variance that the rebuilt latents keep, in 0..1.
        ordered: whether the archive keeps the order of its items.
        n_items: number of items that the archive will hold, if the latents are a sample of them:
            they share the dictionary and the header. None means N.
        max_fits: most fits that search for ``lam``; two more may follow, with swaps.
        progress: called with the fraction of all fits done, 0..1; most targets take fewer.
        parameters: of :class:`SemanticDictionary`, except ``lam``.

    Returns:
        The fitted dictionary; its ``lam`` is the one found. It has no swaps if these lead past the
        target.

    Raises:
        ValueError: not exactly one target, a target out of range, an ``n_items`` less than N, or a
            target that cannot be met within 5 %: the message says how near it came.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> latents = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 16)) + 3
        >>> latents /= np.linalg.norm(latents, axis=1, keepdims=True)
        >>> dictionary = learn_to_target(latents, explained_variance=0.5, n_swaps=0, max_iter=4)
        >>> rebuilt = dictionary.inverse_transform(dictionary.transform(latents))
        >>> abs(fidelity(latents, rebuilt).explained_variance - 0.5) < 0.03
        True
    """
    if (bits_per_item is None) == (explained_variance is None):
        raise ValueError("give either bits_per_item or explained_variance, not both")
    if max_fits < 1:
        raise ValueError(f"max_fits must be at least 1, got {max_fits!r}")
    by_bits = explained_variance is None
    target = bits_per_item if bits_per_item is not None else explained_variance
    assert target is not None
    if not 0 < target < (math.inf if by_bits else 1):
        bound = "" if by_bits else " and below 1"
        raise ValueError(f"the target {target} is out of range: it must be above 0{bound}")
    z = check_latents(latents, minimum=2)
    items = check_item_count(n_items, len(z))

    def fit(log_lam: float, fits: int, **changed: Any) -> tuple[SemanticDictionary, float]:
        """Fit once; return the dictionary and what it reaches, as a share of the target."""
        dictionary = SemanticDictionary(lam=math.exp(log_lam), **{**parameters, **changed})
        report = None if progress is None else _part_of(progress, fits, max_fits + 2)
        dictionary.fit(z, n_items=items, progress=report)
        reached = (
            _bits_per_item(dictionary, z, items, ordered) if by_bits else _variance(dictionary, z)
        )
        return dictionary, max(reached, 1e-6) / target

    low: tuple[float, float] | None = None  # log lam and log of the share, where it is above 1
    high: tuple[float, float] | None = None  # where it is below 1
    best: SemanticDictionary | None = None
    nearest, at = math.inf, math.log(LAM)
    # Bits fall about as lam grows, and variance more slowly.
    slope = 1.1 if by_bits else 3.0
    for fits in range(max_fits):
        # Without the swaps, which take longest and mostly change little of where a lam leads.
        dictionary, share = fit(at, fits, n_swaps=0)
        off = math.log(share)
        if best is None or abs(share - 1) < abs(nearest - 1):
            best, nearest = dictionary, share
        if abs(nearest - 1) <= TOLERANCE:
            break
        low, high = ((at, off), high) if off > 0 else (low, (at, off))
        if low is None or high is None:
            # Ever longer steps: where atoms are few, a change of lam changes little.
            step = off * slope * 2**fits
            at += max(-2.5, min(2.5, step))
        else:
            share = min(0.85, max(0.15, low[1] / (low[1] - high[1])))
            at = low[0] + share * (high[0] - low[0])
    assert best is not None  # there is at least one fit
    if abs(nearest - 1) > _LARGEST_MISS:
        what = "bits per item" if by_bits else "explained variance"
        raise ValueError(
            f"{target:.4g} {what} cannot be met: the nearest is {nearest * target:.4g}"
        )
    if not swap_count(SemanticDictionary(**parameters).n_swaps, len(z)):
        return best
    at, final = math.log(best.lam), best
    for fits in (max_fits, max_fits + 1):
        dictionary, share = fit(at, fits)
        if abs(share - 1) <= TOLERANCE:
            return dictionary
        if abs(share - 1) <= _LARGEST_MISS:
            final = dictionary
        at += math.log(share) * slope
    return final


def _part_of(progress: Progress, part: int, parts: int) -> Callable[[float], None]:
    """Progress of one of several parts of the work."""
    return lambda share: progress((part + share) / parts)


def _variance(dictionary: SemanticDictionary, latents: NDArray[np.float32]) -> float:
    rebuilt = dictionary.inverse_transform(dictionary.transform(latents))
    return fidelity(latents, rebuilt, max_queries=1).explained_variance


def _bits_per_item(
    dictionary: SemanticDictionary, latents: NDArray[np.float32], n_items: int, ordered: bool
) -> float:
    """Bits per item of an archive of ``n_items`` items like these latents, without names."""
    codes = dictionary.transform(latents)
    rate = encode_archive(dictionary, codes, encoder="", ordered=ordered)[1]
    payload = rate.payload_bits_per_item
    if not ordered:  # the more items there are, the more their order is worth
        payload = max(0.0, payload - _order_bits(n_items) + _order_bits(len(latents)))
    return payload + (rate.dictionary_bits + rate.header_bits) / n_items


def _order_bits(n: int) -> float:
    """Bits per item that the order of n different items takes: log2(n!) / n."""
    return math.lgamma(n + 1) / math.log(2) / n
