"""Files that stand for pictures which have not been drawn yet.

A sample of an imported archive needs a file before its picture is drawn. It gets a small grey one
that says "not drawn yet", for people in the picture and for programs in its first bytes, so that a
copy of it under any name is recognised. :func:`fiftyone_smic.fiftyone.regenerate` puts the first
picture of the sample into its place, and nothing encodes a placeholder.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from fiftyone_smic.utils.files import put_copy, remove_abandoned

#: Version 0.1.0 wrote the same words, so its placeholders are recognised too.
_MARK = b"SMIC: this picture has not been drawn yet"
#: The mark stands before the pixels, within this many bytes.
_HEAD = 256
_SIDE = 256
#: Why nothing encodes a placeholder, as the reports of skipped samples say it.
REASON = "its picture has not been drawn yet; run fiftyone_smic.regenerate first"


def place(paths: Sequence[str | Path]) -> None:
    """Write placeholders; folders that are missing are made.

    If one cannot be written, those written before it are removed.

    Args:
        paths: Files to write, which do not exist.

    Raises:
        OSError: A file cannot be written.
    """
    data = _picture()
    written: list[str] = []
    try:
        for path in map(Path, paths):
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(str(path))
            path.write_bytes(data)
    except BaseException:
        remove(written)
        raise


def _picture() -> bytes:
    """A grey PNG with the words in the picture and the mark before its pixels."""
    image = Image.new("L", (_SIDE, _SIDE), 128)
    font = ImageFont.load_default(28)
    ImageDraw.Draw(image).text(
        (_SIDE / 2, _SIDE / 2), "not drawn yet", fill=235, anchor="mm", font=font
    )
    text = PngInfo()
    text.add_text("Comment", _MARK.decode())
    data = io.BytesIO()
    image.save(data, format="PNG", pnginfo=text, optimize=True)
    return data.getvalue()


def is_placeholder(path: str | Path) -> bool:
    """Return whether the file at ``path`` is a placeholder. Its name does not matter.

    Args:
        path: Any path. A file that is missing or cannot be read is no placeholder.

    Example:
        >>> is_placeholder("/no/such/file.png")
        False
    """
    try:
        with open(path, "rb") as file:
            return _MARK in file.read(_HEAD)
    except OSError:
        return False


def remove(paths: Sequence[str]) -> None:
    """Delete those of the files that are placeholders, and the folders that are empty then."""
    for path in paths:
        if is_placeholder(path) or _empty(path):
            os.unlink(path)
    if not paths:
        return
    folders = {os.path.dirname(path) for path in paths}
    root = os.path.commonpath(folders)
    for folder in list(folders):
        while len(folder) > len(root):
            folder = os.path.dirname(folder)
            folders.add(folder)
    for folder in sorted(folders, key=len, reverse=True):
        with contextlib.suppress(OSError):  # it is not empty, or not there
            os.rmdir(folder)


def _empty(path: str) -> bool:
    try:
        return os.path.getsize(path) == 0
    except OSError:
        return False


def fill(paths: Sequence[str], pictures: Sequence[str]) -> None:
    """Put pictures where placeholders are, and leave all other files alone.

    Args:
        paths: N files of samples.
        pictures: N pictures drawn for them.
    """
    waiting = [i for i, path in enumerate(paths) if is_placeholder(path)]
    for folder in {os.path.dirname(paths[i]) for i in waiting}:
        remove_abandoned(folder)
    for i in waiting:
        put_copy(pictures[i], paths[i])
