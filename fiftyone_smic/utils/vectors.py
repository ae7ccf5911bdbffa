"""Vectors of unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit(latents: NDArray) -> NDArray:
    """Scale latents to unit norm.

    Args:
        latents: (N, d).

    Returns:
        (N, d) of the same float type; rows of zeros stay zeros.

    Example:
        >>> unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
        [[0.6, 0.8], [0.0, 0.0]]
    """
    return latents / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-12)
