"""Write archives and append to them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.archive.blocks import (
    CodedBlock,
    archive_head,
    check_archivable,
    check_distortion,
    code_block,
    join_blocks,
    pack_distortion,
)
from fiftyone_smic.archive.errors import ArchiveLockedError, ArchiveWarning, decoding, naming
from fiftyone_smic.archive.format import (
    END_SIZE,
    Block,
    Head,
    pack_block,
    pack_end,
    read_blocks,
    skipped,
)
from fiftyone_smic.archive.item_names import check_names, pack_names
from fiftyone_smic.archive.primitives import Reader
from fiftyone_smic.archive.reader import lengths, open_shared
from fiftyone_smic.archive.sections import DISTORTION
from fiftyone_smic.coding.code_tables import CodeCounts, CodeTables
from fiftyone_smic.coding.items import encode_items
from fiftyone_smic.coding.limits import MAX_UNORDERED, least_block
from fiftyone_smic.coding.multiset import push_codes, sort_keys
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.metrics import Rate
from fiftyone_smic.utils.files import lock, replace_file

#: Items in a block. A block is decoded at once and costs about 12 bytes.
BLOCK = 1 << 14


def write_archive(
    path: str | os.PathLike[str],
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    *,
    encoder: str,
    latent_norm: float = 1.0,
    names: Sequence[str] | None = None,
    pixels_per_item: float | None = None,
    ordered: bool = True,
    distortion: ArrayLike | None = None,
) -> Rate:
    """Write an archive; the file appears whole or not at all.

    Args:
        path: The file, conventionally ``*.smic``. An old one is replaced; it hands on its
            permissions, and a symbolic link stays a link.
        dictionary: A fitted dictionary.
        codes: (N, K) integers, as :meth:`SemanticDictionary.transform` returns.
        encoder: Identity of the encoder that made the latents.
        latent_norm: Typical norm of the encoder's raw latents. Generators that were trained on raw
            latents need it.
        names: N names, texts without NUL characters; None stores no names. Of a path,
            :func:`fiftyone_smic.utils.names.name_of` makes a name.
        pixels_per_item: Mean number of pixels of an original image; None stores nothing.
        ordered: False gives up the order of the items, which saves up to log2 N! bits. The archive
            then holds the items sorted by their codes, with their names, and nothing can be
            appended.
        distortion: (N,) squared distances of latents to what their codes rebuild, which
            :func:`item_distortion` computes; about 4 bits an item. Curation sees more with them.
            None stores none.

    Returns:
        Where the file's bits go; the total is the file's size.

    Raises:
        ValueError: The dictionary cannot have made these codes, the number of names or of
            distortions is wrong, or an archive cannot hold one of the other arguments.
        OSError: The file cannot be written.

    Example:
        >>> import os, tempfile
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> codes = dictionary.transform(z)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     rate = write_archive(path, dictionary, codes, encoder="ViT-B-32/openai")
        ...     rate.items, rate.total_bytes == os.path.getsize(path)
        (20, True)
    """
    data, rate = encode_archive(
        dictionary,
        codes,
        encoder=encoder,
        latent_norm=latent_norm,
        names=names,
        pixels_per_item=pixels_per_item,
        ordered=ordered,
        distortion=distortion,
    )
    replace_file(path, data)
    return rate


def encode_archive(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    *,
    encoder: str,
    latent_norm: float = 1.0,
    names: Sequence[str] | None = None,
    pixels_per_item: float | None = None,
    ordered: bool = True,
    distortion: ArrayLike | None = None,
) -> tuple[bytes, Rate]:
    """Return what :func:`write_archive` would write, and where its bits go.

    The arguments and errors are those of :func:`write_archive`.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> data, rate = encode_archive(dictionary, dictionary.transform(z), encoder="me/1")
        >>> data[:4], len(data) == rate.total_bytes
        (b'SMIC', True)
    """
    head = archive_head(
        dictionary,
        encoder=encoder,
        latent_norm=latent_norm,
        named=names is not None,
        pixels_per_item=pixels_per_item,
        ordered=ordered,
        distortion=distortion is not None,
    )
    c = check_archivable(codes, head)
    n = c.shape[0]
    if names is not None:
        names = check_names(names, n)
    known = None if distortion is None else check_distortion(distortion, n)
    if not ordered:
        return _as_multiset(dictionary, head, c, names, known)
    parts = list(_parts(c, names, known))
    counts = [CodeCounts.of(part, head.max_level, head.max_nonzero) for part, _, _ in parts]
    # A collection of no items has tables of no counts.
    total = reduce(add, counts, CodeCounts.of(c[:0], head.max_level, head.max_nonzero))
    return join_blocks(
        dictionary, head, total, [code_block(part, total, n, d) for part, n, d in parts]
    )


def _parts(
    codes: csr_matrix, names: Sequence[str] | None, distortion: NDArray[np.float64] | None
) -> Iterator[tuple[csr_matrix, Sequence[str] | None, NDArray[np.float64] | None]]:
    """Yield what each block of an ordered archive holds."""
    for first in range(0, codes.shape[0], BLOCK):
        part = slice(first, first + BLOCK)
        yield (
            codes[part],
            None if names is None else names[part],
            None if distortion is None else distortion[part],
        )


def _as_multiset(
    dictionary: SemanticDictionary,
    head: Head,
    codes: csr_matrix,
    names: Sequence[str] | None,
    distortion: NDArray[np.float64] | None,
) -> tuple[bytes, Rate]:
    """Return an unordered archive, which is one block."""
    n = codes.shape[0]
    if n > MAX_UNORDERED:
        raise ValueError(f"an unordered archive holds at most {MAX_UNORDERED} items, not {n}")
    order = sorted(range(n), key=sort_keys(codes).__getitem__)
    codes = codes[order]
    counts = CodeCounts.of(codes, head.max_level, head.max_nonzero)
    blocks = []
    if n:
        block = CodedBlock.of(
            codes,
            (push_codes(codes, counts.tables()),),
            None if names is None else [names[i] for i in order],
            None if distortion is None else distortion[order],
        )
        blocks.append(block)
    return join_blocks(dictionary, head, counts, blocks)


def append_archive(
    path: str | os.PathLike[str],
    codes: csr_matrix,
    *,
    names: Sequence[str] | None = None,
    distortion: ArrayLike | None = None,
    timeout: float | None = None,
) -> Rate:
    """Add items to an archive; what is in it stays as it is, byte for byte.

    The new items become blocks behind the old ones. The new file is written beside the old one and
    put in its place, so nobody ever sees half of an append. Several processes may append at the
    same time: each waits for the one before.

    Args:
        path: The file of an ordered archive.
        codes: (N, K) integers, made with the dictionary that :func:`read_archive` returns.
        names: One per item if the archive stores names, else None.
        distortion: (N,) squared distances if the archive stores them, else None; see
            :func:`write_archive`.
        timeout: How long to wait for another process that is changing the archive, in seconds; None
            waits for as long as it takes.

    Returns:
        Where the bits of the new file go.

    Raises:
        ArchiveError: The file is damaged, or another process held it all the time (then
            :class:`ArchiveLockedError`). It stays as it is.
        ValueError: The archive is unordered, its dictionary cannot have made these codes, or the
            number of names or of distortions is wrong.
        OSError: The file cannot be read or written.

    Example:
        >>> import os, tempfile
        >>> from fiftyone_smic.archive import read_archive, write_archive
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> codes = dictionary.transform(z)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     _ = write_archive(path, dictionary, codes[:15], encoder="ViT-B-32/openai")
        ...     rate = append_archive(path, codes[15:])
        ...     rate.items, (read_archive(path).codes != codes).nnz
        (20, 0)
    """
    with ExitStack() as held:
        try:
            held.enter_context(lock(path, timeout))
        except TimeoutError as error:
            raise ArchiveLockedError(f"{os.fspath(path)}: {error}") from error
        return _append(path, codes, names, distortion)


def _append(
    path: str | os.PathLike[str],
    codes: csr_matrix,
    names: Sequence[str] | None,
    distortion: ArrayLike | None,
) -> Rate:
    with open(path, "rb") as file:
        data = bytearray(file.read())
    with naming(path), decoding():
        reader = Reader.of(bytes(data))
        head, shared = Head.read(reader)
        blocks = list(read_blocks(reader, head))
        known = CodeTables.read(open_shared(head, shared), *lengths(head))
    if not head.ordered:
        raise ValueError(
            "nothing can be appended to an unordered archive, which is one sorted set: "
            "read it and write all items again"
        )
    c = check_archivable(codes, head)
    if head.named != (names is not None):
        raise ValueError(
            "this archive stores names: give one for each new item"
            if head.named
            else "this archive stores no item names: pass names=None"
        )
    if names is not None:
        names = check_names(names, c.shape[0])
    measured = _appendable_distortion(distortion, head, blocks, c.shape[0])
    del data[-END_SIZE:]
    payload = sum(block.codes_size for block in blocks)
    for part, chosen, left in _parts(c, names, measured):
        streams = []
        for inter in (False, True):
            own = CodeTables.of(part, head.max_level, head.max_nonzero, inter)
            streams.append(encode_items(part, own, own=True, inter=inter))
            if own.largest <= known.largest:
                streams.append(encode_items(part, known, inter=inter))
        stream = min(streams, key=len)
        packed = None if chosen is None else pack_names(chosen)
        text = sum(len(name.encode()) for name in chosen or ())
        least = least_block(part.shape[0], part.nnz, text)
        stream += bytes(max(0, least - len(stream) - len(packed or b"")))
        payload += len(stream)
        sections = None if head.sections is None else pack_distortion(left)
        data += pack_block(part.shape[0], stream, packed, sections, bytes(data[-4:]))
    data += pack_end(bytes(data[-4:]))
    replace_file(path, bytes(data))
    if passed := skipped(head, blocks):
        warnings.warn(
            f"{os.fspath(path)}: the new items have none of the sections of type "
            f"{', '.join(map(str, passed))}, which this version of the software does not know",
            ArchiveWarning,
            stacklevel=3,
        )
    items = sum(block.items for block in blocks) + c.shape[0]
    return Rate.of_bytes(items, len(data), payload, len(shared))


def _appendable_distortion(
    distortion: ArrayLike | None, head: Head, blocks: list[Block], n: int
) -> NDArray[np.float64] | None:
    """Return the distortions of n new items: all items of an archive have one, or none has."""
    have = any(block.section(DISTORTION) for block in blocks)
    possible = have or (head.sections is not None and not blocks)
    if distortion is None and have:
        raise ValueError(
            "this archive stores the distortion of each item: give one for each new item, as "
            "item_distortion(dictionary, latents, codes) computes them"
        )
    if distortion is not None and not possible:
        raise ValueError("this archive stores no distortions: pass distortion=None")
    return None if distortion is None else check_distortion(distortion, n)
