"""Names of items: text in archives, bytes on disks, and when two of them are the same.

A name is the path of a file relative to the root of its collection, with ``/`` between its parts.
"""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

# Byte b of a name that is not UTF-8 is stored as the private character U+F700 + b.
_ESCAPES = re.compile("[\uf780-\uf7ff]")
_BASE = 0xF700


def name_of(path: str | bytes | os.PathLike[str]) -> str:
    """Return the name that an archive stores for a relative path of this system.

    Names in archives are UTF-8, and a file system may hold any bytes. Each byte that is not part of
    valid UTF-8 becomes one private character, U+F780 to U+F7FF; a character of that range in a
    file's name is escaped byte by byte too, so :func:`path_of` always gives the same bytes back.

    Args:
        path: The path, relative to the root of the collection.

    Example:
        >>> name_of(b"Jaime\\xf1.png") == "Jaime\\uf7f1.png"
        True
        >>> os.fsencode(path_of("Jaime\\uf7f1.png"))  # on Linux
        b'Jaime\\xf1.png'
    """
    text = os.fsencode(path).decode("utf-8", "surrogateescape")
    if os.sep != "/":
        text = text.replace(os.sep, "/")
    text = _ESCAPES.sub(lambda found: "".join(map(_escape, found[0].encode())), text)
    return "".join(_escape(ord(c) & 0xFF) if "\udc80" <= c <= "\udcff" else c for c in text)


def path_of(name: str) -> str:
    """Return the relative path that :func:`name_of` made a name of, as this system can hold it.

    Linux holds any bytes. Windows and macOS hold text only, so there a name keeps its private
    characters.

    Args:
        name: A name from an archive; it is not checked, see
            :func:`fiftyone_smic.pipelines.picture_names.safe_names`.
    """
    if sys.platform in ("win32", "darwin") or not _ESCAPES.search(name):
        return name
    raw = b"".join(bytes([ord(c) - _BASE]) if _ESCAPES.match(c) else c.encode() for c in name)
    return os.fsdecode(raw)


def name_key(name: str) -> str:
    """Return what two names have in common if they mean the same file.

    Names are compared in Unicode's composed form (NFC), for macOS stores them decomposed (NFD), and
    with ``\\`` read as ``/``, for archives from Windows may hold it.

    Example:
        >>> name_key("e\\u0301te\\\\a.png") == name_key("\\u00e9te/a.png")
        True
    """
    return "/".join(name_parts(name))


def name_parts(name: str) -> tuple[str, ...]:
    """Return the parts of a name by which it is compared, see :func:`name_key`.

    Args:
        name: A name, or the path of a file.

    Example:
        >>> name_parts("./cats\\\\1.png")
        ('cats', '1.png')
    """
    parts = unicodedata.normalize("NFC", name).replace("\\", "/").split("/")
    return tuple(part for part in parts if part not in ("", "."))


@dataclass
class Known:
    """Which files of a folder an archive holds already.

    Attributes:
        files: One entry for each name of the folder: whether the archive holds it.
        by_file_name: Those that were recognised by their file names alone.
        ambiguous: File name -> names in the folder that could be the item of that name.
    """

    files: list[bool]
    by_file_name: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)


def find_known(names: Sequence[str], archived: Iterable[str]) -> Known:
    """Find the files of a folder that an archive holds.

    A name that is written exactly alike is the same file. Of what is left, names with the same
    :func:`name_key` are. If no name in the archive has a folder part (FiftyOne exports of version
    0.1.0 hold file names alone), a file in a subfolder is recognised by its file name, if only one
    file of the folder is called so.

    Args:
        names: Names of the files in the folder, relative to it.
        archived: Names of the items of the archive.

    Example:
        >>> find_known(["a.png", "sub/b.png", "c.png"], ["a.png", "b.png"]).files
        [True, True, False]
        >>> find_known(["x/a.png", "y/a.png"], ["a.png"]).ambiguous
        {'a.png': ['x/a.png', 'y/a.png']}
    """
    items = set(archived)
    files = [name in items for name in names]
    left = items.difference(names)
    keys = {name_key(name) for name in left}
    matched = set()
    for i, name in enumerate(names):
        if not files[i] and name_key(name) in keys:
            files[i] = True
            matched.add(name_key(name))
    known = Known(files)
    flat = bool(items) and not any("/" in name_key(name) for name in items)
    if not flat:
        return known
    called: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        if not files[i]:
            called.setdefault(name_key(name).rpartition("/")[2], []).append(i)
    for key in sorted(keys - matched):
        found = called.get(key, [])
        if len(found) == 1:
            files[found[0]] = True
            known.by_file_name.append(names[found[0]])
        elif found:
            known.ambiguous[key] = [names[i] for i in found]
    return known


def _escape(byte: int) -> str:
    return chr(_BASE + byte)
