"""Even samples of collections and of streams."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def subsample(
    latents: NDArray[np.float32], n: int, rng: np.random.RandomState
) -> NDArray[np.float32]:
    """Draw ``n`` of the latents (N, d) without replacement and keep their order.

    Returns:
        (n, d) float32; the given array itself, uncopied, if it has no more than ``n`` rows.
    """
    if n >= len(latents):
        return latents
    return latents[np.sort(rng.permutation(len(latents))[:n])]


@dataclass(frozen=True)
class Reservoir:
    """An even sample of a stream: the items with the smallest of random keys.

    Every item draws a key when it comes, and the sample keeps the items with the smallest keys
    (bottom-k sampling; Cohen and Kaplan 2007, "Summarizing data using bottom-k sketches"). So two
    samples with one size limit merge to a fair sample of both streams, in any order and
    however different the lengths of the streams are.

    Attributes:
        items: (n, d) float32.
        keys: (n,) float64 in 0..1, ascending.
    """

    items: NDArray[np.float32]
    keys: NDArray[np.float64]

    @classmethod
    def empty(cls, d: int) -> Reservoir:
        """A sample of no items, of dimension ``d``."""
        return cls(np.zeros((0, d), np.float32), np.zeros(0))

    def add(self, batch: NDArray[np.float32], seen: int, room: int) -> Reservoir:
        """Return the sample after one more batch.

        Args:
            batch: (m, d) float32, the items that come now.
            seen: number of items that came before the batch.
            room: most items to keep.

        Returns:
            A new sample, the same for the same arguments. The keys depend on the content of the
            batch too, so that workers that sample different shards draw different keys.
        """
        content = zlib.crc32(np.ascontiguousarray(batch).data)
        keys = np.random.default_rng([seen, len(batch), content]).random(len(batch))
        return self.merge(Reservoir(batch, keys), room)

    def merge(self, other: Reservoir, room: int) -> Reservoir:
        """Return an even sample, of at most ``room`` items, of both streams together."""
        keys = np.concatenate([self.keys, other.keys])
        order = np.argsort(keys, kind="stable")[:room]
        return Reservoir(np.concatenate([self.items, other.items])[order], keys[order])
