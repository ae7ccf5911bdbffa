"""The frame of a ``.smic`` file: its head, its blocks and its end.

``docs/format.md`` is the specification of the format, version 7, which this version writes. Files
of version 6 are read, and appended to, as well: they differ by having neither sections nor a mode
of the dictionary.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fiftyone_smic.archive.errors import ArchiveVersionError, DamagedArchiveError, NotAnArchiveError
from fiftyone_smic.archive.primitives import Reader, varint
from fiftyone_smic.archive.sections import (
    KNOWN,
    Section,
    check_sections,
    pack_sections,
    read_sections,
)
from fiftyone_smic.coding.limits import MAX_ATOMS, MAX_DIMENSIONS, believable, lacking

MAGIC = b"SMIC"
#: The version that is written, and those that are read.
VERSION = 7
READ = (6, 7)
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

_NAMES, _NONNEGATIVE, _PIXELS, _PRIOR, _UNORDERED, _SECTIONS = 1, 2, 4, 8, 16, 32
#: The largest sum of flags of each version.
_ALL_FLAGS = {6: 31, 7: 63}


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
        sections: Sections of the head; None if neither the head nor a block can have any.
        version: Version of the format.
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
    sections: tuple[Section, ...] | None = None
    version: int = VERSION

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
            | (self.sections is not None) * _SECTIONS
        )
        numbers = (self.dimensions, self.atoms, self.max_level, self.max_nonzero, flags)
        out = MAGIC + bytes([self.version]) + b"".join(map(varint, numbers))
        out += struct.pack("<ff", self.lam, self.latent_norm)
        if self.pixels_per_item is not None:
            out += struct.pack("<f", self.pixels_per_item)
        out += bytes.fromhex(self.prior or "")
        if self.encoder in ENCODERS:
            out += varint(ENCODERS.index(self.encoder))
        else:
            out += varint(_NUMBERED + len(encoder)) + encoder
        if self.sections is not None:
            out += pack_sections(self.sections)
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
        if version not in READ:
            raise ArchiveVersionError(
                f"the archive has format version {version}, this software reads the versions "
                f"{READ[0]} to {READ[-1]}"
            )
        d, k, max_level, max_nonzero, flags = (reader.varint() for _ in range(5))
        lam, norm = reader.float(), reader.float()
        pixels = reader.float() if flags & _PIXELS else None
        prior = reader.take(8).hex() if flags & _PRIOR else None
        number = reader.varint()
        if number > _NUMBERED + MAX_ENCODER:
            raise DamagedArchiveError("the header holds impossible numbers: the file is damaged")
        if flags > _ALL_FLAGS[version]:
            raise ArchiveVersionError(
                f"this software does not know all of the archive's flags ({flags}): read it with a "
                "newer version"
            )
        if len(ENCODERS) <= number < _NUMBERED:
            raise ArchiveVersionError(f"this software does not know encoder number {number}")
        if number < _NUMBERED:
            encoder = ENCODERS[number].encode()
        else:
            encoder = reader.take(number - _NUMBERED)
        sections = read_sections(reader) if flags & _SECTIONS else None
        shared = reader.take(reader.varint())
        reader.checksum("the header and the dictionary")
        check_sections(sections or (), known=())
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
            sections=sections,
            version=version,
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
        sections: The sections; None if the archive cannot have any.
    """

    first: int
    items: int
    codes_size: int
    names_size: int
    codes: bytes = b""
    names: bytes = b""
    sections: tuple[Section, ...] | None = None

    def section(self, kind: int) -> Section | None:
        """Return the section of a type that is known, if there is one."""
        return next((s for s in self.sections or () if s.kind == kind), None)


def pack_block(
    items: int, codes: bytes, names: bytes | None, sections: bytes | None, before: bytes
) -> bytes:
    """Return a block to follow the bytes ``before``, which end with a checksum.

    ``sections`` is a packed list, for an archive that can have sections.
    """
    out = varint(items) + varint(len(codes)) + codes
    if names is not None:
        out += varint(len(names)) + names
    out += sections or b""
    return out + struct.pack("<I", zlib.crc32(before[-4:] + out))


def pack_end(before: bytes) -> bytes:
    """Return the end of a file, to follow the bytes ``before``, which end with a checksum."""
    return b"\0" + struct.pack("<I", zlib.crc32(before[-4:] + b"\0"))


def read_blocks(
    reader: Reader, head: Head, start: int = 0, stop: int | None = None
) -> Iterator[Block]:
    """Yield all blocks after the head, with the content of those that hold items start..stop-1.

    Raises:
        ArchiveError: A block that was not skipped is damaged, a section must be understood and is
            not, or the file does not end properly.
    """
    first = 0
    while items := reader.varint():
        wanted = first < (first + items if stop is None else stop) and first + items > start
        found = []
        for _ in range(1 + head.named):
            size = reader.varint()
            found.append((size, reader.take(size) if wanted else reader.skip(size)))
        sections = None if head.sections is None else read_sections(reader, wanted)
        reader.checksum(f"items {first} to {first + items - 1}" if wanted else None)
        check_sections(sections or (), known=KNOWN)
        (codes_size, codes), (names_size, names) = [*found, (0, b"")][:2]
        yield Block(first, items, codes_size, names_size, codes, names, sections)
        first += items
        if first > believable(reader.size):
            raise DamagedArchiveError(
                "the header promises more than the file can hold: it is damaged"
            )
    reader.checksum("the end of the file")
    if reader.left:
        raise DamagedArchiveError("there is more in the file than an archive: it is damaged")


def skipped(head: Head, blocks: Iterable[Block]) -> dict[int, int]:
    """Return the sections that this version does not know: type -> bytes of all their contents."""
    out: dict[int, int] = {}
    unknown = [
        *(head.sections or ()),
        *(s for block in blocks for s in block.sections or () if s.kind not in KNOWN),
    ]
    for section in unknown:
        out[section.kind] = out.get(section.kind, 0) + section.size
    return dict(sorted(out.items()))
