"""Names of samples in an archive: what an export writes, and how an import finds samples by it.

A name is the sample's path relative to the folder that all exported samples share, with ``/``
between its parts. Version 0.1.0 wrote the file name alone where no two were the same; such names
are understood too. :func:`fiftyone_smic.utils.names.name_parts` says when two names are the same.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

from fiftyone_smic.utils.names import name_parts

#: ``C:\\…`` or ``\\\\server\\…``: in such a path a backslash separates, on every system.
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_Parts = tuple[str, ...]


def relative_names(paths: Sequence[str]) -> list[str]:
    """Return each path relative to the deepest folder that holds all of them.

    Args:
        paths: N file paths of samples, of this system or of Windows.

    Returns:
        N names with ``/`` between their parts.

    Example:
        >>> relative_names(["/data/cats/1.png", "/data/dogs/1.png"])
        ['cats/1.png', 'dogs/1.png']
        >>> relative_names(["C:\\\\data\\\\a.png", "C:\\\\data\\\\b.png"])
        ['a.png', 'b.png']
    """
    parts = [
        [
            part
            for part in (path.replace("\\", "/") if _WINDOWS.match(path) else path).split("/")
            if part not in ("", ".")
        ]
        for path in paths
    ]
    if not parts:
        return []
    # All folders share what the first and the last folder in sorted order share.
    first, last = min(p[:-1] for p in parts), max(p[:-1] for p in parts)
    shared = 0
    while shared < min(len(first), len(last)) and first[shared] == last[shared]:
        shared += 1
    return ["/".join(p[shared:]) for p in parts]


def match(names: Sequence[str], ids: Sequence[str], paths: Sequence[str]) -> list[str | None]:
    """Find the sample that each name of an archive belongs to.

    A name fits a path that ends in it. The names of one archive are relative to one folder. Several
    folders may be possible; the one that explains most names decides, and folders inside or around
    it do not count. So ``a.png`` and ``sub/a.png`` each find their own sample.

    Args:
        names: N names of an archive.
        ids: M sample ids.
        paths: M file paths.

    Returns:
        N entries: a sample id, or None where no path ends in the name.

    Raises:
        ValueError: A name fits several samples, or several names fit one sample.

    Example:
        >>> match(["sub\\\\a.png", "a.png", "gone.png"], ["1", "2"], ["/d/a.png", "/d/sub/a.png"])
        ['2', '1', None]
    """
    known: dict[str, list[tuple[int, _Parts]]] = defaultdict(list)
    for i, path in enumerate(paths):
        parts = name_parts(path)
        if parts:
            known[parts[-1]].append((i, parts))
    wanted = [name_parts(name) for name in names]
    # The samples that each name fits, with the folder that the name would then be relative to.
    fitting: list[list[tuple[int, _Parts]]] = [
        [
            (i, parts[: len(parts) - len(name)])
            for i, parts in known[name[-1]]
            if parts[len(parts) - len(name) :] == name
        ]
        if name
        else []
        for name in wanted
    ]
    if any(len(name) > 1 for name in wanted):
        roots = _roots(wanted, fitting)
        fitting = [[(i, root) for i, root in found if root in roots] for found in fitting]
    found: list[str | None] = []
    for name, candidates in zip(names, fitting, strict=True):
        if len(candidates) > 1 and len({root for _, root in candidates}) == 1:
            # One folder may hold names that differ only by their Unicode form or by "\\".
            candidates = [c for c in candidates if paths[c[0]].endswith(name)] or candidates
        if len(candidates) > 1:
            there = ", ".join(repr(paths[i]) for i, _ in candidates[:2])
            raise ValueError(
                f"{len(candidates)} samples are called {name!r} ({there}); choose a view in which "
                "file names are different"
            )
        found.append(ids[candidates[0][0]] if candidates else None)
    taken = Counter(sample_id for sample_id in found if sample_id is not None)
    if taken and taken.most_common(1)[0][1] > 1:
        twice = taken.most_common(1)[0][0]
        fit = [name for name, sample_id in zip(names, found, strict=True) if sample_id == twice]
        raise ValueError(
            f"several names of the archive fit one sample ({', '.join(map(repr, fit[:2]))}); "
            "import it as a new dataset"
        )
    return found


def _roots(wanted: Sequence[_Parts], fitting: Sequence[list[tuple[int, _Parts]]]) -> set[_Parts]:
    """Return the folders that names with folders are relative to; none lies inside another.

    Samples may have been moved into several folders since, so there can be more than one.
    """
    counts = Counter(root for found in fitting for _, root in found)
    deep = {
        root
        for name, found in zip(wanted, fitting, strict=True)
        if len(name) > 1
        for _, root in found
    }
    # A file name alone says little: it counts under a folder that a longer name points to too.
    possible = deep or set(counts)
    chosen: set[_Parts] = set()
    for root in sorted(possible, key=lambda root: (-counts[root], len(root))):
        if not any(_inside(root, other) or _inside(other, root) for other in chosen):
            chosen.add(root)
    return chosen


def _inside(folder: _Parts, other: _Parts) -> bool:
    return folder[: len(other)] == other
