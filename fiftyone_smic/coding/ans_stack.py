"""An asymmetric-numeral-system coder as a stack, for what gives up an order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.tables import CorruptStream


class Stack:
    """An ANS coder (Duda 2009): last in, first out. Popping what was never pushed is allowed, and
    undone by a push.

    That is what turns freedom of choice into bits: see
    :func:`fiftyone_smic.coding.multiset.push_codes`.
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
