"""Vectors of unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_SHORT = 1e-12


def unit(latents: NDArray) -> NDArray:
    """Scale latents to unit norm.

    Args:
        latents: (N, d).

    Returns:
        (N, d) of the same float type; rows of zeros stay zeros. Finite rows of any other length
        come out with unit norm.

    Example:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    with np.errstate(over="ignore", under="ignore"):
        norms = np.linalg.norm(latents, axis=1, keepdims=True)
        out = latents / np.maximum(norms, _SHORT)
    # Squares of very large or small numbers leave the range of the type: those rows are scaled
    # before they are measured.
    far = np.flatnonzero(~((norms[:, 0] > _SHORT) & (norms[:, 0] < np.inf)))
    if len(far):
        rows = latents[far].astype(np.float64)
        most = np.abs(rows).max(axis=1, keepdims=True, initial=0)
        rows /= np.where(most > 0, most, 1)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        out[far] = rows / np.where(lengths > 0, lengths, 1)
    return out
