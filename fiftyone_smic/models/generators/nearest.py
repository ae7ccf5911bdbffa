"""``nearest``: answer with the picture of a gallery whose latent is nearest to the one given.

Nothing is drawn, so no GPU and no download is needed, and every encoder will do. It is an honest
look at what a code says of a picture: whether the nearest other picture shows the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.models.generators.base import Generator, Settings, own_paths
from fiftyone_smic.models.generators.registry import NEAREST
from fiftyone_smic.models.images import load_image

if TYPE_CHECKING:
    from PIL import Image

#: Memory for the distances of one block of latents to the whole gallery, in MiB.
_SEARCH_MEMORY = 64


class NearestGenerator(Generator):
    """A gallery that answers a latent with its nearest picture, by cosine.

    ``generate`` takes ``exclude``, the pictures that the latents came from: they are never the
    answer, under any path that the gallery holds them. Of pictures that are equally near, the first
    of the gallery is the answer. Seeds, steps and guidance change nothing.

    Args:
        latents: (N, d) floats, the latents of the gallery, of any length above zero.
        paths: N image files.
        encoder: Identity of the encoder that made the latents.

    Attributes:
        paths: N image files of the gallery.

    Raises:
        ValueError: The gallery is empty, the numbers of latents and paths differ, or a latent is
            not finite or all zero.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("red", "green", "blue"):
        ...     Image.new("RGB", (8, 8), name).save(folder / f"{name}.png")
        >>> paths = sorted(folder.iterdir())
        >>> [path.name for path in paths]
        ['blue.png', 'green.png', 'red.png']
        >>> gallery = NearestGenerator(np.eye(3), paths, "unknown")
        >>> gallery.find([[0.1, 0.9, 0.2]])
        array([1])
        >>> gallery.find([[0.1, 0.9, 0.2]], exclude=[folder / "green.png"])
        array([2])
        >>> gallery.generate([[0.1, 0.9, 0.2]])[0].getpixel((0, 0))
        (0, 128, 0)
    """

    needs_norm = False
    steps = 1
    guidance = 1.0
    size = 0

    def __init__(
        self, latents: ArrayLike, paths: Sequence[str | os.PathLike[str]], encoder: str
    ) -> None:
        gallery = np.asarray(latents, np.float32)
        if gallery.ndim != 2 or len(gallery) == 0:
            raise ValueError(
                f"a gallery needs latents of shape (N, d), at least one, not {gallery.shape}"
            )
        if len(paths) != len(gallery):
            raise ValueError(f"{len(paths)} paths for {len(gallery)} latents of the gallery")
        self.dim = gallery.shape[1]
        self.name = NEAREST
        self.encoder = encoder
        self._gallery = self._check_latents(gallery)
        self.paths = [os.fspath(path) for path in paths]
        self._real = [os.path.realpath(path) for path in self.paths]
        self._places: dict[str, list[int]] = {}
        for i, path in enumerate(self._real):
            self._places.setdefault(path, []).append(i)
        digest = hashlib.sha256(self._gallery.tobytes())
        digest.update("\0".join(self._real).encode("utf-8", "surrogateescape"))
        self.identity = f"{NEAREST}@{digest.hexdigest()[:12]}"

    def find(
        self,
        latents: ArrayLike,
        *,
        exclude: Sequence[str | os.PathLike[str] | None] | None = None,
    ) -> NDArray[np.int64]:
        """Find the nearest picture of the gallery for each latent.

        Args:
            latents: (n, d) floats of any length above zero.
            exclude: n paths of pictures that must not be the answer; None excludes nothing.

        Returns:
            (n,) positions in the gallery.

        Raises:
            ValueError: The latents are wrong, or ``exclude`` leaves nothing of the gallery.
        """
        rows = self._check_latents(latents)
        own = own_paths(exclude, len(rows))
        self._check_choice(own)
        return self._find(rows, own)

    def _prepare(self, settings: Settings, exclude: Sequence[str | None]) -> None:
        self._check_choice(exclude)

    def _check_choice(self, own: Sequence[str | None]) -> None:
        for path in own:
            if path is not None and list(self._places) == [os.path.realpath(path)]:
                raise ValueError(
                    f"the gallery holds nothing but {path} itself: it needs other pictures"
                )

    def _find(self, rows: NDArray[np.float32], own: Sequence[str | None]) -> NDArray[np.int64]:
        from sklearn.metrics import pairwise_distances_chunked

        if len(rows) == 0:
            return np.zeros(0, np.int64)
        excluded = [self._places.get(os.path.realpath(p), []) if p else [] for p in own]

        def nearest(distances: NDArray, start: int) -> NDArray:
            for i in range(len(distances)):
                distances[i, excluded[start + i]] = np.inf
            return distances.argmin(axis=1)

        parts = pairwise_distances_chunked(
            rows, self._gallery, reduce_func=nearest, metric="cosine", working_memory=_SEARCH_MEMORY
        )
        return np.concatenate(list(parts)).astype(np.int64)

    def _draw(
        self,
        latents: NDArray[np.float32],
        seeds: Sequence[int],
        settings: Settings,
        exclude: Sequence[str | None],
    ) -> list[Image.Image]:
        return [_read(self.paths[i]) for i in self._find(latents, exclude)]


def _read(path: str) -> Image.Image:
    try:
        return load_image(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise OSError(f"the gallery's picture {path} cannot be read: {error}") from error
