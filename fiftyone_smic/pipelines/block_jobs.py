"""What is done with one block of a large collection: jobs that any process can do.

A job is a callable with all it needs; it may travel to another machine. It gives the same for the
same block wherever it is done: items are worked on in chunks of a fixed size, and the sums that
jobs return are sums of whole numbers, exact in any order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.archive.blocks import BlockSizes, CodedBlock, code_block
from fiftyone_smic.archive.item_names import check_names
from fiftyone_smic.archive.writer import BLOCK
from fiftyone_smic.coding.code_tables import CodeCounts
from fiftyone_smic.dictionary.pursuit import Pursuit
from fiftyone_smic.dictionary.statistics import Statistics, grid_sum
from fiftyone_smic.pipelines.work import Work, pack_arrays, unpack_arrays


class Latents(Protocol):
    """Latents that are read in parts. They travel to other processes, so they hold no open files.

    Attributes:
        items: N.
        dimensions: d.
        named: Whether the items have names.
        digest: Text that is another one for other latents, so that no run goes on with the pieces
            of another.
    """

    @property
    def items(self) -> int: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def named(self) -> bool: ...
    @property
    def digest(self) -> str: ...

    def read(self, start: int, stop: int) -> tuple[NDArray, Sequence[str] | None]:
        """Return latents (stop - start, d), of any float type, and their names if they have any."""


@dataclass(frozen=True)
class ArrayLatents:
    """Latents in one array, which may be a memory-mapped file.

    Attributes:
        latents: (N, d) of any float type.
        names: N names, or None.
    """

    latents: NDArray
    names: Sequence[str] | None = None

    @property
    def items(self) -> int:
        """N."""
        return len(self.latents)

    @property
    def dimensions(self) -> int:
        """d."""
        return self.latents.shape[1]

    @property
    def named(self) -> bool:
        """Whether the items have names."""
        return self.names is not None

    @property
    def digest(self) -> str:
        """The shape, the names, and the content of every thousandth item."""
        few = np.ascontiguousarray(self.latents[::1000])
        content = hashlib.sha256(few.tobytes() + "\0".join(self.names or ()).encode())
        return f"{self.latents.shape} {content.hexdigest()}"

    def read(self, start: int, stop: int) -> tuple[NDArray, Sequence[str] | None]:
        """Return some of the latents and their names."""
        return self.latents[start:stop], None if self.names is None else self.names[start:stop]


def block_count(items: int) -> int:
    """Return the number of blocks of a collection."""
    return -(-items // BLOCK)


def _read(source: Latents, block: int) -> tuple[NDArray[np.float32], Sequence[str] | None]:
    start = block * BLOCK
    z, names = source.read(start, min(start + BLOCK, source.items))
    return np.ascontiguousarray(z, np.float32), names


@dataclass(frozen=True)
class Surveyed:
    """What a survey found in one block.

    Attributes:
        total: (d,) float64, the exact sum of the latents in units of 2**-20.
        sample: (m, d) float32, the chosen ones.
        bad: Items, counted from the collection's first, with NaN or infinity.
    """

    total: NDArray[np.float64]
    sample: NDArray[np.float32]
    bad: list[int]


@dataclass(frozen=True)
class Survey:
    """Sums the latents of a block, takes the sample's items out of it, and finds what is broken.

    Attributes:
        source: The latents.
        chosen: (n,) int64, ascending: the items of the sample.
    """

    source: Latents
    chosen: NDArray[np.int64]

    def __call__(self, block: int) -> Surveyed:
        z, _ = _read(self.source, block)
        start = block * BLOCK
        bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
        if len(bad):
            return Surveyed(np.zeros(z.shape[1]), z[:0], [start + int(i) for i in bad])
        low, high = np.searchsorted(self.chosen, [start, start + len(z)])
        return Surveyed(grid_sum(z), z[self.chosen[low:high] - start], [])


@dataclass(frozen=True)
class Gather:
    """Sums over the items of some blocks and the codes that they get, which are not kept.

    Attributes:
        source: The latents.
        pursuit: What codes them.
        max_level: L.
        max_nonzero: M.
    """

    source: Latents
    pursuit: Pursuit
    max_level: int
    max_nonzero: int

    def __call__(self, blocks: range) -> Statistics:
        limits = self.max_level, self.max_nonzero
        total = Statistics.empty(self.pursuit.n_atoms, self.source.dimensions, *limits)
        for block in blocks:
            total += Statistics.of_pursuit(self.pursuit, _read(self.source, block)[0], *limits)
        return total


@dataclass(frozen=True)
class Code:
    """Codes a block and keeps the codes; a block that is kept already is only counted.

    Attributes:
        source: The latents.
        pursuit: What codes them.
        mean: (d,) float32, the dictionary's.
        atoms: (K, d) float32, the dictionary's.
        max_level: L.
        max_nonzero: M.
        named: Whether to keep the names.
        work: Where codes are kept.
        key: What the names of the pieces begin with.
    """

    source: Latents
    pursuit: Pursuit
    mean: NDArray[np.float32]
    atoms: NDArray[np.float32]
    max_level: int
    max_nonzero: int
    named: bool
    work: Work
    key: str

    def __call__(self, block: int) -> tuple[CodeCounts, float]:
        """Return the counts of the codes, and the squared distance that they leave."""
        name = codes_name(self.key, block)
        kept = self.work.read(name)
        if kept is None:
            z, names = _read(self.source, block)
            codes = self.pursuit.code(z)
            rest = z - self.mean - np.asarray(codes.astype(np.float32) @ self.atoms)
            text = b""
            if self.named:
                assert names is not None  # the source says that it has names
                names = check_names(names, len(z))
                text = "\0".join(names).encode()
            kept = pack_arrays(
                indptr=codes.indptr.astype(np.int32),
                indices=codes.indices.astype(np.int32),
                data=codes.data,
                names=np.frombuffer(text, np.uint8),
                distortion=np.square(rest, dtype=np.float64).sum(axis=1),
            )
            self.work.write(name, kept)
        arrays = unpack_arrays(kept)
        codes = _codes(arrays, len(self.atoms))
        counts = CodeCounts.of(codes, self.max_level, self.max_nonzero)
        return counts, float(arrays["distortion"].sum())


@dataclass(frozen=True)
class Encode:
    """Turns the codes of a block into the bytes that the archive takes, and keeps these.

    Attributes:
        counts: The counts of all blocks together.
        named: Whether the archive has names.
        distortion: Whether it has distortions.
        work: Where codes and coded blocks are kept.
        key: What the names of the pieces begin with.
    """

    counts: CodeCounts
    named: bool
    distortion: bool
    work: Work
    key: str

    def __call__(self, block: int) -> BlockSizes:
        """Return what the block takes."""
        if self.work.read(coded_name(self.key, block)) is None:
            stored = self.work.read(codes_name(self.key, block))
            if stored is None:
                raise FileNotFoundError(
                    f"the codes of block {block} are gone: something else removed them while this "
                    "ran; run the same again"
                )
            arrays = unpack_arrays(stored)
            found = code_block(
                _codes(arrays, len(self.counts.uses)),
                self.counts,
                arrays["names"].tobytes().decode().split("\0") if self.named else None,
                arrays["distortion"] if self.distortion else None,
            )
            parts = {f"stream{i}": stream for i, stream in enumerate(found.streams)}
            parts |= {"names": found.names or b"", "sections": found.sections or b""}
            self.work.write(
                coded_name(self.key, block),
                pack_arrays(
                    numbers=np.array([found.items, found.coefficients, found.text]),
                    **{name: np.frombuffer(data, np.uint8) for name, data in parts.items()},
                ),
            )
        return BlockSizes.of(self.coded(block))

    def coded(self, block: int) -> CodedBlock:
        """Return a block that was kept."""
        kept = self.work.read(coded_name(self.key, block))
        if kept is None:
            raise FileNotFoundError(
                f"block {block} is gone: something else removed it while this ran; run the same "
                "again"
            )
        arrays = unpack_arrays(kept)
        items, coefficients, text = map(int, arrays["numbers"])
        return CodedBlock(
            items,
            coefficients,
            text,
            (arrays["stream0"].tobytes(), arrays["stream1"].tobytes()),
            arrays["names"].tobytes() if self.named else None,
            arrays["sections"].tobytes() if self.distortion else None,
        )


def codes_name(key: str, block: int) -> str:
    """Return the name of the piece that holds the codes of a block."""
    return f"{key}-codes-{block:07d}.npz"


def coded_name(key: str, block: int) -> str:
    """Return the name of the piece that holds a block in the bytes it will have."""
    return f"{key}-coded-{block:07d}.npz"


def _codes(arrays: dict[str, NDArray], n_atoms: int) -> csr_matrix:
    parts = arrays["data"], arrays["indices"], arrays["indptr"]
    return csr_matrix(parts, shape=(len(parts[2]) - 1, n_atoms))
