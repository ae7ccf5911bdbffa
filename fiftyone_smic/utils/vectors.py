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
    z = np.asarray(latents)
    out = z.astype(z.dtype if z.dtype.kind == "f" else np.float64)
    scale_to_unit(out)
    return out


def scale_to_unit(latents: NDArray) -> NDArray[np.float64]:
    """Scale latents (N, d) to unit norm in place, and return the norms (N,) that they had.

    Rows of zeros stay zeros. Squares of very large or small numbers leave the range of float32, so
    such rows are scaled in two steps.

    Example:
        >>> rows = np.array([[3e30, 4e30], [0, 0]], np.float32)
        >>> scale_to_unit(rows).round(-29).tolist(), rows.round(3).tolist()
        ([5e+30, 0.0], [[0.6000000238418579, 0.800000011920929], [0.0, 0.0]])
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        norms = np.linalg.norm(latents, axis=1).astype(np.float64)
        far = np.flatnonzero(~((norms > _SHORT) & (norms < np.inf)))
        rows = latents[far].astype(np.float64)
        latents /= np.maximum(norms, _SHORT).astype(latents.dtype)[:, None]
    if len(far):
        most = np.abs(rows).max(axis=1, keepdims=True, initial=0)
        rows /= np.where(most > 0, most, 1)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        latents[far] = rows / np.where(lengths > 0, lengths, 1)
        norms[far] = (most * lengths)[:, 0]
    return norms


def norms_of(latents: NDArray) -> NDArray[np.float64]:
    """Return the norms (N,) of latents (N, d) of any length."""
    return np.sqrt(np.einsum("ij,ij->i", latents, latents, dtype=np.float64))
