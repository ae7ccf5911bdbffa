"""A stack coder (asymmetric numeral systems) for codes whose order is not kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.tables import CorruptStream


class Stack:
    """An ANS coder (Duda 2009): last in, first out.

    Symbols that were never pushed may be popped, and pushing them again restores the stack. A free
    choice can therefore carry bits, see :func:`fiftyone_smic.coding.multiset.push_codes`.

    Args:
        data: what :meth:`finish` of another stack returned; empty for a new one.

    Raises:
        CorruptStream: these bytes are no stack.

    Example:
        >>> stack = Stack()
        >>> stack.push_uniform(5, 8)
        >>> Stack(stack.finish()).pop_uniform(8)
        5
    """

    def __init__(self, data: bytes = b"") -> None:
        from constriction import stream

        self._stream = stream
        words = np.frombuffer(data, ">u4").astype(np.uint32) if len(data) % 4 == 0 else None
        if words is None or (len(words) and words[-1] == 0):
            raise CorruptStream("not a stack of the entropy coder")
        self._coder = stream.stack.AnsCoder(words) if len(words) else stream.stack.AnsCoder()

    def model(self, freqs: NDArray[np.int64]) -> Any:
        """Return frequencies (n,) in the coder's form, or None for a single symbol.

        This is slow, so callers keep the models that they use often.
        """
        if len(freqs) < 2:
            return None
        return self._stream.model.Categorical((freqs - 1).astype(np.float64), perfect=False)

    def push(self, symbol: int, model: Any) -> None:
        """Put one symbol on the stack."""
        if model is not None:
            self._coder.encode_reverse(symbol, model)

    def pop(self, model: Any) -> int:
        """Take one symbol off the stack."""
        return 0 if model is None else int(self._coder.decode(model))

    def push_uniform(self, value: int, size: int) -> None:
        """Put a number in ``0..size-1`` on the stack, all equally likely; ``size`` <= 2**20."""
        if size > 1:
            self._coder.encode_reverse(value, self._stream.model.Uniform(size))

    def pop_uniform(self, size: int) -> int:
        """Take a number in ``0..size-1`` off the stack."""
        return int(self._coder.decode(self._stream.model.Uniform(size))) if size > 1 else 0

    @property
    def empty(self) -> bool:
        """Whether nothing is left on the stack."""
        return bool(self._coder.is_empty())

    def finish(self) -> bytes:
        """Return the stack as bytes: big-endian words, the top last."""
        return self._coder.get_compressed().astype(">u4").tobytes()
