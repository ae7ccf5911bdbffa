"""The low parts of an archive: numbers, checked sections, names, and replacing a file in one
step."""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Sequence


class ArchiveError(ValueError):
    """The file is not a readable .smic archive: truncated, altered, foreign, or of a newer
    version."""


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


class Reader:
    """Takes an archive apart from the front; raises ArchiveError where that cannot be."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        """The next bytes."""
        if count > len(self.data) - self.at:
            raise ArchiveError("the file ends too early: it is truncated or not a .smic archive")
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        """An unsigned LEB128 number of at most 63 bits."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ArchiveError("a number in the file is too long: it is damaged")

    def float(self) -> float:
        """A little-endian float32."""
        return float(struct.unpack("<f", self.take(4))[0])

    def section(self, kind: bytes) -> bytes:
        """The body of the next section, its checksum verified."""
        if self.take(1) != kind:
            raise ArchiveError(f"section {kind.decode()} is missing: the file is damaged")
        body = self.take(self.varint())
        end = self.at
        if struct.unpack("<I", self.take(4))[0] != zlib.crc32(self.data[:end]):
            raise ArchiveError(
                f"the checksum of section {kind.decode()} is wrong: the file is damaged"
            )
        return body


def pack_names(names: Sequence[str], n_items: int) -> bytes:
    """The body of a names section."""
    if len(names) != n_items:
        raise ValueError(f"{len(names)} names for {n_items} items")
    if any("\0" in name for name in names):
        raise ValueError("names must not contain NUL characters")
    text = "\0".join(names).encode()
    return varint(len(text)) + zlib.compress(text, 9)


def unpack_names(packed: bytes, n_items: int) -> tuple[str, ...]:
    """The names in the body of a names section."""
    reader = Reader(packed)
    length = reader.varint()
    if length > (1 << 20) + 1100 * len(packed):
        raise ArchiveError("the names are longer than the file can hold: it is damaged")
    inflate = zlib.decompressobj()
    try:
        text = inflate.decompress(packed[reader.at :], length + 1)
        names = tuple(text.decode().split("\0")) if n_items else ()
    except (zlib.error, UnicodeDecodeError) as e:
        raise ArchiveError("the names cannot be read: the file is damaged") from e
    if len(text) != length or not inflate.eof or inflate.unused_data or len(names) != n_items:
        raise ArchiveError("the names do not fit the items: the file is damaged")
    return names


def replace_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it appears complete or not at all."""
    path = os.fspath(path)
    handle, temporary = tempfile.mkstemp(prefix=".smic-", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as f:
            f.write(data)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
