import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import (
    TOTAL,
    CorruptStream,
    frequencies,
    half_octaves_of,
    weights_of,
)

weights = st.lists(st.integers(0, 2**40), min_size=2, max_size=300)


@settings(deadline=None)
@given(weights)
def test_frequencies_are_a_full_positive_table(w):
    f = frequencies(np.array(w))
    assert f.sum() == TOTAL and f.min() >= 1


@settings(deadline=None)
@given(
    st.lists(st.tuples(weights, st.integers(0, 50)), max_size=6), st.randoms(use_true_random=False)
)
def test_round_trip_under_changing_tables(parts, random):
    coder = Coder()
    messages = []
    for w, count in parts:
        f = frequencies(np.array(w))
        symbols = np.array([random.randrange(len(f)) for _ in range(count)], np.int64)
        coder.code(symbols, f)
        messages.append((symbols, f))
    decoder = Coder(coder.finish())
    for symbols, f in messages:
        assert np.array_equal(decoder.code(np.zeros(len(symbols)), f), symbols)


@settings(deadline=None)
@given(st.lists(st.tuples(weights, st.integers(0, 2000)), max_size=4), st.integers(0, 10**6))
def test_constriction_reads_the_same_stream(parts, seed):
    """An independent range decoder, written by others, under the same integer tables."""
    from constriction import stream

    rng = np.random.default_rng(seed)
    coder, messages = Coder(), []
    for w, count in parts:
        f = frequencies(np.array(w))
        # Wide intervals at the top make carries, rare symbols long runs of the same word.
        symbols = np.where(rng.random(count) < 0.9, len(f) - 1, rng.integers(0, len(f), count))
        coder.code(symbols, f)
        messages.append((symbols, f))
    data = coder.finish()
    words = np.frombuffer(data + bytes(-len(data) % 4), ">u4").astype(np.uint32)
    decoder = stream.queue.RangeDecoder(words)
    for symbols, f in messages:
        model = stream.model.Categorical((f - 1).astype(np.float64), perfect=False)
        assert np.array_equal(decoder.decode(model, len(symbols)), symbols)


def test_the_coder_uses_exactly_the_given_frequencies():
    """The first symbol's interval in the stream's first word is decided by the integer table and
    nothing else."""
    rng = np.random.default_rng(0)
    f = frequencies(rng.integers(0, 10**6, 1000))
    ends = np.cumsum(f)
    for symbol in rng.integers(0, 1000, 50):
        for point, expected in ((ends[symbol] - 1, symbol), (ends[symbol] - f[symbol], symbol)):
            word = (int(point) << 8) + 0x80  # 24 bits of precision on top of a 32-bit word
            assert Coder(word.to_bytes(4, "big")).one(0, f) == expected


def test_streams_are_within_one_percent_of_the_ideal_length():
    rng = np.random.default_rng(1)
    f = frequencies(2 ** np.arange(12))
    coder = Coder()
    coder.code(rng.choice(12, 20_000, p=f / TOTAL), f)
    assert 8 * len(coder.finish()) <= 1.01 * coder.bits


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), max_size=60))
def test_numbers_round_trip(values):
    coder = Coder()
    coder.numbers(np.array(values, np.int64), 100)
    assert Coder(coder.finish()).numbers(np.zeros(len(values), int), 100).tolist() == values


def test_half_octave_levels_keep_counts_within_a_fifth():
    counts = np.array([1, 2, 3, 5, 17, 100, 12345, 10**6])
    w = weights_of(half_octaves_of(counts))
    ratio = (w / w[0]) / counts
    assert ratio.max() < 1.2 and ratio.min() > 1 / 1.2
    assert (
        half_octaves_of(np.array([0, 1])).tolist() == [0, 1] and weights_of(np.array([0]))[0] == 0
    )


def test_impossible_stream_is_an_error():
    with pytest.raises(CorruptStream):
        decoder = Coder(b"\xff" * 12)
        for _ in range(1000):
            decoder.code(np.zeros(100), frequencies(np.array([5, 1, 1])))
