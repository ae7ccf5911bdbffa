"""File names for the pictures that are drawn from an archive."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import PurePosixPath

from fiftyone_smic.archive import Archive
from fiftyone_smic.utils.names import path_of

#: Most bytes of a part of a path, on all common file systems.
_LONGEST = 255
#: Most bytes of a relative path: systems allow 4,096 (Linux), 1,024 (macOS), 260 (Windows) in all.
_DEEPEST = {"nt": 180}.get(os.name, 900)
_DRIVE = re.compile(r"[A-Za-z]:/|//")
_FORBIDDEN_ON_WINDOWS = re.compile(r'[\x00-\x1f<>:"|?*]')
_RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)", re.I)


def file_names(archive: Archive) -> list[str]:
    """Return a safe, relative and unique PNG file name for each item of an archive."""
    if archive.names is None:
        return safe_names([""] * archive.codes.shape[0], archive.first)
    return safe_names(archive.names, archive.first)


def picture_name(name: str) -> str:
    """Return the file name that a picture gets if nothing stands in the way.

    The extension of an image becomes ``.png``; any other name gets ``.png`` behind it.

    Example:
        >>> picture_name("cats/1.jpg"), picture_name("v1.2")
        ('cats/1.png', 'v1.2.png')
    """
    stem, dot, suffix = name.rpartition(".")
    if stem.rpartition("/")[2] and f"{dot}{suffix}".lower() in _image_suffixes():
        return f"{stem}.png"
    return f"{name}.png"


def safe_names(
    wanted: Sequence[str],
    first: int = 0,
    *,
    size: Callable[[str], int] = lambda name: len(name.encode("utf-8", "surrogatepass")),
    windows: bool = os.name == "nt",
) -> list[str]:
    """Return a safe, relative and unique PNG file name for each name.

    Names come out of a file that somebody else may have written. A name that would leave the
    folder, or that is no relative path, is replaced by the item's number. All others keep what the
    file system can hold. Windows' separators count on every system. Two pictures never get names
    that differ only in upper and lower case or in Unicode's normal form, and no picture gets the
    name of a folder: the later one has its number in front.

    Args:
        wanted: Names, as an archive stores them.
        first: The number of the first.
        size: How many bytes a part of a path takes on the disk.
        windows: Replace what Windows cannot hold (``:``, ``?``, names like ``aux``) by ``_``.

    Example:
        >>> safe_names(["a.jpg", "a.gif", "../b.png", "clip.jpg", "clip.png/c.png"])
        ['a.png', '000001-a.png', '000002.png', '000003-clip.png', 'clip.png/c.png']
    """
    found = [_fit(name, i, size, windows) for i, name in enumerate(wanted, first)]
    folders = {_alike(str(parent)) for name in found for parent in PurePosixPath(name).parents}
    taken = {_alike(name) for name in found} | folders
    used: set[str] = set()
    names = []
    for i, name in enumerate(found, first):
        if _alike(name) in used or _alike(name) in folders:
            folder, slash, last = name.rpartition("/")
            numbered = f"{folder}{slash}{_shorten(f'{i:06d}-{last}', size)}"
            count = 1
            name = numbered
            while _alike(name) in taken:
                count += 1
                last = _shorten(f"{i:06d}-{count}-{last}", size)
                name = f"{folder}{slash}{last}"
            taken.add(_alike(name))
        used.add(_alike(name))
        names.append(name)
    return names


def size_on_disk(name: str) -> int:
    """Return how many bytes a part of a path takes on this system's disks."""
    return len(os.fsencode(path_of(name)))


def _fit(name: str, number: int, size: Callable[[str], int], windows: bool) -> str:
    """One name as a relative path that the system can hold, or the item's number."""
    plain = name.replace("\\", "/")
    parts = [part for part in plain.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or plain.startswith("/") or _DRIVE.match(plain) or "\0" in name:
        return f"{number:06d}.png"
    parts[-1] = picture_name(parts[-1])
    if windows:
        parts = [_for_windows(part) for part in parts]
    if any(size(part) > _LONGEST for part in parts[:-1]):
        return f"{number:06d}.png"
    parts[-1] = _shorten(parts[-1], size)
    chosen = "/".join(parts)
    return chosen if size(chosen) <= _DEEPEST else f"{number:06d}.png"


def _shorten(name: str, size: Callable[[str], int]) -> str:
    """Cut characters before the extension until the name is short enough."""
    stem = name.removesuffix(".png")
    while stem and size(f"{stem}.png") > _LONGEST:
        stem = stem[:-1]
    return f"{stem}.png"


def _for_windows(part: str) -> str:
    part = _FORBIDDEN_ON_WINDOWS.sub("_", part)
    if part[-1] in ". ":
        part = part[:-1] + "_"
    return f"_{part}" if _RESERVED_ON_WINDOWS.match(part) else part


def _alike(name: str) -> str:
    """What is the same for names that some file system takes to be one."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


@cache
def _image_suffixes() -> frozenset[str]:
    from PIL import Image

    return frozenset(Image.registered_extensions()) | {".heic", ".heif", ".hif", ".avif", ".jxl"}
