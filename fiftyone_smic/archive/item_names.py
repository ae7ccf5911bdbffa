"""Names of items in few bytes: each is stored as its difference from a guess.

The guess is the name before, with its last number increased by one. The format is described in
``docs/format.md``, the specification of the format.
"""

from __future__ import annotations

import lzma
import re
import zlib
from collections.abc import Iterable, Sequence

from fiftyone_smic.archive.errors import DamagedArchiveError
from fiftyone_smic.archive.primitives import Reader, varint

_DIGITS = re.compile(rb"[0-9]+(?=[^0-9]*\Z)")
# Raw LZMA with these properties and no header.
_LZMA = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]


def check_names(names: Iterable[str], n_items: int) -> list[str]:
    """Return the names of items as a list.

    Raises:
        ValueError: There are not as many names as items, or an archive cannot store one of them.
    """
    if isinstance(names, (str, bytes)):
        raise ValueError("names must be a list of texts, one for each item, and this is one text")
    given = list(names)
    if len(given) != n_items:
        raise ValueError(f"{len(given)} names for {n_items} items")
    for i, name in enumerate(given):
        if not isinstance(name, str):
            raise ValueError(
                f"names must be texts, and that of item {i} is {name!r}: name_of makes a name of a "
                "path"
            )
        if "\0" in name:
            raise ValueError(f"names must not contain NUL characters, and that of item {i} does")
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"the name of item {i} holds bytes that are not UTF-8, {name!r}: name_of makes a "
                "name of a path that keeps them"
            ) from None
    return given


def pack_names(names: Sequence[str]) -> bytes:
    """Return the names of a block as bytes.

    Example:
        >>> len(pack_names([f"set/{i:05d}.png" for i in range(1000)])) < 60
        True
    """
    cuts, tails, middles = bytearray(), bytearray(), []
    before = b""
    for name in names:
        raw, guess = name.encode(), _following(before)
        head = _shared(raw, guess)
        most = min(len(raw), len(guess)) - head
        tail = _shared(raw[::-1][:most], guess[::-1][:most])
        cuts += varint(len(guess) - head - tail)
        tails += varint(tail)
        middles.append(raw[head : len(raw) - tail])
        before = raw
    text = bytes(cuts + tails) + b"\0".join(middles)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = [
        b"\0" + text,
        b"\1" + varint(len(text)) + deflate.compress(text) + deflate.flush(),
        b"\2" + varint(len(text)) + lzma.compress(text, lzma.FORMAT_RAW, filters=_LZMA),
    ]
    return min(packed, key=len)


def unpack_names(packed: bytes, n_items: int, most: int) -> tuple[str, ...]:
    """Read what :func:`pack_names` wrote.

    Args:
        packed: The bytes.
        n_items: How many names they hold, at least 1.
        most: How many bytes of UTF-8 the names may have together.

    Raises:
        ArchiveError: These are not the names of this many items, or they are too long.
    """
    reader = Reader.of(_unpack(packed, most))
    cuts = [reader.varint() for _ in range(n_items)]
    tails = [reader.varint() for _ in range(n_items)]
    middles = reader.take(reader.left).split(b"\0")
    if len(middles) != n_items:
        raise DamagedArchiveError("the names do not fit the items: the file is damaged")
    out, before = [], b""
    for cut, tail, middle in zip(cuts, tails, middles, strict=True):
        guess = _following(before)
        if cut + tail > len(guess):
            raise DamagedArchiveError(
                "a name does not follow from the one before: the file is damaged"
            )
        before = guess[: len(guess) - cut - tail] + middle + guess[len(guess) - tail :]
        most -= len(before)
        if most < 0:
            raise DamagedArchiveError("the names are longer than the file can hold: it is damaged")
        try:
            out.append(before.decode())
        except UnicodeDecodeError as e:
            raise DamagedArchiveError("a name is not text: the file is damaged") from e
    return tuple(out)


def _shared(a: bytes, b: bytes) -> int:
    """Count the bytes that are alike at the beginning."""
    differing = (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y)
    return next(differing, min(len(a), len(b)))


def _following(name: bytes) -> bytes:
    """Return the name with its last number increased by one."""
    found = _DIGITS.search(name)
    if found is None or len(found[0]) > 18:
        return name
    number = b"%0*d" % (len(found[0]), int(found[0]) + 1)
    return name[: found.start()] + number + name[found.end() :]


def _unpack(packed: bytes, most: int) -> bytes:
    if packed[:1] == b"\0":
        return packed[1:]
    reader = Reader.of(packed)
    kind, length = reader.take(1), reader.varint()
    if length > most:
        raise DamagedArchiveError("the names are longer than the file can hold: it is damaged")
    rest = reader.take(reader.left)
    try:
        if kind == b"\1":
            inflate = zlib.decompressobj(-15)
            text = inflate.decompress(rest, length + 1)
            whole = inflate.eof and not inflate.unused_data
        elif kind == b"\2":
            expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA)
            text = expand.decompress(rest, length + 1)
            whole = expand.eof and not expand.unused_data
        else:
            raise DamagedArchiveError("the names are of an unknown kind: the file is damaged")
    except (zlib.error, lzma.LZMAError) as e:
        raise DamagedArchiveError("the names cannot be read: the file is damaged") from e
    if len(text) != length or not whole:
        raise DamagedArchiveError("the names do not fit the items: the file is damaged")
    return text
