"""A mutation loop over archives: ``python -m tests.benchmarks.fuzz [--count 1000000] [--seed 0]``.

Half of the mutated archives keep their wrong checksums and must all be refused. The other half get
their checksums made right again, so that the mutation reaches the decoder: they must be refused
with ArchiveError or decode to a sound archive, within a time and a peak of memory that are printed.
Anything else stops the run with the bytes in a file.
"""

from __future__ import annotations

import argparse
import struct
import time
import tracemalloc
import zlib

import numpy as np

from fiftyone_smic.archive import ArchiveError, decode_archive, encode_archive
from fiftyone_smic.dictionary import SemanticDictionary


def seeds() -> list[bytes]:
    """A few small archives of every kind."""
    rng = np.random.default_rng(0)
    out = []
    for n, d, ordered, named in ((30, 6, True, True), (40, 8, False, False), (12, 3, True, False)):
        z = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + 2
        z /= np.linalg.norm(z, axis=1, keepdims=True)
        dictionary = SemanticDictionary(lam=0.002, max_iter=4).fit(z)
        names = [f"{i}.png" for i in range(n)] if named else None
        codes = dictionary.transform(z)
        out.append(encode_archive(dictionary, codes, encoder="e", names=names, ordered=ordered)[0])
    return out


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Flips, cuts, copies or inserts a few bytes."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, max(len(out), 1)))
        kind = rng.integers(0, 5)
        if kind <= 1 and out:
            out[at] ^= int(rng.integers(1, 256))
        elif kind == 2:
            del out[at : at + int(rng.integers(1, 9))]
        elif kind == 3:
            out[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:
            other = int(rng.integers(0, max(len(out), 1)))
            out[at : at + 4] = out[other : other + 4]
    return bytes(out)


def sections(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of each section of a sound archive."""
    out, at = [], 5
    while at < len(data):
        kind, length, shift = data[at : at + 1], 0, 0
        while True:
            at += 1
            length |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        out.append((kind, data[at + 1 : at + 1 + length]))
        at += length + 5
    return out


def sign(parts: list[tuple[bytes, bytes]], start: bytes) -> bytes:
    """An archive of these sections with right lengths and checksums."""
    out = bytearray(start)
    for kind, body in parts:
        length, value = b"", len(body)
        while value > 127:
            length, value = length + bytes([value & 127 | 128]), value >> 7
        out += kind + length + bytes([value]) + body
        out += struct.pack("<I", zlib.crc32(out))
    return bytes(out)


def check(data: bytes, original: bytes, signed: bool) -> bool:
    """Whether the data was accepted; raises AssertionError where it must not have been or is
    unsound."""
    try:
        archive = decode_archive(data)
    except ArchiveError:
        return False
    assert signed or data == original, "altered bytes with wrong checksums were accepted"
    archive.codes.check_format(full_check=True)
    n, k = archive.codes.shape
    assert archive.dictionary.atoms_.shape == (k, archive.dictionary.n_features_in_)
    assert (
        np.isfinite(archive.dictionary.atoms_).all() and np.isfinite(archive.dictionary.mean_).all()
    )
    assert archive.names is None or len(archive.names) == n
    return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    originals = seeds()
    split = [sections(data) for data in originals]
    rng = np.random.default_rng(arguments.seed)
    accepted, slowest, peak, begin = 0, 0.0, 0, time.perf_counter()
    for i in range(arguments.count):
        which = int(rng.integers(0, len(originals)))
        signed = bool(i % 2)
        if signed:
            parts = list(split[which])
            part = int(rng.integers(0, len(parts)))
            parts[part] = (parts[part][0], mutate(parts[part][1], rng))
            data = sign(parts, originals[which][:5])
        else:
            data = mutate(originals[which], rng)
        watched = i % 64 == 1
        if watched:
            tracemalloc.start()
        start = time.perf_counter()
        try:
            accepted += check(data, originals[which], signed)
        except BaseException:
            with open("fuzz-failure.smic", "wb") as f:
                f.write(data)
            print(f"number {i} fails, see fuzz-failure.smic")
            raise
        slowest = max(slowest, time.perf_counter() - start)
        if watched:
            peak = max(peak, tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    seconds = time.perf_counter() - begin
    print(
        f"{arguments.count} mutated archives in {seconds:.0f} s: no crash, {accepted} accepted"
        " (all with checksums"
        f" made right), slowest {slowest:.2f} s, peak {peak / 1e6:.1f} MB in every 64th"
    )


if __name__ == "__main__":
    main()
