"""The .smic format, version 1, and its low parts: numbers, checked sections, names, atomic writes.

Numbers are unsigned LEB128 ("varint", at most 9 bytes) unless said otherwise; float32 are
little-endian IEEE 754. ``//`` rounds down, ``>>`` shifts right.

File: magic ``53 4D 49 43`` ("SMIC"); 1 byte format version (1); the sections ``H``, ``D``, ``C``,
and ``N`` if the header says so. Nothing follows the last.

Section: 1 byte kind (ASCII); varint length of the body; body; 4 bytes little-endian CRC-32 (zlib's)
of the file from its first byte up to here, so that no section can be moved or exchanged alone.

``H``: varints N items, d dimensions, K atoms, max_level L, max_nonzero M, flags; float32 lam and
latent_norm; float32 mean pixels per item if flag 4; the 8 bytes of the prior's hash if flag 8; the
rest is the encoder's identity in UTF-8. Flags: 1 names follow, 2 coefficients are positive, 4 and 8
as said, 16 unordered.

Tables: a stream is coded under integer frequencies that sum to 2**24
(:func:`fiftyone_smic.entropy.frequencies` makes them from integer weights; "uniform over n" has n
equal weights). A table of one symbol codes nothing. "Number below n": a parameter p uniform over
31, then the number under the geometric law p (:func:`fiftyone_smic.entropy.geometric`); a run of
numbers has one p in front. ``D``, and ``C`` if ordered, are streams of a range coder; ``C`` if
unordered is a stack of an ANS coder; both with 32-bit words, big-endian in the file, and 64-bit
state, as constriction 0.5 has them. Past its end a range-coded stream reads as zeros.

``D``: one row of d levels (the mean), then K rows (the atoms), with fresh models for each of the
two; then the level tables of indices (K), coefficients (2 L: -L..-1, 1..L) and sizes (M + 1).

    Row j: its exponent (row 0: plus 80, uniform over 128; else its difference from the row before,
    plus 128, of 257 symbols); for j > 0 the number of rows that predict it (0..6), and for each of
    them its number (uniform over j) and its coefficient in quarters (-8..8 without 0). These three
    kinds are counted adaptively: start weights ``1 + (64 >> min(|s - 128|, 6))``, ``64 >> t`` and
    ``32 >> min(|q|, 5)``, plus 32 for a symbol when it was coded. Then the magnitudes, in blocks of
    64 columns and there by ascending context, each below 15 or 15 for more; then for every 15, in
    order, the class c of (magnitude - 14) = 2**c + r under weights ``2**(20 - c)`` (c = 0..20) and
    the c bits of r, lowest first, uniform; then the signs of what is not zero, 1 for minus,
    uniform.

    Context of a column: how many of the thresholds of :mod:`fiftyone_smic.rows` are not above ``e *
    ((seen + 8) << 8) // (hoped + 2048)``, where seen and hoped sum the magnitudes (at most 15) and
    the e of the row's earlier blocks; ``e = min((m << 8) // S, 8192)``, ``m = (sums + 4 start) //
    (rows + 4)``, S = the row's step in 2**-24, rounded, at least 1; sums = the column's magnitudes
    (at most 2**16) times S over the rows so far; start = the prior's profile, or without prior the
    mean of all columns' sums per row, or in row 0 S. After a row each context's count of each
    magnitude grows by 24; before any they are those of ``RowModel``.

    A row's value is levels * 2**(exponent / 4) + sum of (quarters / 4) * value of the row named.
    With a prior, atom = axes @ value and mean = prior's mean + axes @ value.

    Level table: its largest level, uniform over 256; then a run of numbers below 90, one an entry:
    its difference from the entry before (from the largest at the start), 2 x - 1 if positive, else
    -2 x. Weights of the levels: :func:`fiftyone_smic.entropy.log_weights`.

``C``, ordered: all N sizes; then the lowest index of every item that has one, then the second, and
so on, each round by (indices still to come including this one, index before or -1), both ascending,
and within by item, under :class:`fiftyone_smic.models.SetModel`; then all coefficients by item and
index.

``C``, unordered: items sorted by (size, indices, coefficients). The reader pops an item (size,
indices, coefficients), puts it into its sorted list, pops its place among the equal ones (uniform
over how many there are now), and pushes its place in the list (uniform over the list's length); N
times, after which the stack is empty. Uniform here is constriction's ``Uniform``.

``N``: varint length of the text; zlib stream of the text: N names in UTF-8, joined by NUL.

Bounds a reader enforces before it makes room: d <= 65,536; K <= 2**20 and <= 4,096 + 8 times the
bytes of ``D``; K d <= 2**22 + 64 times the bytes of ``D``; N and the number of coefficients <=
2**20 (2**16 if unordered) + 64 times the bytes of ``C``; names <= 2**20 + 1,100 times the bytes of
``N``. A writer appends zero bytes to ``D`` or an ordered ``C`` where the content is cheaper than
that. Reading so takes memory in proportion to the file plus at most about 100 MB.
"""

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
