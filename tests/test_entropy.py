import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fiftyone_smic.entropy import (
    TOTAL,
    CorruptStream,
    Decoder,
    Encoder,
    frequencies,
    log_weights,
    weight_levels,
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
    coder = Encoder()
    messages = []
    for w, count in parts:
        f = frequencies(np.array(w))
        symbols = np.array([random.randrange(len(f)) for _ in range(count)], np.int64)
        coder.put(symbols, f)
        messages.append((symbols, f))
    decoder = Decoder(coder.finish())
    for symbols, f in messages:
        assert np.array_equal(decoder.get(len(symbols), f), symbols)


def test_the_coder_uses_exactly_the_given_frequencies():
    """The first symbol's interval in the stream's first word is decided by the integer table and
    nothing else."""
    rng = np.random.default_rng(0)
    f = frequencies(rng.integers(0, 10**6, 1000))
    ends = np.cumsum(f)
    for symbol in rng.integers(0, 1000, 50):
        for point, expected in ((ends[symbol] - 1, symbol), (ends[symbol] - f[symbol], symbol)):
            word = (int(point) << 8) + 0x80  # 24 bits of precision on top of a 32-bit word
            assert Decoder(word.to_bytes(4, "big")).get(1, f)[0] == expected


def test_streams_are_within_one_percent_of_the_ideal_length():
    rng = np.random.default_rng(1)
    f = frequencies(2 ** np.arange(12))
    coder = Encoder()
    coder.put(rng.choice(12, 20_000, p=f / TOTAL), f)
    assert 8 * len(coder.finish()) <= 1.01 * coder.bits


@settings(deadline=None)
@given(st.lists(st.integers(0, 99), max_size=60))
def test_numbers_round_trip(values):
    coder = Encoder()
    coder.put_numbers(np.array(values, np.int64), 100)
    assert Decoder(coder.finish()).get_numbers(len(values), 100).tolist() == values


def test_half_octave_levels_keep_counts_within_a_fifth():
    counts = np.array([1, 2, 3, 5, 17, 100, 12345, 10**6])
    w = log_weights(weight_levels(counts))
    ratio = (w / w[0]) / counts
    assert ratio.max() < 1.2 and ratio.min() > 1 / 1.2
    assert weight_levels(np.array([0, 1])).tolist() == [0, 1] and log_weights(np.array([0]))[0] == 0


def test_impossible_stream_is_an_error():
    with pytest.raises(CorruptStream):
        decoder = Decoder(b"\xff" * 12)
        for _ in range(1000):
            decoder.get(100, frequencies(np.array([5, 1, 1])))
