"""Rows of real numbers as few bits: how the atoms and the mean are predicted, quantised and coded.

A row is ``sum_t c_t / 4 * row[s_t] + levels * 2**(exponent / 4)``: a few earlier rows predict it,
and whole numbers of a step of its own say the rest. The magnitudes of the levels are coded
adaptively. An entry's context is the magnitude its column has had so far in units of the row's
step, times how much larger this row's entries have been than that in the blocks already coded.
Contexts and counts are integers, so both sides of the coder agree on every machine; the values
themselves decide nothing.

The encoder quantises with the very costs the coder will have (:func:`quantise_rows`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from .entropy import (
    CorruptStream,
    Decoder,
    Encoder,
    frequencies,
)

#: Exponents of steps an archive can hold: 2**-20 .. about 2**11.
MIN_EXPONENT, MAX_EXPONENT = -80, 47
#: Largest level an archive can hold.
MAX_LEVEL = (1 << 20) - 1
#: At most so many earlier rows predict a row, with coefficients in quarters up to MAX_QUARTERS.
MAX_TERMS, MAX_QUARTERS = 6, 8

#: 2**(i/4) as literals: libm's exp2 may differ between machines in the last place, these do not.
_QUARTERS = (1.0, 1.189207115002721, 1.4142135623730951, 1.681792830507429)

#: Where a row's context changes: expected magnitude in 1/256 of a step, half octaves from 1/16 to
#: 16.
_THRESHOLDS = np.array(
    [16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096], np.int64
)
_BLOCK = 64
_ESCAPE = 15
_LARGEST = 8192
_LEARN = 24
#: How many rows' worth of evidence the prior profile of column magnitudes is.
_PRIOR_ROWS = 4

_HALF = frequencies(np.ones(2, np.int64))
_EXPONENTS = frequencies(np.ones(MAX_EXPONENT - MIN_EXPONENT + 1, np.int64))
_CLASSES = frequencies(np.array([1 << (20 - c) for c in range(21)], np.int64))


def step_size(exponent: int) -> float:
    """``2**(exponent / 4)``, the same float64 on every machine."""
    return math.ldexp(_QUARTERS[exponent & 3], exponent >> 2)


@lru_cache(maxsize=256)
def _fixed_step(exponent: int) -> int:
    return max(1, round(step_size(exponent) * (1 << 24)))


@dataclass(frozen=True)
class Rows:
    """Quantised rows.

    Attributes:
        levels: (K, d) int32.
        exponents: (K,) int32, of each row's step in quarter octaves.
        terms: (T, 3) int32: row, an earlier row that predicts it, quarters of its coefficient;
            sorted by row.
        bits: ideal length of their stream, where the writer computed it.
    """

    levels: NDArray[np.int32]
    exponents: NDArray[np.int32]
    terms: NDArray[np.int32] = field(default_factory=lambda: np.zeros((0, 3), np.int32))
    bits: float = 0.0

    def values(self) -> NDArray[np.float64]:
        """The rows as numbers (K, d), float64."""
        steps = np.array([step_size(int(e)) for e in self.exponents], np.float64)
        out = self.levels * steps[:, None]
        for row, source, quarters in self.terms.tolist():
            out[row] += (quarters / 4) * out[source]
        return out

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """The given rows (ascending), among them all rows that predict them."""
        place = np.full(len(self.levels), -1, np.int32)
        place[rows] = np.arange(len(rows))
        terms = self.terms[place[self.terms[:, 0]] >= 0].copy()
        terms[:, :2] = place[terms[:, :2]]
        return Rows(self.levels[rows], self.exponents[rows], terms, self.bits)


class RowModel:
    """What coder and decoder both know before the next row."""

    def __init__(self, d: int, profile: NDArray[np.int64] | None = None) -> None:
        self.sums = np.zeros(d, np.int64)
        self.rows = 0
        self.profile = profile
        contexts = len(_THRESHOLDS) + 1
        # Until a context has been seen, expect a geometric law whose mean is the context's.
        self.counts = np.zeros((contexts, _ESCAPE + 1), np.int64)
        for c in range(contexts):
            mean = 13 * (1 << c // 2) if c % 2 == 0 else 18 * (1 << c // 2)
            w = 1 << 20
            total = w * (mean + 256) // 256
            for m in range(_ESCAPE + 1):
                self.counts[c, m] = 1 + 128 * w // total
                w = w * mean // (mean + 256)

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

    def contexts(
        self, expected: NDArray[np.int64], part: slice, seen: int, hoped: int
    ) -> NDArray[np.int64]:
        """Contexts of a block, given the sum of magnitudes seen and hoped for in the row's earlier
        blocks."""
        scaled = expected[part] * ((seen + 8) << 8) // (hoped + 2048)
        return np.searchsorted(_THRESHOLDS, scaled, side="right")

    def learn(
        self, exponent: int, contexts: NDArray[np.int64], magnitudes: NDArray[np.int64]
    ) -> None:
        """Takes a whole row into account."""
        np.add.at(self.counts, (contexts, np.minimum(magnitudes, _ESCAPE)), _LEARN)
        self.sums += np.minimum(magnitudes, 1 << 16) * _fixed_step(exponent)
        self.rows += 1

    def costs(self) -> NDArray[np.float64]:
        """Bits of a magnitude with its sign, per context; beyond the escape its first bit only."""
        bits = np.log2(self.counts.sum(axis=1, keepdims=True)) - np.log2(self.counts)
        bits[:, 1:] += 1
        return bits


def _blocks(d: int) -> list[slice]:
    return [slice(a, min(a + _BLOCK, d)) for a in range(0, d, _BLOCK)]


@nb.njit(cache=True)
def _choose(target, weight, lam, costs, expected, thresholds, levels, contexts):
    """Rate-distortion optimal levels of a row in units of its step; returns their bits and weighted
    distortion."""
    d = target.shape[0]
    escape = costs.shape[1] - 1
    seen, hoped = 0, 0
    bits, distortion = 0.0, 0.0
    for first in range(0, d, 64):
        scale = (seen + 8) << 8
        base = hoped + 2048
        for i in range(first, min(first + 64, d)):
            scaled = expected[i] * scale // base
            c = np.searchsorted(thresholds, scaled, side="right")
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
    profile: NDArray[np.int64] | None = None,
    sweeps: int = 2,
    predict: bool = True,
) -> Rows:
    """Quantises rows (K, d) so that distortion + lam * bits is small.

    The distortion is ``trace((D - D')' gram (D - D'))``, gram (K, K) = C'C: what the items coded
    with the rows suffer. Each row is quantised against what the other rows' errors leave to it, in
    order, in a few sweeps; its prediction is searched greedily among the rows before it, by the
    same objective.
    """
    k, d = rows.shape
    weights = np.diag(gram)
    exponents = _steps(weights, lam, np.abs(rows).max(axis=1, initial=0.0))
    levels = np.zeros((k, d), np.int32)
    error = np.zeros((k, d))
    values = np.zeros((k, d))
    norms = np.zeros(k)
    chosen = np.zeros(d, np.int64)
    contexts = np.zeros(d, np.int64)
    terms: list[tuple[int, int, int]] = []
    total = 0.0
    for _ in range(sweeps):
        model = RowModel(d, profile)
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
                    found = _predictor(rest, values[:j], norms[:j])
                    if found is None or any(found[0] == u[0] for u in used):
                        break
                    rest = rest - found[1] / 4 * values[found[0]]
                    used = [*used, found]
                    side += math.log2(j) + 3.5
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
            terms += [(j, source, quarters) for source, quarters in used]
            model.learn(int(exponents[j]), contexts, np.abs(chosen))
            levels[j] = chosen
            values[j] = chosen * step
            for source, quarters in used:
                values[j] += (quarters / 4) * values[source]
            norms[j] = values[j] @ values[j]
            error[j] = values[j] - rows[j]
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

    def __init__(self, start: list[int]) -> None:
        self.counts = np.array(start, np.int64)

    def put(self, coder: Encoder, symbol: int) -> None:
        coder.put(np.array([symbol]), frequencies(self.counts))
        self.counts[symbol] += 32

    def get(self, coder: Decoder) -> int:
        symbol = int(coder.get(1, frequencies(self.counts))[0])
        self.counts[symbol] += 32
        return symbol


class _Side:
    """Tables of what is said about a row besides its levels."""

    def __init__(self) -> None:
        self.terms = _Adaptive([64 >> t for t in range(MAX_TERMS + 1)])
        self.quarters = _Adaptive([32 >> min(abs(q), 5) for q in _quarters()])
        self.steps = _Adaptive([1 + (64 >> min(abs(s - 128), 6)) for s in range(257)])


def _quarters() -> list[int]:
    return [q for q in range(-MAX_QUARTERS, MAX_QUARTERS + 1) if q]


def put_rows(coder: Encoder, rows: Rows, profile: NDArray[np.int64] | None = None) -> None:
    """Writes K rows of d levels with their exponents and predictions."""
    d = rows.levels.shape[1]
    model, side = RowModel(d, profile), _Side()
    before = 0
    starts = np.searchsorted(rows.terms[:, 0], np.arange(len(rows.levels) + 1))
    for j, exponent in enumerate(rows.exponents.tolist()):
        if j == 0:
            coder.put(np.array([exponent - MIN_EXPONENT]), _EXPONENTS)
        else:
            side.steps.put(coder, exponent - before + 128)
        before = exponent
        terms = rows.terms[starts[j] : starts[j + 1]]
        if j:
            side.terms.put(coder, len(terms))
        for _, source, quarters in terms.tolist():
            coder.put(np.array([source]), frequencies(np.ones(j, np.int64)))
            side.quarters.put(coder, _quarters().index(quarters))
        _put_levels(coder, model, exponent, rows.levels[j].astype(np.int64))


def _put_levels(coder: Encoder, model: RowModel, exponent: int, levels: NDArray[np.int64]) -> None:
    size = np.abs(levels)
    symbols = np.minimum(size, _ESCAPE)
    expected, contexts = model.expected(exponent), np.zeros(len(levels), np.int64)
    seen = hoped = 0
    for part in _blocks(len(levels)):
        contexts[part] = model.contexts(expected, part, seen, hoped)
        for c in np.unique(contexts[part]):
            coder.put(symbols[part][contexts[part] == c], frequencies(model.counts[c]))
        seen += int(symbols[part].sum())
        hoped += int(expected[part].sum())
    for value in (size[size >= _ESCAPE] - _ESCAPE + 1).tolist():
        length = value.bit_length() - 1
        coder.put(np.array([length]), _CLASSES)
        coder.put(np.array([value >> i & 1 for i in range(length)], np.int64), _HALF)
    coder.put((levels[levels != 0] < 0).astype(np.int64), _HALF)
    model.learn(exponent, contexts, size)


def get_rows(coder: Decoder, k: int, d: int, profile: NDArray[np.int64] | None = None) -> Rows:
    """Reads what :func:`put_rows` wrote."""
    levels, exponents = np.zeros((k, d), np.int32), np.zeros(k, np.int32)
    terms: list[tuple[int, int, int]] = []
    model, side = RowModel(d, profile), _Side()
    exponent = 0
    for j in range(k):
        if j == 0:
            exponent = int(coder.get(1, _EXPONENTS)[0]) + MIN_EXPONENT
        else:
            exponent += side.steps.get(coder) - 128
        if not MIN_EXPONENT <= exponent <= MAX_EXPONENT:
            raise CorruptStream("a step is out of range")
        exponents[j] = exponent
        for _ in range(side.terms.get(coder) if j else 0):
            source = int(coder.get(1, frequencies(np.ones(j, np.int64)))[0])
            terms.append((j, source, _quarters()[side.quarters.get(coder)]))
        levels[j] = _get_levels(coder, model, exponent, d)
    return Rows(levels, exponents, np.array(terms, np.int32).reshape(-1, 3))


def _get_levels(coder: Decoder, model: RowModel, exponent: int, d: int) -> NDArray[np.int64]:
    size = np.zeros(d, np.int64)
    expected, contexts = model.expected(exponent), np.zeros(d, np.int64)
    seen = hoped = 0
    for part in _blocks(d):
        contexts[part] = model.contexts(expected, part, seen, hoped)
        symbols = np.zeros(len(contexts[part]), np.int64)
        for c in np.unique(contexts[part]):
            members = contexts[part] == c
            symbols[members] = coder.get(int(members.sum()), frequencies(model.counts[c]))
        size[part] = symbols
        seen += int(symbols.sum())
        hoped += int(expected[part].sum())
    for i in np.flatnonzero(size == _ESCAPE).tolist():
        length = int(coder.get(1, _CLASSES)[0])
        bits = coder.get(length, _HALF)
        size[i] += (1 << length) - 1 + int((bits << np.arange(length)).sum())
    if size.max(initial=0) > MAX_LEVEL:
        raise CorruptStream("a level is out of range")
    signs = np.ones(d, np.int64)
    signs[size > 0] = 1 - 2 * coder.get(int((size > 0).sum()), _HALF)
    model.learn(exponent, contexts, size)
    return size * signs
