"""The .smic archive: a dictionary and a collection's codes in one file.

The format is described in :mod:`fiftyone_smic.container`, precisely enough for a second reader.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .checking import check_archivable
from .container import ArchiveError, Reader, pack_names, replace_file, unpack_names, varint
from .dictionary import SemanticDictionary
from .entropy import Decoder, Encoder, weight_levels
from .metrics import Rate
from .models import CodeTables, get_codes, pop_codes, push_codes, put_codes, sort_key
from .priors import Prior, as_prior, find_prior
from .rows import get_rows, put_rows

MAGIC = b"SMIC"
VERSION = 1
MAX_DIMENSIONS = 1 << 16
MAX_ATOMS = 1 << 20
MAX_HEADER = 1 << 12

_NAMES, _NONNEGATIVE, _PIXELS, _PRIOR, _UNORDERED = 1, 2, 4, 8, 16
#: Most items an unordered archive can hold: the reader sorts them in Python, and 24 bits of
#: precision choose one.
MAX_UNORDERED = 1 << 20


@dataclass(frozen=True)
class Archive:
    """What an archive holds.

    Attributes:
        dictionary: fitted :class:`SemanticDictionary`, as it was when the archive was written; its
            counts are those of the archive's codes.
        codes: (N, K) CSR matrix of int8.
        names: N names, or None.
        encoder: identity of the encoder the latents come from.
        latent_norm: typical norm of that encoder's raw latents.
        pixels_per_item: mean number of pixels of an original, or None.
        rate: where the file's bits go.
    """

    dictionary: SemanticDictionary
    codes: csr_matrix
    names: tuple[str, ...] | None
    encoder: str
    latent_norm: float
    pixels_per_item: float | None
    rate: Rate

    def latents(self) -> NDArray[np.float32]:
        """Reconstructions (N, d) float32, scaled to unit norm."""
        z = self.dictionary.inverse_transform(self.codes)
        return z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)


def _counts(
    codes: csr_matrix, max_level: int, max_nonzero: int
) -> tuple[NDArray, NDArray, NDArray]:
    index = np.bincount(codes.indices, minlength=codes.shape[1]).astype(np.int64)
    level = np.bincount(
        codes.data.astype(np.int64) + max_level, minlength=2 * max_level + 1
    ).astype(np.int64)
    size = np.bincount(np.diff(codes.indptr), minlength=max_nonzero + 1).astype(np.int64)
    return index, level, size


def _header(
    dictionary: SemanticDictionary,
    n_items: int,
    encoder: str,
    latent_norm: float,
    named: bool,
    pixels: float | None,
    ordered: bool,
) -> bytes:
    flags = (
        named * _NAMES
        | bool(dictionary.nonnegative) * _NONNEGATIVE
        | (pixels is not None) * _PIXELS
        | (dictionary.prior_ is not None) * _PRIOR
        | (not ordered) * _UNORDERED
    )
    numbers = (
        n_items,
        dictionary.n_features_in_,
        dictionary.n_atoms_,
        dictionary.max_level,
        dictionary.max_nonzero,
        flags,
    )
    out = b"".join(map(varint, numbers)) + struct.pack("<ff", dictionary.lam, latent_norm)
    if pixels is not None:
        out += struct.pack("<f", pixels)
    if dictionary.prior_ is not None:
        out += bytes.fromhex(dictionary.prior_.hash)
    out += encoder.encode()
    if len(out) > MAX_HEADER:
        raise ValueError("the encoder's identity is too long to store")
    return out


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
    """Writes an archive; the file appears complete or not at all.

    Args:
        path: of the file, conventionally ``*.smic``; replaced if it exists.
        dictionary: fitted.
        codes: (N, K) integers, as :meth:`SemanticDictionary.transform` gives.
        encoder: identity of the encoder the latents come from.
        latent_norm: typical norm of its raw latents; a generator trained on those needs it.
        names: one per item, without NUL characters.
        pixels_per_item: mean number of pixels of an original.
        ordered: False gives up the order of the items, which saves up to log2 N! bits: the archive
            holds them sorted by their codes, names permuted with them.

    Returns:
        Where the file's bits go; the total is the file's size.

    Raises:
        ValueError: codes that the dictionary cannot have made, or a wrong number of names.
        OSError: the file cannot be written.
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
    """:func:`write_archive` into memory."""
    c = check_archivable(dictionary, codes)
    if not ordered:
        c, names = _sort(c, names)
    index, level, size = _counts(c, dictionary.max_level, dictionary.max_nonzero)
    level = np.delete(level, dictionary.max_level)
    tables = CodeTables(*(weight_levels(t) for t in (index, level, size)))
    coder = Encoder()
    profile = None if dictionary.prior_ is None else dictionary.prior_.profile
    put_rows(coder, dictionary.mean_rows_, profile)
    put_rows(coder, dictionary.atom_rows_, profile)
    tables.put(coder)
    shared = coder.finish()
    lacking = max(
        -(-(dictionary.atoms_.size - (1 << 22)) // 64), -(-(dictionary.n_atoms_ - 4096) // 8)
    )
    shared += bytes(max(0, lacking - len(shared)))
    if ordered:
        coder = Encoder()
        put_codes(coder, c, tables)
        payload = coder.finish()
    else:
        payload = push_codes(c, tables)
    lacking = -(-(max(c.shape[0], c.nnz) - _free_items(ordered)) // 64) - len(payload)
    if lacking > 0 and not ordered:
        raise ValueError("so many codes as cheap as these cannot be stored unordered")
    payload += bytes(max(0, lacking))

    header = _header(
        dictionary, c.shape[0], encoder, latent_norm, names is not None, pixels_per_item, ordered
    )
    sections = [(b"H", header), (b"D", shared), (b"C", payload)]
    if names is not None:
        sections.append((b"N", pack_names(names, c.shape[0])))
    data = bytearray(MAGIC + bytes([VERSION]))
    for kind, body in sections:
        data += kind + varint(len(body)) + body
        data += struct.pack("<I", zlib.crc32(data))
    return bytes(data), _rate(c.shape[0], len(data), len(payload), len(shared))


def _free_items(ordered: bool) -> int:
    """How many items or coefficients need no byte of codes to be believed."""
    return 1 << 20 if ordered else 1 << 16


def _sort(
    codes: csr_matrix, names: Sequence[str] | None
) -> tuple[csr_matrix, Sequence[str] | None]:
    n = codes.shape[0]
    if n > MAX_UNORDERED:
        raise ValueError(f"an unordered archive holds at most {MAX_UNORDERED} items, not {n}")
    keys = [sort_key(codes[i].indices, codes[i].data) for i in range(n)]
    order = sorted(range(n), key=keys.__getitem__)
    if names is not None and len(names) == n:
        names = [names[i] for i in order]
    return codes[order], names


def _rate(items: int, total: int, payload: int, shared: int) -> Rate:
    return Rate(items, 8 * payload, 8 * shared, 8 * (total - payload - shared))


def _read_header(reader: Reader) -> dict[str, Any]:
    if reader.data[:4] != MAGIC:
        raise ArchiveError("not a .smic archive")
    reader.take(4)
    version = reader.take(1)[0]
    if version != VERSION:
        raise ArchiveError(
            f"the archive has format version {version}, this software reads version {VERSION}"
        )
    header = Reader(reader.section(b"H"))
    keys = ("items", "dimensions", "atoms", "max_level", "max_nonzero", "flags")
    info: dict[str, Any] = {"version": version} | {key: header.varint() for key in keys}
    flags = info.pop("flags")
    info |= {"lam": header.float(), "latent_norm": header.float(), "pixels_per_item": None}
    if flags & _PIXELS:
        info["pixels_per_item"] = header.float()
    info["ordered"] = not flags & _UNORDERED
    info["prior"] = header.take(8).hex() if flags & _PRIOR else None
    info |= {"named": bool(flags & _NAMES), "nonnegative": bool(flags & _NONNEGATIVE)}
    try:
        info["encoder"] = header.data[header.at :].decode()
    except UnicodeDecodeError as e:
        raise ArchiveError("the encoder's identity is not text: the file is damaged") from e
    if (
        not 1 <= info["dimensions"] <= MAX_DIMENSIONS
        or info["atoms"] > MAX_ATOMS
        or flags > 31
        or not 1 <= info["max_level"] <= 127
        or not 1 <= info["max_nonzero"] <= 255
        or not 0 < info["lam"] < float("inf")
    ):
        raise ArchiveError("the header holds impossible numbers: the file is damaged")
    return info


def archive_info(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The header of an archive, read in milliseconds whatever the archive's size.

    Returns:
        version, items, dimensions, atoms, max_level, max_nonzero, lam, latent_norm, pixels_per_item
        (or None), named, nonnegative, encoder, bytes (of the file).

    Raises:
        ArchiveError: the file does not begin like an archive.
        OSError: it cannot be read.
    """
    with open(path, "rb") as f:
        info = _read_header(Reader(f.read(MAX_HEADER + 32)))
        info["bytes"] = os.fstat(f.fileno()).st_size
    return info


def read_archive(
    path: str | os.PathLike[str], prior: Prior | str | os.PathLike[str] | None = None
) -> Archive:
    """Reads and checks a whole archive.

    Raises:
        ArchiveError: truncated, altered, foreign, or of another version.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as f:
        return decode_archive(f.read(), prior)


def decode_archive(data: bytes, prior: Prior | str | os.PathLike[str] | None = None) -> Archive:
    """:func:`read_archive` for bytes in memory."""
    reader = Reader(data)
    info = _read_header(reader)
    shared, payload = reader.section(b"D"), reader.section(b"C")
    packed = reader.section(b"N") if info["named"] else None
    if reader.at != len(data):
        raise ArchiveError("there is more in the file than an archive: it is damaged")
    n, d, k = info["items"], info["dimensions"], info["atoms"]
    most = _free_items(info["ordered"]) + 64 * len(payload)
    if k * d > (1 << 22) + 64 * len(shared) or k > 4096 + 8 * len(shared) or n > most:
        raise ArchiveError("the header promises more than the file can hold: it is damaged")
    public = _prior(info, prior)
    profile = None if public is None else public.profile
    try:
        coder = Decoder(shared)
        mean, atoms = get_rows(coder, 1, d, profile), get_rows(coder, k, d, profile)
        tables = CodeTables.get(coder, k, info["max_level"], info["max_nonzero"])
        if info["ordered"]:
            codes = get_codes(Decoder(payload), n, tables, most)
        elif n > MAX_UNORDERED:
            raise ArchiveError("too many items for an unordered archive: it is damaged")
        else:
            codes = pop_codes(payload, n, tables, most)
    except ValueError as e:
        raise ArchiveError(f"the file is damaged: {e}") from e
    if info["nonnegative"] and codes.nnz and codes.data.min() < 0:
        raise ArchiveError("a coefficient is negative where none may be: the file is damaged")
    dictionary = SemanticDictionary(
        max(k, 1),
        lam=info["lam"],
        max_nonzero=info["max_nonzero"],
        max_level=info["max_level"],
        nonnegative=info["nonnegative"],
        prior=public,
    )._restore(mean, atoms, *_counts(codes, info["max_level"], info["max_nonzero"]))
    return Archive(
        dictionary,
        codes,
        None if packed is None else unpack_names(packed, n),
        info["encoder"],
        info["latent_norm"],
        info["pixels_per_item"],
        _rate(n, len(data), len(payload), len(shared)),
    )


def _prior(info: dict[str, Any], given: Prior | str | os.PathLike[str] | None) -> Prior | None:
    wanted = info["prior"]
    if wanted is None:
        return None
    prior = as_prior(given)
    if prior is None or prior.hash != wanted:
        prior = find_prior(wanted)
    if prior is None or len(prior.mean) != info["dimensions"]:
        raise ArchiveError(
            f"the archive was written with the public prior {wanted}, which is needed to read it: "
            "pass that prior's file"
        )
    return prior
