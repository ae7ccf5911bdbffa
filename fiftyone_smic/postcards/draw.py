"""Draw postcards: flat landscapes of independent attributes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fiftyone_smic.postcards.attributes import Attributes, compose_caption, sample_attributes
from fiftyone_smic.postcards.scene import Scene

CAPTIONS = "captions.jsonl"


def draw_postcard(seed: int, size: int = 128) -> tuple[Image.Image, Attributes, str]:
    """Draw postcard number ``seed``.

    Args:
        seed: any non-negative integer; the same seed gives the same picture
        size: side of the square picture in pixels

    Returns:
        the RGB picture, its attributes, and a caption
    """
    rng = np.random.default_rng(seed)
    attributes = sample_attributes(rng)
    caption = compose_caption(attributes, rng)
    return Scene(attributes, rng, size).draw(), attributes, caption


def iter_collection(n: int, seed: int = 0) -> Iterator[tuple[int, Attributes, str]]:
    """Yield ``(postcard seed, attributes, caption)`` of collection ``seed`` without drawing."""
    for postcard in _postcard_seeds(n, seed):
        rng = np.random.default_rng(postcard)
        attributes = sample_attributes(rng)
        yield postcard, attributes, compose_caption(attributes, rng)


def _postcard_seeds(n: int, seed: int) -> range:
    # Each collection has its own million of postcards; the trainings use collections 900 and up,
    # so what a user draws was never trained on.
    return range(seed * 1_000_000, seed * 1_000_000 + n)


def write_collection(
    directory: str | Path,
    n: int,
    *,
    size: int = 128,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> list[Path]:
    """Draw a collection as PNG files beside a ``captions.jsonl`` of captions and attributes.

    Files that are there already are kept, so an interrupted run continues.

    Args:
        directory: where to write; made if missing
        n: number of postcards, at most 1,000,000
        size: side in pixels
        seed: which collection
        progress: called with the fraction done

    Returns:
        the paths, in order

    Raises:
        ValueError: if ``n`` or ``size`` is out of range
        OSError: if the folder cannot be written
    """
    if not 1 <= n <= 1_000_000:
        raise ValueError(f"a collection has 1 to 1,000,000 postcards, not {n}")
    if not 16 <= size <= 4096:
        raise ValueError(f"a postcard is 16 to 4096 pixels wide, not {size}")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    paths, lines = [], []
    for i, (postcard, attributes, caption) in enumerate(iter_collection(n, seed)):
        path = directory / f"postcard-{seed}-{i:06d}-{size}.png"
        if not path.exists():
            partial = path.with_suffix(".part")
            draw_postcard(postcard, size)[0].save(partial, format="PNG")
            partial.replace(path)
        paths.append(path)
        lines.append(json.dumps({"file": path.name, "caption": caption, **attributes.as_dict()}))
        if progress is not None and (i % 50 == 49 or i == n - 1):
            progress((i + 1) / n)
    (directory / CAPTIONS).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return paths
