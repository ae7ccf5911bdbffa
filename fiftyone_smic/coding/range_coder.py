"""A range coder with integer frequencies: what one machine writes, every other machine reads.

Every symbol has an interval ``left .. left + width`` of whole numbers out of ``2**24``. The range
coder (Martin 1979, with carries) is 64-bit unsigned integer arithmetic and nothing else, and so are
all models. No floating-point number decides a bit anywhere, so no rounding, no compiler and no
processor can make a reader differ from the writer. The coder is compiled (numba), as are the loops
of the models. These call :func:`code_symbol`, or :func:`target_of` and :func:`advance` where
intervals are computed rather than listed. The same function writes and reads, so that the two
cannot drift apart.

Reading, in full: ``range = 2**64 - 1``, ``point`` = the first 8 bytes, big-endian; bytes past the
end are zeros. For a symbol: ``scale = range >> 24``, and ``point // scale``, which must be below
``2**24``, lies in the symbol's interval; then ``point -= scale * left``, ``range = scale * width``,
and if ``range < 2**32``, ``range <<= 32`` and ``point = point << 32 |`` the next 4 bytes. (That is
also the stream of `constriction`'s range coder, Bamler 2022, arXiv 2201.01741, up to how it ends:
here with the fewest bytes that identify it. It is not called for this because it takes tables,
made one by one in Python, where intervals are computed and tables adapt symbol by symbol.)

The stack of the unordered mode is constriction's ANS coder. Its ``Categorical`` takes
floating-point probabilities ``p`` and gives symbol ``j`` the frequency ``1 + floor(scale *
cumsum(p))[j+1] - floor(...)[j]``, with ``scale = (2**24 - n) / sum(p)``. It is only ever handed
whole numbers ``p = frequency - 1`` that sum to exactly ``2**24 - n``: then ``scale`` is exactly
1.0, every partial sum is a whole number below 2**24 and therefore exact in float64, and the coder
uses exactly the integer frequencies computed here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.tables import TOTAL, CorruptStream, ends_of, geometric, ideal_bits
from fiftyone_smic.utils.compiled import compiled

# Places in a coder's state. The constants below are unsigned, because numba makes floats of mixed
# signed and unsigned numbers.
_RANGE, _POINT, _WORD, _READING, _CORRUPT = range(5)
_U24, _U32, _ONE, _ZERO = np.uint64(24), np.uint64(32), np.uint64(1), np.uint64(0)
_LEAST, _ALL = np.uint64(1 << 32), np.uint32(0xFFFFFFFF)


@compiled(inline="always", error_model="numpy")
def is_reading(coder):
    """Whether compiled code reads symbols instead of writing those that it is given."""
    return coder[0][_READING] == _ONE


@compiled(inline="always", error_model="numpy")
def is_corrupt(coder):
    """Whether what was read so far cannot have been written."""
    return coder[0][_CORRUPT] == _ONE


@compiled(inline="always", error_model="numpy")
def target_of(coder):
    """Return, when reading, the number below 2**24 that lies in the next symbol's interval."""
    state = coder[0]
    found = state[_POINT] // (state[_RANGE] >> _U24)
    if found >> _U24:
        state[_CORRUPT] = _ONE
        return np.int64(TOTAL - 1)
    return np.int64(found)


@compiled(inline="always", error_model="numpy")
def advance(coder, left, width):
    """Write a symbol's interval, or read past it."""
    state, words, bits = coder
    scale = state[_RANGE] >> _U24
    moved = scale * np.uint64(left)
    reading = is_reading(coder)
    if reading:
        state[_POINT] -= moved
    else:
        state[_POINT] += moved
        if state[_POINT] < moved:  # carry
            i = np.int64(state[_WORD]) - 1
            while words[i] == _ALL:
                words[i] = 0
                i -= 1
            words[i] += np.uint32(1)
        bits[0] += 24 - np.log2(width)
    state[_RANGE] = scale * np.uint64(width)
    if state[_RANGE] < _LEAST:
        at = np.int64(state[_WORD])
        state[_RANGE] <<= _U32
        if reading:
            following = np.uint64(words[at]) if at < len(words) else _ZERO
            state[_POINT] = state[_POINT] << _U32 | following
        else:
            words[at] = np.uint32(state[_POINT] >> _U32)
            state[_POINT] <<= _U32
        state[_WORD] += _ONE


@compiled(error_model="numpy")
def code_symbol(coder, ends, symbol):
    """Write a symbol, or read and return it.

    Its interval is ``ends[symbol] .. ends[symbol + 1]``.
    """
    if is_reading(coder):
        target = target_of(coder)
        symbol, high = 0, len(ends) - 1
        while high - symbol > 1:
            middle = (symbol + high) // 2
            if ends[middle] <= target:
                symbol = middle
            else:
                high = middle
    advance(coder, ends[symbol], ends[symbol + 1] - ends[symbol])
    return symbol


@compiled(error_model="numpy")
def code_uniform(coder, size, symbol):
    """Write or read a symbol of ``0..size-1`` when all are equally likely."""
    if size < 2:
        return np.int64(0)
    width = TOTAL // size
    first = TOTAL - (size - 1) * width
    if is_reading(coder):
        target = target_of(coder)
        symbol = 0 if target < first else 1 + (target - first) // width
    if symbol:
        advance(coder, first + (symbol - 1) * width, width)
    else:
        advance(coder, 0, first)
    return np.int64(symbol)


@compiled(error_model="numpy")
def code_bit(coder, zero, bit):
    """Write a bit, or read and return it; ``zero`` is the frequency of 0, out of 2**24."""
    if is_reading(coder):
        state = coder[0]
        # The products are compared, because a division takes longer than all the rest.
        scale = state[_RANGE] >> _U24
        bit = np.int64(state[_POINT] >= scale * np.uint64(zero))
        if state[_POINT] >= scale << _U24:
            state[_CORRUPT] = _ONE
    if bit:
        advance(coder, zero, TOTAL - zero)
    else:
        advance(coder, 0, zero)
    return bit


@compiled(error_model="numpy")
def _code_symbols(coder, ends, symbols):
    for i in range(len(symbols)):
        symbols[i] = code_symbol(coder, ends, symbols[i])


class Coder:
    """A range coder that writes or, given the bytes of another coder, reads.

    Attributes:
        reading: whether it reads. Then the symbols that its methods and the compiled functions are
            given only say how many to read.
        bits: sum of the ideal code lengths, in bits, of all that was written.

    Args:
        data: what :meth:`finish` of another coder returned, or None to write.

    Example:
        >>> table = np.array([1, 3, TOTAL - 4])
        >>> coder = Coder()
        >>> _ = coder.code(np.array([2, 2, 0, 2]), table)
        >>> data = coder.finish()
        >>> Coder(data).code(np.zeros(4), table).tolist()
        [2, 2, 0, 2]
    """

    def __init__(self, data: bytes | None = None) -> None:
        self.reading = data is not None
        padded = (data or b"") + bytes(8 + -len(data or b"") % 4)
        self._words = np.frombuffer(padded, ">u4").astype(np.uint32)
        point = int(self._words[0]) << 32 | int(self._words[1]) if self.reading else 0
        read = 2 if self.reading else 0
        self._state = np.array([(1 << 64) - 1, point, read, self.reading, 0], np.uint64)
        self._bits = np.zeros(1)

    @property
    def bits(self) -> float:
        return float(self._bits[0])

    def compiled(self, symbols: int) -> tuple[NDArray, NDArray, NDArray]:
        """Return what compiled functions take, with room for this many more symbols."""
        room = int(self._state[_WORD]) + symbols
        if not self.reading and room > len(self._words):
            self._words = np.concatenate([self._words, np.zeros(room, np.uint32)])
        return self._state, self._words, self._bits

    def check(self) -> None:
        """Raise CorruptStream if what was read so far cannot have been written."""
        if self._state[_CORRUPT]:
            raise CorruptStream("the entropy-coded stream does not match its models")

    def code(self, symbols: NDArray[np.integer], freqs: NDArray[np.int64]) -> NDArray[np.int64]:
        """Write symbols (m,) in ``0..len(freqs)-1`` with one table, or read m of them."""
        out = np.array(symbols, np.int64)
        if len(freqs) < 2:
            return np.zeros_like(out)
        _code_symbols(self.compiled(len(out)), ends_of(freqs), out)
        self.check()
        return out

    def one(self, symbol: int, freqs: NDArray[np.int64]) -> int:
        """Write or read a single symbol with a table; see :meth:`code`."""
        return int(self.code(np.array([symbol]), freqs)[0])

    def uniform(self, symbol: int, size: int) -> int:
        """Write or read a single symbol of ``0..size-1`` when all are equally likely."""
        symbol = int(code_uniform(self.compiled(1), size, int(symbol)))
        self.check()
        return symbol

    def numbers(self, values: NDArray[np.integer], size: int) -> NDArray[np.int64]:
        """Write numbers (m,) in ``0..size-1``, or read m of them.

        The geometric law that is cheapest for them is written first.
        """
        best = 0
        if not self.reading:
            counts = np.bincount(values, minlength=size)
            best = int(np.argmin([ideal_bits(counts, geometric(p, size)) for p in range(31)]))
        best = self.uniform(best, 31)
        return self.code(values, geometric(best, size))

    def finish(self) -> bytes:
        """Return the shortest stream that reads as what was written, trailing zeros left out."""
        count = int(self._state[_WORD])
        low, size = int(self._state[_POINT]), int(self._state[_RANGE])
        low += int.from_bytes(self._words[:count].astype(">u4").tobytes(), "big") << 64
        point = low
        for shift in range(64):  # the number with most zero bits at its end in the interval
            rounded = -(-low >> shift) << shift
            if rounded < low + size:
                point = rounded
        return point.to_bytes(4 * count + 8, "big").rstrip(b"\0")
