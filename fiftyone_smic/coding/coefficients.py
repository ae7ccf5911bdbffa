"""The model of coefficients: the one that archives code with and that pursuit assumes.

A coefficient is first 1 or not, then, if it is not, one of the *other values* ``-L..-1, 2..L``.
Most coefficients are 1. How often one is not depends on the atom: some atoms stand for something
that an image shows or does not show, others for more or less of it. So each atom has odds,
``2**(odds / 2)``, a whole number of half octaves, which an archive stores in a few bits. Which
other value a coefficient has does not depend on the atom.

Whatever knows this model is here: the tables (:class:`CoefficientTables`), what the range coder
(:func:`code_coefficient`) and the stack coder (:class:`StackCoefficients`) do with a coefficient,
and the costs that pursuit compares (:class:`CoefficientCosts`, :func:`cost_of`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.coding.ans_stack import Stack
from fiftyone_smic.coding.range_coder import code_bit, code_symbol
from fiftyone_smic.coding.tables import (
    TOTAL,
    ends_of,
    frequencies,
    frequencies_in_python,
    weights_of,
)
from fiftyone_smic.utils.compiled import compiled

#: Odds are between -LARGEST_ODDS and LARGEST_ODDS half octaves.
LARGEST_ODDS = 40

#: Shrinkage: every atom is treated as if it had this many extra uses at the pooled odds.
_STRENGTH = 2


# --- other values --------------------


def other_values(max_level: int) -> NDArray[np.int64]:
    """Return the coefficients other than 1, in the order of their symbols: (2 L - 1,) int64.

    Example:
        >>> other_values(2).tolist()
        [-2, -1, 2]
    """
    return np.delete(np.arange(-max_level, max_level + 1), [max_level, max_level + 1])


@compiled()
def _symbol_of(value, max_level):
    """The place of a value among the other values."""
    return value + max_level - 2 * (value > 0)


@compiled()
def _value_of(symbol, max_level):
    """The other value at this place."""
    return symbol - max_level + 2 * (symbol >= max_level)


def symbol_counts(codes: csr_matrix, max_level: int) -> NDArray[np.int64]:
    """Return how often each of the other values occurs in codes (N, K): (2 L - 1,) int64."""
    places = codes.data.astype(np.int64) + max_level
    return np.bincount(places, minlength=2 * max_level + 1)[other_values(max_level) + max_level]


# --- odds --------------------


def others_of(codes: csr_matrix) -> NDArray[np.int64]:
    """Return how often each atom's coefficient is not 1 in codes (N, K): (K,) int64."""
    return np.bincount(codes.indices[codes.data != 1], minlength=codes.shape[1])


def odds_of(counts: NDArray[np.int64], other_counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the odds that each atom's coefficient is not 1.

    Args:
        counts: (K,) uses of each atom.
        other_counts: (K,) uses of these with another coefficient than 1.

    Returns:
        (K,) int64, half octaves.
    """
    share = (other_counts.sum() + 0.5) / (counts.sum() + 1)
    ratio = (other_counts + _STRENGTH * share) / (counts - other_counts + _STRENGTH * (1 - share))
    return np.clip(np.rint(2 * np.log2(ratio)), -LARGEST_ODDS, LARGEST_ODDS).astype(np.int64)


def expected_others(counts: NDArray[np.int64], odds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the counts of other coefficients that odds stand for.

    This reverses :func:`odds_of` as nearly as whole numbers can.

    Args:
        counts: (K,) uses of each atom.
        odds: (K,) half octaves.

    Returns:
        (K,) int64, at most ``counts``.
    """
    ratio = 2.0 ** (odds / 2)
    others = counts * ratio / (1 + ratio)
    for _ in range(8):
        share = (others.sum() + 0.5) / (counts.sum() + 1)
        others = ratio * (counts + _STRENGTH * (1 - share)) - _STRENGTH * share
        others = np.clip(others / (1 + ratio), 0, counts)
    return np.rint(others).astype(np.int64)


def _frequency_of_one(odds: int) -> int:
    half_octaves = np.array([1 + max(0, -odds), 1 + max(0, odds)])
    return int(frequencies_in_python(weights_of(half_octaves))[0])


_FREQUENCIES_OF_ONE = np.array(
    [_frequency_of_one(x) for x in range(-LARGEST_ODDS, LARGEST_ODDS + 1)], np.int64
)


# --- coding --------------------


class CoefficientTables:
    """The tables that coefficients are coded with.

    Args:
        odds: (K,) int64, half octaves: the odds that each atom's coefficient is not 1.
        other_weights: (2 L - 1,) int64, how often each of the other values occurs, in half octaves.

    Attributes:
        ones: (K,) int64: frequency, out of 2**24, that atom k's coefficient is 1.
        others: (2 L - 1,) int64, frequencies of the other values.
        other_ends: (2 L,) int64, where their intervals begin.
        max_level: L.
    """

    def __init__(self, odds: NDArray[np.int64], other_weights: NDArray[np.int64]) -> None:
        self.max_level = (len(other_weights) + 1) // 2
        self.ones = _FREQUENCIES_OF_ONE[odds + LARGEST_ODDS]
        self.others = frequencies(weights_of(other_weights))
        self.other_ends = ends_of(self.others)


@compiled()
def code_coefficient(coder, one, other_ends, value):
    """Write or read a coefficient with a range coder.

    ``one`` is the frequency of 1 for its atom, ``other_ends`` as in :class:`CoefficientTables`.
    """
    if not code_bit(coder, one, np.int64(value != 1)):
        return np.int64(1)
    max_level = len(other_ends) // 2
    if max_level == 1:
        return np.int64(-1)
    return _value_of(code_symbol(coder, other_ends, _symbol_of(value, max_level)), max_level)


class StackCoefficients:
    """Writes and reads coefficients with a stack coder.

    Args:
        stack: the coder.
        tables: what to code with.
    """

    def __init__(self, stack: Stack, tables: CoefficientTables) -> None:
        self._stack = stack
        self._values: list[int] = other_values(tables.max_level).tolist()
        self._symbols = {value: symbol for symbol, value in enumerate(self._values)}
        self._others = stack.model(tables.others)
        ones = tables.ones.tolist()
        flags: dict[int, Any] = {
            one: stack.model(np.array([one, TOTAL - one])) for one in set(ones)
        }
        self._flags = [flags[one] for one in ones]

    def push(self, atom: int, value: int) -> None:
        """Put a coefficient of the atom on the stack."""
        if value != 1:
            self._stack.push(self._symbols[value], self._others)
        self._stack.push(int(value != 1), self._flags[atom])

    def pop(self, atom: int) -> int:
        """Take a coefficient of the atom off the stack."""
        if not self._stack.pop(self._flags[atom]):
            return 1
        return self._values[self._stack.pop(self._others)]


# --- costs --------------------


@dataclass(frozen=True)
class CoefficientCosts:
    """Code lengths, in bits, of coefficients.

    Attributes:
        one: (K,) float64, of saying that atom k's coefficient is 1.
        other: (K,) float64, of saying that it is not.
        value: (2 L + 1,) float64, of saying which other value it is, coefficient q at position
            q + L. It is 0 for q = 1; the entry of q = 0 is not used.
    """

    one: NDArray[np.float64]
    other: NDArray[np.float64]
    value: NDArray[np.float64]

    @classmethod
    def initial(cls, n_atoms: int, max_level: int) -> CoefficientCosts:
        """Return costs to start from: all atoms alike, 1 the cheapest coefficient, then -1."""
        value = np.full(2 * max_level + 1, 3.0)
        value[max_level - 1], value[max_level + 1] = 2.0, 0.0
        return cls(np.full(n_atoms, 0.7), np.zeros(n_atoms), value)

    @classmethod
    def from_counts(
        cls, counts: NDArray, other_counts: NDArray, level_counts: NDArray
    ) -> CoefficientCosts:
        """Return the costs that belong to counts.

        Args:
            counts: (K,) uses of each atom.
            other_counts: (K,) uses of these with another coefficient than 1.
            level_counts: (2 L + 1,) uses of coefficient q at position q + L.
        """
        odds = odds_of(counts, other_counts) / 2
        max_level = len(level_counts) // 2
        value = np.zeros(len(level_counts))
        places = other_values(max_level) + max_level
        value[places] = code_lengths(np.asarray(level_counts)[places])
        return cls(np.log2(1 + 2.0**odds), np.log2(1 + 2.0**-odds), value)

    def of(self, atoms: NDArray, values: NDArray) -> NDArray[np.float64]:
        """Return the bits (n,) of coefficients ``values`` (n,) of ``atoms`` (n,)."""
        bits = np.where(values == 1, self.one[atoms], self.other[atoms])
        return bits + self.value[values.astype(np.int64) + len(self.value) // 2]


def code_lengths(counts: NDArray) -> NDArray[np.float64]:
    """Return Krichevsky-Trofimov code lengths (n,), in bits, of symbols with these counts (n,)."""
    c = np.asarray(counts, np.float64) + 0.5
    return -np.log2(c / c.sum()) if len(c) else c


@compiled(nogil=True)
def cost_of(coefficient, one, other, value):
    """The cost of a coefficient, given its atom's ``one`` and ``other``, in the unit of these."""
    if coefficient == 1:
        return one
    return other + value[coefficient + value.shape[0] // 2]


@compiled(nogil=True)
def least_costs(one, other, value):
    """The cost (K,) of the cheapest coefficient of each atom, in the unit of the costs given."""
    max_level = value.shape[0] // 2
    least = value[:max_level].min()
    for place in range(max_level + 2, len(value)):
        least = min(least, value[place])
    return np.minimum(one, other + least)
