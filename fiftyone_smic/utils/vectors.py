"""Rows of unit norm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def unit(latents: NDArray) -> NDArray:
    """Latents (N, d) scaled to unit norm; rows of zeros stay."""
    return latents / np.maximum(np.linalg.norm(latents, axis=1, keepdims=True), 1e-12)
