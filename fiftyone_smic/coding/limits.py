"""How much a file of a given size may promise: what a reader checks before it makes room.

The bounds are part of the format: see :mod:`fiftyone_smic.archive.format`.
"""

from __future__ import annotations

MAX_DIMENSIONS = 1 << 16
MAX_ATOMS = 1 << 20
#: Most items an unordered archive can hold: the reader sorts them in Python, and 24 bits of
#: precision choose one.
MAX_UNORDERED = 1 << 20


def lacking(dimensions: int, atoms: int, max_nonzero: int) -> int:
    """How many bytes tables and rows must have at least to be believed."""
    largest = max(atoms * dimensions, table_entries(atoms, max_nonzero))
    return max(0, -(-(largest - (1 << 22)) // 64), -(-(atoms - 4096) // 8))


def table_entries(atoms: int, max_nonzero: int) -> int:
    """How many polynomials the tables of codes take."""
    return (atoms + 1) * (max_nonzero + 1)


def believable(size: int) -> int:
    """How many items, and how many coefficients, a file of so many bytes may hold."""
    return (1 << 16) + 64 * size


def believable_text(size: int) -> int:
    """How many bytes of names a file of so many bytes may hold."""
    return (1 << 22) + 1100 * size


def least_block(items: int, coefficients: int, text: int, entries: int = 0) -> int:
    """How many bytes hold so much by themselves, without what :func:`believable` and
    :func:`believable_text` give to every file."""
    return max(-(-max(items, coefficients, entries) // 64), -(-text // 1100))
