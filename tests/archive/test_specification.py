"""The worked example of the specification is what the code writes and reads."""

import re
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import decode_archive, encode_archive
from fiftyone_smic.archive.format import ENCODERS, VERSION
from fiftyone_smic.archive.sections import KNOWN
from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary.estimator import SemanticDictionary

from ..support import second_reader

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "format.md"
TEXT = PAGE.read_text("utf-8")
EXAMPLE = TEXT[TEXT.index("## A worked example") :]


def rows_of(table: str) -> list[list[str]]:
    """The cells of a table in Markdown, without its two lines of heading."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n")[2:]]


TABLES = [rows_of(t) for t in re.findall(r"(?:^\|.*\|$\n?)+", EXAMPLE, re.M)]
TABLES = [[row for row in rows if len(row) == 3] for rows in TABLES]


@pytest.fixture(scope="module")
def data() -> bytes:
    return bytes.fromhex("".join(row[1].strip("`") for row in TABLES[0]))


def test_the_example_is_what_is_written(data):
    counts = [np.zeros(n, np.int64) for n in (1, 1, 3, 2)]
    dictionary = SemanticDictionary(1, lam=0.5, max_level=1, max_nonzero=1)._restore(
        Rows(np.array([[3, 0]], np.int32), np.array([-4], np.int32)),
        Rows(np.array([[0, -2]], np.int32), np.array([0], np.int32)),
        *counts,
    )
    written, _ = encode_archive(
        dictionary,
        csr_matrix(np.array([[1], [0], [-1]])),
        encoder="me/1",
        names=["a1", "a2", "a3"],
        distortion=[0.5, 1.0, 0.5],
    )
    assert written.hex(" ") == data.hex(" ")
    assert f"{len(written)} bytes" in EXAMPLE


def test_the_example_is_read_as_it_says(data):
    at = 0
    for offset, cell, _ in TABLES[0]:
        assert int(offset) == at
        at += len(bytes.fromhex(cell.strip("`")))
    found = decode_archive(data)
    assert found.dictionary.mean_.tolist() == [1.5, 0]
    assert found.dictionary.atoms_.tolist() == [[0, -2]]
    assert found.codes.toarray().ravel().tolist() == [1, 0, -1]
    assert found.names == ("a1", "a2", "a3") and found.encoder == "me/1"
    assert found.distortion.tolist() == [0.5, 1, 0.5]


def test_the_symbols_of_the_example(data, monkeypatch):
    """The second reader meets the very intervals that the three tables list."""
    met = []
    advance = second_reader.Stream.advance

    def noted(self, left, width):
        met.append([left, width])
        advance(self, left, width)

    monkeypatch.setattr(second_reader.Stream, "advance", noted)
    second_reader.read(data)
    shared, codes, distortions = (
        [[int(left), int(width)] for left, width, _ in table] for table in TABLES[1:4]
    )
    assert met == [*shared, *distortions, *codes]


def test_the_specification_names_what_the_code_knows():
    assert f"version {VERSION} of the" in TEXT
    listed = dict(re.findall(r"(\d+)\s`([\w./-]+)`", TEXT[: TEXT.index("## Block")]))
    assert {int(number): name for number, name in listed.items()} == dict(enumerate(ENCODERS))
    for kind, name in KNOWN.items():
        assert f"**Type {kind}, in blocks: {name}.**" in TEXT
    assert (PAGE.parents[1] / "format.md").resolve() == PAGE
