"""What can be wrong with an archive."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class ArchiveError(ValueError):
    """The file is not a readable .smic archive: truncated, altered, foreign, or of a newer
    version."""


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Puts the file's path before what is wrong with it."""
    try:
        yield
    except ArchiveError as e:
        raise ArchiveError(f"{os.fspath(path)}: {e}") from e
