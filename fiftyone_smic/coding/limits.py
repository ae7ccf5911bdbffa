"""How much a file of a given size may hold: what a reader checks before it makes room.

The bounds are part of the format: see ``docs/format.md``, the specification of the format.
"""

from __future__ import annotations

MAX_DIMENSIONS = 1 << 16
MAX_ATOMS = 1 << 20
#: Most items an unordered archive can hold: the reader sorts them in Python, and 24 bits of
#: precision choose one.
MAX_UNORDERED = 1 << 20


def lacking(dimensions: int, atoms: int, max_nonzero: int) -> int:
    """Return the least number of bytes of a stream that holds tables and rows of this size.

    Args:
        dimensions: d.
        atoms: K.
        max_nonzero: M.
    """
    largest = max(atoms * dimensions, table_entries(atoms, max_nonzero))
    return max(0, -(-(largest - (1 << 22)) // 64), -(-(atoms - 4096) // 8))


def table_entries(atoms: int, max_nonzero: int) -> int:
    """Return the number of polynomials in the tables of codes: (K + 1)(M + 1)."""
    return (atoms + 1) * (max_nonzero + 1)


def believable(size: int) -> int:
    """Return the most items, and the most coefficients, of a file of ``size`` bytes."""
    return (1 << 16) + 64 * size


def believable_text(size: int) -> int:
    """Return the most bytes of names in a file of ``size`` bytes."""
    return (1 << 22) + 1100 * size


def least_block(items: int, coefficients: int, text: int, entries: int = 0) -> int:
    """Return the smallest block, in bytes, that justifies these counts.

    It does so without the allowance per file that :func:`believable` and :func:`believable_text`
    contain.

    Args:
        items: number of items.
        coefficients: number of coefficients.
        text: bytes of names.
        entries: number of polynomials of the block's own tables.
    """
    return max(-(-max(items, coefficients, entries) // 64), -(-text // 1100))
