"""What is in a folder: which files are images, and why the others are left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fiftyone_smic.models.images import register_heif
from fiftyone_smic.utils.names import name_of

#: Formats that Pillow only recognises: it needs a program of its own to read a picture of them.
_NO_PICTURES = {"BUFR", "GRIB", "HDF5", "MPEG"} | (set() if os.name == "nt" else {"WMF"})
_HEIF = {".heic", ".heics", ".heif", ".heifs", ".hif"}
#: Picture formats that nothing here reads, and what to do about them.
_UNREAD = {
    **dict.fromkeys(_HEIF, "HEIC needs a reader: pip install pillow-heif"),
    **dict.fromkeys((".svg", ".svgz"), "SVG has no pixels: convert it to PNG"),
    **dict.fromkeys(
        (".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf", ".dng", ".jxl", ".jxr"),
        "no reader for {suffix}: convert it to JPEG, PNG or TIFF",
    ),
}
#: How files of common formats begin.
_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"8BPS",
)


@dataclass
class Census:
    """What :func:`take_census` found.

    Attributes:
        folder: The folder.
        images: The files to read, sorted.
        left_out: Why -> the files that are left out for that reason, sorted. Every other file below
            the folder is here.
        unreadable: File -> why it could not be read; filled while the images are read.
    """

    folder: Path
    images: list[Path] = field(default_factory=list)
    left_out: dict[str, list[Path]] = field(default_factory=dict)
    unreadable: dict[Path, str] = field(default_factory=dict)

    def name(self, path: Path) -> str:
        """Return the name of a file, as an archive stores it."""
        return name_of(os.path.relpath(path, self.folder))

    def as_dict(self, examples: int = 5) -> dict[str, Any]:
        """Return the census for programs.

        Args:
            examples: How many files are named for each reason.

        Returns:
            ``{"images": n, "left_out": [{"reason", "files", "examples"}, ...],
            "unreadable": {name: reason}}``.
        """
        return {
            "images": len(self.images),
            "left_out": [
                {
                    "reason": reason,
                    "files": len(paths),
                    "examples": [self.name(path) for path in paths[:examples]],
                }
                for reason, paths in self.left_out.items()
            ],
            "unreadable": {self.name(path): why for path, why in self.unreadable.items()},
        }

    def lines(self) -> list[str]:
        """Return the census for readers, one line for each reason."""
        count = sum(map(len, self.left_out.values()))
        out = [f"{_count(len(self.images), 'image')} found, {_count(count, 'other file')} left out"]
        for reason, paths in sorted(self.left_out.items(), key=lambda found: -len(found[1])):
            shown = ", ".join(self.name(path) for path in paths[:3])
            out.append(f"{len(paths):>9,}  {reason} ({shown}{', …' if len(paths) > 3 else ''})")
        return out


def take_census(folder: str | os.PathLike[str]) -> Census:
    """Find the images below a folder, and say of every other file why it is left out.

    An image is a file with an extension that Pillow reads, or without an extension and with the
    content of one. Hidden files and folders are left out: they are thumbnails, checkpoints and the
    shadows that macOS writes. A link to a folder is followed if it leads out of the folder, and
    once.

    Args:
        folder: Where to search, with its subfolders.

    Raises:
        NotADirectoryError: There is no such folder.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.new("RGB", (8, 8)).save(Path(folder, "a.png"))
        ...     _ = Path(folder, "._a.png").write_bytes(b"shadow")
        ...     census = take_census(folder)
        >>> len(census.images), {why: len(paths) for why, paths in census.left_out.items()}
        (1, {'hidden': 1})
    """
    root = Path(folder)
    if not root.is_dir():
        raise NotADirectoryError(f"{name_of(root)} is not a folder")
    census = Census(root)
    for path, reason in sorted(_walk(root, _Visited(root), None)):
        reason = reason or _why_not(path)
        if reason:
            census.left_out.setdefault(reason, []).append(path)
        else:
            census.images.append(path)
    return census


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


class _Visited:
    """The folders a walk has been to, so that links never lead it in circles."""

    def __init__(self, root: Path) -> None:
        self.root = os.path.realpath(root)
        self.outside: set[str] = set()

    def enter(self, link: str) -> bool:
        """Whether to follow a link to a folder."""
        target = os.path.realpath(link)
        inside = _inside(target, self.root) or _inside(self.root, target)
        if inside or any(
            _inside(target, other) or _inside(other, target) for other in self.outside
        ):
            return False
        self.outside.add(target)
        return True


def _inside(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _walk(folder: Path, visited: _Visited, why: str | None) -> Iterator[tuple[Path, str]]:
    """Every file below a folder, with why it is left out as far as its place says, or ""."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield folder, f"the folder cannot be read: {error.strerror}"
        return
    for entry in entries:
        path = Path(entry.path)
        reason = "hidden" if entry.name.startswith(".") else why
        if entry.is_symlink():
            try:
                kind = os.stat(entry.path).st_mode
            except OSError as error:
                loop = "link that leads back to itself"
                yield path, loop if os.path.islink(os.path.realpath(path)) else _dangling(error)
                continue
            if stat.S_ISDIR(kind):
                if reason is None and visited.enter(entry.path):
                    yield from _walk(path, visited, None)
                else:
                    yield path, reason or "link to a folder that is searched already"
                continue
        elif entry.is_dir(follow_symlinks=False):
            yield from _walk(path, visited, reason)
            continue
        yield path, reason or ""


def _dangling(error: OSError) -> str:
    return "link to a file that is missing" if isinstance(error, FileNotFoundError) else str(error)


def _why_not(path: Path) -> str:
    """Why a file is no image that can be read, or ""."""
    suffix = path.suffix.lower()
    if suffix in readable_suffixes():
        return "" if path.is_file() else "a device or a pipe"
    if not path.is_file():
        return "a device or a pipe"
    if suffix in _UNREAD:
        return _UNREAD[suffix].format(suffix=suffix)
    try:
        with open(path, "rb") as file:
            start = file.read(16)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    if webp or start.startswith(_MAGIC):
        return f"an image with the extension {name_of(suffix)}: rename it" if suffix else ""
    return f"no image, by its extension {name_of(suffix)}" if suffix else "no image"


@cache
def readable_suffixes() -> frozenset[str]:
    """Return the extensions, in lower case, of the formats whose pictures can be read."""
    from PIL import Image

    register_heif()
    known = Image.registered_extensions()
    return frozenset(
        suffix for suffix, kind in known.items() if kind in Image.OPEN and kind not in _NO_PICTURES
    )
