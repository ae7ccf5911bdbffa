"""Files that stand for pictures which have not been drawn yet.

A sample of an imported archive needs a file before its picture is drawn. It gets a small grey one
that says so inside, and :func:`fiftyone_smic.fiftyone.regenerate` puts the first picture of the
sample into its place.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

_MARK = "SMIC: this picture has not been drawn yet"
_MOST_BYTES = 1000
_SIDE = 64


def place(paths: Sequence[Path]) -> None:
    """Write placeholders; the folders are made."""
    text = PngInfo()
    text.add_text("Comment", _MARK)
    data = io.BytesIO()
    Image.new("L", (_SIDE, _SIDE), 128).save(data, format="PNG", pnginfo=text)
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.getvalue())


def is_placeholder(path: str | Path) -> bool:
    """Whether there is a placeholder at ``path``."""
    try:
        return os.path.getsize(path) < _MOST_BYTES and _MARK.encode() in Path(path).read_bytes()
    except OSError:
        return False


def fill(paths: Sequence[str], pictures: Sequence[str]) -> None:
    """Put pictures where placeholders are, and leave all other files alone.

    Args:
        paths: N files of samples
        pictures: N pictures drawn for them
    """
    for path, picture in zip(paths, pictures, strict=True):
        if not is_placeholder(path):
            continue
        with tempfile.TemporaryDirectory(dir=os.path.dirname(path), prefix=".smic-") as aside:
            copy = os.path.join(aside, "picture.png")
            try:
                os.link(picture, copy)  # the same bytes, once on the disk
            except OSError:
                shutil.copyfile(picture, copy)
            os.replace(copy, path)
