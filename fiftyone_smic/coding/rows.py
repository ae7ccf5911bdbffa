"""Rows of real numbers as few bits: how the atoms and the mean are predicted, quantised and coded.

A row is ``sum_t c_t / 4 * row[s_t] + levels * 2**(exponent / 4)``: a few rows that the reader has,
earlier ones or public ones, predict it, and whole numbers of a step of its own say the rest. The
magnitudes of the levels are coded adaptively. An entry's context is the magnitude its column has
had so far in units of the row's step, times how much larger this row's entries have been than that
in the columns already coded. Contexts and counts are integers, so both sides of the coder agree on
every machine; the values themselves decide nothing.

The encoder quantises with the very costs the coder will have (:func:`quantise_rows`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.range_coder import Coder, code_symbol, code_uniform
from fiftyone_smic.coding.tables import CorruptStream, ends_of, frequencies

#: Exponents of steps an archive can hold: 2**-20 .. about 2**11.
MIN_EXPONENT, MAX_EXPONENT = -80, 47
#: Largest level an archive can hold.
MAX_LEVEL = (1 << 20) - 1
#: At most so many other rows predict a row, with coefficients in quarters up to MAX_QUARTERS.
MAX_TERMS, MAX_QUARTERS = 6, 8

#: 2**(i/4) as literals: libm's exp2 may differ between machines in the last place, these do not.
_QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)

#: Where a row's context changes: expected magnitude in 1/256 of a step, half octaves from 1/16 to
#: 16.
_THRESHOLDS = np.array(
    [16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096], np.int64
)
_ESCAPE = 15
_LARGEST = 8192
_LEARN = 24
#: What the magnitudes of all rows may add up to, in 2**-24.
_LARGEST_SUM = 2.0**54
#: How many rows' worth of evidence the prior profile of column magnitudes is.
_PRIOR_ROWS = 4

_QUARTERS_OF = [q for q in range(-MAX_QUARTERS, MAX_QUARTERS + 1) if q]
_COUNT_WEIGHTS = np.array([64 >> t for t in range(MAX_TERMS + 1)], np.int64)
_QUARTER_WEIGHTS = np.array([32 >> min(abs(q), 5) for q in _QUARTERS_OF], np.int64)
_STEP_WEIGHTS = np.array([1 + (64 >> min(abs(s - 128), 6)) for s in range(257)], np.int64)
_CLASSES = np.cumsum(
    [0, *frequencies.py_func(np.array([1 << (20 - c) for c in range(21)], np.int64))]
)


def step_size(exponent: int) -> float:
    """``2**(exponent / 4)``, the same float64 on every machine."""
    return math.ldexp(_QUARTERS[exponent & 3], exponent >> 2)


@lru_cache(maxsize=256)
def _fixed_step(exponent: int) -> int:
    return max(1, round(step_size(exponent) * (1 << 24)))


@dataclass(frozen=True)
class Public:
    """What writer and reader know of rows before the first.

    Attributes:
        profile: (d,) int64, typical magnitude of each column in units of 2**-24.
        rows: (P, d) float64, that may predict others.
    """

    profile: NDArray[np.int64]
    rows: NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Quantised rows.

    Attributes:
        levels: (K, d) int32.
        exponents: (K,) int32, of each row's step in quarter octaves.
        terms: (T, 3) int32: row, one that predicts it (an earlier row, or -1 - p for public row
            p), quarters of its coefficient; sorted by row.
        bits: ideal length of their stream, where the writer computed it.
    """

    levels: NDArray[np.int32]
    exponents: NDArray[np.int32]
    terms: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    bits: float = 0.0

    def values(self, public: Public | None = None) -> NDArray[np.float64]:
        """The rows as numbers (K, d), float64."""
        steps = np.array([step_size(int(e)) for e in self.exponents], np.float64)
        out = self.levels * steps[:, None]
        for row, source, quarters in self.terms.tolist():
            if source >= 0:
                out[row] += (quarters / 4) * out[source]
            else:
                assert public is not None  # nobody else can have named its rows
                out[row] += (quarters / 4) * public.rows[-1 - source]
        return out

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """The given rows (ascending), among them all rows that predict them."""
        place = np.full(len(self.levels), -1, np.int32)
        place[rows] = np.arange(len(rows))
        terms = self.terms[place[self.terms[:, 0]] >= 0].copy()
        terms[:, 0] = place[terms[:, 0]]
        own = terms[:, 1] >= 0
        terms[own, 1] = place[terms[own, 1]]
        return Rows(self.levels[rows], self.exponents[rows], terms, self.bits)


@lru_cache(maxsize=1)
def _first_counts() -> NDArray[np.int64]:
    """Until a context has been seen, expect a geometric law whose mean is the context's."""
    counts = np.zeros((len(_THRESHOLDS) + 1, _ESCAPE + 1), np.int64)
    for c in range(len(counts)):
        mean = 13 * (1 << c // 2) if c % 2 == 0 else 18 * (1 << c // 2)
        w = 1 << 20
        total = w * (mean + 256) // 256
        for m in range(_ESCAPE + 1):
            counts[c, m] = 1 + 128 * w // total
            w = w * mean // (mean + 256)
    return counts


class RowModel:
    """What coder and decoder both know before the next row."""

    def __init__(self, d: int, public: Public | None = None) -> None:
        self.sums = np.zeros(d, np.int64)
        self.rows = 0
        self.profile = None if public is None else public.profile
        self.counts = _first_counts().copy()

    def expected(self, exponent: int) -> NDArray[np.int64]:
        """Expected magnitude of each column (d,) in 1/256 of the step."""
        step = _fixed_step(exponent)
        if self.profile is not None:
            start = self.profile
        else:
            start = np.full_like(
                self.sums,
                int(self.sums.sum()) // (len(self.sums) * self.rows) if self.rows else step,
            )
        mean = (self.sums + _PRIOR_ROWS * start) // (self.rows + _PRIOR_ROWS)
        return np.minimum((mean << 8) // step, _LARGEST)

    def learn(
        self, exponent: int, contexts: NDArray[np.int64], magnitudes: NDArray[np.int64]
    ) -> None:
        """Takes a whole row into account.

        Raises:
            CorruptStream: with it, numbers would leave 64 bits.
        """
        np.add.at(self.counts, (contexts, np.minimum(magnitudes, _ESCAPE)), _LEARN)
        more = np.minimum(magnitudes, 1 << 16) * _fixed_step(exponent)
        if self.sums.sum(dtype=np.float64) + more.sum(dtype=np.float64) > _LARGEST_SUM:
            raise CorruptStream("the rows are too large")
        self.sums += more
        self.rows += 1

    def costs(self) -> NDArray[np.float64]:
        """Bits of a magnitude with its sign, per context; beyond the escape its first bit only."""
        bits = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        bits[:, 1:] += 1
        return bits


@nb.njit(cache=True)
def _context(expected, seen, hoped, thresholds):
    """Context of a column, given the sums of magnitudes seen and hoped for in those before it."""
    scaled = expected * ((seen + 8) << 8) // (hoped + 2048)
    return np.searchsorted(thresholds, scaled, side="right")


@nb.njit(cache=True)
def _choose(target, weight, lam, costs, expected, thresholds, levels, contexts):
    """Rate-distortion optimal levels of a row in units of its step; returns their bits and weighted
    distortion."""
    d = target.shape[0]
    escape = costs.shape[1] - 1
    seen, hoped = 0, 0
    bits, distortion = 0.0, 0.0
    for i in range(d):
        c = _context(expected[i], seen, hoped, thresholds)
        x = abs(target[i])
        top = int(min(np.floor(x + 0.5), 1048575.0))
        best, cost, level = np.inf, 0.0, 0
        for candidate in (0, top - 1, top):
            if candidate < 0:
                continue
            b = costs[c, min(candidate, escape)]
            if candidate >= escape:
                b += 2 * np.floor(np.log2(candidate - escape + 1)) + 1
            j = weight * (x - candidate) ** 2 + lam * b
            if j < best:
                best, cost, level = j, b, candidate
        bits += cost
        distortion += weight * (x - level) ** 2
        levels[i] = level if target[i] > 0 else -level
        contexts[i] = c
        seen += min(level, escape)
        hoped += expected[i]
    return bits, distortion


def _steps(
    weights: NDArray[np.float64], lam: float, largest: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Exponents near the step that balances distortion and bits at high rate, step^2 = 6 lam /
    (weight ln 2)."""
    step = np.sqrt(6 * lam / (math.log(2) * np.maximum(weights, 0.5)))
    step = np.maximum(step, largest / MAX_LEVEL)
    return np.clip(np.rint(4 * np.log2(step)), MIN_EXPONENT, MAX_EXPONENT).astype(np.int32)


def quantise_rows(
    rows: NDArray[np.float64],
    gram: NDArray[np.float64],
    lam: float,
    *,
    public: Public | None = None,
    sweeps: int = 2,
    predict: bool = True,
) -> Rows:
    """Quantises rows (K, d) so that distortion + lam * bits is small.

    The distortion is ``trace((D - D')' gram (D - D'))``, gram (K, K) = C'C: what the items coded
    with the rows suffer. Each row is quantised against what the other rows' errors leave to it, in
    order, in a few sweeps; its prediction is searched greedily among the public rows and the rows
    before it, by the same objective.
    """
    k, d = rows.shape
    given = np.zeros((0, d)) if public is None else public.rows
    p = len(given)
    weights = np.diag(gram)
    exponents = _steps(weights, lam, np.abs(rows).max(axis=1, initial=0.0))
    levels = np.zeros((k, d), np.int32)
    error = np.zeros((k, d))
    values = np.concatenate([given, np.zeros((k, d))])
    norms = np.square(values).sum(axis=1)
    chosen = np.zeros(d, np.int64)
    contexts = np.zeros(d, np.int64)
    terms: list[tuple[int, int, int]] = []
    total = 0.0
    for _ in range(sweeps):
        model = RowModel(d, public)
        terms, total = [], 7.0 + 3.0 * k
        for j in range(k):
            others = gram[j].copy()
            others[j] = 0
            target = rows[j] - (others @ error) / weights[j]
            used: list[tuple[int, int]] = []
            step = step_size(int(exponents[j]))
            weight = weights[j] * step * step
            expected, costs = model.expected(int(exponents[j])), model.costs()
            rest, side = target, 1.0
            best = (np.inf, 0.0, target, used)
            for count in range(MAX_TERMS + 1 if predict else 1):
                if count:
                    found = _predictor(rest, values[: p + j], norms[: p + j])
                    if found is None or any(found[0] == u[0] for u in used):
                        break
                    rest = rest - found[1] / 4 * values[found[0]]
                    used = [*used, found]
                    side += math.log2(p + j) + 3.5
                bits, distortion = _choose(
                    rest / step, weight, lam, costs, expected, _THRESHOLDS, chosen, contexts
                )
                if distortion + lam * (bits + side) < best[0]:
                    best = (distortion + lam * (bits + side), side, rest, used)
            _, side, rest, used = best
            bits, _ = _choose(
                rest / step, weight, lam, costs, expected, _THRESHOLDS, chosen, contexts
            )
            total += bits + side
            terms += [(j, s - p if s >= p else -1 - s, quarters) for s, quarters in used]
            model.learn(int(exponents[j]), contexts, np.abs(chosen))
            levels[j] = chosen
            value = values[p + j]
            value[:] = chosen * step
            for source, quarters in used:
                value += (quarters / 4) * values[source]
            norms[p + j] = value @ value
            error[j] = value - rows[j]
    return Rows(levels, exponents, np.array(terms, np.int32).reshape(-1, 3), total)


def _predictor(
    target: NDArray[np.float64], values: NDArray[np.float64], norms: NDArray[np.float64]
) -> tuple[int, int] | None:
    """The earlier row and the quarters of it that leave least of the target, or None."""
    if not len(values):
        return None
    dots = values @ target
    quarters = np.rint(4 * dots / np.maximum(norms, 1e-12)).clip(-MAX_QUARTERS, MAX_QUARTERS)
    gains = quarters / 2 * dots - (quarters / 4) ** 2 * norms
    best = int(gains.argmax())
    return (best, int(quarters[best])) if gains[best] > 0 else None


class _Adaptive:
    """A table that counts what it has coded."""

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
    """Writes the given K rows of d levels with their exponents and predictions, or reads K rows."""
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
        _code_levels(room, model.counts, model.expected(exponent), _THRESHOLDS, levels[j], contexts)
        coder.check()
        if abs(levels[j]).max() > MAX_LEVEL:
            raise CorruptStream("a level is out of range")
        model.learn(exponent, contexts, abs(levels[j]))
    return Rows(
        levels.astype(np.int32),
        exponents.astype(np.int32),
        np.array(terms, np.int32).reshape(-1, 3),
    )


@nb.njit(cache=True)
def _code_levels(coder, counts, expected, thresholds, levels, contexts):
    """Writes or reads a row of levels, and says which contexts they had."""
    symbols = counts.shape[1]
    escape = symbols - 1
    ends = np.zeros((len(counts), symbols + 1), np.int64)
    for c in range(len(counts)):
        ends[c] = ends_of(frequencies(counts[c]))
    seen, hoped = 0, 0
    for i in range(len(levels)):
        c = _context(expected[i], seen, hoped, thresholds)
        size = code_symbol(coder, ends[c], min(abs(levels[i]), escape))
        seen += size
        hoped += expected[i]
        contexts[i] = c
        if size == escape:
            size += _code_excess(coder, abs(levels[i]) - escape)
        if size:
            size *= 1 - 2 * code_uniform(coder, 2, np.int64(levels[i] < 0))
        levels[i] = size


@nb.njit(cache=True)
def _code_excess(coder, excess):
    """Elias' gamma code of a number >= 0, its length under 2**(20 - length)."""
    length = 0
    while (excess + 1) >> (length + 1) and length < 20:
        length += 1
    length = code_symbol(coder, _CLASSES, length)
    value = 1 << length
    for i in range(length):
        value |= code_uniform(coder, 2, (excess + 1) >> i & 1) << i
    return value - 1
