"""Names keep every byte, and are the same in every spelling."""

import os
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_smic.utils.names import find_known, name_key, name_of, path_of

linux = pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="only Linux holds any bytes"
)


@linux
@given(st.binary(min_size=1).filter(lambda raw: b"\0" not in raw))
def test_any_bytes_come_back(raw):
    name = name_of(raw)
    name.encode()  # it is text that an archive can store
    assert os.fsencode(path_of(name)) == raw


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0\\")))
def test_text_stays_itself(text):
    if not any("\uf780" <= c <= "\uf7ff" for c in text):
        assert name_of(text) == text


@linux
def test_bytes_that_are_no_text_and_their_escapes_stay_apart():
    raw = b"Jaime\xf1.png"
    escaped = name_of(raw)
    lookalike = escaped.encode()  # a file that is really called so
    assert name_of(lookalike) != escaped
    assert os.fsencode(path_of(name_of(lookalike))) == lookalike
    gbk = "照片.jpg".encode("gbk")
    assert os.fsencode(path_of(name_of(gbk))) == gbk


def test_systems_that_hold_text_only_keep_the_escapes(monkeypatch):
    for system in ("win32", "darwin"):
        monkeypatch.setattr(sys, "platform", system)
        assert path_of("Jaime\uf7f1.png") == "Jaime\uf7f1.png"


def test_names_are_compared_by_normal_form_and_separator():
    nfd = unicodedata.normalize("NFD", "été/à.png")
    assert nfd != "été/à.png"
    assert name_key(nfd) == name_key("été\\à.png") == name_key("./été//à.png") == "été/à.png"
    assert name_key("A.png") != name_key("a.png")


@pytest.mark.parametrize(
    "names, archived, known",
    [
        (["a", "b"], ["a"], [True, False]),
        ([unicodedata.normalize("NFD", "é")], ["é"], [True]),
        (["é"], [unicodedata.normalize("NFD", "é")], [True]),
        (["s/a"], ["s\\a"], [True]),
        # Written exactly alike goes first: the other spelling is another file.
        (["é", unicodedata.normalize("NFD", "é")], ["é"], [True, False]),
        (["s/a", "s\\a"], ["s\\a"], [False, True]),
        # File names alone, of an archive without folders
        (["s/a", "b"], ["a", "b"], [True, True]),
        (["a", "s/a"], ["a"], [True, False]),
        (["s/a"], ["a", "t/b"], [False]),
        (["s/" + unicodedata.normalize("NFD", "é")], ["é"], [True]),
        # An item that was found is not found again by its file name.
        ([unicodedata.normalize("NFD", "é"), "s/é"], ["é"], [True, False]),
        ([], ["a"], []),
        (["a"], [], [False]),
    ],
)
def test_which_files_an_archive_holds(names, archived, known):
    assert find_known(names, archived).files == known


def test_what_nobody_can_tell_is_said():
    known = find_known(["x/a", "y/a", "z/b"], ["a", "b"])
    assert known.files == [False, False, True]
    assert known.by_file_name == ["z/b"]
    assert known.ambiguous == {"a": ["x/a", "y/a"]}
