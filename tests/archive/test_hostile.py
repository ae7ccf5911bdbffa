"""Altered, truncated and foreign files are refused."""

import lzma
import random
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import (
    ArchiveError,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
)
from fiftyone_smic.archive.format import END_SIZE
from fiftyone_smic.archive.primitives import varint
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.rows import Rows, code_rows
from fiftyone_smic.coding.tables import CorruptStream
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior

from ..benchmarks import fuzz

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@relaxed
@given(st.data())
def test_mutated_bytes_are_refused(archive_bytes, data):
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
    at = data.draw(st.integers(0, len(archive_bytes) - 1))
    broken = bytearray(archive_bytes)
    if kind == "flip":
        broken[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del broken[at : at + data.draw(st.integers(1, len(broken)))]
    elif kind == "insert":
        broken[at:at] = data.draw(st.binary(min_size=1, max_size=20))
    else:
        other = data.draw(st.integers(0, len(archive_bytes) - 1))
        broken[at], broken[other] = broken[other], broken[at]
    if broken != archive_bytes:
        with pytest.raises(ArchiveError):
            decode_archive(bytes(broken))


@relaxed
@given(st.integers(0, 10**9))
def test_altered_content_with_right_checksums_never_crashes(archive_bytes, appended_bytes, seed):
    rng = random.Random(seed)
    for data in (archive_bytes, appended_bytes):
        changed = fuzz.put_together(fuzz.mutate_part(fuzz.take_apart(data), rng))
        fuzz.check(changed, data, signed=True)


def test_taking_apart_and_putting_together_is_the_identity(archive_bytes, appended_bytes):
    for data in (archive_bytes, appended_bytes):
        assert fuzz.put_together(fuzz.take_apart(data)) == data


@pytest.mark.parametrize("left", [0, 1, 2])
def test_blocks_cannot_be_left_out(appended_bytes, left):
    start, shared, blocks = fuzz.take_apart(appended_bytes)
    shorter = fuzz.put_together((start, shared, blocks[:left]))
    end = appended_bytes[-END_SIZE:]
    assert appended_bytes.startswith(shorter[:-END_SIZE])
    with pytest.raises(ArchiveError, match="the end of the file"):
        decode_archive(shorter[:-END_SIZE] + end)


def test_promises_larger_than_the_file_are_refused(archive_bytes):
    start, shared, [(_, codes, names, _)] = fuzz.take_apart(archive_bytes)
    for items in (1 << 20, 1 << 38):
        with pytest.raises(ArchiveError, match="more than the file can hold"):
            decode_archive(fuzz.put_together((start, shared, [(items, codes, names, None)])))
    # d and K, each believable alone
    huge = start[:5] + b"\x80\x80\x04" + b"\x80\x20" + start[7:]
    with pytest.raises(ArchiveError, match="more than the file can hold"):
        decode_archive(fuzz.put_together((huge, shared, [(300, codes, names, None)])))


def test_a_small_file_takes_little_memory():
    """As large a dictionary of nothing as a small file may hold, and polynomials as large."""
    k, d, most = 16382, 256, 255
    zeros = [np.zeros(n, np.int64) for n in (k, k, 255, most + 1)]
    rows = [Rows(np.zeros((n, d), np.int32), np.zeros(n, np.int32)) for n in (1, k)]
    dictionary = SemanticDictionary(k, lam=0.01, max_level=127, max_nonzero=most)
    codes = csr_matrix((np.ones(most), (np.zeros(most, int), np.arange(most))), shape=(1, k))
    data = encode_archive(dictionary._restore(*rows, *zeros), codes, encoder="e")[0]
    tracemalloc.start()
    decode_archive(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(data) < 2000 and peak < (1 << 26) + 8192 * len(data)


def test_many_blocks_cannot_promise_more_than_one(archive_bytes):
    """Each block's promise would be believed, the sum of them is not."""
    start, shared, [(_, _, names, _)] = fuzz.take_apart(archive_bytes)
    blocks = [(30_000, b"", names, None)] * 100
    with pytest.raises(ArchiveError, match="more than the file can hold"):
        decode_archive(fuzz.put_together((start, shared, blocks)))


def test_rows_that_would_leave_64_bits_are_refused():
    huge = Rows(np.full((1, 64), 70_000, np.int32), np.array([47], np.int32))
    with pytest.raises(CorruptStream, match="too large"):
        code_rows(Coder(), 1, 64, None, huge)


@pytest.mark.parametrize("bomb", ["deflate", "lzma", "copies", "blocks"])
def test_bombs_in_the_names_are_refused(archive_bytes, bomb):
    start, shared, [(items, codes, _, _)] = fuzz.take_apart(archive_bytes)
    big = bytes(1 << 26)

    def deflated(data: bytes) -> bytes:
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(data) + deflate.flush()

    if bomb == "deflate":
        names = b"\1\x80\x80\x80\x20" + deflated(big)
    elif bomb == "lzma":
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]
        names = b"\2\x80\x80\x80\x20" + lzma.compress(big, lzma.FORMAT_RAW, filters=filters)
    elif bomb == "blocks":  # none of them too large
        text = bytes(600) + b"x" * 13_000 + bytes(299)
        names = b"\1" + varint(len(text)) + deflated(text)
        assert 300 * 13_000 < 1 << 22
    else:  # a long first name, and 299 that are as the one before leads one to expect
        text = bytes(600) + b"x" * 300_000 + bytes(299)
        names = b"\1" + varint(len(text)) + deflated(text)
    blocks = [(items, codes, names, None)] * (3 if bomb == "blocks" else 1)
    with pytest.raises(ArchiveError, match="names"):
        decode_archive(fuzz.put_together((start, shared, blocks)))


@pytest.mark.parametrize(
    "data", [b"", b"S", b"\x89PNG\r\n\x1a\n" + bytes(100), b"SMIC", b"SMIC\x03", bytes(1000)]
)
def test_foreign_files(tmp_path, data):
    path = tmp_path / "x.smic"
    path.write_bytes(data)
    for read in (read_archive, archive_info):
        with pytest.raises(ArchiveError):
            read(path)


def test_newer_version_is_named(archive_bytes):
    with pytest.raises(ArchiveError, match="version 9"):
        decode_archive(archive_bytes[:4] + b"\x09" + archive_bytes[5:])


def test_files_that_are_no_prior(tmp_path):
    path = tmp_path / "p.npz"
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(ValueError, match="is not a prior"):
        Prior.load(path)
    np.savez(
        path,
        mean=np.zeros(3, np.float32),
        basis=np.zeros((2, 2), np.float16),
        profile=np.ones(3, int),
        atoms=np.zeros((0, 3), np.float16),
    )
    with pytest.raises(ValueError, match="do not fit"):
        Prior.load(path)
    with pytest.raises(ValueError, match="two finite latents"):
        Prior.build(np.ones((1, 4)))
