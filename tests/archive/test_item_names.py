"""Names of items: few bytes, and nothing believed that no writer says."""

import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_smic.archive.errors import DamagedArchiveError
from fiftyone_smic.archive.item_names import pack_names, unpack_names
from fiftyone_smic.archive.primitives import varint

text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
numbered = st.builds("{}{:03d}{}".format, text, st.integers(0, 10**20), text)


@given(st.lists(text | numbered, min_size=1, max_size=30))
def test_names_come_back(names):
    assert unpack_names(pack_names(names), len(names), 10_000) == tuple(names)


@pytest.mark.parametrize(("cut", "tail"), [(9, 0), (0, 9), (3, 3)])
def test_a_name_that_takes_more_from_its_guess_than_there_is(cut, tail):
    # The guess for the second name is the first, "a.png", and has five bytes.
    packed = b"\0" + varint(0) + varint(cut) + varint(0) + varint(tail) + b"a.png\0x"
    with pytest.raises(DamagedArchiveError, match="does not follow"):
        unpack_names(packed, 2, 1000)


def test_names_that_expand_to_more_than_the_file_can_hold_are_not_expanded():
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = deflate.compress(bytes(50_000_000)) + deflate.flush()
    tracemalloc.start()
    try:
        with pytest.raises(DamagedArchiveError, match="longer than the file can hold"):
            unpack_names(b"\1" + varint(50_000_000) + bomb, 2, 1000)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("digits", "step"), [(18, 1), (19, 0)])
def test_a_number_of_more_than_18_digits_is_not_counted_on(digits, step):
    # A second name that changes nothing of its guess.
    first = "1" * digits
    packed = b"\0" + varint(0) * 4 + first.encode() + b"\0"
    assert unpack_names(packed, 2, 1000) == (first, str(int(first) + step))


@pytest.mark.parametrize("change", [lambda b: b + b"x", lambda b: b[:-1]])
@pytest.mark.parametrize("claimed", [0, -1, 1])
def test_compressed_names_end_where_they_say(change, claimed):
    text = bytes(4) + b"a.png\0"
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = deflate.compress(text) + deflate.flush()
    if claimed == 0:
        assert unpack_names(b"\1" + varint(len(text)) + data, 2, 1000) == ("a.png", "a.png")
        data = change(data)
    with pytest.raises(DamagedArchiveError):
        unpack_names(b"\1" + varint(len(text) + claimed) + data, 2, 1000)
