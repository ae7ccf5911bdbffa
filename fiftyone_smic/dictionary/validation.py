"""Check latents and codes, with messages that say what is wrong."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.validation import check_array

#: More items than this no collection has; counts up to it are exact in float64.
MOST_ITEMS = 1 << 53
#: Longest latent that a dictionary is learned from: an archive must hold its atoms.
LONGEST = 1e6


def check_lengths(latents: NDArray[np.float32]) -> None:
    """Raise ValueError for latents that are too long to learn from.

    Args:
        latents: (N, d), finite.
    """
    for start in range(0, len(latents), 8192):
        part = latents[start : start + 8192].astype(np.float64)
        norms = np.sqrt(np.einsum("ij,ij->i", part, part))
        if norms.max(initial=0) > LONGEST:
            row = start + int(norms.argmax())
            raise ValueError(
                f"the latent of row {row} has the norm {norms.max():.3g}, more than {LONGEST:g}: "
                "leave it out if it is damaged, or scale all latents to unit norm"
            )


def check_latents(
    latents: ArrayLike, *, minimum: int = 0, dimensions: int | None = None
) -> NDArray[np.float32]:
    """Return latents as a finite float32 array.

    Args:
        latents: (N, d) numbers; a tensor of PyTorch, of any type and on any device, will do.
        minimum: least number of latents.
        dimensions: d, or None for any.

    Returns:
        (N, d) float32; the given array itself if it is one already.

    Raises:
        ValueError: another shape, masked values, or rows with NaN or infinity (the message names
            them).

    Example:
        >>> check_latents([[1, 2], [3, 4]]).dtype
        dtype('float32')
    """
    if hasattr(latents, "detach"):  # a tensor: it may need gradients, or have no type of NumPy's
        latents = latents.detach().cpu().float().numpy()
    if np.ma.isMaskedArray(latents) and np.ma.is_masked(latents):
        raise ValueError("some values of the latents are masked: leave out the items they are of")
    z = check_array(
        latents,
        dtype=np.float32,
        ensure_all_finite=False,
        ensure_min_samples=0,
        ensure_min_features=1,
    )
    if len(z) < minimum:
        raise ValueError(
            f"learning a dictionary needs at least {minimum} item{'s' * (minimum != 1)}, got "
            f"{len(z)} sample(s)"
        )
    # In chunks: the latents may be a memory-mapped file larger than memory.
    finite = [np.isfinite(z[i : i + 8192]).all(axis=1) for i in range(0, len(z), 8192)]
    bad = np.flatnonzero(~np.concatenate([np.ones(0, bool), *finite]))
    if len(bad):
        shown = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise ValueError(f"{len(bad)} of {len(z)} latents contain NaN or infinity: rows {shown}")
    if dimensions is not None and z.shape[1] != dimensions:
        raise ValueError(
            f"X has {z.shape[1]} features, but SemanticDictionary is expecting {dimensions} "
            "features as input: use latents of the encoder that it was learned with"
        )
    return z


def check_item_count(n_items: Any, n: int) -> int:
    """Return the number of items that ``n`` latents stand for: ``n_items``, or ``n`` for None.

    Raises:
        ValueError: it is not a whole number, or less than ``n``.

    Example:
        >>> check_item_count(None, 300), check_item_count(30_000, 300)
        (300, 30000)
    """
    if n_items is None:
        return n
    if not isinstance(n_items, Integral) or isinstance(n_items, bool):
        raise ValueError(f"n_items must be a whole number or None, got {n_items!r}")
    if int(n_items) < n:
        raise ValueError(
            f"n_items={n_items} is less than the {n} latents given: it is the size of the "
            "collection that they are a sample of"
        )
    if int(n_items) > MOST_ITEMS:
        raise ValueError(f"n_items={n_items} is more than any collection has")
    return int(n_items)


def check_codes(codes: Any, n_atoms: int) -> csr_matrix:
    """Return codes as a CSR matrix.

    Args:
        codes: (N, K) sparse or dense.
        n_atoms: K.

    Raises:
        ValueError: another number of columns, or what is no number.
    """
    given = codes if issparse(codes) else np.asarray(codes)
    if given.dtype.kind not in "iufb" or given.ndim not in (1, 2):
        raise ValueError(
            f"codes must be an (N, K) matrix of whole numbers, got {given.dtype} of shape "
            f"{given.shape}: pass what SemanticDictionary.transform returns"
        )
    c = csr_matrix(given)
    if c.dtype.kind == "f" and not np.isfinite(c.data).all():
        raise ValueError("some codes are NaN or infinite: they are damaged, make them again")
    if c.shape[1] != n_atoms:
        raise ValueError(f"codes have {c.shape[1]} columns but the dictionary has {n_atoms} atoms")
    return c


def check_limits(codes: csr_matrix, max_level: int, max_nonzero: int) -> None:
    """Raise ValueError for codes beyond the limits of a dictionary.

    Args:
        codes: (N, K) integers.
        max_level: largest magnitude of a coefficient.
        max_nonzero: most atoms of an item.
    """
    if codes.nnz and (
        codes.data.max() > max_level
        or codes.data.min() < -max_level
        or np.diff(codes.indptr).max() > max_nonzero
    ):
        raise ValueError(
            f"codes exceed the dictionary's max_level={max_level} or max_nonzero={max_nonzero}"
        )
