"""Numbers and checksums of the ``.smic`` format.

They are described in ``docs/format.md``, the specification of the format.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from typing import BinaryIO

from fiftyone_smic.archive.errors import DamagedArchiveError, TruncatedArchiveError


def varint(value: int) -> bytes:
    """Return a number as unsigned LEB128.

    Example:
        >>> varint(300).hex()
        'ac02'
    """
    out = bytearray()
    while True:
        out.append(value & 0x7F | (0x80 if value > 0x7F else 0))
        value >>= 7
        if not value:
            return bytes(out)


class Reader:
    """Take an archive apart from the front; raise ArchiveError where that cannot be done.

    Attributes:
        size: Bytes of the file.
        left: How many of them were not taken yet.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = self.left = file.seek(0, os.SEEK_END)
        file.seek(0)
        self._sum = 0

    @classmethod
    def of(cls, data: bytes) -> Reader:
        """Return a reader of bytes in memory."""
        return cls(io.BytesIO(data))

    def take(self, count: int) -> bytes:
        """Take the next bytes."""
        if count > self.left:
            raise TruncatedArchiveError("the file ends too early: it is truncated")
        self.left -= count
        taken = self._file.read(count)
        self._sum = zlib.crc32(taken, self._sum)
        return taken

    def skip(self, count: int) -> bytes:
        """Pass over bytes; the next checksum can then not be verified."""
        if count > self.left:
            raise TruncatedArchiveError("the file ends too early: it is truncated")
        self.left -= count
        self._file.seek(count, os.SEEK_CUR)
        return b""

    def varint(self) -> int:
        """Take an unsigned LEB128 number of at most 63 bits."""
        value = 0
        for shift in range(0, 63, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise DamagedArchiveError("a number in the file is too long: it is damaged")

    def float(self) -> float:
        """Take a little-endian float32."""
        return float(struct.unpack("<f", self.take(4))[0])

    def checksum(self, of: str | None) -> None:
        """Take a checksum, and begin the next one with it.

        Args:
            of: What the checksum is of, for the message if it is wrong; None does not verify it.
        """
        wanted = self._sum
        taken = self.take(4)
        if of is not None and struct.unpack("<I", taken)[0] != wanted:
            raise DamagedArchiveError(f"the checksum of {of} is wrong: the file is damaged")
        self._sum = zlib.crc32(taken)
