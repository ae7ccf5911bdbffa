"""A mutation loop over archives: ``python -m tests.benchmarks.fuzz [--count 1000000] [--seed 0]``.

Half of the mutated archives keep their wrong checksums and must all be refused. The other half have
one part changed (header, rows, codes, names, a block's number of items, the order of the
blocks) and all lengths and checksums made right again, so that the mutation reaches the decoders:
they must be refused with ArchiveError or decode to a sound archive. Memory is measured in every
256th (Python's and numpy's allocations); the bound is 64 MB and 8 kB for every byte of the file.
Anything else stops the run with the bytes in a file.
"""

from __future__ import annotations

import argparse
import os
import random
import struct
import tempfile
import time
import tracemalloc
import warnings
import zlib
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import (
    ArchiveError,
    ArchiveWarning,
    append_archive,
    decode_archive,
    encode_archive,
    item_distortion,
)
from fiftyone_smic.archive.format import Head, pack_block, pack_end, read_blocks
from fiftyone_smic.archive.primitives import Reader, varint
from fiftyone_smic.archive.sections import Section, pack_sections
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior

Parts = tuple[bytes, bytes, list[tuple[int, bytes, bytes | None, bytes | None]]]


def take_apart(data: bytes) -> Parts:
    """What stands before the stream of rows, that stream, and the blocks: items, codes, names,
    sections."""
    reader = Reader.of(data)
    head, shared = Head.read(reader)
    blocks = [
        (
            block.items,
            block.codes,
            block.names if head.named else None,
            None if block.sections is None else pack_sections(block.sections),
        )
        for block in read_blocks(reader, head)
    ]
    return head.pack(b"")[:-5], shared, blocks


def put_together(parts: Parts) -> bytes:
    """An archive of these parts with right lengths and checksums."""
    start, shared, blocks = parts
    out = bytearray(start + varint(len(shared)) + shared)
    out += struct.pack("<I", zlib.crc32(out))
    for block in blocks:
        out += pack_block(*block, bytes(out[-4:]))
    return bytes(out) + pack_end(bytes(out))


def made_up(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Unit vectors (n, d)."""
    z = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + 2
    return z / np.linalg.norm(z, axis=1, keepdims=True)


#: Of some archives, and given to the reader of all.
PRIOR = Prior.build(made_up(np.random.default_rng(1), 40, 6))


def seeds(folder: str) -> list[bytes]:
    """A few small archives of every kind."""
    rng = np.random.default_rng(0)
    out = []
    for n, d, ordered, named, alike, measured in (
        (16, 4, True, True, 1, False),
        (12, 5, False, False, 1, False),
        (8, 3, True, False, 1, True),
        (16, 4, True, True, 1, True),
        (12, 5, False, True, 1, True),
        (10, 6, True, False, 6, False),  # neighbours alike, and with the prior
    ):
        z = made_up(rng, n, d).repeat(alike, axis=0)
        n = len(z)
        prior = PRIOR if d == 6 else None
        dictionary = SemanticDictionary(lam=0.002, max_iter=4, prior=prior).fit(z)
        names = [f"{i}.png" for i in range(n)] if named else None
        codes = dictionary.transform(z)
        left = item_distortion(dictionary, z, codes) if measured else None
        data, _ = encode_archive(
            dictionary, codes, encoder="e", names=names, ordered=ordered, distortion=left
        )
        out.append(data)
        if measured:
            out.append(with_unknown_sections(data))
        if named and ordered:  # the same with two blocks more, one of which has tables of its own
            path = os.path.join(folder, "x.smic")
            with open(path, "wb") as file:
                file.write(out[-1])
            more = left[:2] if measured else None
            append_archive(path, codes[:2], names=["a", "b"], distortion=more)
            full = csr_matrix(np.ones((2, codes.shape[1])))
            append_archive(path, full, names=["more/1", "more/2"], distortion=more)
            with open(path, "rb") as file:
                out.append(file.read())
    return out


def with_unknown_sections(data: bytes) -> bytes:
    """The same archive, which has sections, with more in its head and its blocks that this version
    does not know and may skip."""
    reader = Reader.of(data)
    head, shared = Head.read(reader)
    blocks = list(read_blocks(reader, head))
    out = bytearray(replace(head, sections=(Section.of(900, b"later"),)).pack(shared))
    for block in blocks:
        sections = pack_sections([Section.of(901, b""), *block.sections, Section.of(2, b"12345")])
        names = block.names if head.named else None
        out += pack_block(block.items, block.codes, names, sections, bytes(out[-4:]))
    return bytes(out) + pack_end(bytes(out))


def mutate(data: bytes, rng: random.Random) -> bytes:
    """Flips, cuts, copies or inserts a few bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(max(len(out), 1))
        kind = rng.randrange(5)
        if kind <= 1 and out:
            out[at] ^= rng.randint(1, 255)
        elif kind == 2:
            del out[at : at + rng.randint(1, 8)]
        elif kind == 3:
            out[at:at] = rng.randbytes(rng.randint(1, 8))
        else:
            other = rng.randrange(max(len(out), 1))
            out[at : at + 4] = out[other : other + 4]
    return bytes(out)


def mutate_part(parts: Parts, rng: random.Random) -> Parts:
    """Changes one part of an archive."""
    start, shared, blocks = parts
    blocks = list(blocks)
    which = rng.randrange(7)
    if which == 0:
        return start[:5] + mutate(start[5:], rng), shared, blocks
    if which == 1:
        return start, mutate(shared, rng), blocks
    at = rng.randrange(len(blocks))
    items, codes, names, sections = blocks[at]
    if which == 2 and names is not None:
        blocks[at] = items, codes, mutate(names, rng), sections
    elif which == 3:
        blocks[at] = (
            rng.choice([rng.randrange(1, 1 << rng.randint(1, 40)), items + 1]),
            codes,
            names,
            sections,
        )
    elif which == 4:
        blocks.insert(rng.randrange(len(blocks) + 1), blocks.pop(at))
        blocks += blocks[: rng.randrange(2)]
    elif which == 5 and sections is not None:
        blocks[at] = items, codes, names, mutate(sections, rng)
    else:
        blocks[at] = items, mutate(codes, rng), names, sections
    return start, shared, blocks


def check(data: bytes, original: bytes, signed: bool) -> bool:
    """Whether the data was accepted; raises AssertionError where it must not have been or is
    unsound."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ArchiveWarning)
            archive = decode_archive(data, PRIOR)
    except ArchiveError:
        return False
    assert signed or data == original, "altered bytes with wrong checksums were accepted"
    archive.codes.check_format(full_check=True)
    n, k = archive.codes.shape
    assert archive.rate.items == n
    assert archive.dictionary.atoms_.shape == (k, archive.dictionary.n_features_in_)
    assert (
        np.isfinite(archive.dictionary.atoms_).all() and np.isfinite(archive.dictionary.mean_).all()
    )
    assert archive.names is None or len(archive.names) == n
    assert archive.distortion is None or (
        archive.distortion.shape == (n,) and np.isfinite(archive.distortion).all()
    )
    return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        originals = seeds(folder)
    split = [take_apart(data) for data in originals]
    assert [put_together(parts) for parts in split] == originals
    rng = random.Random(arguments.seed)
    accepted, slowest, peak, begin = 0, 0.0, 0, time.perf_counter()
    for i in range(arguments.count):
        which = rng.randrange(len(originals))
        signed = bool(i % 2)
        if signed:
            data = put_together(mutate_part(split[which], rng))
        else:
            data = mutate(originals[which], rng)
        watched = i % 256 == 1
        if watched:
            tracemalloc.start()
        start = time.process_time()
        try:
            accepted += check(data, originals[which], signed)
            if watched:
                most = tracemalloc.get_traced_memory()[1]
                assert most < (64 << 20) + 8192 * len(data), f"{most} bytes were allocated"
                peak = max(peak, most)
                tracemalloc.stop()
        except BaseException:
            with open("fuzz-failure.smic", "wb") as f:
                f.write(data)
            print(f"number {i} fails, see fuzz-failure.smic")
            raise
        if not watched:
            slowest = max(slowest, time.process_time() - start)
        if (i + 1) % 10_000 == 0 or i + 1 == arguments.count:
            seconds = time.perf_counter() - begin
            print(
                f"{i + 1} mutated archives in {seconds:.0f} s: no crash, {accepted} accepted (all"
                f" with checksums made right), slowest {slowest:.2f} s of processor,"
                f" peak {peak / 1e6:.1f} MB in every 256th",
                flush=True,
            )


if __name__ == "__main__":
    main()
