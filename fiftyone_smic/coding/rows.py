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

from fiftyone_smic.coding.range_coder import (
    Coder,
    code_bit,
    code_symbol,
    code_uniform,
    is_corrupt,
)
from fiftyone_smic.coding.tables import (
    TOTAL,
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
_LARGEST_SUM = 1 << 54
_TOO_LARGE = "the rows are too large"
#: Shrinkage: a prior's profile of the columns counts as much as this many rows.
_PRIOR_ROWS = 4

_COUNT_WEIGHTS = np.array([64 >> t for t in range(MAX_TERMS + 1)], np.int64)
_QUARTER_WEIGHTS = np.array(
    [32 >> min(abs(q), 5) for q in range(-MAX_QUARTERS, MAX_QUARTERS + 1) if q], np.int64
)
_STEP_WEIGHTS = np.array([1 + (64 >> min(abs(s - 128), 6)) for s in range(257)], np.int64)
_CLASSES = np.cumsum(
    [0, *frequencies_in_python(np.array([1 << (20 - c) for c in range(21)], np.int64))]
)


def step_size(exponent: int) -> float:
    """Return ``2**(exponent / 4)``, the same float64 on every machine."""
    return math.ldexp(_QUARTERS[exponent & 3], exponent >> 2)


_EXPONENTS = range(MIN_EXPONENT, MAX_EXPONENT + 1)
_STEPS = np.array([step_size(e) for e in _EXPONENTS])
#: The steps in units of 2**-24.
_FIXED_STEPS = np.array([max(1, round(step_size(e) * (1 << 24))) for e in _EXPONENTS], np.int64)


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
        out = self.levels * _STEPS[self.exponents - MIN_EXPONENT][:, None]
        rows = np.zeros((0, out.shape[1])) if public is None else public.rows
        _add_terms(out, self.terms, rows)
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
        profile: (d,) int64, typical magnitudes that a prior knows; (0,) without a prior.
        counts: (18, 16) int64, how often each magnitude occurred in each context.
    """

    def __init__(self, d: int, public: Public | None = None) -> None:
        self.sums = np.zeros(d, np.int64)
        self.rows = 0
        self.profile = np.zeros(0, np.int64) if public is None else public.profile
        self.counts = _first_counts().copy()

    def expected(self, exponent: int) -> NDArray[np.int64]:
        """Return the expected magnitude of each column (d,), in 1/256 of the step."""
        expected = np.empty_like(self.sums)
        _expect(self.sums, self.rows, self.profile, exponent, expected)
        return expected

    def learn(self, exponent: int, contexts: NDArray[np.int64], levels: NDArray[np.int64]) -> None:
        """Update the state by a row.

        Args:
            exponent: exponent of the row's step.
            contexts: (d,) the contexts in which its columns were coded.
            levels: (d,) its levels.

        Raises:
            CorruptStream: the numbers would not fit into 64 bits.
        """
        if not _learn(self.sums, self.counts, exponent, contexts, levels):
            raise CorruptStream(_TOO_LARGE)
        self.rows += 1

    def costs(self) -> NDArray[np.float64]:
        """Return the bits (18, 16) of a magnitude with its sign in each context.

        The last magnitude is the escape, without what follows it.
        """
        bits = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        bits[:, 1:] += 1
        return bits


@compiled(error_model="numpy")
def _expect(sums, rows, profile, exponent, expected):
    """Store what :meth:`RowModel.expected` returns."""
    step = _FIXED_STEPS[exponent - MIN_EXPONENT]
    start = sums.sum() // (len(sums) * rows) if rows else step
    for i in range(len(sums)):
        if len(profile):
            start = profile[i]
        mean = (sums[i] + _PRIOR_ROWS * start) // (rows + _PRIOR_ROWS)
        expected[i] = min((mean << 8) // step, _LARGEST)


@compiled(error_model="numpy")
def _learn(sums, counts, exponent, contexts, levels):
    """Update a model's sums and counts by a row; return whether the sums remain in range."""
    step = _FIXED_STEPS[exponent - MIN_EXPONENT]
    total = sums.sum()
    for i in range(len(sums)):
        magnitude = abs(levels[i])
        counts[contexts[i], min(magnitude, _ESCAPE)] += _LEARN
        more = min(magnitude, 1 << 16) * step
        total += more
        if total > _LARGEST_SUM:
            return False
        sums[i] += more
    return True


@compiled(error_model="numpy")
def context_of(expected, seen, hoped):
    """Context of a column, given sums of the magnitudes seen and expected in the columns before.

    It is the number of thresholds that are not above ``expected * ((seen + 8) << 8) // (hoped +
    2048)``, found without the division.
    """
    scaled, unit = expected * ((seen + 8) << 8), hoped + 2048
    low, high = 0, len(THRESHOLDS)
    while low < high:
        middle = (low + high) >> 1
        if THRESHOLDS[middle] * unit <= scaled:
            low = middle + 1
        else:
            high = middle
    return low


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
    model, room = RowModel(d, public), 0
    if given is None:
        levels, exponents = np.zeros((k, d), np.int64), np.zeros(k, np.int64)
        terms = np.zeros((MAX_TERMS * k, 3), np.int64)
    else:
        levels, exponents, terms = (
            part.astype(np.int64) for part in (given.levels, given.exponents, given.terms)
        )
        room = 2 * (k + levels.size + len(terms)) + 22 * int((abs(levels) >= _ESCAPE).sum())
    counts = np.bincount(terms[:, 0], minlength=k)
    known = 0 if public is None else len(public.rows)
    adaptive = _COUNT_WEIGHTS.copy(), _QUARTER_WEIGHTS.copy(), _STEP_WEIGHTS.copy()
    state = model.sums, model.profile, model.counts
    used = _code_rows(
        coder.compiled(room), known, adaptive, state, levels, exponents, counts, terms
    )
    coder.check()
    if used < 0:
        raise CorruptStream(("a step is out of range", "a level is out of range", _TOO_LARGE)[used])
    return Rows(levels.astype(np.int32), exponents.astype(np.int32), terms[:used].astype(np.int32))


@compiled(error_model="numpy")
def _code_rows(coder, known, adaptive, state, levels, exponents, counts, terms):
    """Write or read rows: levels (K, d), exponents and numbers of terms (K,), and the terms.

    Returns how many terms there are, or what is wrong: -3 a step, -2 a level, -1 the rows' size.
    """
    count_weights, quarter_weights, step_weights = adaptive
    sums, profile, magnitudes = state
    expected, contexts = np.empty_like(sums), np.zeros_like(sums)
    ends = np.zeros((len(magnitudes), magnitudes.shape[1] + 1), np.int64)
    stale = np.ones(len(magnitudes), np.bool_)
    used = 0
    for j in range(len(levels)):
        if j == 0:
            exponent = code_uniform(coder, 128, exponents[0] - MIN_EXPONENT) + MIN_EXPONENT
        else:
            step = exponents[j] - exponents[j - 1]
            exponent = exponents[j - 1] + _code_adaptive(coder, step_weights, step + 128) - 128
        if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
            return -3
        exponents[j] = exponent
        if known + j:
            counts[j] = _code_adaptive(coder, count_weights, counts[j])
            for t in range(used, used + counts[j]):
                source, quarters = terms[t, 1], terms[t, 2]
                place = known + source if source >= 0 else -1 - source
                place = code_uniform(coder, known + j, place)
                # From -8..-1, 1..8 to 0..15 and back.
                symbol = quarters + MAX_QUARTERS - (quarters > 0)
                symbol = _code_adaptive(coder, quarter_weights, symbol)
                terms[t, 0] = j
                terms[t, 1] = place - known if place >= known else -1 - place
                terms[t, 2] = symbol - MAX_QUARTERS + (symbol >= MAX_QUARTERS)
            used += counts[j]
        _expect(sums, j, profile, exponent, expected)
        _code_levels(coder, magnitudes, ends, stale, expected, levels[j], contexts)
        if is_corrupt(coder):
            return used
        if np.abs(levels[j]).max() > MAX_LEVEL:
            return -2
        if not _learn(sums, magnitudes, exponent, contexts, levels[j]):
            return -1
    return used


@compiled(error_model="numpy")
def _code_adaptive(coder, counts, symbol):
    """Write or read a symbol under an adaptive table, which counts what it has coded."""
    symbol = code_symbol(coder, ends_of(frequencies(counts)), symbol)
    counts[symbol] += 32
    return symbol


@compiled(error_model="numpy")
def _code_levels(coder, counts, ends, stale, expected, levels, contexts):
    """Write or read a row of levels (d,), and store the contexts (d,) in which they were coded.

    ``ends`` (18, 17) holds the tables of the contexts, those that are not stale (18,).
    """
    escape = counts.shape[1] - 1
    seen, hoped = 0, 0
    for i in range(len(levels)):
        c = context_of(expected[i], seen, hoped)
        if stale[c]:
            row = ends_of(frequencies(counts[c]))
            for s in range(len(row)):  # numba compiles a copy of the whole row for seconds
                ends[c, s] = row[s]
            stale[c] = False
        size = code_symbol(coder, ends[c], min(abs(levels[i]), escape))
        seen += size
        hoped += expected[i]
        contexts[i] = c
        if size == escape:
            size += _code_excess(coder, abs(levels[i]) - escape)
        if size:
            size *= 1 - 2 * code_bit(coder, TOTAL // 2, np.int64(levels[i] < 0))
        levels[i] = size
    for c in contexts:
        stale[c] = True


@compiled(error_model="numpy")
def _code_excess(coder, excess):
    """Write or read Elias' gamma code of a number >= 0; length b has the weight 2**(20 - b)."""
    length = 0
    while (excess + 1) >> (length + 1) and length < 20:
        length += 1
    length = code_symbol(coder, _CLASSES, length)
    value = 1 << length
    for i in range(length):
        value |= code_bit(coder, TOTAL // 2, (excess + 1) >> i & 1) << i
    return value - 1


@compiled(error_model="numpy")
def _add_terms(values, terms, public):
    """Add to each of the rows (K, d) what predicts it."""
    for t in range(len(terms)):
        row, source, quarters = terms[t]
        others = values[source] if source >= 0 else public[-1 - source]
        for i in range(values.shape[1]):
            values[row, i] += (quarters / 4) * others[i]
