"""Which coefficients are not 1: one model of it for what pursuit assumes and what archives code.

Most coefficients are 1. How often one is not depends on the atom: some stand for something that is
there or not, others for more or less of it. The odds of an atom are ``2**(odds / 2)``, a whole
number of half octaves, which an archive can say in a few bits. Which other number it is does not
depend on the atom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.tables import frequencies, log_weights

#: Odds are at most so many half octaves, and at least as many negative ones.
LARGEST_ODDS = 40

#: An atom is taken to be like all atoms together by as much as so many uses of it would say.
_STRENGTH = 2


def others_of(codes: csr_matrix) -> NDArray[np.int64]:
    """How often each atom of codes (N, K) is used with another coefficient than 1: (K,)."""
    return np.bincount(codes.indices[codes.data != 1], minlength=codes.shape[1])


def odds_of(counts: NDArray[np.int64], others: NDArray[np.int64]) -> NDArray[np.int64]:
    """Odds (K,) of atoms that were used ``counts`` times (K,), ``others`` (K,) of these with
    another coefficient than 1."""
    share = (others.sum() + 0.5) / (counts.sum() + 1)
    ratio = (others + _STRENGTH * share) / (counts - others + _STRENGTH * (1 - share))
    return np.clip(np.rint(2 * np.log2(ratio)), -LARGEST_ODDS, LARGEST_ODDS).astype(np.int64)


def _width_of_one(odds: int) -> int:
    levels = np.array([1 + max(0, -odds), 1 + max(0, odds)])
    return int(frequencies.py_func(log_weights(levels))[0])


_WIDTHS_OF_ONE = np.array(
    [_width_of_one(x) for x in range(-LARGEST_ODDS, LARGEST_ODDS + 1)], np.int64
)


def widths_of_one(odds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Widths (K,), of 2**24, of the interval of that a coefficient is 1."""
    return _WIDTHS_OF_ONE[odds + LARGEST_ODDS]


def expected_others(counts: NDArray[np.int64], odds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Reverses :func:`odds_of`, as nearly as whole numbers can."""
    ratio = 2.0 ** (odds / 2)
    others = counts * ratio / (1 + ratio)
    for _ in range(8):
        share = (others.sum() + 0.5) / (counts.sum() + 1)
        others = ratio * (counts + _STRENGTH * (1 - share)) - _STRENGTH * share
        others = np.clip(others / (1 + ratio), 0, counts)
    return np.rint(others).astype(np.int64)
