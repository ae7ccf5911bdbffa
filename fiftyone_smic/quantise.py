"""Rate-distortion-optimised quantisation of atoms and mean to integers times a step of a quarter octave."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Exponents of steps an archive can hold: 2**-20 .. about 2**11.
MIN_EXPONENT, MAX_EXPONENT = -80, 47
#: Largest level an archive can hold.
MAX_LEVEL = (1 << 20) - 1

#: 2**(i/4) as literals: libm's exp2 may differ between machines in the last place, these do not.
_QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)


def step_size(exponent: int) -> float:
    """``2**(exponent / 4)``, the same float64 on every machine."""
    return math.ldexp(_QUARTERS[exponent & 3], exponent >> 2)


@dataclass(frozen=True)
class Quantised:
    """Rows of integers, each row with its own step.

    Attributes:
        levels: (K, d) int32.
        exponents: (K,) int32; row k stands for ``levels[k] * 2**(exponents[k] / 4)``.
    """

    levels: NDArray[np.int32]
    exponents: NDArray[np.int32]

    def values(self) -> NDArray[np.float32]:
        """The rows as float32 (K, d): one float64 product, rounded once."""
        steps = np.array([step_size(int(e)) for e in self.exponents], np.float64)
        return (self.levels * steps[:, None]).astype(np.float32)

    def take(self, rows: NDArray[np.intp]) -> Quantised:
        """The given rows."""
        return Quantised(self.levels[rows], self.exponents[rows])


def _exponents(
    weights: NDArray[np.float64], lam: float, largest: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Steps that balance distortion against bits at high rate: step^2 = 6 lam / (weight ln 2), a little coarser."""
    step = np.sqrt(6 * lam / (math.log(2) * np.maximum(weights, 0.5))) * 1.3
    step = np.maximum(step, largest / MAX_LEVEL)
    return np.clip(np.rint(4 * np.log2(step)), MIN_EXPONENT, MAX_EXPONENT).astype(np.int32)


def _round(values: NDArray, step: float, dead_zone: float) -> NDArray:
    return np.clip(
        np.sign(values) * np.floor(np.abs(values) / step + 1 - dead_zone), -MAX_LEVEL, MAX_LEVEL
    )


def quantise_rows(
    rows: NDArray[np.float64], gram: NDArray[np.float64], lam: float, *, sweeps: int = 2
) -> Quantised:
    """Quantises atoms (K, d) so that the items coded with them suffer least.

    The distortion of the items is ``trace((D - D')' gram (D - D'))`` with gram = C'C (K, K): each row is quantised
    against what the other rows' errors leave to it, the most used first, in a few sweeps.
    """
    largest = np.abs(rows).max(axis=1, initial=0.0)
    exponents = _exponents(np.diag(gram), lam, largest)
    levels = np.zeros(rows.shape)
    error = np.zeros(rows.shape)
    order = np.argsort(-np.diag(gram), kind="stable")
    for _ in range(sweeps):
        for j in order:
            others = gram[j].copy()
            others[j] = 0
            target = rows[j] - (others @ error) / gram[j, j]
            step = step_size(int(exponents[j]))
            levels[j] = _round(target, step, 0.67)
            error[j] = levels[j] * step - rows[j]
    return Quantised(levels.astype(np.int32), exponents)


def quantise_mean(mean: NDArray[np.float64], n_items: int, lam: float) -> Quantised:
    """Quantises a mean (d,) that ``n_items`` items share, as one row."""
    exponents = _exponents(
        np.array([float(n_items)]), lam, np.array([np.abs(mean).max(initial=0.0)])
    )
    levels = _round(mean, step_size(int(exponents[0])), 0.6)
    return Quantised(levels[None].astype(np.int32), exponents)
