"""A dictionary learns from streams, shards and other processes, and forgets none of them."""

import copy
import pickle

import numpy as np
import pytest

from fiftyone_smic.dictionary import SemanticDictionary
from fiftyone_smic.dictionary.sampling import Reservoir, subsample
from fiftyone_smic.dictionary.statistics import Statistics
from fiftyone_smic.dictionary.stream import Stream
from fiftyone_smic.metrics import fidelity

D = 16


def latents(n, seed, topics=slice(0, 6)):
    """Unit-norm latents (n, 16): a common mean, one of some topics, a little noise."""
    rng = np.random.default_rng(seed)
    parts = np.random.default_rng(99).normal(size=(13, D))
    z = parts[-1] + parts[topics][rng.integers(0, len(parts[topics]), n)]
    z += 0.05 * rng.normal(size=(n, D))
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


def kept(dictionary, z):
    """Share of the variance that survives."""
    rebuilt = dictionary.inverse_transform(dictionary.transform(z))
    return fidelity(z, rebuilt, max_queries=1).explained_variance


def new(**parameters):
    return SemanticDictionary(**{"lam": 0.001, "max_iter": 8, "n_swaps": 0, **parameters})


@pytest.fixture(scope="module")
def shards():
    """A dictionary of few topics, two shards with topics of their own, and what comes later."""
    base = new(max_iter=12, n_swaps=4).fit(latents(80, 0, slice(0, 2)))
    return base, latents(150, 1, slice(2, 6)), latents(150, 2, slice(6, 12)), latents(20, 3)


@pytest.mark.parametrize("exchange", ["pickle", "arrays"])
def test_after_a_merge_the_stream_is_that_of_both_shards(shards, exchange):
    base, first, second, later = shards
    a, b = (copy.deepcopy(base).partial_fit(z) for z in (first, second))
    if exchange == "pickle":
        b = pickle.loads(pickle.dumps(b))
    else:
        b = SemanticDictionary.from_arrays(b.to_arrays(stream=True))
    before = b.to_arrays(stream=True)
    a.merge(b).partial_fit(later)
    assert a.n_iter_ > 0 and a.n_atoms_ > base.n_atoms_, "this call learns from the start"
    assert kept(a, first) > 0.85 and kept(a, second) > 0.85  # of one shard alone: 0.99 and 0.04
    after = b.to_arrays(stream=True)
    assert all(np.array_equal(before[name], after[name]) for name in before), "b stays as it was"


def test_merging_in_another_order_gives_the_same_stream(shards):
    base, first, second, later = shards
    merged = []
    for parts in ((first, second, later), (later, second, first)):
        copies = [copy.deepcopy(base).partial_fit(z) for z in parts]
        whole = copies[0].merge(copies[1]).merge(copies[2])
        merged.append((whole.to_arrays(stream=True), whole.partial_fit(later).atoms_))
    for name, array in merged[0][0].items():
        assert np.array_equal(array, merged[1][0][name]), name
    assert np.array_equal(merged[0][1], merged[1][1])


def test_what_cannot_be_merged(shards):
    base, first, _, _ = shards
    a = copy.deepcopy(base).partial_fit(first)
    for other in (a, "dictionary", new().fit(first)):
        with pytest.raises(ValueError, match="merge"):
            a.merge(other)
    # The counts alone do not say what the atoms were learned from.
    with pytest.raises(ValueError, match="stream=True"):
        a.merge(SemanticDictionary.from_arrays(base.to_arrays()).partial_fit(first))


def test_a_stream_goes_on_alike_after_storing(shards):
    base, first, second, later = shards
    a = copy.deepcopy(base).partial_fit(first)
    b = SemanticDictionary.from_arrays(a.to_arrays(stream=True))
    for z in (second, later):
        a.partial_fit(z)
        b.partial_fit(z)
        assert np.array_equal(a.atoms_, b.atoms_) and np.array_equal(a.counts_, b.counts_)


def test_learning_anew_does_not_forget_what_came_first():
    """The sample is even over the whole stream, also after everything was learned again."""
    batches = [latents(100, seed) for seed in range(8)]
    dictionary = new(max_iter=1).fit(batches[0])
    for batch in batches[1:]:
        dictionary.partial_fit(batch)
    stream = dictionary._stream
    assert stream.known_items == 700 and stream.window.items == 100, (
        "it was learned from the start twice"
    )
    sample = {row.tobytes() for row in stream.sample(100, 400)}
    found = [sum(row.tobytes() in sample for row in batch) for batch in batches]
    assert sum(found) == 400 and min(found) > 30 and max(found) < 70


def test_an_interrupted_batch_changes_nothing(shards, monkeypatch):
    base, first, second, later = shards
    dictionary = copy.deepcopy(base).partial_fit(first).partial_fit(second[:20])
    before = dictionary.to_arrays(stream=True)

    def fail(*_, **__):
        raise KeyboardInterrupt

    for name in ("quantise_atoms", "atom_values"):
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(f"fiftyone_smic.dictionary.quantisation.{name}", fail)
            dictionary.partial_fit(later)
        after = dictionary.to_arrays(stream=True)
        assert all(np.array_equal(before[n], after[n]) for n in before)
    with pytest.raises(ValueError, match="at least 1"):
        dictionary.partial_fit(later[:0])


# --- samples --------------------


def test_a_sample_of_the_stream_is_even_though_its_parts_are_not():
    """Of 400 known items 40 are there, of 100 new ones all: ten of these are as many."""
    known, new_items = (np.full((n, 2), value, np.float32) for n, value in ((40, 0), (100, 1)))
    none = Statistics.empty(0, 2, 1, 1)
    stream = Stream.start(none, known, 400, 1).sampled(new_items, 1000)
    sample = stream.sample(100, 1000)
    assert (len(sample), sample[:, 0].sum()) == (50, 10)
    assert len(stream.sample(100, 20)) == 20
    assert len(Stream.start(none, known[:0], 400, 1).sampled(new_items, 60).sample(100, 60)) == 60


def test_a_reservoir_is_an_even_sample_of_the_whole_stream():
    """Every item of a stream in uneven batches has the same chance, the last as the first."""
    n, room, runs = 400, 40, 300
    uses = np.zeros(n)
    for run in range(runs):
        items = np.column_stack([np.arange(n), np.full(n, run)]).astype(np.float32)
        sample = Reservoir.empty(2)
        for start, stop in ((0, 10), (10, 250), (250, 251), (251, n)):
            sample = sample.add(items[start:stop], start, room)
        assert sample.items.shape == (room, 2)
        uses[sample.items[:, 0].astype(int)] += 1
    quarters = uses.reshape(4, -1).sum(axis=1) / uses.sum()
    assert quarters == pytest.approx(0.25, abs=0.02)
    assert uses.min() > 0.3 * uses.mean() and uses.max() < 2 * uses.mean()


def test_merged_reservoirs_are_a_fair_sample_of_both():
    """Of streams of 900 and 100 items, nine tenths come from the first."""
    shares = []
    for run in range(100):
        long, short = (np.full((n, 1), value, np.float32) for n, value in ((900, 0), (100, 1)))
        long[0], short[0] = run + 2, run + 2  # else all keys are those of the first run
        one, other = (Reservoir.empty(1).add(z, 0, 50) for z in (long, short))
        merged = one.merge(other, 50)
        assert len(merged.items) == 50
        assert np.array_equal(merged.items, other.merge(one, 50).items)
        shares.append((merged.items == 1).mean())
    assert np.mean(shares) == pytest.approx(0.1, abs=0.015)


def test_a_subsample_keeps_the_order():
    z = np.arange(50, dtype=np.float32)[:, None]
    part = subsample(z, 20, np.random.RandomState(0))
    assert len(part) == 20 and (np.diff(part[:, 0]) > 0).all()
    assert subsample(z, 50, np.random.RandomState(0)) is z
