"""Entropy coding with integer frequencies: what is written on one machine is read on any other.

The range coder is `constriction`'s (Bamler 2022, arXiv 2201.01741). Its ``Categorical`` model takes
floating-point probabilities ``p`` and gives symbol ``j`` the frequency ``1 + floor(scale *
cumsum(p))[j+1] - floor(...)[j]`` out of ``2**24``, with ``scale = (2**24 - n) / sum(p)``
(``perfect=False``). :class:`Encoder` and :class:`Decoder` only ever hand it whole numbers ``p =
frequency - 1`` that sum to exactly ``2**24 - n``. Then ``scale`` is exactly 1.0, every partial sum
is a whole number below 2**24 and therefore exact in float64 (and in float32), and the coder uses
exactly the integer frequencies computed here. No rounding can differ between two machines, and a
second reader needs no floating-point arithmetic at all: any 32-bit-word, 64-bit-state,
24-bit-precision range decoder with these integer frequencies reads the stream.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRECISION = 24
TOTAL = 1 << PRECISION
#: Largest alphabet one model may have: leaves every symbol room for a useful frequency.
MAX_ALPHABET = 1 << 20

_SQRT2_Q15 = 46341


class CorruptStream(ValueError):
    """The bytes cannot have been written by :class:`Encoder` with these models."""


def frequencies(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Integer weights (n,) >= 0 -> integer frequencies (n,) >= 1 that sum to exactly ``2**24``.

    ``f = 1 + w * (2**24 - n) // sum(w)``, and what is left by the division goes to the first
    largest. All-zero weights give a uniform table. Weights that sum to 2**38 or more are all
    shifted right until they do not, so that the products stay inside int64; the sum itself must
    fit.
    """
    w = np.asarray(weights, dtype=np.int64)
    n = len(w)
    total = int(w.sum())
    if total >> 38:
        w = w >> (total.bit_length() - 38)
        total = int(w.sum())
    if total == 0:
        w, total = np.ones(n, np.int64), n
    out = 1 + w * (TOTAL - n) // total
    out[int(np.argmax(out))] += TOTAL - int(out.sum())
    return out


def ideal_bits(counts: NDArray[np.int64], freqs: NDArray[np.int64]) -> float:
    """Code length in bits of symbols that occur ``counts`` (n,) times under ``freqs`` (n,)."""
    if len(freqs) < 2:
        return 0.0
    return float(np.dot(counts, PRECISION - np.log2(freqs)))


@lru_cache(maxsize=256)
def _geometric(parameter: int, size: int) -> tuple[int, ...]:
    ratio = (parameter + 1) * 2048
    weights, w = [], 1 << 30
    for _ in range(size):
        weights.append(w)
        w = (w * ratio) >> 16
    return tuple(int(f) for f in frequencies(np.array(weights, np.int64)))


def geometric(parameter: int, size: int) -> NDArray[np.int64]:
    """Frequencies (size,) of a geometric law with ratio ``(parameter + 1) / 32``, parameter in
    0..30."""
    return np.array(_geometric(parameter, size), np.int64)


def log_weights(levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Levels in half octaves below the top -> weights: level 0 is absent (0), level v is ``2**(15 +
    (v - 1) / 2)``.

    Inverse of :func:`weight_levels` up to rounding; integer arithmetic only. Levels are limited to
    0..44.
    """
    v = np.clip(np.asarray(levels, np.int64) - 1, 0, 43)
    w = np.where(v % 2 == 1, _SQRT2_Q15, 1 << 15).astype(np.int64) >> 7
    return np.where(np.asarray(levels) > 0, w << (v // 2), 0)


def weight_levels(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts (n,) >= 0 -> levels (n,) in 0..44: 0 for a count of 0, else ``1 + round(2 log2
    count)`` at most 44.

    Larger counts than 2**21 are scaled down together first, because only ratios matter.
    """
    c = np.asarray(counts, np.float64)
    top = c.max(initial=1.0)
    if top > 2.0**21:
        c = np.where(c > 0, np.maximum(c * (2.0**21 / top), 1.0), 0)
    return np.where(c > 0, 1 + np.rint(2 * np.log2(np.maximum(c, 1))), 0).astype(np.int64)


class Encoder:
    """A range encoder. ``bits`` is the sum of the ideal code lengths of everything put so far."""

    def __init__(self) -> None:
        from constriction import stream

        self._categorical = stream.model.Categorical
        self._coder = stream.queue.RangeEncoder()
        self.bits = 0.0

    def put(self, symbols: NDArray[np.integer], freqs: NDArray[np.int64]) -> None:
        """Append symbols (m,), each in ``0..len(freqs)-1``, under one table."""
        if len(freqs) < 2 or len(symbols) == 0:
            return
        s = np.ascontiguousarray(symbols, dtype=np.int32)
        model = self._categorical((freqs - 1).astype(np.float64), perfect=False)
        self._coder.encode(s, model)
        self.bits += float((PRECISION - np.log2(freqs[s])).sum())

    def put_numbers(self, values: NDArray[np.integer], size: int) -> None:
        """Append numbers (m,) in ``0..size-1`` under the geometric law that is cheapest for them,
        named first."""
        values = np.asarray(values, np.int64)
        counts = np.bincount(values, minlength=size)
        costs = [ideal_bits(counts, geometric(p, size)) for p in range(31)]
        best = int(np.argmin(costs))
        self.put(np.array([best]), frequencies(np.ones(31, np.int64)))
        self.put(values, geometric(best, size))

    def finish(self) -> bytes:
        """The stream: big-endian words without trailing zero bytes (the decoder reads zeros past
        the end)."""
        return self._coder.get_compressed().astype(">u4").tobytes().rstrip(b"\0")


class Decoder:
    """Reads what :class:`Encoder` wrote, with the same sequence of tables and counts."""

    def __init__(self, data: bytes) -> None:
        from constriction import stream

        self._categorical = stream.model.Categorical
        padded = data + bytes(-len(data) % 4)
        self._coder = stream.queue.RangeDecoder(np.frombuffer(padded, ">u4").astype(np.uint32))

    def get(self, count: int, freqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next ``count`` symbols under one table, int64."""
        if len(freqs) < 2 or count == 0:
            return np.zeros(count, np.int64)
        model = self._categorical((freqs - 1).astype(np.float64), perfect=False)
        try:
            return self._coder.decode(model, int(count)).astype(np.int64)
        except AssertionError as e:
            raise CorruptStream("the entropy-coded stream does not match its models") from e

    def get_numbers(self, count: int, size: int) -> NDArray[np.int64]:
        """Reads what :meth:`Encoder.put_numbers` wrote."""
        parameter = int(self.get(1, frequencies(np.ones(31, np.int64)))[0])
        return self.get(count, geometric(parameter, size))


class Stack:
    """An ANS coder (Duda 2009): last in, first out. Popping what was never pushed is allowed, and
    undone by a push.

    That is what turns freedom of choice into bits: see :func:`fiftyone_smic.models.push_codes`.
    """

    def __init__(self, data: bytes = b"") -> None:
        from constriction import stream

        self._stream = stream
        words = np.frombuffer(data, ">u4").astype(np.uint32) if len(data) % 4 == 0 else None
        if words is None or (len(words) and words[-1] == 0):
            raise CorruptStream("not a stack of the entropy coder")
        self._coder = stream.stack.AnsCoder(words) if len(words) else stream.stack.AnsCoder()

    def model(self, freqs: NDArray[np.int64]) -> Any:
        """The table in the coder's form, to be kept by whoever uses it often; None for a table of
        one symbol."""
        if len(freqs) < 2:
            return None
        return self._stream.model.Categorical((freqs - 1).astype(np.float64), perfect=False)

    def push(self, symbol: int, model: Any) -> None:
        """Puts one symbol on the stack."""
        if model is not None:
            self._coder.encode_reverse(symbol, model)

    def pop(self, model: Any) -> int:
        """Takes one symbol off."""
        return 0 if model is None else int(self._coder.decode(model))

    def push_uniform(self, value: int, size: int) -> None:
        """Puts a number on the stack, all of ``0..size-1`` being alike; size at most 2**20."""
        if size > 1:
            self._coder.encode_reverse(value, self._stream.model.Uniform(size))

    def pop_uniform(self, size: int) -> int:
        """Takes a number off."""
        return int(self._coder.decode(self._stream.model.Uniform(size))) if size > 1 else 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left."""
        return bool(self._coder.is_empty())

    def finish(self) -> bytes:
        """The stack as bytes: big-endian words, the top last."""
        return self._coder.get_compressed().astype(">u4").tobytes()
