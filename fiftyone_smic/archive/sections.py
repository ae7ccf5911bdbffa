"""Sections: typed parts of an archive that a reader who does not know them can pass over.

The format's specification, ``docs/format.md``, describes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from fiftyone_smic.archive.errors import (
    ArchiveWarning,
    DamagedArchiveError,
    UnknownSectionError,
)
from fiftyone_smic.archive.primitives import Reader, varint

#: Type of the section of a block that holds its items' distortions.
DISTORTION = 1
#: Names of the types that this version knows.
KNOWN = {DISTORTION: "distortion"}


@dataclass(frozen=True)
class Section:
    """A section of a head or of a block.

    Attributes:
        kind: Its type, at least 1.
        required: Whether a reader who does not know the type must refuse the file.
        size: Length of its content in bytes.
        content: The content; empty if the block was skipped.
    """

    kind: int
    required: bool
    size: int
    content: bytes = b""

    @classmethod
    def of(cls, kind: int, content: bytes, required: bool = False) -> Section:
        """Return a section to write."""
        return cls(kind, required, len(content), content)


def pack_sections(sections: Iterable[Section]) -> bytes:
    """Return a list of sections as it stands in the file.

    Example:
        >>> pack_sections([Section.of(1, b"abc")]).hex(), pack_sections([]).hex()
        ('020361626300', '00')
    """
    out = b""
    for section in sections:
        out += varint(2 * section.kind + section.required) + varint(section.size) + section.content
    return out + b"\0"


def read_sections(reader: Reader, wanted: bool = True) -> tuple[Section, ...]:
    """Read a list of sections; the content only if it is wanted.

    Raises:
        DamagedArchiveError: A section has no type.
    """
    found = []
    while tag := reader.varint():
        if tag < 2:
            raise DamagedArchiveError("a section has no type: the file is damaged")
        size = reader.varint()
        content = reader.take(size) if wanted else reader.skip(size)
        found.append(Section(tag >> 1, bool(tag & 1), size, content))
    return tuple(found)


def check_sections(sections: Iterable[Section], known: Iterable[int]) -> None:
    """Refuse what must be understood and is not, and what is known and comes twice.

    Args:
        sections: A list of sections whose checksum is right.
        known: The types that are known in this place.

    Raises:
        UnknownSectionError: A section that must be understood has another type.
        DamagedArchiveError: A section with a type that is known comes twice.
    """
    seen = set()
    for section in sections:
        if section.kind in known:
            if section.kind in seen:
                raise DamagedArchiveError("a section comes twice: the file is damaged")
            seen.add(section.kind)
        elif section.required:
            raise UnknownSectionError(
                f"the archive has a section of type {section.kind} that must be understood, which "
                "this version of the software does not know: read it with a newer version"
            )


def tell_skipped(kinds: Iterable[int]) -> None:
    """Warn of sections that were passed over."""
    if kinds := sorted(set(kinds)):
        warnings.warn(
            "the archive has sections that this version of the software does not know and has "
            f"skipped, of type {', '.join(map(str, kinds))}: a newer version reads them",
            ArchiveWarning,
            stacklevel=4,
        )
