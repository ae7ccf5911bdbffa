"""Read archives: the dictionary, the codes and the names, or a range of them."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from fiftyone_smic.archive.errors import (
    ArchiveVersionError,
    DamagedArchiveError,
    PriorMissingError,
    decoding,
    naming,
)
from fiftyone_smic.archive.format import Block, Head, read_blocks, skipped
from fiftyone_smic.archive.item_names import unpack_names
from fiftyone_smic.archive.primitives import Reader
from fiftyone_smic.archive.sections import DISTORTION, tell_skipped
from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.coefficients import expected_others
from fiftyone_smic.coding.distortions import decode_distortions
from fiftyone_smic.coding.items import decode_items
from fiftyone_smic.coding.limits import MAX_UNORDERED, believable, believable_text
from fiftyone_smic.coding.multiset import pop_codes
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.rows import code_rows
from fiftyone_smic.coding.tables import counts_of, frequencies_in_python
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior, as_prior, find_prior
from fiftyone_smic.metrics import Rate
from fiftyone_smic.utils.vectors import unit

#: Frequencies of the modes of the dictionary. There is one so far, 0, and room for others.
MODES = frequencies_in_python(np.array([240] + [1] * 15, np.int64))


def require_prior(
    name: str, dimensions: int, given: Prior | str | os.PathLike[str] | None
) -> Prior:
    """Return the prior that an archive names: the given one, else a shipped one.

    Args:
        name: The prior's hash.
        dimensions: d of the archive.
        given: A prior or its file, or None.

    Raises:
        PriorMissingError: Neither of them has this hash and d dimensions.
    """
    prior = as_prior(given)
    if prior is None or prior.hash != name:
        prior = find_prior(name)
    if prior is None or len(prior.mean) != dimensions:
        raise PriorMissingError(
            f"the archive was written with the public prior {name}, which is needed to read it: "
            "pass that prior's file, with --prior or as the argument prior"
        )
    return prior


@dataclass(frozen=True)
class Archive:
    """What an archive holds, or a range of its items.

    Attributes:
        dictionary: The fitted dictionary, with the atoms and the mean that were written. Its counts
            are those of the archive's tables, to about half an octave, so that it codes alike
            however much of the archive is read. (Where neighbours are alike, these tables know how
            often an atom was new; the counts are then in proportion to that.)
        codes: (N, K) CSR matrix of int8, the coefficients.
        names: N names, or None.
        encoder: Identity of the encoder that made the latents.
        latent_norm: Typical norm of that encoder's raw latents.
        pixels_per_item: Mean number of pixels of an original image, or None.
        rate: Where the bits of the file go; of the whole file, whatever range was read.
        first: Number in the file of the first item that was read.
        distortion: (N,) float64, each item's squared distance of its latent to what its code
            rebuilds, to within 5 %; None if the archive does not store them. Curation uses it.
        skipped: Types of the sections of the file that this version does not know and has passed
            over; a newer version wrote them.
    """

    dictionary: SemanticDictionary
    codes: csr_matrix
    names: tuple[str, ...] | None
    encoder: str
    latent_norm: float
    pixels_per_item: float | None
    rate: Rate
    first: int = 0
    distortion: NDArray[np.float64] | None = None
    skipped: tuple[int, ...] = ()

    def latents(self) -> NDArray[np.float32]:
        """Return the latents (N, d) that the codes stand for, float32 of unit norm."""
        return unit(self.dictionary.inverse_transform(self.codes))


def read_archive(
    path: str | os.PathLike[str],
    prior: Prior | str | os.PathLike[str] | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
) -> Archive:
    """Read and check an archive, or the items start..stop-1 of it.

    Only the blocks that hold these items are read, and decoded up to the last of these items;
    ``stop=0`` reads the dictionary alone. (An unordered archive is one block.)

    Args:
        path: The file.
        prior: The public prior that the archive was written with, or its file; not needed if this
            package ships it.
        start: First item, counted from 0.
        stop: Item after the last one; None reads to the end.

    Raises:
        ArchiveError: The file is truncated, altered, foreign, of a version that is not known, or
            needs a prior that is not there. The subclass says which.
        ValueError: The archive does not have these items.
        OSError: The file cannot be read.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.archive import write_archive
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> names = [f"{i}.png" for i in range(20)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     _ = write_archive(
        ...         path, dictionary, dictionary.transform(z), encoder="me/1", names=names
        ...     )
        ...     part = read_archive(path, start=5, stop=7)
        >>> part.names, part.codes.shape[0], part.latents().shape
        (('5.png', '6.png'), 2, (2, 6))
    """
    with naming(path), open(path, "rb") as file:
        return _read(file, prior, start, stop)


def decode_archive(data: bytes, prior: Prior | str | os.PathLike[str] | None = None) -> Archive:
    """Read and check an archive from bytes in memory.

    Args:
        data: The content of a ``.smic`` file.
        prior: See :func:`read_archive`.

    Raises:
        ArchiveError: See :func:`read_archive`.

    Example:
        >>> from fiftyone_smic.archive import encode_archive
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> codes = dictionary.transform(z)
        >>> data, rate = encode_archive(dictionary, codes, encoder="me/1")
        >>> (decode_archive(data).codes != codes).nnz
        0
    """
    return _read(io.BytesIO(data), prior, 0, None)


def iter_archive(
    path: str | os.PathLike[str], prior: Prior | str | os.PathLike[str] | None = None
) -> Iterator[Archive]:
    """Read and check an archive of any size, one block of items at a time.

    An appended or ordered archive has blocks of 16,384 items at most; an unordered one is one
    block. The dictionary is read once and shared.

    Args:
        path: The file.
        prior: As for :func:`read_archive`.

    Yields:
        The items of each block; ``first`` says which the first one is.

    Raises:
        ArchiveError: As for :func:`read_archive`. Damage to a block shows when its turn comes.
        OSError: The file cannot be read.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.archive import write_archive
        >>> z = np.random.default_rng(0).normal(size=(20_000, 4))
        >>> dictionary = SemanticDictionary(4, max_iter=1, n_swaps=0).fit(z)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     _ = write_archive(path, dictionary, dictionary.transform(z), encoder="me/1")
        ...     [(part.first, part.codes.shape[0]) for part in iter_archive(path)]
        [(0, 16384), (16384, 3616)]
    """
    with naming(path), open(path, "rb") as file:
        reader = Reader(file)
        head, shared = Head.read(reader)
        blocks = list(read_blocks(reader, head, 0, 0))
        items = sum(block.items for block in blocks)
        payload = sum(block.codes_size for block in blocks)
        rate = Rate.of_bytes(items, reader.size, payload, len(shared))
        _check_distortions(blocks)
        passed = tuple(skipped(head, blocks))
        tell_skipped(passed)
        dictionary, tables = _read_dictionary(head, shared, prior)
        reader = Reader(file)
        Head.read(reader)
        most, text = believable(reader.size), believable_text(reader.size)
        for block in read_blocks(reader, head):
            codes = _decode_block(block, tables, head, most, alone=len(blocks) == 1)
            most -= codes.nnz
            names = None
            if head.named:
                names = tuple(unpack_names(block.names, block.items, text))
                text -= sum(len(name.encode()) for name in names)
            yield Archive(
                dictionary,
                codes,
                names,
                head.encoder,
                head.latent_norm,
                head.pixels_per_item,
                rate,
                block.first,
                _decode_distortion([block], [block]),
                passed,
            )


def _read(
    file: BinaryIO, given: Prior | str | os.PathLike[str] | None, start: int, stop: int | None
) -> Archive:
    reader = Reader(file)
    head, shared = Head.read(reader)
    blocks = list(read_blocks(reader, head, start, stop))
    n = sum(block.items for block in blocks)
    end = n if stop is None else stop
    if not 0 <= start <= end <= n:
        raise ValueError(f"items {start} to {end} were asked for, the archive has {n}")
    wanted = [block for block in blocks if block.first < end and block.first + block.items > start]
    dictionary, tables = _read_dictionary(head, shared, given)
    codes = _decode_blocks(wanted, tables, head, reader.size, end)
    distortion = _decode_distortion(blocks, wanted)
    passed = tuple(skipped(head, blocks))
    tell_skipped(passed)
    del tables  # their polynomials can be large
    names = None
    if head.named:
        most = believable_text(reader.size)
        found: list[str] = []
        for block in wanted:
            part = unpack_names(block.names, block.items, most)
            most -= sum(len(name.encode()) for name in part)
            found += part
        names = tuple(found)
    first = wanted[0].first if wanted else start
    chosen = slice(start - first, end - first)
    return Archive(
        dictionary,
        codes[chosen],
        None if names is None else names[chosen],
        head.encoder,
        head.latent_norm,
        head.pixels_per_item,
        Rate.of_bytes(n, reader.size, sum(block.codes_size for block in blocks), len(shared)),
        start,
        None if distortion is None else distortion[chosen],
        passed,
    )


def open_shared(head: Head, shared: bytes) -> Coder:
    """Return a coder that reads the shared stream, from the tables of codes on.

    Raises:
        ArchiveVersionError: The dictionary is written in a way that this software does not know.
    """
    coder = Coder(shared)
    if head.version > 6 and (mode := coder.one(0, MODES)):
        raise ArchiveVersionError(
            f"the archive's dictionary has the mode {mode}, which this version of the software "
            "does not know: read it with a newer version"
        )
    return coder


def _read_dictionary(
    head: Head, shared: bytes, given: Prior | str | os.PathLike[str] | None
) -> tuple[SemanticDictionary, CodeTables]:
    """Read the shared stream: the dictionary, and the tables of the codes."""
    prior = None if head.prior is None else require_prior(head.prior, head.dimensions, given)
    public = None if prior is None else prior.public
    with decoding():
        coder = open_shared(head, shared)
        tables = CodeTables.read(coder, *lengths(head))
        mean = code_rows(coder, 1, head.dimensions, public)
        atoms = code_rows(coder, head.atoms, head.dimensions, public)
    index, level, size = map(counts_of, (tables.index, tables.level, tables.size))
    # Tables of an inter block count new atoms only.
    uses = size @ np.arange(len(size))
    index = np.rint(index * (uses / max(index.sum(), 1))).astype(np.int64)
    others = expected_others(index, tables.odds)
    middle = head.max_level
    level = np.concatenate([level[:middle], [0, (index - others).sum()], level[middle:]])
    dictionary = SemanticDictionary(
        max(head.atoms, 1),
        lam=head.lam,
        max_nonzero=head.max_nonzero,
        max_level=head.max_level,
        nonnegative=head.nonnegative,
        prior=prior,
    )._restore(mean, atoms, index, others, level, size)
    return dictionary, tables


def lengths(head: Head) -> tuple[int, int, int]:
    """Return what tables of codes depend on: K, L and M."""
    return head.atoms, head.max_level, head.max_nonzero


def _check_distortions(blocks: list[Block]) -> bool:
    """Return whether the items of all blocks have distortions.

    Raises:
        DamagedArchiveError: Those of some blocks have, and those of others have not.
    """
    have = [block.section(DISTORTION) is not None for block in blocks]
    if any(have) and not all(have):
        raise DamagedArchiveError("some items have a distortion and others none: it is damaged")
    return any(have)


def _decode_distortion(blocks: list[Block], wanted: list[Block]) -> NDArray[np.float64] | None:
    """Return the distortions of the wanted blocks, or None if no block has them."""
    if not _check_distortions(blocks):
        return None
    sections = [(block.section(DISTORTION), block.items) for block in wanted]
    with decoding():
        parts = [decode_distortions(s.content, n) for s, n in sections if s is not None]
    return np.concatenate([np.zeros(0), *parts])


def _decode_blocks(
    blocks: list[Block], tables: CodeTables, head: Head, file_size: int, end: int
) -> csr_matrix:
    """Decode the codes of blocks, of their items before item ``end``."""
    most = believable(file_size)
    parts = [csr_matrix((0, head.atoms), dtype=np.int8)]
    for block in blocks:
        stop = min(block.items, end - block.first)
        parts.append(_decode_block(block, tables, head, most, alone=len(blocks) == 1, stop=stop))
        most -= parts[-1].nnz
    return csr_matrix(vstack(parts, format="csr"))


def _decode_block(
    block: Block,
    tables: CodeTables,
    head: Head,
    most: int,
    *,
    alone: bool,
    stop: int | None = None,
) -> csr_matrix:
    """Decode the codes of a block; ``alone``: it is the only one.

    An ordered block is decoded up to the item ``stop``.
    """
    with decoding():
        if not head.ordered:
            if block.items > MAX_UNORDERED or not alone:
                raise DamagedArchiveError("too many items for an unordered archive: it is damaged")
            codes = pop_codes(block.codes, block.items, tables, most)
        else:
            codes = decode_items(block.codes, block.items, tables, most, stop)
        if head.nonnegative and codes.nnz and codes.data.min() < 0:
            raise DamagedArchiveError(
                "a coefficient is negative where none may be: the file is damaged"
            )
    return codes
