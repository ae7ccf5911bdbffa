"""What may come in: latents and codes, checked with messages that say what is wrong."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.validation import check_array

if TYPE_CHECKING:
    pass


def check_latents(
    latents: ArrayLike, *, minimum: int = 0, dimensions: int | None = None
) -> NDArray[np.float32]:
    """Latents as a finite (N, d) float32 array, N >= minimum, d as given; else ValueError."""
    z = check_array(
        latents,
        dtype=np.float32,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=1,
    )
    if len(z) < minimum:
        raise ValueError(f"learning a dictionary needs at least {minimum} items, got {len(z)}")
    # In chunks: the latents may be a memory-mapped file larger than memory.
    finite = [np.isfinite(z[i : i + 8192]).all(axis=1) for i in range(0, len(z), 8192)]
    bad = np.flatnonzero(~np.concatenate([np.ones(0, bool), *finite]))
    if len(bad):
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise ValueError(f"{len(bad)} of {len(z)} latents contain NaN or infinity: rows {shown}")
    if dimensions is not None and z.shape[1] != dimensions:
        raise ValueError(
            f"latents have {z.shape[1]} dimensions but this dictionary was learned on "
            f"{dimensions}: use latents of the same encoder"
        )
    return z


def check_codes(codes: Any, n_atoms: int) -> csr_matrix:
    """Codes as a CSR matrix (N, K), K as given; else ValueError."""
    c = codes.tocsr() if issparse(codes) else csr_matrix(np.asarray(codes))
    if c.shape[1] != n_atoms:
        raise ValueError(f"codes have {c.shape[1]} columns but the dictionary has {n_atoms} atoms")
    return c


def check_limits(codes: csr_matrix, of: Any) -> None:
    """Raises ValueError for codes beyond the max_level or max_nonzero of a dictionary or head."""
    if codes.nnz and (
        np.abs(codes.data.astype(np.int64)).max() > of.max_level
        or np.diff(codes.indptr).max() > of.max_nonzero
    ):
        raise ValueError(
            f"codes exceed the dictionary's max_level={of.max_level} or "
            f"max_nonzero={of.max_nonzero}"
        )


def check_parameters(of: Any) -> None:
    """Raises ValueError where a SemanticDictionary's parameter is out of range."""
    if of.n_atoms != "auto" and (isinstance(of.n_atoms, str) or int(of.n_atoms) < 1):
        raise ValueError(f'n_atoms must be "auto" or a positive integer, got {of.n_atoms!r}')
    if not of.lam > 0 or not math.isfinite(of.lam):
        raise ValueError(f"lam must be a positive number, got {of.lam!r}")
    if not 1 <= of.max_level <= 127:
        raise ValueError(f"max_level must be in 1..127, got {of.max_level!r}")
    if not 1 <= of.max_nonzero <= 255:
        raise ValueError(f"max_nonzero must be in 1..255, got {of.max_nonzero!r}")
    if of.max_iter < 1:
        raise ValueError(f"max_iter must be at least 1, got {of.max_iter!r}")
    if of.n_swaps != "auto" and (isinstance(of.n_swaps, str) or int(of.n_swaps) < 0):
        raise ValueError(f'n_swaps must be "auto" or not negative, got {of.n_swaps!r}')
