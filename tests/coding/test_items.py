"""Blocks of items: what is read is what was written, and no small block asks for much."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix, random

from fiftyone_smic.coding.code_tables import CodeTables
from fiftyone_smic.coding.items import decode_items, encode_items
from fiftyone_smic.coding.tables import CorruptStream


def test_tables_that_are_large_for_their_block_are_refused():
    """Tables of 4,000 atoms cost a reader memory and time that a few bytes must not claim."""
    codes = csr_matrix(([1, -1, 2], ([0, 0, 1], [3, 1999, 7])), shape=(2, 4000))
    tables = CodeTables.of(codes, 3, 8)
    stream = encode_items(codes, tables, own=True)
    read = decode_items(stream, 2, tables, codes.nnz)
    np.testing.assert_array_equal(read.toarray(), codes.toarray())
    short = stream.rstrip(b"\0")  # which a range coder reads just as well
    assert len(short) < tables.least <= len(stream)
    with pytest.raises(CorruptStream, match="larger tables"):
        decode_items(short, 2, tables, codes.nnz)


@pytest.mark.parametrize("inter", [False, True])
def test_the_first_items_alone_are_those_of_all(inter):
    codes = random(40, 12, density=0.3, format="csr", rng=0, data_rvs=lambda n: np.ones(n))
    codes = codes.astype(np.int8)
    codes.sort_indices()
    tables = CodeTables.of(codes, 2, 12, inter)
    stream = encode_items(codes, tables, inter=inter)
    for stop in (0, 1, 17, 40):
        part = decode_items(stream, 40, tables, codes.nnz, stop)
        assert part.shape == (stop, 12) and (part != codes[:stop]).nnz == 0
