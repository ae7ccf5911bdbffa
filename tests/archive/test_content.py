"""What is written comes back, and costs what it should."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import (
    ArchiveError,
    append_archive,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
    write_archive,
)
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.metrics import fidelity

from ..support import second_reader
from .conftest import full, invent

relaxed = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


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
    for name in ("counts_", "other_counts_", "level_counts_", "size_counts_"):
        setattr(back, name, getattr(dictionary, name))
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
    # The block was coded in two ways; only the tables of the shorter have the dictionary behind.
    tried = [(a.bits, b.bits) for a, b in zip(coders[2:], coders[:2], strict=True)]
    shared, payload = max(tried)
    assert min(shared, payload) > 4000  # otherwise whole bytes blur it
    # Zero bytes at the end of a stream are left out, which may save some of the last one's bits.
    assert shared - 8 <= rate.dictionary_bits <= 1.01 * shared
    assert payload - 8 <= rate.payload_bits <= 1.01 * payload
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


def test_learning_goes_on_alike_whether_neighbours_are_alike():
    """Tables of an inter block know less of how often an atom was used."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(rng.normal(size=(60, 24)), 20, axis=0)
    z = kinds + 0.03 * rng.normal(size=kinds.shape)
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    new = rng.normal(size=(40, 24)).astype(np.float32)
    learned = SemanticDictionary(lam=0.002, max_iter=4, n_swaps=0).fit(z)
    kept = []
    for order in (np.arange(len(z)), rng.permutation(len(z))):
        data, _ = encode_archive(learned, learned.transform(z[order]), encoder="e")
        dictionary = decode_archive(data).dictionary
        assert dictionary.counts_.sum() == pytest.approx(learned.counts_.sum(), rel=0.25)
        dictionary.partial_fit(new)
        rebuilt = dictionary.inverse_transform(dictionary.transform(z))
        kept.append(fidelity(z, rebuilt).explained_variance)
    assert kept[0] == pytest.approx(kept[1], abs=0.005)


def test_order_of_a_set_costs_nothing(tmp_path):
    """Equal weights: a set of n of K atoms takes log2 of the number of such sets."""
    rng = np.random.default_rng(0)
    n, k, size = 4000, 20, 5
    indices = np.sort(np.argsort(rng.random((n, k)), axis=1)[:, :size], axis=1).ravel()
    codes = csr_matrix((np.ones(n * size), indices, np.arange(n + 1) * size), shape=(n, k))
    dictionary, _ = invent(0, 1, 4, k, 1, 8, 0)
    rate = write_archive(tmp_path / "x.smic", dictionary, codes, encoder="e")
    assert rate.payload_bits / n == pytest.approx(np.log2(15504), rel=0.02)


def test_coefficients_that_their_atom_tells_cost_nothing(tmp_path):
    """Half of the atoms always have 1, the others always -2: no bit more than if all had 1."""
    rng = np.random.default_rng(0)
    n, k, size = 4000, 20, 5
    indices = np.sort(np.argsort(rng.random((n, k)), axis=1)[:, :size], axis=1).ravel()
    dictionary, _ = invent(0, 1, 4, k, 4, 8, 0)
    bits = []
    for values in (np.ones(k), np.where(np.arange(k) % 2, 1, -2)):
        codes = csr_matrix((values[indices], indices, np.arange(n + 1) * size), shape=(n, k))
        for ordered in (True, False):
            data, rate = encode_archive(dictionary, codes, encoder="e", ordered=ordered)
            bits.append(rate.payload_bits)
            assert decode_archive(data).codes.sum() == codes.sum()
    assert bits[2:] == pytest.approx(bits[:2], rel=0.002)


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


def test_unordered_keeps_the_items_their_names_and_their_distortion(collection, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    names = [f"{i:03d}" for i in range(300)]
    lost = np.geomspace(0.001, 1, 300)
    write_archive(path, dictionary, codes, encoder="e", names=names, distortion=lost, ordered=False)
    back = read_archive(path)
    order = np.array([int(name) for name in back.names])
    assert sorted(order) == list(range(300))
    assert (back.codes != codes[order]).nnz == 0
    assert np.allclose(back.distortion, lost[order], rtol=0.05)
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
    append_archive(path, full(20, codes.shape[1]), names=["full"] * 20)  # neighbours alike
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


@pytest.mark.parametrize("max_level", [1, 5])
def test_a_second_reader_reads_unordered_archives(collection, max_level):
    dictionary, codes, _ = collection
    if max_level == 5:  # items of all sizes and kinds, some of them equal
        dictionary, codes = invent(3, 120, 6, 12, max_level, 6, 0.2)
        codes = csr_matrix(codes[np.arange(120) // 2])
    names = [f"{i}.jpg" for i in range(codes.shape[0])]
    data, _ = encode_archive(dictionary, codes, encoder="e", names=names, ordered=False)
    archive, found = decode_archive(data), second_reader.read(data)
    assert tuple(found.names) == archive.names and len(found.items) == codes.shape[0]
    for i, (indices, levels) in enumerate(found.items):
        row = archive.codes[i]
        assert (row.indices.tolist(), row.data.tolist()) == (indices, levels)
    assert np.allclose(found.atoms, archive.dictionary.atoms_, atol=1e-7)
