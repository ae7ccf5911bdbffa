import lzma
import os
import random
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from fiftyone_smic import archive as archives
from fiftyone_smic.archive import (
    ArchiveError,
    append_archive,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
    write_archive,
)
from fiftyone_smic.container import END_SIZE, varint
from fiftyone_smic.dictionary import SemanticDictionary
from fiftyone_smic.entropy import Coder, CorruptStream
from fiftyone_smic.priors import Prior
from fiftyone_smic.rows import Rows, code_rows

from . import second_reader
from .benchmarks import fuzz

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def collection():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 8)) @ rng.normal(size=(8, 24)) + 3
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    dictionary = SemanticDictionary(lam=0.001, max_iter=4).fit(z)
    return dictionary, dictionary.transform(z), z


@pytest.fixture(scope="module")
def archive_bytes(collection, tmp_path_factory):
    path = tmp_path_factory.mktemp("a") / "x.smic"
    write_archive(
        path,
        *collection[:2],
        encoder="m/p",
        names=[f"{i}.jpg" for i in range(300)],
        pixels_per_item=9e4,
    )
    return path.read_bytes()


def _full(n, k):
    """Items with all of the first 16 atoms."""
    return csr_matrix(np.tile(np.arange(k) < 16, (n, 1)).astype(int))


@pytest.fixture(scope="module")
def appended_bytes(collection, archive_bytes, tmp_path_factory):
    """The archive with two appends, the second of items unlike all before."""
    path = tmp_path_factory.mktemp("b") / "x.smic"
    path.write_bytes(archive_bytes)
    codes = collection[1]
    append_archive(path, codes[:5], names=[f"new{i}" for i in range(5)])
    append_archive(path, _full(20, codes.shape[1]), names=["full"] * 20)
    return path.read_bytes()


def invent(seed, n, d, k, max_level, max_nonzero, density, alike=0.0):
    """A dictionary and codes nobody learned, to reach corners; a share of the items are ``alike``
    the one before."""
    rng = np.random.default_rng(seed)
    levels = np.rint(rng.standard_cauchy((k, d)) * 2).clip(-70000, 70000).astype(np.int32)
    codes = random_array((n, k), density=density, rng=rng, dtype=float).tocsr()
    rows = [
        row[: rng.integers(0, max_nonzero + 1)]
        for row in np.split(codes.indices, codes.indptr[1:-1])
    ][:n]
    for i in np.flatnonzero(rng.random(n) < alike):
        if i and len(rows[i - 1]):
            rows[i] = np.delete(rows[i - 1], rng.integers(len(rows[i - 1])))
    sizes = [len(r) for r in rows]
    data = rng.integers(1, max_level + 1, sum(sizes)) * rng.choice([-1, 1], sum(sizes))
    codes = csr_matrix((data, np.concatenate([*rows, []]), np.cumsum([0, *sizes])), shape=(n, k))
    dictionary = SemanticDictionary(
        lam=0.01, max_level=max_level, max_nonzero=max_nonzero
    )._restore(
        Rows(np.rint(rng.normal(size=(1, d)) * 30).astype(np.int32), np.array([-20], np.int32)),
        Rows(levels, rng.integers(-30, 5, k).astype(np.int32)),
        np.zeros(k, np.int64),
        np.zeros(2 * max_level + 1, np.int64),
        np.zeros(max_nonzero + 1, np.int64),
    )
    return dictionary, codes


def test_everything_comes_back(collection, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    names = ["a/é.jpg", "", "line\nbreak", *map(str, range(297))]
    rate = write_archive(
        path, dictionary, codes, encoder="ViT-B-32/openai", latent_norm=10.5, names=names
    )
    back = read_archive(path)
    assert (back.codes != codes).nnz == 0 and back.codes.dtype == np.int8
    assert np.array_equal(back.dictionary.atoms_, dictionary.atoms_)
    assert np.array_equal(back.dictionary.mean_, dictionary.mean_)
    assert back.names == tuple(names) and (back.encoder, back.latent_norm) == (
        "ViT-B-32/openai",
        10.5,
    )
    assert back.pixels_per_item is None
    assert back.rate == rate and rate.total_bits == 8 * path.stat().st_size and rate.items == 300
    rebuilt = dictionary.inverse_transform(codes)
    unit = rebuilt / np.linalg.norm(rebuilt, axis=1, keepdims=True)
    assert np.allclose(back.latents(), unit, atol=1e-6)


def test_a_dictionary_read_back_encodes_alike(collection, tmp_path):
    dictionary, codes, z = collection
    write_archive(tmp_path / "x.smic", dictionary, codes, encoder="e")
    back = read_archive(tmp_path / "x.smic").dictionary
    # Its statistics are those of the codes; with the same statistics it must make the same
    # decisions.
    back.counts_, back.level_counts_, back.size_counts_ = (
        dictionary.counts_,
        dictionary.level_counts_,
        dictionary.size_counts_,
    )
    assert (back.transform(z) != codes).nnz == 0


@relaxed
@given(
    st.integers(0, 10**6),
    st.integers(0, 40),
    st.integers(1, 20),
    st.integers(0, 30),
    st.integers(1, 127),
    st.integers(1, 20),
    st.floats(0, 1),
    st.sampled_from([0, 0.9]),
)
def test_any_dictionary_and_codes_round_trip(
    tmp_path, seed, n, d, k, max_level, max_nonzero, density, alike
):
    dictionary, codes = invent(seed, n, d, k, max_level, max_nonzero, density, alike)
    path = tmp_path / "x.smic"
    rate = write_archive(path, dictionary, codes, encoder="e")
    back = read_archive(path)
    assert back.codes.shape == (n, k) and np.array_equal(back.codes.toarray(), codes.toarray())
    assert np.array_equal(back.dictionary.atoms_, dictionary.atoms_)
    assert np.array_equal(back.dictionary.mean_, dictionary.mean_)
    assert rate.total_bytes == path.stat().st_size


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
    start, shared, [(_, codes, names)] = fuzz.take_apart(archive_bytes)
    for items in (1 << 20, 1 << 38):
        with pytest.raises(ArchiveError, match="more than the file can hold"):
            decode_archive(fuzz.put_together((start, shared, [(items, codes, names)])))
    # d and K, each believable alone
    huge = start[:5] + b"\x80\x80\x04" + b"\x80\x20" + start[7:]
    with pytest.raises(ArchiveError, match="more than the file can hold"):
        decode_archive(fuzz.put_together((huge, shared, [(300, codes, names)])))


def test_many_blocks_cannot_promise_more_than_one(archive_bytes):
    """Each block's promise would be believed, the sum of them is not."""
    start, shared, [(_, _, names)] = fuzz.take_apart(archive_bytes)
    blocks = [(30_000, b"", names)] * 100
    with pytest.raises(ArchiveError, match="more than the file can hold"):
        decode_archive(fuzz.put_together((start, shared, blocks)))


def test_rows_that_would_leave_64_bits_are_refused():
    huge = Rows(np.full((1, 64), 70_000, np.int32), np.array([47], np.int32))
    with pytest.raises(CorruptStream, match="too large"):
        code_rows(Coder(), 1, 64, None, huge)


@pytest.mark.parametrize("bomb", ["deflate", "lzma", "copies", "blocks"])
def test_bombs_in_the_names_are_refused(archive_bytes, bomb):
    start, shared, [(items, codes, _)] = fuzz.take_apart(archive_bytes)
    big = bytes(1 << 26)
    if bomb == "deflate":
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        names = b"\1\x80\x80\x80\x20" + deflate.compress(big) + deflate.flush()
    elif bomb == "lzma":
        filters = [{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 20, "lc": 3, "lp": 0, "pb": 0}]
        names = b"\2\x80\x80\x80\x20" + lzma.compress(big, lzma.FORMAT_RAW, filters=filters)
    elif bomb == "blocks":  # none of them too large
        text = bytes(600) + b"x" * 13_000 + bytes(299)
        names = b"\1" + varint(len(text)) + zlib.compress(text, wbits=-15)
        assert 300 * 13_000 < 1 << 22
    else:  # a long first name, and 299 that are as the one before leads one to expect
        text = bytes(600) + b"x" * 300_000 + bytes(299)
        names = b"\1" + varint(len(text)) + zlib.compress(text, wbits=-15)
    blocks = [(items, codes, names)] * (3 if bomb == "blocks" else 1)
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


def test_info_says_what_is_in_the_file(archive_bytes, appended_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(appended_bytes)
    info = archive_info(path)
    assert (info["items"], info["blocks"], info["encoder"], info["named"]) == (325, 3, "m/p", True)
    assert (info["pixels_per_item"], info["bytes"]) == (9e4, len(appended_bytes))
    rate = read_archive(path).rate
    assert (info["payload_bytes"], info["dictionary_bytes"]) == (
        rate.payload_bits / 8,
        rate.dictionary_bits / 8,
    )
    path.write_bytes(archive_bytes[:-1])
    with pytest.raises(ArchiveError, match="too early"):
        archive_info(path)


def test_bytes_are_deterministic(collection, archive_bytes, tmp_path):
    path = tmp_path / "again.smic"
    write_archive(
        path,
        *collection[:2],
        encoder="m/p",
        names=[f"{i}.jpg" for i in range(300)],
        pixels_per_item=9e4,
    )
    assert path.read_bytes() == archive_bytes


@pytest.mark.parametrize("prior", [False, True])
def test_streams_are_within_a_percent_of_their_ideal_lengths(collection, prior, monkeypatch):
    """The whole file: rows and tables, codes; the rest is counted in bytes."""
    _, _, z = collection
    dictionary = SemanticDictionary(lam=1e-4, max_iter=3, prior=Prior.build(z) if prior else None)
    codes = dictionary.fit_transform(np.tile(z, (4, 1)))
    coders = []
    made = Coder.__init__
    monkeypatch.setattr(
        Coder, "__init__", lambda self, data=None: (made(self, data), coders.append(self))[0]
    )
    data, rate = encode_archive(dictionary, codes, encoder="e")
    # Each block was tried in two ways; only the shorter has the dictionary behind its tables.
    tried = [(a.bits, b.bits) for a, b in zip(coders[::2], coders[1::2], strict=True)]
    shared, payload = max(tried)
    assert min(shared, payload) > 4000  # otherwise whole bytes blur it
    assert shared <= rate.dictionary_bits <= 1.01 * shared
    assert payload <= rate.payload_bits <= 1.01 * payload
    assert 8 * len(data) <= 1.01 * (shared + payload) + 8 * 50
    # What the model of rows promised while quantising is what they take, tables aside.
    rows = dictionary.atom_rows_.bits + dictionary.mean_rows_.bits
    assert rate.dictionary_bits < 1.1 * rows + 8 * dictionary.n_atoms_
    # And an ideal code under the training statistics is no better than the tables in the file.
    assert rate.payload_bits <= 1.02 * dictionary.code_bits(codes).sum() + 64


def test_neighbours_that_are_alike_cost_little(collection):
    """Frames and bursts: eight items of each kind, each with one atom of its own."""
    dictionary, codes, _ = collection
    rng = np.random.default_rng(0)
    own = csr_matrix((np.ones(800), rng.integers(0, codes.shape[1], 800), np.arange(801)))
    own.resize(800, codes.shape[1])
    alike = csr_matrix(((codes[np.repeat(np.arange(100), 8)] != 0) + own) != 0).astype(np.int8)
    shuffled = alike[rng.permutation(800)]
    bits = [encode_archive(dictionary, c, encoder="e")[1].payload_bits for c in (alike, shuffled)]
    assert bits[0] < 0.6 * bits[1]


def test_order_of_a_set_costs_nothing(tmp_path):
    """Equal weights: a set of n of K atoms takes log2 of the number of such sets."""
    rng = np.random.default_rng(0)
    n, k, size = 4000, 20, 5
    indices = np.sort(np.argsort(rng.random((n, k)), axis=1)[:, :size], axis=1).ravel()
    codes = csr_matrix((np.ones(n * size), indices, np.arange(n + 1) * size), shape=(n, k))
    dictionary, _ = invent(0, 1, 4, k, 1, 8, 0)
    rate = write_archive(tmp_path / "x.smic", dictionary, codes, encoder="e")
    assert rate.payload_bits / n == pytest.approx(np.log2(15504), rel=0.02)


def test_a_failed_write_leaves_the_old_file(collection, tmp_path, monkeypatch):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_archive(path, dictionary, codes, encoder="e")
    assert [p.name for p in tmp_path.iterdir()] == ["x.smic"] and path.read_bytes() == b"old"


def test_a_full_disk_leaves_the_old_archive(collection, archive_bytes, tmp_path):
    """In a process whose files may not grow beyond 512 bytes."""
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    code = (
        "import resource, signal, sys\n"
        "from fiftyone_smic.archive import append_archive, read_archive\n"
        "codes = read_archive(sys.argv[1]).codes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "try: append_archive(sys.argv[1], codes, names=['x'] * 300)\n"
        "except OSError as e: print('refused', e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert "refused" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["x.smic"] and path.read_bytes() == archive_bytes


def test_a_killed_process_leaves_a_readable_archive(archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    code = (
        "import sys\n"
        "from fiftyone_smic.archive import append_archive, read_archive\n"
        "codes = read_archive(sys.argv[1]).codes[:3]\n"
        "while True:\n"
        "    append_archive(sys.argv[1], codes, names=['x'] * 3)\n"
        "    print('appended', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    archive = read_archive(path)
    assert len(archive.names) >= 303 and (len(archive.names) - 300) % 3 == 0
    assert path.read_bytes().startswith(archive_bytes[:-END_SIZE])


def test_codes_the_dictionary_cannot_have_made(collection, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    for bad, message in (
        (codes[:, :-1], "columns"),
        (codes * 100, "exceed"),
        (codes * 0.5, "whole numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            write_archive(path, dictionary, bad, encoder="e")
    with pytest.raises(ValueError, match="names for 300 items"):
        write_archive(path, dictionary, codes, encoder="e", names=["a"])
    with pytest.raises(ValueError, match="NUL"):
        write_archive(path, dictionary, codes, encoder="e", names=["a\0"] * 300)
    assert not path.exists()


def test_unordered_keeps_the_items_and_their_names(collection, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    names = [f"{i:03d}" for i in range(300)]
    write_archive(path, dictionary, codes, encoder="e", names=names, ordered=False)
    back = read_archive(path)
    order = np.array([int(name) for name in back.names])
    assert sorted(order) == list(range(300))
    assert (back.codes != codes[order]).nnz == 0
    assert archive_info(path)["ordered"] is False


def test_unordered_saves_the_order(collection, tmp_path):
    dictionary, _, _ = collection
    rng = np.random.default_rng(0)
    n, k = 2000, dictionary.n_atoms_
    dense = (rng.random((n, k)) < 0.5) * rng.choice([-1, 1], (n, k))
    codes = csr_matrix(np.where(np.cumsum(dense != 0, axis=1) <= 16, dense, 0))
    rates = [
        write_archive(tmp_path / "x.smic", dictionary, codes, encoder="e", ordered=ordered)
        for ordered in (True, False)
    ]
    factorial = np.log2(np.arange(1, n + 1)).sum()  # all items differ: log2 N! bits
    saved = rates[0].payload_bits - rates[1].payload_bits
    assert saved == pytest.approx(factorial, rel=0.01)


@relaxed
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(0, 5), st.integers(1, 3))
def test_any_multiset_round_trips(tmp_path, seed, n, k, max_level):
    dictionary, codes = invent(seed, n, 4, k, max_level, 4, 0.3)
    path = tmp_path / "x.smic"
    write_archive(path, dictionary, codes, encoder="e", ordered=False)
    back = read_archive(path).codes.toarray()
    assert sorted(map(tuple, back)) == sorted(map(tuple, codes.toarray()))


def test_a_prior_is_named_and_needed(collection, tmp_path):
    _, _, z = collection
    prior, other = Prior.build(z[:200]), Prior.build(z[100:])
    dictionary = SemanticDictionary(lam=0.001, max_iter=3, prior=prior).fit(z)
    codes = dictionary.transform(z)
    path, file = tmp_path / "x.smic", tmp_path / "p.npz"
    write_archive(path, dictionary, codes, encoder="e")
    prior.save(file)
    for given_prior in (prior, file):
        back = read_archive(path, prior=given_prior)
        assert np.array_equal(back.dictionary.atoms_, dictionary.atoms_)
        assert np.array_equal(back.dictionary.mean_, dictionary.mean_)
        assert (back.codes != codes).nnz == 0
    assert archive_info(path)["prior"] == prior.hash
    for wrong in (None, other):
        with pytest.raises(ArchiveError, match=prior.hash):
            read_archive(path, prior=wrong)


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


# --- blocks --------------------


def test_items_are_appended_without_touching_what_is_there(
    collection, archive_bytes, appended_bytes, tmp_path
):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(appended_bytes)
    assert appended_bytes.startswith(archive_bytes[:-END_SIZE])
    back = read_archive(path)
    assert (back.codes[:300] != codes).nnz == 0
    assert (back.codes[300:305] != codes[:5]).nnz == 0
    assert (back.codes[305:] != _full(20, codes.shape[1])).nnz == 0
    assert back.names == (
        *(f"{i}.jpg" for i in range(300)),
        *(f"new{i}" for i in range(5)),
        *["full"] * 20,
    )
    assert back.rate.items == 325 and back.rate.total_bytes == len(appended_bytes)
    assert np.array_equal(back.dictionary.atoms_, dictionary.atoms_)


def test_an_appended_item_costs_little(collection, archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    append_archive(path, collection[1][:1], names=["300.jpg"])
    assert path.stat().st_size - len(archive_bytes) < 24 + collection[1][0].nnz


def test_coding_more_items_does_not_depend_on_what_was_read(collection, archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    z = collection[2]
    whole, none = read_archive(path).dictionary, read_archive(path, stop=0).dictionary
    assert (whole.transform(z) != none.transform(z)).nnz == 0


def test_what_cannot_be_appended(collection, archive_bytes, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    for bad, names, message in (
        (codes[:2, :-1], ["a", "b"], "columns"),
        (codes[:2] * 100, ["a", "b"], "exceed"),
        (codes[:2], ["a"], "1 names for 2 items"),
        (codes[:2], None, "has names"),
    ):
        with pytest.raises(ValueError, match=message):
            append_archive(path, bad, names=names)
    assert path.read_bytes() == archive_bytes
    write_archive(path, dictionary, codes, encoder="e", ordered=False)
    with pytest.raises(ValueError, match="unordered"):
        append_archive(path, codes[:2])
    path.write_bytes(archive_bytes[:-20] + bytes(20))
    with pytest.raises(ArchiveError):
        append_archive(path, codes[:2], names=["a", "b"])


def test_a_range_is_read_without_the_other_blocks(collection, tmp_path, monkeypatch):
    dictionary, codes, _ = collection
    monkeypatch.setattr(archives, "BLOCK", 64)
    path = tmp_path / "x.smic"
    names = [f"{i}.jpg" for i in range(300)]
    write_archive(path, dictionary, codes, encoder="e", names=names)
    assert archive_info(path)["blocks"] == 5
    for start, stop in ((0, 300), (0, 0), (300, 300), (63, 65), (64, 128), (130, 131), (299, 300)):
        part = read_archive(path, start=start, stop=stop)
        assert (part.codes != codes[start:stop]).nnz == 0 and part.codes.shape[0] == stop - start
        assert part.names == tuple(names[start:stop]) and part.first == start
        assert part.rate == read_archive(path).rate
    for start, stop in ((0, 301), (-1, 5), (7, 5)):
        with pytest.raises(ValueError, match="the archive has 300"):
            read_archive(path, start=start, stop=stop)
    # Damage in another block is not met; in one that is read it is.
    data = bytearray(path.read_bytes())
    data[-END_SIZE - 10] ^= 1
    path.write_bytes(data)
    assert read_archive(path, start=0, stop=64).codes.shape[0] == 64
    with pytest.raises(ArchiveError, match="items 256 to 299"):
        read_archive(path, start=290)


def test_blocks_change_little_but_the_overhead(collection, monkeypatch):
    dictionary, codes, _ = collection
    whole = encode_archive(dictionary, codes, encoder="e")[0]
    monkeypatch.setattr(archives, "BLOCK", 100)
    data = encode_archive(dictionary, codes, encoder="e")[0]
    assert len(data) - len(whole) < 3 * 14
    assert (decode_archive(data).codes != codes).nnz == 0


@relaxed
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=1))
def test_any_names_come_back(collection, names):
    dictionary, codes, _ = collection
    few = codes[np.zeros(len(names), int)]
    data, _ = encode_archive(dictionary, few, encoder="e", names=names)
    assert decode_archive(data).names == tuple(names)


def test_numbered_names_cost_almost_nothing(collection):
    dictionary, codes, _ = collection
    many = codes[np.arange(3000) % 300]
    names = [f"set/postcard-{i:05d}.png" for i in range(3000)]
    sizes = [len(encode_archive(dictionary, many, encoder="e", names=n)[0]) for n in (None, names)]
    assert sizes[1] - sizes[0] < 80


def test_codes_that_cost_nothing_are_still_believed(tmp_path):
    """A million empty items: the writer appends what the reader wants to see."""
    dictionary, _ = invent(0, 1, 4, 3, 1, 8, 0)
    empty = csr_matrix((1_000_000, 3), dtype=np.int8)
    path = tmp_path / "x.smic"
    write_archive(path, dictionary, empty, encoder="e", names=[""] * 1_000_000)
    assert read_archive(path).codes.shape == (1_000_000, 3)
    append_archive(path, empty[:5000], names=["a" * 5000] * 5000)
    assert read_archive(path, start=1_004_999).names == ("a" * 5000,)


@pytest.mark.parametrize("with_prior", [False, True])
def test_a_second_reader_reads_the_same(collection, tmp_path, with_prior):
    """Written from the format's description alone, so the description is enough."""
    _, _, z = collection
    prior = Prior.build(z[:100]) if with_prior else None
    dictionary = SemanticDictionary(lam=5e-4, max_iter=3, prior=prior).fit(z)
    codes = dictionary.transform(z)[:60]
    path = tmp_path / "x.smic"
    names = [f"{7 * i}.jpg" for i in range(60)]
    write_archive(path, dictionary, codes, encoder="ViT-L-14/openai", names=names)
    append_archive(path, codes[:9], names=[f"été {i}" for i in range(9)])
    append_archive(path, _full(20, codes.shape[1]), names=["full"] * 20)  # neighbours alike
    archive = read_archive(path, prior)
    public = prior and second_reader.Prior(prior.profile.tolist(), prior.public.rows.tolist())
    found = second_reader.read(path.read_bytes(), public)
    assert found.encoder == archive.encoder and tuple(found.names) == archive.names
    for i, (indices, levels) in enumerate(found.items):
        row = archive.codes[i]
        assert (row.indices.tolist(), row.data.tolist()) == (indices, levels)
    assert len(found.items) == 89
    atoms, mean = np.array(found.atoms), np.array(found.mean)
    if prior:
        atoms, mean = atoms @ prior.axes.T, mean @ prior.axes.T + prior.mean
    assert np.allclose(atoms, archive.dictionary.atoms_, atol=1e-7)
    assert np.allclose(mean, archive.dictionary.mean_, atol=1e-7)
