"""Samples of collections and streams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def some(z: NDArray[np.float32], n: int, rng: np.random.RandomState) -> NDArray[np.float32]:
    """Up to n of the items (N, d), in their order; all of them uncopied if there are no more."""
    return z if n >= len(z) else z[np.sort(rng.permutation(len(z))[:n])]


def reservoir(
    sample: NDArray[np.float32], batch: NDArray[np.float32], seen: int, room: int
) -> NDArray[np.float32]:
    """An even sample of a stream after one more batch (reservoir sampling, Vitter 1985).

    Args:
        sample: (n, d) of the stream so far.
        batch: (m, d) what comes now.
        seen: number of items before the batch.
        room: size to grow to; a sample that is larger already stays so.

    Returns:
        A new array (n', d), the same for the same arguments.
    """
    fits = max(0, room - len(sample))
    sample, rest = np.concatenate([sample, batch[:fits]]), batch[fits:]
    rng = np.random.default_rng([seen, len(batch)])
    places = rng.integers(0, seen + fits + 1 + np.arange(len(rest)))
    kept = places < len(sample)
    sample[places[kept]] = rest[kept]
    return sample
