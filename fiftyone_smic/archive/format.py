"""The .smic format, version 6, and its head and blocks.

Numbers are unsigned LEB128 ("varint", at most 9 bytes) unless said otherwise; float32 are
little-endian IEEE 754. ``//`` rounds down, ``>>`` shifts right, all other arithmetic is on integers
of at most 64 bits.

File
    magic ``53 4D 49 43`` ("SMIC"); 1 byte format version (6); varints d (dimensions), K (atoms), L
    (largest coefficient), M (most atoms of an item), flags; float32 lam and latent_norm; float32
    mean pixels per item if flag 4; the 8 bytes of the prior's hash if flag 8 (the first of the
    SHA-256 of its mean, float32, its axes, float16, its profile, int64, and its atoms, float16, all
    little-endian, row by row); varint e and the encoder's identity, ``ENCODERS[e]`` below if e <
    32, else e - 32 bytes of UTF-8; varint length and bytes of the *shared stream*; checksum. Then
    blocks of items; then a zero byte and a checksum end the file. Flags: 1 items have names, 2
    coefficients are positive, 4 and 8 as said, 16 unordered.
Block
    varint number of items, at least 1; varint length and bytes of their codes; with flag 1 varint
    length and bytes of their names; checksum. Appending puts blocks in place of the end, and an end
    behind them.
Checksum
    4 bytes little-endian, zlib's CRC-32 of everything since the checksum before it, that one
    included (of everything from the first byte on, for the first). So blocks cannot change places
    or be left out, and a block can be checked by itself.

Range-coded streams (the shared stream, codes of ordered archives) are read as
:mod:`fiftyone_smic.coding.range_coder` says, symbol by symbol, under tables of whole numbers that
sum to 2**24. The symbols' intervals follow each other in their order. A table with one symbol codes
nothing. How tables are made:

    weights w of n symbols: width ``1 + w * (2**24 - n) // sum(w)`` (all w equal if all are 0),
    and what is lacking to 2**24 goes to the first largest width. (w are first shifted right, all
    alike, until their sum, so shifted, is less than 2**38.) "Uniform over n": n equal weights.
    "Bit": uniform over 2.
    "Run of m numbers below n": first a parameter p, uniform over 31, then the numbers under weights
    ``w[0] = 2**30, w[i + 1] = w[i] * 2048 * (p + 1) >> 16``.

Shared stream
    the *tables of codes*: the level table of indices (K), the odds (K), the level tables of other
    coefficients (2 L - 1: -L..-1, 2..L) and of sizes (M + 1); one row of d numbers, the mean; K
    rows of d numbers, the atoms, for which all that rows adapt (tables, sums, the number of rows)
    starts anew: the mean is not among the rows before them. What may follow is zeros and means
    nothing.
Level table
    its largest level, uniform over 256; then a run of numbers below 90, one for each entry: with x
    its difference from the entry before (the first: from the largest), 2 x - 1 if x > 0, else -2 x.
    Levels are 0..44. The weight of level 0 is 0, of level v ``(256 if v is odd else 362) << (v - 1)
    // 2``.
Odds
    the usual one, plus 40, uniform over 81; then a run of numbers below 161, one for each atom:
    with x its difference from the usual one, 2 x - 1 if x > 0, else -2 x. They are in -40..40.
Row j
    its step's exponent: of row 0 exponent + 80, uniform over 128; else its difference from the row
    before, plus 128, of 257 symbols. If P + j > 0: the number of rows that predict it (0..6), and
    for each the row (uniform over P + j: the prior's P atoms, then the rows before this one) and
    its coefficient in quarters (-8..-1, 1..8). P is 0 without a prior. These three kinds
    (differences, numbers, quarters) have adaptive tables: weights ``1 + (64 >> min(|s - 128|, 6))``
    for symbol s, ``64 >> t``, ``32 >> min(|q|, 5)`` at the start, plus 32 for a symbol that was
    coded. Exponents stay in -80..47. Then, for each column: min(magnitude, 15) under the table of
    the column's context; if that is 15, Elias' gamma code of x = magnitude - 14: b, the number of
    bits after the first of x, under weights ``2**(20 - b)`` (b = 0..20), then these bits, the
    lowest first; if the magnitude is not 0, its sign, a bit, 1 for minus. Magnitudes are below
    2**20.
Context of a column
    how many of ``T`` are not above ``e * ((seen + 8) << 8) // (hoped + 2048)``, with T = 16, 23,
    32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096; seen and hoped sum
    min(magnitude, 15) and e over the columns of the row before this one. ``e = min((m << 8) // S,
    8192)``, ``m = (sums + 4 start) // (rows + 4)``; S is the row's step in 2**-24, rounded, at
    least 1; all sums together stay at most 2**54; rows counts the rows so far; sums, for each
    column, adds up min(magnitude, 2**16) * S of these; start is the prior's profile, or without
    prior the sum of all columns' sums // (d * rows), or S in row 0.
Table of context c (0..17)
    counts of 0..15, made before the first row so: ``mean = 13 << c // 2`` if c is even, else ``18
    << c // 2``; ``w = 2**20, total = w * (mean + 256) // 256``; for each magnitude in turn ``1 +
    128 * w // total``, then ``w = w * mean // (mean + 256)``. After a row, 24 is added for each of
    its columns, in its context. The counts are the weights.
Values
    step = 2**(exponent / 4); row = levels * step + sum of (quarters / 4) * the row named, rows in
    order. With a prior, atom = axes @ row and mean = prior's mean + axes @ row; the prior's own
    atoms are rows along its axes already. Nothing that is decoded depends on these floating-point
    numbers.

Codes, ordered
    a bit, 1 if the block has tables of codes of its own (they follow, and hold for this block); a
    bit, 1 if the block is *inter*. If it is not: the sizes of all items under the table of sizes,
    at most m, the smaller of K and the largest size whose level is not 0 (0 if there is none); then
    for each item its indices, ascending, then its coefficients.
Coefficient
    a flag, 0 if it is 1, under the weights of the levels ``1 + max(0, -o)`` and ``1 + max(0, o)``
    of 0 and 1, o the odds of its atom; then, if it is not 1, which other it is under the table of
    other coefficients.
Codes, inter
    for each item: of each index of the item before it, ascending, a flag, 1 if this item has it
    too; then one for each other index it has, 1, and after the last of them 0, unless it has m
    indices already. Then for each item: these others, as Indices, ascending, none of them one that
    it has already; and all of its coefficients, in the order of the
    indices. (The first item has none before it.) A flag has counts (a, b): 0 has the width ``1 + a
    * (2**24 - 2) // (a + b)``. They start at 8, and 16 is added to that of the flag that was coded.
    A flag of the first kind has those of the context ``3 * min(kept, 2) + min(before, 2)``, kept of
    this item's flags being 1 so far, before of the last item's; the flag after n other indices has
    those of the context (min(kept, 3), n).
Index
    after ``first`` - 1 (0 for an item's first index), with r indices still to come including this
    one, an index is in first..K - r. If that is one index, it is not coded. Else index i has the
    interval from left(i) to left(i + 1), ``left(i) = i - first + (E(first) - E(i)) * (2**24 - n) //
    E(first)``, n = K - r - first + 1. E(i) is ``e[r][i]`` in units of ``2**shift`` of e[r][first]:
    its mantissa ``>> min(shift of e[r][first] - its own shift, 31)``.
Polynomials
    ``e[0][i] = 1``, ``e[r][K] = 0`` for r > 0, ``e[r][i] = e[r][i + 1] + w[i] * e[r - 1][i + 1]``,
    w the weights of indices (at least 1). Numbers are mantissa and shift, at first the given
    number and 0. The sum: with ``a, sa`` of the first term, ``b = w * mantissa, sb`` of the second,
    ``s = max(sa, sb)``, ``(a >> min(s - sa, 62)) + (b >> min(s - sb, 62))``, then halved (rounded
    down), s one more each time, until it is below 2**31.
Codes, unordered
    a stack of constriction 0.5's ``AnsCoder`` (32-bit words, big-endian in the file). The one block
    holds the items sorted by (size, indices, coefficients). The reader pops an item (size, indices,
    coefficients, under the tables above), puts it into its sorted list, pops its place among the
    equal ones (uniform over how many there are now), and pushes its place in the list (uniform over
    the list's length); N times, after which the stack is empty. Uniform here is constriction's
    ``Uniform``; a table is its ``Categorical`` (see :mod:`fiftyone_smic.coding.range_coder`).
Names
    1 byte: 0 the text as it is; 1 varint length of the text and raw deflate; 2 varint length and
    raw LZMA (lc 3, lp 0, pb 0, dictionary 2**20, with end marker). The text: for each item a varint
    ``cut``; for each item a varint ``tail``; for each item some bytes, NUL between them. A name is
    UTF-8 of ``guess[:len - cut - tail] + bytes + guess[len - tail:]``, where guess, len bytes long,
    is the block's name before with its last run of digits 0-9 increased by one, zeros in front kept
    (as it is if there are none, or more than 18; empty for the block's first name).

Bounds a reader enforces before it makes room. Shared stream of s bytes: d <= 65,536; K <= 2**20 and
<= 4,096 + 8 s; K d and (K + 1)(M + 1) <= 2**22 + 64 s. File of f bytes: items <= 2**16 + 64 f,
coefficients too; bytes of names <= 2**22 + 1,100 f. A block with tables of its own: codes of at
least (K + 1)(M + 1) / 64 bytes. An unordered archive: items <= 2**20. Writers put zero bytes behind
a range-coded stream where the content is cheaper than that (an appended block satisfies the bounds
of f by itself). So reading takes at most 64 MB and 8 kB for each byte of the file, and time in
proportion.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from fiftyone_smic.archive.errors import ArchiveVersionError, DamagedArchiveError, NotAnArchiveError
from fiftyone_smic.archive.primitives import Reader, varint
from fiftyone_smic.coding.limits import MAX_ATOMS, MAX_DIMENSIONS, believable, lacking

MAGIC = b"SMIC"
VERSION = 6
END_SIZE = 5
MAX_ENCODER = 1 << 12

#: Encoders that an archive names by their place in this list, which may grow to 32.
ENCODERS = (
    "ViT-B-32/openai",
    "ViT-B-16/openai",
    "ViT-L-14/openai",
    "ViT-L-14-336/openai",
    "ViT-B-32/laion2b_s34b_b79k",
    "ViT-B-16/laion2b_s34b_b88k",
    "ViT-L-14/laion2b_s32b_b82k",
    "ViT-H-14/laion2b_s32b_b79k",
    "ViT-g-14/laion2b_s34b_b88k",
    "ViT-bigG-14/laion2b_s39b_b160k",
    "ViT-B-32/datacomp_xl_s13b_b90k",
    "ViT-B-16/datacomp_xl_s13b_b90k",
    "ViT-L-14/datacomp_xl_s13b_b90k",
    "ViT-B-16-SigLIP/webli",
    "ViT-SO400M-14-SigLIP-384/webli",
    "ViT-SO400M-16-SigLIP2-384/webli",
)
_NUMBERED = 32

_NAMES, _NONNEGATIVE, _PIXELS, _PRIOR, _UNORDERED = 1, 2, 4, 8, 16


@dataclass(frozen=True)
class Head:
    """What an archive says about itself before its first block.

    Attributes:
        dimensions, atoms, max_level, max_nonzero: d, K, L, M.
        lam, latent_norm: as float32.
        pixels_per_item: mean number of pixels of an original, or None.
        prior: hash of the public prior, or None.
        named, nonnegative, ordered: whether items have names, coefficients are positive, items
            keep their order.
        encoder: identity of the encoder.
    """

    dimensions: int
    atoms: int
    max_level: int
    max_nonzero: int
    lam: float
    latent_norm: float
    pixels_per_item: float | None
    prior: str | None
    named: bool
    nonnegative: bool
    ordered: bool
    encoder: str

    def pack(self, shared: bytes) -> bytes:
        """The bytes before the first block; ``shared`` is the stream of tables and rows."""
        encoder = self.encoder.encode()
        if len(encoder) > MAX_ENCODER:
            raise ValueError("the encoder's identity is too long to store")
        flags = (
            self.named * _NAMES
            | self.nonnegative * _NONNEGATIVE
            | (self.pixels_per_item is not None) * _PIXELS
            | (self.prior is not None) * _PRIOR
            | (not self.ordered) * _UNORDERED
        )
        numbers = (self.dimensions, self.atoms, self.max_level, self.max_nonzero, flags)
        out = MAGIC + bytes([VERSION]) + b"".join(map(varint, numbers))
        out += struct.pack("<ff", self.lam, self.latent_norm)
        if self.pixels_per_item is not None:
            out += struct.pack("<f", self.pixels_per_item)
        out += bytes.fromhex(self.prior or "")
        if self.encoder in ENCODERS:
            out += varint(ENCODERS.index(self.encoder))
        else:
            out += varint(_NUMBERED + len(encoder)) + encoder
        out += varint(len(shared)) + shared
        return out + struct.pack("<I", zlib.crc32(out))

    @classmethod
    def read(cls, reader: Reader) -> tuple[Head, bytes]:
        """Reverses :meth:`pack`.

        Raises:
            ArchiveError: it is damaged, or of another version.
        """
        if reader.left < 4 or reader.take(4) != MAGIC:
            raise NotAnArchiveError("not a .smic archive")
        version = reader.take(1)[0]
        if version != VERSION:
            raise ArchiveVersionError(
                f"the archive has format version {version}, this software reads version {VERSION}"
            )
        d, k, max_level, max_nonzero, flags = (reader.varint() for _ in range(5))
        lam, norm = reader.float(), reader.float()
        pixels = reader.float() if flags & _PIXELS else None
        prior = reader.take(8).hex() if flags & _PRIOR else None
        number = reader.varint()
        if number > _NUMBERED + MAX_ENCODER or flags > 31:
            raise DamagedArchiveError("the header holds impossible numbers: the file is damaged")
        if len(ENCODERS) <= number < _NUMBERED:
            raise ArchiveVersionError(f"this software does not know encoder number {number}")
        if number < _NUMBERED:
            encoder = ENCODERS[number].encode()
        else:
            encoder = reader.take(number - _NUMBERED)
        shared = reader.take(reader.varint())
        reader.checksum("the header and the dictionary")
        try:
            identity = encoder.decode()
        except UnicodeDecodeError as e:
            raise DamagedArchiveError(
                "the encoder's identity is not text: the file is damaged"
            ) from e
        head = cls(
            dimensions=d,
            atoms=k,
            max_level=max_level,
            max_nonzero=max_nonzero,
            lam=lam,
            latent_norm=norm,
            pixels_per_item=pixels,
            prior=prior,
            named=bool(flags & _NAMES),
            nonnegative=bool(flags & _NONNEGATIVE),
            ordered=not flags & _UNORDERED,
            encoder=identity,
        )
        head._check(len(shared))
        return head, shared

    def _check(self, size: int) -> None:
        d, k = self.dimensions, self.atoms
        if (
            not 1 <= d <= MAX_DIMENSIONS
            or k > MAX_ATOMS
            or not 1 <= self.max_level <= 127
            or not 1 <= self.max_nonzero <= 255
            or not 0 < self.lam < float("inf")
        ):
            raise DamagedArchiveError("the header holds impossible numbers: the file is damaged")
        if lacking(d, k, self.max_nonzero) > size:
            raise DamagedArchiveError(
                "the header promises more than the file can hold: it is damaged"
            )


@dataclass(frozen=True)
class Block:
    """Consecutive items of an archive.

    Attributes:
        first, items: number of the first, and how many there are.
        codes_size, names_size: bytes of both.
        codes, names: these bytes; empty where they were skipped.
    """

    first: int
    items: int
    codes_size: int
    names_size: int
    codes: bytes = b""
    names: bytes = b""


def pack_block(items: int, codes: bytes, names: bytes | None, before: bytes) -> bytes:
    """A block behind the bytes ``before``, which end with a checksum."""
    out = varint(items) + varint(len(codes)) + codes
    if names is not None:
        out += varint(len(names)) + names
    return out + struct.pack("<I", zlib.crc32(before[-4:] + out))


def pack_end(before: bytes) -> bytes:
    """The end of a file behind the bytes ``before``, which end with a checksum."""
    return b"\0" + struct.pack("<I", zlib.crc32(before[-4:] + b"\0"))


def read_blocks(
    reader: Reader, named: bool, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """All blocks after the head, with the content of those that hold items start..stop-1.

    Raises:
        ArchiveError: a block that was not skipped is damaged, or the file does not end as one.
    """
    first = 0
    while items := reader.varint():
        wanted = first < (first + items if stop is None else stop) and first + items > start
        found = []
        for _ in range(1 + named):
            size = reader.varint()
            found.append((size, reader.take(size) if wanted else reader.skip(size)))
        reader.checksum(f"items {first} to {first + items - 1}" if wanted else None)
        (codes_size, codes), (names_size, names) = [*found, (0, b"")][:2]
        yield Block(first, items, codes_size, names_size, codes, names)
        first += items
        if first > believable(reader.size):
            raise DamagedArchiveError(
                "the header promises more than the file can hold: it is damaged"
            )
    reader.checksum("the end of the file")
    if reader.left:
        raise DamagedArchiveError("there is more in the file than an archive: it is damaged")
