"""Write an ordered archive block by block, in one process or in many.

Two passes over the blocks write an archive without all codes in memory, and its bytes are those of
:func:`~fiftyone_smic.archive.writer.write_archive`. The first counts the codes of each block
(:meth:`CodeCounts.of <fiftyone_smic.coding.code_tables.CodeCounts.of>`) and adds the counts. The
second codes each block with the sum (:func:`code_block`), and :func:`write_blocks` writes what that
returns, in order. Every block but the last must have
:data:`~fiftyone_smic.archive.writer.BLOCK` items.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from fiftyone_smic.archive.format import Head, pack_block, pack_end
from fiftyone_smic.archive.item_names import pack_names
from fiftyone_smic.archive.reader import MODES
from fiftyone_smic.archive.sections import DISTORTION, Section, pack_sections
from fiftyone_smic.coding.code_tables import CodeCounts
from fiftyone_smic.coding.distortions import LARGEST, encode_distortions
from fiftyone_smic.coding.items import encode_items
from fiftyone_smic.coding.limits import believable, believable_text, lacking, least_block
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.rows import code_rows
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.validation import check_codes, check_limits
from fiftyone_smic.metrics import Rate

_LEAST, _MOST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def check_archivable(codes: Any, head: Head) -> csr_matrix:
    """Return codes (N, K) in canonical form.

    Raises:
        ValueError: An archive with this head cannot hold them.
    """
    c = check_codes(codes, head.atoms).copy()
    c.sum_duplicates()
    c.eliminate_zeros()
    c.sort_indices()
    if c.nnz and not np.array_equal(c.data, np.rint(c.data)):
        raise ValueError("codes must be whole numbers")
    check_limits(c, head.max_level, head.max_nonzero)
    if head.nonnegative and c.nnz and c.data.min() < 0:
        raise ValueError("codes are negative but the dictionary is non-negative")
    return c


def check_distortion(distortion: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return squared distances (n,) as float64.

    Raises:
        ValueError: Another number of them, or some are negative, NaN or too large to store.
    """
    d = np.asarray(distortion, np.float64)
    if d.shape != (n,):
        raise ValueError(f"{d.size} distortions for {n} items: give one for each")
    bad = np.flatnonzero(~((d >= 0) & (d <= LARGEST)))
    if len(bad):
        raise ValueError(
            f"a distortion is a squared distance and those of items {bad[:5].tolist()} are "
            f"negative, NaN or above {LARGEST:.2g}: leave these items out, or pass distortion=None"
        )
    return d


def item_distortion(
    dictionary: SemanticDictionary, latents: ArrayLike, codes: csr_matrix
) -> NDArray[np.float64]:
    """Return the squared distance of each latent to what its code rebuilds.

    Args:
        dictionary: The dictionary that made the codes.
        latents: (N, d) latents.
        codes: (N, K) their codes.

    Returns:
        (N,) float64. What is rebuilt is mean plus atoms, not scaled to unit norm.

    Raises:
        ValueError: The codes are of another dictionary, or the latents do not fit to them.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> item_distortion(dictionary, z, dictionary.transform(z)).shape
        (20,)
    """
    z = np.asarray(latents)
    rebuilt = dictionary.inverse_transform(codes)
    if z.shape != rebuilt.shape:
        raise ValueError(f"latents of shape {z.shape} do not fit to codes of {rebuilt.shape}")
    return np.square(z - rebuilt, dtype=np.float64).sum(axis=1)


def archive_head(
    dictionary: SemanticDictionary,
    *,
    encoder: str,
    latent_norm: float = 1.0,
    named: bool = False,
    pixels_per_item: float | None = None,
    ordered: bool = True,
    distortion: bool = False,
) -> Head:
    """Return the head of a new archive.

    Args:
        dictionary: A fitted dictionary.
        encoder, latent_norm, pixels_per_item, ordered: See
            :func:`~fiftyone_smic.archive.writer.write_archive`.
        named: Whether items have names.
        distortion: Whether items have distortions.

    Raises:
        ValueError: The identity is no text, or a number is not positive and finite.
    """
    check_is_fitted(dictionary, "atoms_")
    if not isinstance(encoder, str) or not encoder.isprintable():
        raise ValueError(f"encoder is an identity like 'ViT-B-32/openai', got {encoder!r}")
    for name, value in (("latent_norm", latent_norm), ("pixels_per_item", pixels_per_item)):
        if value is None and name == "pixels_per_item":
            continue
        if not isinstance(value, Real) or not _LEAST <= value <= _MOST:
            raise ValueError(f"{name} must be a positive number, got {value!r}")
    prior = dictionary.prior_
    return Head(
        dimensions=dictionary.n_features_in_,
        atoms=dictionary.n_atoms_,
        max_level=dictionary.max_level_,
        max_nonzero=dictionary.max_nonzero_,
        lam=dictionary.lam_,
        latent_norm=latent_norm,
        pixels_per_item=pixels_per_item,
        prior=None if prior is None else prior.hash,
        named=named,
        nonnegative=dictionary.nonnegative_,
        ordered=ordered,
        encoder=encoder,
        sections=() if distortion else None,
    )


@dataclass(frozen=True)
class CodedBlock:
    """A block in the bytes it will have.

    Attributes:
        items: Number of items.
        coefficients: Number of their coefficients.
        text: Bytes of all names.
        streams: The codes in each way that the archive may choose: for ordered archives, items by
            themselves, and each by its differences from the one before.
        names: The packed names, or None.
        sections: The packed sections, or None.
    """

    items: int
    coefficients: int
    text: int
    streams: tuple[bytes, ...]
    names: bytes | None
    sections: bytes | None

    @classmethod
    def of(
        cls,
        codes: csr_matrix,
        streams: tuple[bytes, ...],
        names: Sequence[str] | None,
        distortion: NDArray[np.float64] | None,
    ) -> CodedBlock:
        """Return the block of these codes, given their streams."""
        return cls(
            codes.shape[0],
            codes.nnz,
            sum(len(name.encode()) for name in names or ()),
            streams,
            None if names is None else pack_names(names),
            None if distortion is None else pack_distortion(distortion),
        )


def pack_distortion(distortion: NDArray[np.float64] | None) -> bytes:
    """Return the list of sections of a block: the distortions, if there are any."""
    if distortion is None or not len(distortion):
        return pack_sections([])
    return pack_sections([Section.of(DISTORTION, encode_distortions(distortion))])


def code_block(
    codes: csr_matrix,
    counts: CodeCounts,
    names: Sequence[str] | None = None,
    distortion: NDArray[np.float64] | None = None,
) -> CodedBlock:
    """Code a block of an ordered archive.

    Args:
        codes: (N, K) codes of the block, as :func:`check_archivable` returns them, N >= 1.
        counts: The counts of all blocks together.
        names: N names, if the archive has names.
        distortion: (N,) squared distances, if the archive has distortions.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(20, 6))
        >>> dictionary = SemanticDictionary(4).fit(z)
        >>> head = archive_head(dictionary, encoder="me/1")
        >>> codes = check_archivable(dictionary.transform(z), head)
        >>> counts = CodeCounts.of(codes, head.max_level, head.max_nonzero)
        >>> data, _ = join_blocks(dictionary, head, counts, [code_block(codes, counts)])
        >>> from fiftyone_smic.archive import encode_archive
        >>> data == encode_archive(dictionary, codes, encoder="me/1")[0]
        True
    """
    streams = [encode_items(codes, counts.tables(i), inter=i) for i in (False, True)]
    return CodedBlock.of(codes, tuple(streams), names, distortion)


@dataclass(frozen=True)
class BlockSizes:
    """What a block, or several together, take; sizes can be added.

    Attributes:
        items: Number of items.
        coefficients: Number of their coefficients.
        text: Bytes of all names before they are packed.
        names: Bytes of the packed names.
        streams: Bytes of the codes in each way that the archive may choose.
    """

    items: int
    coefficients: int
    text: int
    names: int
    streams: tuple[int, ...]

    @classmethod
    def of(cls, block: CodedBlock) -> BlockSizes:
        """Return the sizes of a block."""
        streams = tuple(map(len, block.streams))
        names = len(block.names or b"")
        return cls(block.items, block.coefficients, block.text, names, streams)

    def __add__(self, other: BlockSizes) -> BlockSizes:
        return BlockSizes(
            self.items + other.items,
            self.coefficients + other.coefficients,
            self.text + other.text,
            self.names + other.names,
            tuple(a + b for a, b in zip(self.streams, other.streams, strict=True)),
        )


def write_blocks(
    file: BinaryIO,
    dictionary: SemanticDictionary,
    head: Head,
    counts: CodeCounts,
    sizes: BlockSizes,
    blocks: Iterable[CodedBlock],
) -> Rate:
    """Write an archive of blocks that are coded already, and return where its bits go.

    Args:
        file: Where to write; nothing is read and nothing but the next bytes is written.
        dictionary: The dictionary of the codes.
        head: See :func:`archive_head`.
        counts: The counts of all blocks together.
        sizes: The sizes of all blocks together.
        blocks: The blocks in order, each needed only while it is written; the shorter of their ways
            of coding wins for all of them.
    """
    found = []
    for inter in (False, True) if head.ordered else (False,):
        coder = Coder()
        coder.one(0, MODES)
        counts.tables(inter).put(coder)
        found.append((coder.bits / 8 + sizes.streams[inter], inter, coder))
    _, chosen, coder = min(found, key=lambda each: each[0])
    public = None if dictionary.prior_ is None else dictionary.prior_.public
    for rows in (dictionary.mean_rows_, dictionary.atom_rows_):
        code_rows(coder, len(rows.levels), head.dimensions, public, rows)
    shared = coder.finish()
    payload = sizes.streams[chosen]
    # What a reader must see before it believes that a file holds so much.
    wanted = least_block(
        sizes.items - believable(0),
        sizes.coefficients - believable(0),
        sizes.text - believable_text(0),
    )
    known = len(shared) + payload + sizes.names
    least = lacking(head.dimensions, head.atoms, head.max_nonzero)
    shared += bytes(max(0, least - len(shared), wanted - known))
    last = head.pack(shared)
    total = file.write(last)
    for block in blocks:
        stream = block.streams[chosen]
        last = pack_block(block.items, stream, block.names, block.sections, last[-4:])
        total += file.write(last)
    total += file.write(pack_end(last[-4:]))
    return Rate.of_bytes(sizes.items, total, payload, len(shared))


def join_blocks(
    dictionary: SemanticDictionary, head: Head, counts: CodeCounts, blocks: Iterable[CodedBlock]
) -> tuple[bytes, Rate]:
    """Return an archive of blocks that are coded already, and where its bits go.

    The arguments are those of :func:`write_blocks`.
    """
    blocks = list(blocks)
    none = BlockSizes(0, 0, 0, 0, (0, 0) if head.ordered else (0,))
    file = io.BytesIO()
    sizes = sum(map(BlockSizes.of, blocks), none)
    rate = write_blocks(file, dictionary, head, counts, sizes, blocks)
    return file.getvalue(), rate
