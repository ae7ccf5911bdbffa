import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from fiftyone_smic.archive import (
    ArchiveError,
    archive_info,
    decode_archive,
    read_archive,
    write_archive,
)
from fiftyone_smic.dictionary import SemanticDictionary
from fiftyone_smic.priors import Prior
from fiftyone_smic.rows import Rows

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


def invent(seed, n, d, k, max_level, max_nonzero, density):
    """A dictionary and codes nobody learned, to reach corners."""
    rng = np.random.default_rng(seed)
    levels = np.rint(rng.standard_cauchy((k, d)) * 2).clip(-70000, 70000).astype(np.int32)
    codes = random_array((n, k), density=density, rng=rng, dtype=float).tocsr()
    rows = [
        row[: rng.integers(0, max_nonzero + 1)]
        for row in np.split(codes.indices, codes.indptr[1:-1])
    ][:n]
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
)
def test_any_dictionary_and_codes_round_trip(
    tmp_path, seed, n, d, k, max_level, max_nonzero, density
):
    dictionary, codes = invent(seed, n, d, k, max_level, max_nonzero, density)
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


def _resigned(data: bytes, change) -> bytes:
    """The archive with a section's body changed and all lengths and checksums made right again."""

    def varint(value):
        out = b""
        while value > 127:
            out, value = out + bytes([value & 127 | 128]), value >> 7
        return out + bytes([value])

    out, at = bytearray(data[:5]), 5
    while at < len(data):
        kind, length, shift = data[at : at + 1], 0, 0
        while True:
            at += 1
            length |= (data[at] & 127) << shift
            shift += 7
            if data[at] < 128:
                break
        body = bytes(change(kind, bytearray(data[at + 1 : at + 1 + length])))
        at += 1 + length + 4
        out += kind + varint(len(body)) + body
        out += struct.pack("<I", zlib.crc32(out))
    return bytes(out)


@relaxed
@given(
    st.sampled_from([b"H", b"D", b"C", b"N"]),
    st.integers(0, 10**6),
    st.integers(1, 255),
    st.booleans(),
)
def test_altered_content_with_right_checksums_never_crashes(
    archive_bytes, section, at, change, cut
):
    def alter(kind, body):
        if kind == section:
            body[at % len(body)] ^= change
            if cut:
                del body[at % len(body) :]
        return body

    try:
        archive = decode_archive(_resigned(archive_bytes, alter))
    except ArchiveError:
        return
    # What is accepted is at least a sound archive.
    n, k = archive.codes.shape
    assert archive.latents().shape == (n, archive.dictionary.n_features_in_)
    assert archive.dictionary.atoms_.shape[0] == k and np.isfinite(archive.dictionary.atoms_).all()
    archive.codes.check_format(full_check=True)


def test_resigning_without_change_is_the_identity(archive_bytes):
    assert _resigned(archive_bytes, lambda kind, body: body) == archive_bytes


def test_promises_larger_than_the_file_are_refused(archive_bytes):
    def grow(kind, body):
        if kind == b"H":
            body[:2] = b"\xff\xff\xff\xff\xff\x07"  # N = 2**38
        return body

    with pytest.raises(ArchiveError, match="more than the file can hold"):
        decode_archive(_resigned(archive_bytes, grow))


def test_a_zip_bomb_in_the_names_is_refused(archive_bytes):
    def bomb(kind, body):
        return b"\x80\x01" + zlib.compress(bytes(1 << 24)) if kind == b"N" else body

    with pytest.raises(ArchiveError, match="names"):
        decode_archive(_resigned(archive_bytes, bomb))


@pytest.mark.parametrize(
    "data", [b"", b"S", b"\x89PNG\r\n\x1a\n" + bytes(100), b"SMIC", b"SMIC\x01", bytes(1000)]
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


def test_info_needs_only_the_beginning(archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes[:5000])
    info = archive_info(path)
    assert (info["items"], info["encoder"], info["named"], info["pixels_per_item"]) == (
        300,
        "m/p",
        True,
        9e4,
    )
    assert info["bytes"] == len(archive_bytes[:5000])


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


def test_size_follows_the_code_lengths(collection, tmp_path):
    dictionary, codes, _ = collection
    rate = write_archive(tmp_path / "x.smic", dictionary, codes, encoder="e")
    assert rate.payload_bits <= 1.02 * dictionary.code_bits(codes).sum() + 64
    assert rate.header_bits < 8 * 60


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
    )
    with pytest.raises(ValueError, match="do not fit"):
        Prior.load(path)
    with pytest.raises(ValueError, match="two finite latents"):
        Prior.build(np.ones((1, 4)))
