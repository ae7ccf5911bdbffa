"""Write archives and append to them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, issparse

from fiftyone_smic.archive.errors import ArchiveLockedError, decoding, naming
from fiftyone_smic.archive.format import END_SIZE, Head, pack_block, pack_end, read_blocks
from fiftyone_smic.archive.item_names import check_names, pack_names
from fiftyone_smic.archive.primitives import Reader
from fiftyone_smic.archive.reader import lengths
from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.items import encode_items
from fiftyone_smic.coding.limits import (
    MAX_UNORDERED,
    believable,
    believable_text,
    lacking,
    least_block,
)
from fiftyone_smic.coding.multiset import push_codes, sort_keys
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.rows import code_rows
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.validation import check_codes, check_limits
from fiftyone_smic.metrics import Rate
from fiftyone_smic.utils.files import lock, replace_file


def check_archivable(codes: Any, head: Head) -> csr_matrix:
    """Return codes (N, K) in canonical form.

    Raises:
        ValueError: An archive with this head cannot hold them.
    """
    c = csr_matrix(codes, copy=True) if issparse(codes) else csr_matrix(np.asarray(codes))
    check_codes(c, head.atoms)
    c.sum_duplicates()
    c.eliminate_zeros()
    c.sort_indices()
    if c.nnz and not np.array_equal(c.data, np.rint(c.data)):
        raise ValueError("codes must be whole numbers")
    check_limits(c, head.max_level, head.max_nonzero)
    if head.nonnegative and c.nnz and c.data.min() < 0:
        raise ValueError("codes are negative but the dictionary is non-negative")
    return c


#: Items in a block. A block is decoded at once and costs about 12 bytes.
BLOCK = 1 << 14

#: The first item and the stream of each block.
_Streams = list[tuple[int, bytes]]


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
        names: N names, without NUL characters; None stores no names.
        pixels_per_item: Mean number of pixels of an original image; None stores nothing.
        ordered: False gives up the order of the items, which saves up to log2 N! bits. The archive
            then holds the items sorted by their codes, with their names, and nothing can be
            appended.

    Returns:
        Where the file's bits go; the total is the file's size.

    Raises:
        ValueError: The dictionary cannot have made these codes, or the number of names is wrong.
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
    prior = dictionary.prior_
    head = Head(
        dimensions=dictionary.n_features_in_,
        atoms=dictionary.n_atoms_,
        max_level=dictionary.max_level_,
        max_nonzero=dictionary.max_nonzero_,
        lam=dictionary.lam_,
        latent_norm=latent_norm,
        pixels_per_item=pixels_per_item,
        prior=None if prior is None else prior.hash,
        named=names is not None,
        nonnegative=dictionary.nonnegative_,
        ordered=ordered,
        encoder=encoder,
    )
    c = check_archivable(codes, head)
    n = c.shape[0]
    if names is not None:
        check_names(names, n)
    if not ordered:
        c, names = _sort(c, names)
    coder, streams = _shortest(c, dictionary) if ordered else _as_multiset(c, dictionary)
    public = None if prior is None else prior.public
    for rows in (dictionary.mean_rows_, dictionary.atom_rows_):
        code_rows(coder, len(rows.levels), head.dimensions, public, rows)
    shared = coder.finish()
    packed = []
    for first, stream in streams:
        items = min(BLOCK if ordered else n, n - first)
        found = None if names is None else pack_names(names[first : first + items])
        packed.append((items, stream, found))
    # What a reader must see before it believes that a file holds so much.
    text = sum(len(name.encode()) for name in names or ())
    wanted = least_block(n - believable(0), c.nnz - believable(0), text - believable_text(0))
    known = len(shared) + sum(len(stream) + len(found or b"") for _, stream, found in packed)
    least = lacking(head.dimensions, head.atoms, head.max_nonzero)
    shared += bytes(max(0, least - len(shared), wanted - known))
    data = bytearray(head.pack(shared))
    for block in packed:
        data += pack_block(*block, bytes(data[-4:]))
    data += pack_end(bytes(data[-4:]))
    payload = sum(len(stream) for _, stream, _ in packed)
    return bytes(data), Rate.of_bytes(n, len(data), payload, len(shared))


def _shortest(codes: csr_matrix, dictionary: SemanticDictionary) -> tuple[Coder, _Streams]:
    """Code items by themselves, or by how each differs from the one before; the shorter way wins.

    Returns:
        A coder that has written the tables, and the first item and the stream of each block.
    """
    found = []
    for inter in (False, True):
        coder = Coder()
        tables = CodeTables.of(codes, dictionary.max_level_, dictionary.max_nonzero_, inter)
        tables.put(coder)
        streams = [
            (first, encode_items(codes[first : first + BLOCK], tables, inter=inter))
            for first in range(0, codes.shape[0], BLOCK)
        ]
        found.append((coder.bits / 8 + sum(len(stream) for _, stream in streams), coder, streams))
    _, coder, streams = min(found, key=lambda each: each[0])
    return coder, streams


def _as_multiset(codes: csr_matrix, dictionary: SemanticDictionary) -> tuple[Coder, _Streams]:
    coder = Coder()
    tables = CodeTables.of(codes, dictionary.max_level_, dictionary.max_nonzero_)
    tables.put(coder)
    return coder, [(0, push_codes(codes, tables))] if codes.shape[0] else []


def append_archive(
    path: str | os.PathLike[str],
    codes: csr_matrix,
    *,
    names: Sequence[str] | None = None,
    timeout: float | None = None,
) -> Rate:
    """Add items to an archive; what is in it stays as it is, byte for byte.

    The new items become blocks behind the old ones. The file is written anew beside the old one and
    put in its place, so nobody ever sees half of an append. Several processes may append at the
    same time: each waits for the one before.

    Args:
        path: The file of an ordered archive.
        codes: (N, K) integers, made with the dictionary that :func:`read_archive` returns.
        names: One per item if the archive stores names, else None.
        timeout: How long to wait for another process that is changing the archive, in seconds; None
            waits for as long as it takes.

    Returns:
        Where the bits of the new file go.

    Raises:
        ArchiveError: The file is damaged, or another process held it all the time (then
            :class:`ArchiveLockedError`). It stays as it is.
        ValueError: The archive is unordered, its dictionary cannot have made these codes, or the
            number of names is wrong.
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
        return _append(path, codes, names)


def _append(path: str | os.PathLike[str], codes: csr_matrix, names: Sequence[str] | None) -> Rate:
    with open(path, "rb") as file:
        data = bytearray(file.read())
    with naming(path), decoding():
        reader = Reader.of(bytes(data))
        head, shared = Head.read(reader)
        blocks = list(read_blocks(reader, head.named))
        known = CodeTables.read(Coder(shared), *lengths(head))
    if not head.ordered:
        raise ValueError(
            "nothing can be appended to an unordered archive, which is one sorted set: "
            "read it and write all items anew"
        )
    c = check_archivable(codes, head)
    if head.named != (names is not None):
        raise ValueError(
            "this archive stores names: give one for each new item"
            if head.named
            else "this archive stores no item names: pass names=None"
        )
    if names is not None:
        check_names(names, c.shape[0])
    del data[-END_SIZE:]
    payload = sum(block.codes_size for block in blocks)
    for first in range(0, c.shape[0], BLOCK):
        part = c[first : first + BLOCK]
        streams = []
        for inter in (False, True):
            own = CodeTables.of(part, head.max_level, head.max_nonzero, inter)
            streams.append(encode_items(part, own, own=True, inter=inter))
            if own.largest <= known.largest:
                streams.append(encode_items(part, known, inter=inter))
        stream = min(streams, key=len)
        chosen = None if names is None else names[first : first + BLOCK]
        packed = None if chosen is None else pack_names(chosen)
        text = sum(len(name.encode()) for name in chosen or ())
        least = least_block(part.shape[0], part.nnz, text)
        stream += bytes(max(0, least - len(stream) - len(packed or b"")))
        payload += len(stream)
        data += pack_block(part.shape[0], stream, packed, bytes(data[-4:]))
    data += pack_end(bytes(data[-4:]))
    replace_file(path, bytes(data))
    items = sum(block.items for block in blocks) + c.shape[0]
    return Rate.of_bytes(items, len(data), payload, len(shared))


def _sort(
    codes: csr_matrix, names: Sequence[str] | None
) -> tuple[csr_matrix, Sequence[str] | None]:
    n = codes.shape[0]
    if n > MAX_UNORDERED:
        raise ValueError(f"an unordered archive holds at most {MAX_UNORDERED} items, not {n}")
    order = sorted(range(n), key=sort_keys(codes).__getitem__)
    return codes[order], None if names is None else [names[i] for i in order]
