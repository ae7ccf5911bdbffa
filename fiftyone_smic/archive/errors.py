"""What can be wrong with an archive, as kinds of errors that a caller can tell apart."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


class ArchiveError(ValueError):
    """The file cannot be read as a ``.smic`` archive; the subclass says in which way.

    Example:
        >>> from fiftyone_smic.archive import ArchiveError, decode_archive
        >>> try:
        ...     decode_archive(b"not an archive")
        ... except ArchiveError as error:
        ...     print(type(error).__name__, "-", error)
        NotAnArchiveError - not a .smic archive
    """


class NotAnArchiveError(ArchiveError):
    """The file does not begin as a ``.smic`` archive does."""


class ArchiveVersionError(ArchiveError):
    """The archive has a format version, or a numbered encoder, that this software does not know."""


class UnknownSectionError(ArchiveVersionError):
    """The archive has a section that must be understood, and this software does not know it."""


class DamagedArchiveError(ArchiveError):
    """A checksum or a number in the archive is wrong: the file was altered or was never sound."""


class TruncatedArchiveError(DamagedArchiveError):
    """The archive ends too early: it was copied or downloaded in part."""


class PriorMissingError(ArchiveError):
    """The archive was written with a public prior that was not given and is not shipped."""


class ArchiveLockedError(ArchiveError):
    """Another process is changing the archive and did not finish within the time to wait."""


class ArchiveWarning(UserWarning):
    """The archive was read, but for sections that this software does not know and has skipped."""


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the file's path before the message of an :class:`ArchiveError`; its kind stays."""
    try:
        yield
    except ArchiveError as error:
        raise type(error)(f"{os.fspath(path)}: {error}") from error


@contextmanager
def decoding() -> Iterator[None]:
    """Call an archive damaged when it decodes to something that nobody can have written."""
    try:
        yield
    except ArchiveError:
        raise
    except ValueError as error:
        raise DamagedArchiveError(f"the file is damaged: {error}") from error
