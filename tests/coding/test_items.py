"""Blocks of items: what is read is what was written, and no small block asks for much."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

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
