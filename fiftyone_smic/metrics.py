"""Rate and fidelity, each defined once.

All rates are bits of a real file. All fidelities compare two sets of latents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.utils.vectors import unit

__all__ = ["Fidelity", "Rate", "fidelity", "item_fidelity"]


@dataclass(frozen=True)
class Rate:
    """Where the bits of an archive go.

    Attributes:
        items: number of coded items N.
        payload_bits: bits of the items' codes.
        dictionary_bits: bits of the atoms, the mean and their statistics.
        header_bits: all other bits of the file: header, names, frames of blocks, checksums.

    Example:
        >>> rate = Rate(items=100, payload_bits=1500, dictionary_bits=400, header_bits=100)
        >>> rate.total_bytes, rate.bits_per_item
        (250, 20.0)
    """

    items: int
    payload_bits: int
    dictionary_bits: int
    header_bits: int

    @classmethod
    def of_bytes(cls, items: int, total: int, payload: int, dictionary: int) -> Rate:
        """Return the rate of a file.

        Args:
            items: number of coded items.
            total: bytes of the file.
            payload: bytes of the items' codes in it.
            dictionary: bytes of the dictionary in it.
        """
        return cls(items, 8 * payload, 8 * dictionary, 8 * (total - payload - dictionary))

    @property
    def total_bits(self) -> int:
        """All bits of the file."""
        return self.payload_bits + self.dictionary_bits + self.header_bits

    @property
    def total_bytes(self) -> int:
        """Size of the file in bytes."""
        return (self.total_bits + 7) // 8

    @property
    def bits_per_item(self) -> float:
        """All bits of the file divided by the number of items, 0 for an empty collection."""
        return self.total_bits / self.items if self.items else 0.0

    @property
    def payload_bits_per_item(self) -> float:
        """Bits of the codes alone divided by the number of items, 0 for an empty collection."""
        return self.payload_bits / self.items if self.items else 0.0

    def bits_per_pixel(self, pixels_per_item: float) -> float:
        """Return all bits of the file divided by all pixels of the collection's originals.

        Args:
            pixels_per_item: mean number of pixels of an original, > 0.

        Raises:
            ValueError: it is not positive.

        Example:
            >>> Rate(100, 1500, 400, 100).bits_per_pixel(200)
            0.1
        """
        if not pixels_per_item > 0:
            raise ValueError(f"pixels_per_item must be positive, got {pixels_per_item}")
        return self.bits_per_item / pixels_per_item


@dataclass(frozen=True)
class Fidelity:
    """How much of a collection's latents survives.

    Attributes:
        explained_variance: 1 - sum |z - z'|^2 / sum |z - mean(z)|^2, over the collection. The mean
            alone gives 0.
        centred_cosine: mean over items of cos(z - m, z' - m), where m is the mean of the originals;
            0 where z' = m.
        cosine: mean over items of cos(z, z'). It is no measure of fidelity: on CLIP latents the
            mean alone gives 0.7 to 0.8.
        recall_at_10: share of an item's 10 nearest originals (by cosine, without itself) that are
            still among the 10 originals nearest to its rebuilt latent. With fewer than 11 items it
            is the share of all others.

    Example:
        >>> latents = np.random.default_rng(0).normal(size=(50, 8))
        >>> fidelity(latents, latents).recall_at_10
        1.0
    """

    explained_variance: float
    centred_cosine: float
    cosine: float
    recall_at_10: float


#: Latents that are compared at a time.
_BLOCK = 4096
#: Returns the reconstructions (n, d) of given rows.
_Rebuilt = Callable[[Any], NDArray[np.float32]]


def _pair(
    latents: ArrayLike, rebuilt: ArrayLike
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    z, x = np.asarray(latents, np.float32), np.asarray(rebuilt, np.float32)
    if z.ndim != 2 or z.shape != x.shape or len(z) == 0:
        raise ValueError(
            "latents and rebuilt must be two non-empty (N, d) arrays of one shape, "
            f"got {z.shape} and {x.shape}"
        )
    return z, x


def _cosines(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    # A difference of unit vectors below 1e-7 is a rounding error.
    squares = [np.einsum("ij,ij->i", x, x, dtype=np.float64) for x in (a, b)]
    norms = np.sqrt(squares[0] * squares[1])
    dots = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    return np.divide(dots, norms, out=np.zeros(len(a)), where=norms > 1e-7)


def item_fidelity(latents: ArrayLike, rebuilt: ArrayLike, mean: ArrayLike) -> NDArray[np.float64]:
    """Return the centred cosine of each item: cos(z - mean, z' - mean).

    Args:
        latents: (N, d) originals.
        rebuilt: (N, d) reconstructions, not scaled to unit norm.
        mean: (d,), subtracted from both.

    Returns:
        (N,) float64 in -1..1, 0 where either difference is 0.

    Raises:
        ValueError: the two differ in shape, or are empty.

    Example:
        >>> item_fidelity([[2.0, 0.0]], [[1.0, 0.0]], mean=[0.0, 0.0]).tolist()
        [1.0]
    """
    z, x = _pair(latents, rebuilt)
    m = np.asarray(mean, np.float32)
    return _cosines(z - m, x - m)


def _recall_at_10(z: NDArray, rebuilt: _Rebuilt, max_queries: int, seed: int) -> float:
    n = len(z)
    k = min(10, n - 1)
    if k < 1:
        return 1.0
    queries = np.sort(np.random.default_rng(seed).permutation(n)[:max_queries])
    asked = np.concatenate([unit(z[queries]), rebuilt(queries)])
    nearest = np.zeros((len(asked), 0), np.intp)
    scores = np.zeros((len(asked), 0), np.float32)
    own = np.concatenate([queries, queries])
    for start in range(0, n, _BLOCK):
        found = asked @ unit(z[start : start + _BLOCK]).T
        inside = np.flatnonzero((own >= start) & (own < start + found.shape[1]))
        found[inside, own[inside] - start] = -np.inf
        places = np.broadcast_to(np.arange(start, start + found.shape[1]), found.shape)
        found = np.concatenate([scores, found], axis=1)
        places = np.concatenate([nearest, places], axis=1)
        kept = np.argpartition(-found, min(k, found.shape[1]) - 1, axis=1)[:, :k]
        scores = np.take_along_axis(found, kept, axis=1)
        nearest = np.take_along_axis(places, kept, axis=1)
    pairs = zip(nearest[: len(queries)], nearest[len(queries) :], strict=True)
    return sum(len(np.intersect1d(a, b)) for a, b in pairs) / (k * len(queries))


def fidelity(
    latents: ArrayLike,
    rebuilt: ArrayLike | _Rebuilt,
    *,
    max_queries: int = 1000,
    seed: int = 0,
) -> Fidelity:
    """Compare originals with reconstructions.

    Args:
        latents: (N, d) originals.
        rebuilt: (N, d) reconstructions, not scaled to unit norm, because the explained variance
            depends on their norm; or a function that returns those of given rows, a slice or an
            array of positions, so that never all of them are in memory.
        max_queries: most items whose neighbours are compared, at least 1; they are drawn at random.
        seed: of that draw.

    Raises:
        ValueError: the two differ in shape, are empty, or hold NaN or infinity.

    Example:
        >>> latents = np.random.default_rng(0).normal(size=(50, 8))
        >>> half = latents.mean(axis=0) + 0.5 * (latents - latents.mean(axis=0))
        >>> found = fidelity(latents, half)
        >>> round(found.explained_variance, 3), round(found.centred_cosine, 3)
        (0.75, 1.0)
    """
    if max_queries < 1:
        raise ValueError(f"max_queries must be at least 1, got {max_queries}")
    if callable(rebuilt):
        z, given = np.asarray(latents, np.float32), rebuilt
        if z.ndim != 2 or not len(z):
            raise ValueError(f"latents must be a non-empty (N, d) array, got {z.shape}")
    else:
        z, held = _pair(latents, rebuilt)
        given = held.__getitem__
    mean = z.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = error = centred = plain = 0.0
    for start in range(0, len(z), _BLOCK):
        part = slice(start, start + _BLOCK)
        a, b = z[part], given(part)
        if not (np.isfinite(a).all() and np.isfinite(b).all()):
            raise ValueError("latents or what is rebuilt of them hold NaN or infinity")
        spread += float(np.square(a - mean, dtype=np.float64).sum())
        error += float(np.square(a - b, dtype=np.float64).sum())
        centred += float(_cosines(a - mean, b - mean).sum())
        plain += float(_cosines(a, b).sum())
    if spread <= 1e-10 * len(z):  # identical items up to float32 rounding: nothing to explain
        explained = 1.0 if error <= 1e-3 * len(z) else 0.0
    else:
        explained = 1.0 - error / spread
    return Fidelity(
        explained_variance=explained,
        centred_cosine=centred / len(z),
        cosine=plain / len(z),
        recall_at_10=_recall_at_10(z, given, max_queries, seed),
    )
