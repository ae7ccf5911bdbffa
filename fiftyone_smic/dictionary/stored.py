"""Read a dictionary's stored arrays, and refuse what no dictionary has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.rows import (
    MAX_EXPONENT,
    MAX_LEVEL,
    MAX_QUARTERS,
    MAX_TERMS,
    MIN_EXPONENT,
    Rows,
)


def stored_array(
    arrays: Mapping[str, Any], name: str, dtype: Any, shape: tuple[int | None, ...]
) -> NDArray:
    """Return one of a dictionary's stored arrays, finite and of the given type and shape.

    Args:
        arrays: all stored arrays.
        name: key of the array.
        dtype: type to return. Whole numbers may have any integer type that fits, floats any
            floating-point type; nothing is rounded to a whole number.
        shape: size of each axis, None for any.

    Raises:
        ValueError: it is missing, or does not fit.
    """
    if name not in arrays:
        raise ValueError(
            f"not a stored dictionary of this version: {name!r} is missing; learn it again"
        )
    array = np.asarray(arrays[name])
    kinds = "iu" if np.issubdtype(dtype, np.integer) else "f"
    if array.dtype.kind not in kinds:
        raise ValueError(
            f"not a stored dictionary: {name!r} has the type {array.dtype}, not {np.dtype(dtype)}"
        )
    if array.ndim != len(shape) or any(
        wanted is not None and size != wanted
        for size, wanted in zip(array.shape, shape, strict=True)
    ):
        raise ValueError(
            f"not a stored dictionary: its arrays do not fit together: {name!r} has the shape "
            f"{array.shape}, not {tuple('any' if size is None else size for size in shape)}"
        )
    with np.errstate(over="ignore"):
        out = array.astype(dtype)
    if not np.isfinite(out).all() or (kinds == "iu" and not np.array_equal(out, array)):
        raise ValueError(f"not a stored dictionary: {name!r} has numbers that are out of range")
    return out


def stored_counts(arrays: Mapping[str, Any], name: str, shape: tuple[int | None, ...]) -> NDArray:
    """Return a stored array of counts, int64; see :func:`stored_array`."""
    counts = stored_array(arrays, name, np.int64, shape)
    if counts.min(initial=0) < 0 or counts.max(initial=0) >= 1 << 53:
        raise ValueError(f"not a stored dictionary: {name!r} has counts that are out of range")
    return counts


def stored_rows(
    arrays: Mapping[str, Any], name: str, shape: tuple[int | None, int | None], public: int
) -> Rows:
    """Return stored rows.

    Args:
        arrays: all stored arrays.
        name: "mean" or "atom".
        shape: number of rows and of columns, None for any.
        public: number of rows of the prior that may predict these.

    Raises:
        ValueError: an array is missing, of another type or shape, or holds numbers that no
            dictionary has.
    """
    levels = stored_array(arrays, f"{name}_levels", np.int32, shape)
    exponents = stored_array(arrays, f"{name}_exponents", np.int32, (len(levels),))
    terms = stored_array(arrays, f"{name}_terms", np.int32, (None, 3))
    row, source, quarters = terms.T
    sound = (
        levels.shape[1] > 0
        and levels.max(initial=0) <= MAX_LEVEL
        and levels.min(initial=0) >= -MAX_LEVEL
        and exponents.min(initial=0) >= MIN_EXPONENT
        and exponents.max(initial=0) <= MAX_EXPONENT
        and row.min(initial=0) >= 0
        and row.max(initial=-1) < len(levels)
        and (np.diff(row) >= 0).all()
        and np.bincount(row, minlength=1).max() <= MAX_TERMS
        and (source < row).all()
        and source.min(initial=0) >= -public
        and quarters.max(initial=0) <= MAX_QUARTERS
        and quarters.min(initial=0) >= -MAX_QUARTERS
        and quarters.all()
    )
    if not sound:
        raise ValueError(f"not a stored dictionary: the rows of {name!r} are out of range")
    return Rows(levels, exponents, terms)
