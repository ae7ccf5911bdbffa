"""Distortions in about 4 bits each: eighths of an octave under a table of their own.

The format's specification, ``docs/format.md``, describes the stream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.code_tables import code_table
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import CorruptStream, frequencies, half_octaves_of, weights_of

#: Number of levels: 0 stands for no distortion, level v for 2**((v - 257) / 8).
LEVELS = 512
_ONE = 257
#: Largest distortion that is stored to within a level.
LARGEST = 2.0 ** ((LEVELS - 1 - _ONE) / 8)

#: 2**(i/8) as literals: libm's exp2 may differ between machines in the last place, these do not.
_EIGHTHS = np.array(
    [
        1.0,
        1.0905077326652577,
        1.189207115002721,
        1.2968395546510096,
        1.4142135623730951,
        1.5422108254079407,
        1.681792830507429,
        1.8340080864093424,
    ]
)


def distortion_levels(distortions: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the nearest levels (n,) of squared distances (n,), on a logarithmic scale.

    Args:
        distortions: (n,) finite, >= 0. Less than 2**-32 counts as 2**-32, unless it is 0.

    Example:
        >>> distortion_levels(np.array([0.0, 1.0, 0.5])).tolist()
        [0, 257, 249]
    """
    x = np.asarray(distortions, np.float64)
    levels = np.rint(8 * np.log2(np.where(x > 0, x, 1))) + _ONE
    return np.where(x > 0, np.clip(levels, 1, LEVELS - 1), 0).astype(np.int64)


def distortion_values(levels: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the squared distances (n,) that levels (n,) stand for.

    Example:
        >>> distortion_values(np.array([0, 257, 249])).tolist()
        [0.0, 1.0, 0.5]
    """
    places = np.asarray(levels, np.int64) - _ONE
    return np.where(levels > 0, np.ldexp(_EIGHTHS[places % 8], places // 8), 0.0)


def encode_distortions(distortions: NDArray[np.float64]) -> bytes:
    """Return a stream of squared distances (n,), n >= 1.

    Example:
        >>> decode_distortions(encode_distortions(np.array([0.5, 0.26, 0.5])), 3).tolist()
        [0.5, 0.25, 0.5]
    """
    coder = Coder()
    _code(coder, distortion_levels(distortions))
    return coder.finish()


def decode_distortions(data: bytes, n: int) -> NDArray[np.float64]:
    """Return the squared distances (n,) of a stream.

    Raises:
        CorruptStream: no writer makes this stream.
    """
    return distortion_values(_code(Coder(data), np.zeros(n, np.int64)))


def _code(coder: Coder, levels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Write levels (n,), or read n of them: where they begin and end, their table, themselves."""
    first = coder.uniform(int(levels.min()), LEVELS)
    span = coder.uniform(int(levels.max()) - first, LEVELS)
    if first + span >= LEVELS:
        raise CorruptStream("a distortion is out of range")
    counts = np.zeros(span + 1, np.int64)
    if not coder.reading:
        counts = np.bincount(levels - first, minlength=span + 1)
    table = code_table(coder, half_octaves_of(counts))
    return first + coder.code(levels - first, frequencies(weights_of(table)))
