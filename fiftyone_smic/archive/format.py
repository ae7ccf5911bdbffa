"""The ``.smic`` format, version 6: the specification, and the reading and writing of its frame.

The specification is complete: ``tests/support/second_reader.py`` is written from it alone.

Conventions
    Numbers are unsigned LEB128 ("varint", at most 9 bytes) unless said otherwise. float32 values
    are little-endian IEEE 754. All other arithmetic is on integers of at most 64 bits; ``//``
    rounds down and ``>>`` shifts right. d is the number of dimensions, K the number of atoms, L the
    largest magnitude of a coefficient, M the largest number of atoms of an item.

File
    1. The magic bytes ``53 4D 49 43`` ("SMIC") and one byte, the format version: 6.
    2. The varints d, K, L, M and flags. Flag 1: items have names. Flag 2: coefficients are
       positive. Flag 4: the file says how many pixels an image had. Flag 8: the file needs a
       prior. Flag 16: items have no order.
    3. Two float32 values: lam (the price of a bit) and the typical norm of the encoder's raw
       latents.
    4. With flag 4: one float32, the mean number of pixels of an image.
    5. With flag 8: 8 bytes, the hash of the prior. It is the beginning of the SHA-256 of the
       prior's mean (float32), axes (float16), profile (int64) and atoms (float16), all
       little-endian, row by row.
    6. The varint e and the identity of the encoder. If e < 32 it is ``ENCODERS[e]`` below; else
       e - 32 bytes of UTF-8 follow.
    7. The length (varint) and the bytes of the *shared stream*, then a checksum.
    8. The blocks of items, then a zero byte and a checksum, which end the file.

Block
    The number of items (varint, at least 1); the length (varint) and bytes of their codes; with
    flag 1 the length (varint) and bytes of their names; a checksum. An append replaces the end of
    the file by more blocks and a new end.

Checksum
    4 bytes, little-endian: zlib's CRC-32 of everything since the previous checksum, which is
    included. The first one covers everything from the first byte on. Blocks can therefore neither
    change places nor be left out, and each block can be checked by itself.

Range-coded streams
    The shared stream and the codes of ordered archives are read symbol by symbol, as
    :mod:`fiftyone_smic.coding.range_coder` describes. Each symbol has a table of widths, whole
    numbers that sum to 2**24; the intervals of the symbols follow each other in their order. A
    table with one symbol takes no bits. Tables are made as follows.

    - *Under weights* w of n symbols: symbol i has the width ``1 + w[i] * (2**24 - n) // sum(w)``.
      If all weights are 0, all count as equal. What is missing to 2**24 is added to the first of
      the largest widths. Before that, the weights are shifted right together, by one bit at a time,
      until their sum is less than 2**38.
    - *Uniform over n*: n equal weights. *A bit*: uniform over 2.
    - *A run of m numbers below n*: first a parameter p, uniform over 31. Then m numbers under the
      weights ``w[0] = 2**30``, ``w[i + 1] = w[i] * 2048 * (p + 1) >> 16``.

Shared stream
    It holds the *tables of codes*, then one row of d numbers (the mean), then K rows of d numbers
    (the atoms). Everything that rows adapt (tables, sums, the number of rows) starts anew for the
    atoms; the mean does not count among the rows before them. Zero bytes may follow, which mean
    nothing.

    The tables of codes are, in this order: the level table of the indices (K entries), the odds
    (K), the level table of the coefficients other than 1 (2 L - 1 entries, for -L..-1 and 2..L),
    and the level table of the sizes (M + 1).

Level table
    First its largest level, uniform over 256; then a run of numbers below 90, one for each entry.
    Let x be the difference between an entry and the one before (for the first entry: and the
    largest level). The number is 2 x - 1 if x > 0, else -2 x. Levels are 0..44. Level 0 stands for
    the weight 0, level v for the weight ``(256 if v is odd else 362) << (v - 1) // 2``.

Odds
    First the usual one, plus 40, uniform over 81; then a run of numbers below 161, one for each
    atom. With x the difference between an atom's odds and the usual ones, the number is 2 x - 1 if
    x > 0, else -2 x. Odds are -40..40.

Row j
    1. The exponent of its step. For row 0: exponent + 80, uniform over 128. For others: the
       difference from the row before, plus 128, one of 257 symbols.
    2. If P + j > 0: the number of rows that predict it (0..6). P is the number of the prior's
       atoms, or 0 without a prior. For each predicting row: which one it is, uniform over P + j
       (the prior's atoms come first, then the rows before this one), and its coefficient in
       quarters, one of -8..-1, 1..8.
    3. For each column: min(magnitude, 15) under the table of the column's context. If that is 15,
       x = magnitude - 14 follows in Elias' gamma code: the number b of bits after the first bit of
       x, under the weights ``2**(20 - b)`` for b = 0..20, then these bits, the lowest first. If the
       magnitude is not 0, a bit follows that is 1 for a negative number.

    Exponents are -80..47 and magnitudes below 2**20. The differences, the numbers of predicting
    rows and the quarters have adaptive tables. At the start their weights are ``1 + (64 >>
    min(|s - 128|, 6))`` for a difference s, ``64 >> t`` for a number t, and ``32 >> min(|q|, 5)``
    for quarters q; a symbol that was coded gains 32.

Context of a column
    It is the number of thresholds T that are not above ``e * ((seen + 8) << 8) // (hoped + 2048)``,
    with T = 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096.
    ``seen`` sums min(magnitude, 15), and ``hoped`` sums e, over the columns of this row that come
    before. ``e = min((m << 8) // S, 8192)`` with ``m = (sums + 4 start) // (rows + 4)``. S is the
    step of the row in units of 2**-24, rounded, at least 1. ``rows`` counts the rows so far.
    ``sums`` adds up, for each column, ``min(magnitude, 2**16) * S`` over these rows; all sums
    together stay at most 2**54. ``start`` is the prior's profile; without a prior it is the sum of
    all columns' sums // (d * rows), or S in row 0.

Table of context c (0..17)
    Counts of the magnitudes 0..15, which are also the weights. Before the first row: ``mean = 13 <<
    c // 2`` if c is even, else ``18 << c // 2``; ``w = 2**20`` and ``total = w * (mean + 256) //
    256``; for each magnitude in turn the count is ``1 + 128 * w // total``, then ``w = w * mean //
    (mean + 256)``. After a row, each of its columns adds 24 to the count of its magnitude in its
    context.

Values
    step = 2**(exponent / 4). A row is levels * step + the sum of (quarters / 4) * predicting row,
    taken in the order of the rows. With a prior, an atom is axes @ row and the mean is the prior's
    mean + axes @ row; the prior's own atoms are rows along its axes already. Nothing that is
    decoded depends on these floating-point numbers.

Codes, ordered
    A bit that is 1 if the block has tables of codes of its own; these follow, and hold for this
    block. A bit that is 1 if the block is *inter*. If it is not: the sizes of all items, under the
    table of sizes; then for each item its indices, ascending, then its coefficients. A size is at
    most m, which is the smaller of K and the largest size whose level is not 0 (0 if there is
    none).

Coefficient
    A flag that is 0 if the coefficient is 1. Its weights are those of the levels ``1 + max(0, -o)``
    (for 0) and ``1 + max(0, o)`` (for 1), with o the odds of the atom. If the flag is 1, which of
    the other coefficients it is follows, under their table.

Codes, inter
    First, for each item: for each index of the item before it, ascending, a flag that is 1 if this
    item has it too; then a flag 1 for each further index of this item and a flag 0 after the last,
    which is left out if the item has m indices. The first item has none before it. Then, for each
    item: its further indices, ascending, coded as Index says, none of which the item has already;
    and all its coefficients, in the order of their indices.

    A flag has two counts (a, b); 0 has the width ``1 + a * (2**24 - 2) // (a + b)``. Counts start
    at 8, and the count of a flag that was coded gains 16. A flag of the first kind has the counts
    of the context ``3 * min(kept, 2) + min(before, 2)``, where ``kept`` of this item's flags and
    ``before`` of the last item's flags were 1. A flag of the second kind, after n further indices,
    has the counts of the context (min(kept, 3), n).

Index
    An item's next index lies in first..K - r, where ``first`` is one more than the index before (0
    for the first) and r indices are still to come, this one included. If that is a single index it
    takes no bits. Else index i has the interval from left(i) to left(i + 1), with ``left(i) = i -
    first + (E(first) - E(i)) * (2**24 - n) // E(first)`` and n = K - r - first + 1. E(i) is
    ``e[r][i]`` in the unit of ``e[r][first]``: its mantissa ``>> min(shift of e[r][first] - its own
    shift, 31)``.

Polynomials
    ``e[0][i] = 1``; ``e[r][K] = 0`` for r > 0; ``e[r][i] = e[r][i + 1] + w[i] * e[r - 1][i + 1]``,
    where w is the weight of an index, at least 1. Every number is a mantissa and a shift; a given
    number has the shift 0. For the sum, let ``a, sa`` be the first term, ``b = w * mantissa, sb``
    the second, and ``s = max(sa, sb)``. It is ``(a >> min(s - sa, 62)) + (b >> min(s - sb, 62))``
    with the shift s; it is then halved, rounded down, with s one more each time, until it is below
    2**31.

Codes, unordered
    A stack of constriction's ``AnsCoder`` (32-bit words, a state of 64 bits, tables of 24 bits),
    written as big-endian words, the top last. The archive has one block, of items sorted by (size,
    indices, coefficients). For each item the reader pops its size, indices and coefficients, under
    the tables above; puts the item into its sorted list; pops its place among the equal ones,
    uniform over how many there are now; and pushes its place in the list, uniform over the list's
    length. After N items the stack is empty. Uniform is constriction's ``Uniform`` here, in which
    each of n numbers has the width ``2**24 // n`` and the last one also what is left over. A table
    is its ``Categorical``; see :mod:`fiftyone_smic.coding.range_coder`.

Names
    One byte says how the text of the names is stored. 0: as it is. 1: its length (varint), then raw
    deflate. 2: its length (varint), then raw LZMA (lc 3, lp 0, pb 0, a dictionary of 2**20 bytes,
    an end marker). The text holds a varint ``cut`` for each item, a varint ``tail`` for each item,
    and some bytes for each item with NUL between them. A name is the UTF-8 text ``guess[:len - cut
    - tail] + bytes + guess[len - tail:]``. ``guess``, of len bytes, is the name before in this
    block with its last run of digits 0-9 increased by one, where zeros in front are kept. It is
    unchanged if there are no digits or more than 18, and empty for the first name.

Bounds
    A reader checks these before it makes room, so that a small file cannot ask for much memory.
    With a shared stream of s bytes: d <= 65,536; K <= 2**20 and K <= 4,096 + 8 s; K d and (K + 1)(M
    + 1) <= 2**22 + 64 s. With a file of f bytes: the items, and the coefficients, are at most 2**16
    + 64 f; the bytes of all names are at most 2**22 + 1,100 f. The codes of a block with tables of
    its own take at least (K + 1)(M + 1) / 64 bytes. An unordered archive has at most 2**20 items.
    Where the content takes fewer bytes, writers put zero bytes behind a range-coded stream; an
    appended block satisfies the bounds of f by itself. Reading therefore takes at most 64 MB and 8
    kB for each byte of the file, and time in proportion.
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
        dimensions: d, the number of dimensions of a latent.
        atoms: K, the number of atoms.
        max_level: L, the largest magnitude of a coefficient.
        max_nonzero: M, the largest number of atoms of an item.
        lam: Price of one bit in squared distance, rounded to float32.
        latent_norm: Typical norm of the encoder's raw latents, rounded to float32.
        pixels_per_item: Mean number of pixels of an original image, or None.
        prior: Hash of the public prior as 16 hex digits, or None.
        named: Whether items have names.
        nonnegative: Whether all coefficients are positive.
        ordered: Whether items keep their order.
        encoder: Identity of the encoder.
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
        """Return the bytes before the first block; ``shared`` is the stream of tables and rows."""
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
        """Read a head and its shared stream.

        Raises:
            ArchiveError: The head is damaged, or of another version.
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
        first: Number of the first item.
        items: How many items there are.
        codes_size: Length of the codes, in bytes.
        names_size: Length of the names, in bytes.
        codes: The codes; empty if the block was skipped.
        names: The names; empty if the block was skipped.
    """

    first: int
    items: int
    codes_size: int
    names_size: int
    codes: bytes = b""
    names: bytes = b""


def pack_block(items: int, codes: bytes, names: bytes | None, before: bytes) -> bytes:
    """Return a block to follow the bytes ``before``, which end with a checksum."""
    out = varint(items) + varint(len(codes)) + codes
    if names is not None:
        out += varint(len(names)) + names
    return out + struct.pack("<I", zlib.crc32(before[-4:] + out))


def pack_end(before: bytes) -> bytes:
    """Return the end of a file, to follow the bytes ``before``, which end with a checksum."""
    return b"\0" + struct.pack("<I", zlib.crc32(before[-4:] + b"\0"))


def read_blocks(
    reader: Reader, named: bool, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield all blocks after the head, with the content of those that hold items start..stop-1.

    Raises:
        ArchiveError: A block that was not skipped is damaged, or the file does not end properly.
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
