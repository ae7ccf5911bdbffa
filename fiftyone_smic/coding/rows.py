"""Rows of real numbers in few bits: how atoms and means are predicted and coded.

A row is ``sum_t c_t / 4 * row[s_t] + levels * 2**(exponent / 4)``. A few rows that the reader has
already, earlier ones or public ones, predict it, and whole numbers of a step of its own say the
rest. The magnitudes of the levels are coded adaptively. The context of an entry is the magnitude
that its column has had so far, in units of the row's step, times how much larger this row's entries
have been than that in the columns coded before. Contexts and counts are integers, so both sides of
the coder agree on every machine.

:mod:`fiftyone_smic.coding.row_quantiser` chooses the levels, with the costs that they have here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.range_coder import Coder, code_symbol, code_uniform
from fiftyone_smic.coding.tables import (
    CorruptStream,
    ends_of,
    frequencies,
    frequencies_in_python,
)
from fiftyone_smic.utils.compiled import compiled

#: Exponents of steps that an archive can hold: 2**-20 to about 2**11.
MIN_EXPONENT, MAX_EXPONENT = -80, 47
#: Largest level that an archive can hold.
MAX_LEVEL = (1 << 20) - 1
#: Largest number of rows that predict a row.
MAX_TERMS = 6
#: Largest coefficient of a row that predicts another, in quarters.
MAX_QUARTERS = 8

#: 2**(i/4) as literals: libm's exp2 may differ between machines in the last place, these do not.
_QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)

#: Where the context of a column changes: expected magnitudes in 1/256 of a step, in half octaves
#: from 1/16 to 16.
THRESHOLDS = np.array(
    [16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096], np.int64
)
#: Magnitudes from here on are coded as this one and a number behind it.
_ESCAPE = 15
#: Largest expected magnitude, in 1/256 of a step.
_LARGEST = 8192
#: What a coded magnitude adds to its count.
_LEARN = 24
#: Largest sum of the magnitudes of all rows, in units of 2**-24.
_LARGEST_SUM = 2.0**54
#: Shrinkage: a prior's profile of the columns counts as much as this many rows.
_PRIOR_ROWS = 4

_QUARTERS_OF = [q for q in range(-MAX_QUARTERS, MAX_QUARTERS + 1) if q]
_COUNT_WEIGHTS = np.array([64 >> t for t in range(MAX_TERMS + 1)], np.int64)
_QUARTER_WEIGHTS = np.array([32 >> min(abs(q), 5) for q in _QUARTERS_OF], np.int64)
_STEP_WEIGHTS = np.array([1 + (64 >> min(abs(s - 128), 6)) for s in range(257)], np.int64)
_CLASSES = np.cumsum(
    [0, *frequencies_in_python(np.array([1 << (20 - c) for c in range(21)], np.int64))]
)


def step_size(exponent: int) -> float:
    """Return ``2**(exponent / 4)``, the same float64 on every machine."""
    return math.ldexp(_QUARTERS[exponent & 3], exponent >> 2)


@lru_cache(maxsize=256)
def _fixed_step(exponent: int) -> int:
    """Return the step in units of 2**-24."""
    return max(1, round(step_size(exponent) * (1 << 24)))


@dataclass(frozen=True)
class Public:
    """What writer and reader know about rows before the first row.

    Attributes:
        profile: (d,) int64, typical magnitude of each column, in units of 2**-24.
        rows: (P, d) float64, public rows that may predict others.
    """

    profile: NDArray[np.int64]
    rows: NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Quantised rows.

    Attributes:
        levels: (K, d) int32, entries in units of their row's step.
        exponents: (K,) int32: the step of row k is ``2**(exponents[k] / 4)``.
        terms: (T, 3) int32, sorted by row: a row, a row that predicts it (an earlier one, or
            -1 - p for public row p), and its coefficient in quarters.
        bits: ideal length of their stream in bits, where the writer computed it, else 0.
    """

    levels: NDArray[np.int32]
    exponents: NDArray[np.int32]
    terms: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    bits: float = 0.0

    def values(self, public: Public | None = None) -> NDArray[np.float64]:
        """Return the rows (K, d) as float64; ``public`` holds the rows that may predict them."""
        steps = np.array([step_size(int(e)) for e in self.exponents], np.float64)
        out = self.levels * steps[:, None]
        for row, source, quarters in self.terms.tolist():
            if source >= 0:
                out[row] += (quarters / 4) * out[source]
            else:
                assert public is not None  # otherwise no term can have named a public row
                out[row] += (quarters / 4) * public.rows[-1 - source]
        return out

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """Return the rows at these positions (ascending), which include all that predict them."""
        place = np.full(len(self.levels), -1, np.int32)
        place[rows] = np.arange(len(rows))
        terms = self.terms[place[self.terms[:, 0]] >= 0].copy()
        terms[:, 0] = place[terms[:, 0]]
        own = terms[:, 1] >= 0
        terms[own, 1] = place[terms[own, 1]]
        return Rows(self.levels[rows], self.exponents[rows], terms, self.bits)


@lru_cache(maxsize=1)
def _first_counts() -> NDArray[np.int64]:
    """Return the first counts (18, 16): a geometric law with the mean of each context."""
    counts = np.zeros((len(THRESHOLDS) + 1, _ESCAPE + 1), np.int64)
    for c in range(len(counts)):
        mean = 13 * (1 << c // 2) if c % 2 == 0 else 18 * (1 << c // 2)
        w = 1 << 20
        total = w * (mean + 256) // 256
        for m in range(_ESCAPE + 1):
            counts[c, m] = 1 + 128 * w // total
            w = w * mean // (mean + 256)
    return counts


class RowModel:
    """The state that writer and reader share before the next row.

    Args:
        d: number of columns.
        public: what is known before the first row, or None.

    Attributes:
        sums: (d,) int64, magnitudes of each column so far, in units of 2**-24.
        rows: number of rows so far.
        profile: (d,) int64, typical magnitudes that a prior knows, or None.
        counts: (18, 16) int64, how often each magnitude occurred in each context.
    """

    def __init__(self, d: int, public: Public | None = None) -> None:
        self.sums = np.zeros(d, np.int64)
        self.rows = 0
        self.profile = None if public is None else public.profile
        self.counts = _first_counts().copy()

    def expected(self, exponent: int) -> NDArray[np.int64]:
        """Return the expected magnitude of each column (d,), in 1/256 of the step."""
        start = np.full(1, -1) if self.profile is None else self.profile
        return _expected(self.sums, self.rows, start, _fixed_step(exponent))

    def learn(
        self, exponent: int, contexts: NDArray[np.int64], magnitudes: NDArray[np.int64]
    ) -> None:
        """Update the state by a row.

        Args:
            exponent: exponent of the row's step.
            contexts: (d,) the contexts in which its columns were coded.
            magnitudes: (d,) the magnitudes of its levels.

        Raises:
            CorruptStream: the numbers would not fit into 64 bits.
        """
        if not _learn(self.counts, self.sums, contexts, magnitudes, _fixed_step(exponent)):
            raise CorruptStream("the rows are too large")
        self.rows += 1

    def costs(self) -> NDArray[np.float64]:
        """Return the bits (18, 16) of a magnitude with its sign in each context.

        The last magnitude is the escape, without what follows it.
        """
        bits = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        bits[:, 1:] += 1
        return bits


@compiled()
def _expected(sums, rows, profile, step):
    """See :meth:`RowModel.expected`; a profile that begins with -1 is none."""
    d = len(sums)
    out = np.empty(d, np.int64)
    start = step
    if profile[0] < 0 and rows:
        start = sums.sum() // (d * rows)
    for i in range(d):
        if profile[0] >= 0:
            start = profile[i]
        mean = (sums[i] + _PRIOR_ROWS * start) // (rows + _PRIOR_ROWS)
        out[i] = min((mean << 8) // step, _LARGEST)
    return out


@compiled()
def _learn(counts, sums, contexts, magnitudes, step):
    """See :meth:`RowModel.learn`. If the sums would overflow, nothing changes: returns False."""
    total = 0.0
    for i in range(len(sums)):
        total += float(sums[i]) + float(min(magnitudes[i], 1 << 16) * step)
    if total > _LARGEST_SUM:
        return False
    for i in range(len(sums)):
        counts[contexts[i], min(magnitudes[i], _ESCAPE)] += _LEARN
        sums[i] += min(magnitudes[i], 1 << 16) * step
    return True


@compiled()
def context_of(expected, seen, hoped, thresholds):
    """Context of a column, given sums of the magnitudes seen and expected in the columns before."""
    scaled = expected * ((seen + 8) << 8) // (hoped + 2048)
    return np.searchsorted(thresholds, scaled, side="right")


class _Adaptive:
    """An adaptive table, which counts what it has coded."""

    def __init__(self, start: NDArray[np.int64]) -> None:
        self.counts = start.copy()

    def code(self, coder: Coder, symbol: int) -> int:
        symbol = coder.one(symbol, frequencies(self.counts))
        self.counts[symbol] += 32
        return symbol


def code_rows(
    coder: Coder,
    k: int,
    d: int,
    public: Public | None = None,
    given: Rows | None = None,
) -> Rows:
    """Write rows with their exponents and terms, or read as many.

    Args:
        coder: writes or reads.
        k: number of rows.
        d: number of columns.
        public: what is known before the first row, or None.
        given: the K rows to write.

    Returns:
        The rows that were read or written.

    Raises:
        CorruptStream: the stream cannot have been written.
    """
    rows = given or Rows(np.zeros((k, d), np.int32), np.zeros(k, np.int32))
    levels, exponents = rows.levels.astype(np.int64), rows.exponents.astype(np.int64)
    model, terms = RowModel(d, public), []
    known = 0 if public is None else len(public.rows)
    counts, quarters, steps = (
        _Adaptive(w) for w in (_COUNT_WEIGHTS, _QUARTER_WEIGHTS, _STEP_WEIGHTS)
    )
    starts = np.searchsorted(rows.terms[:, 0], np.arange(k + 1))
    for j in range(k):
        if j == 0:
            exponents[0] = coder.uniform(exponents[0] - MIN_EXPONENT, 128) + MIN_EXPONENT
        else:
            step = exponents[j] - exponents[j - 1]
            exponents[j] = exponents[j - 1] + steps.code(coder, step + 128) - 128
        exponent = int(exponents[j])
        if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
            raise CorruptStream("a step is out of range")
        mine = rows.terms[starts[j] : starts[j + 1]].tolist()
        for t in range(counts.code(coder, len(mine)) if known + j else 0):
            _, source, quarter = mine[t] if mine else (j, 0, 1)
            place = coder.uniform(known + source if source >= 0 else -1 - source, known + j)
            source = place - known if place >= known else -1 - place
            quarter = _QUARTERS_OF[quarters.code(coder, _QUARTERS_OF.index(quarter))]
            terms.append((j, source, quarter))
        contexts = np.zeros(d, np.int64)
        room = coder.compiled(24 * d)
        _code_levels(room, model.counts, model.expected(exponent), THRESHOLDS, levels[j], contexts)
        coder.check()
        if abs(levels[j]).max() > MAX_LEVEL:
            raise CorruptStream("a level is out of range")
        model.learn(exponent, contexts, abs(levels[j]))
    return Rows(
        levels.astype(np.int32),
        exponents.astype(np.int32),
        np.array(terms, np.int32).reshape(-1, 3),
    )


@compiled()
def _code_levels(coder, counts, expected, thresholds, levels, contexts):
    """Write or read a row of levels (d,), and store the contexts (d,) in which they were coded."""
    symbols = counts.shape[1]
    escape = symbols - 1
    ends = np.zeros((len(counts), symbols + 1), np.int64)
    for c in range(len(counts)):
        row = ends_of(frequencies(counts[c]))
        for s in range(symbols + 1):  # numba compiles a copy of the whole row for seconds
            ends[c, s] = row[s]
    seen, hoped = 0, 0
    for i in range(len(levels)):
        c = context_of(expected[i], seen, hoped, thresholds)
        size = code_symbol(coder, ends[c], min(abs(levels[i]), escape))
        seen += size
        hoped += expected[i]
        contexts[i] = c
        if size == escape:
            size += _code_excess(coder, abs(levels[i]) - escape)
        if size:
            size *= 1 - 2 * code_uniform(coder, 2, np.int64(levels[i] < 0))
        levels[i] = size


@compiled()
def _code_excess(coder, excess):
    """Write or read Elias' gamma code of a number >= 0; length b has the weight 2**(20 - b)."""
    length = 0
    while (excess + 1) >> (length + 1) and length < 20:
        length += 1
    length = code_symbol(coder, _CLASSES, length)
    value = 1 << length
    for i in range(length):
        value |= code_uniform(coder, 2, (excess + 1) >> i & 1) << i
    return value - 1
