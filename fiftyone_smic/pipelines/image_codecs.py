"""Sizes of the same pictures in image codecs, to compare archives with.

Each picture is really encoded at the smallest setting of each format, at its own resolution. The
sizes say how small a codec *can* go, not how good that looks.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from fiftyone_smic.models.images import load_image

# Pillow's lowest quality of each format. At postcard size AVIF's speed 9 also gives its smallest
# files; on photographs of 768x512 its speed 6 saves 7 % and speed 4 16 %, for 14 and 70
# times the work. One thread each, as the files are encoded in parallel.
SETTINGS: dict[str, dict[str, object]] = {
    "jpeg": {"format": "JPEG", "quality": 1, "optimize": True, "subsampling": "4:2:0"},
    "webp": {"format": "WEBP", "quality": 0, "method": 6},
    "avif": {
        "format": "AVIF",
        "quality": 0,
        "speed": 9,
        "subsampling": "4:2:0",
        "max_threads": 1,
    },
}


def image_baselines(
    paths: Sequence[str | os.PathLike[str]],
    *,
    progress: Callable[[float], None] | None = None,
) -> dict[str, int]:
    """Measure the bytes of a collection as files and in each image codec's smallest setting.

    Args:
        paths: Image files. A file that cannot be read is left out of every sum.
        progress: Called with the fraction done, from 0 to 1.

    Returns:
        ``{"original": bytes, "jpeg": bytes, "webp": bytes, "avif": bytes}``, totals over the files.
        A format this installation of Pillow cannot write is left out.
    """
    from PIL import features

    writable = [name for name in SETTINGS if name == "jpeg" or features.check(name)]
    totals = dict.fromkeys(["original", *writable], 0)
    with ThreadPoolExecutor() as pool:  # Pillow's codecs release the interpreter's lock
        for done, sizes in enumerate(pool.map(partial(_sizes, writable), paths), start=1):
            for name, size in sizes.items():
                totals[name] += size
            if progress is not None:
                progress(done / len(paths))
    return totals


def _sizes(writable: Sequence[str], path: str | os.PathLike[str]) -> dict[str, int]:
    try:
        image = load_image(path)
    except Exception:  # Pillow raises almost anything on a broken file
        return {}
    sizes = {"original": os.path.getsize(path)}
    for name in writable:
        buffer = io.BytesIO()
        image.save(buffer, **SETTINGS[name])  # type: ignore[arg-type]
        sizes[name] = buffer.getbuffer().nbytes
    return sizes
