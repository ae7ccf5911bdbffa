"""Curation over archives too large for memory: one block of items at a time."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.archive import iter_archive, read_archive
from fiftyone_smic.curation.geometry import Geometry
from fiftyone_smic.curation.inputs import check_k, check_queries
from fiftyone_smic.curation.searching import SHRINKAGE, Found, best, directions
from fiftyone_smic.dictionary.priors import Prior


def search_archive(
    path: str | os.PathLike[str],
    queries: ArrayLike,
    k: int = 20,
    *,
    text_mean: ArrayLike | None = None,
    prior: Prior | str | os.PathLike[str] | None = None,
) -> Found:
    """Find the items of an archive of any size whose codes lie nearest to latents.

    The archive is read twice, a block at a time: the memory it takes does not grow with the number
    of items. The result is that of :func:`fiftyone_smic.curation.search`.

    Args:
        path: The ``.smic`` file.
        queries: (m, d) or (d,) latents of texts or images of the same encoder.
        k: How many to find, 1..N.
        text_mean: See :func:`fiftyone_smic.curation.search`.
        prior: The public prior that the archive was written with, if it is not shipped.

    Returns:
        Scores and indices, (m, k) each.

    Raises:
        ArchiveError: The file is not a sound archive, or its prior is missing.
        ValueError: k is out of range, or queries are not finite or of another encoder.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic import SemanticDictionary, write_archive
        >>> z = np.random.default_rng(0).normal(size=(200, 16))
        >>> dictionary = SemanticDictionary(n_atoms=32, lam=1e-4, max_iter=3, n_swaps=0).fit(z)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "x.smic")
        ...     _ = write_archive(path, dictionary, dictionary.transform(z), encoder="me/1")
        ...     search_archive(path, z[:3], k=5).indices[:, 0].tolist()
        [0, 1, 2]
    """
    head = read_archive(path, prior, stop=0)
    dictionary, n = head.dictionary, head.rate.items
    k = check_k(k, n)
    q = check_queries(queries, dictionary.n_features_in_)
    by_atom = (dictionary.atoms_ @ directions(dictionary, q, text_mean).T).astype(np.float32)
    geometry = Geometry.of(dictionary)
    total = sum(
        float(geometry.displacements(part.codes).sum(dtype=np.float64))
        for part in iter_archive(path, prior)
    )
    extra = SHRINKAGE * total / n + 1e-9
    scores = np.zeros((len(q), 0), np.float32)
    indices = np.zeros((len(q), 0), np.intp)
    dropped = np.full(len(q), -np.inf)
    for part in iter_archive(path, prior):
        scale = 1 / np.sqrt(geometry.displacements(part.codes) + extra)
        weights = part.codes.astype(np.float32)
        weights.data *= np.repeat(scale, np.diff(part.codes.indptr)).astype(np.float32)
        found = np.asarray(weights @ by_atom).T
        places = np.broadcast_to(np.arange(part.first, part.first + found.shape[1]), found.shape)
        scores, indices, left = _merge(
            np.concatenate([scores, found], axis=1), np.concatenate([indices, places], axis=1), k
        )
        dropped = np.maximum(dropped, left)
    tied = int((dropped >= scores[:, -1]).sum())
    return Found(scores, indices, tied / len(q))


def _merge(
    scores: NDArray[np.float32], indices: NDArray[np.intp], k: int
) -> tuple[NDArray[np.float32], NDArray[np.intp], NDArray]:
    """Keep the k best of each row, best first, and return the best score that was dropped."""
    kept = np.stack([best(row, min(k, len(row))) for row in scores])
    left = scores.copy()
    np.put_along_axis(left, kept, -np.inf, axis=1)
    chosen = np.take_along_axis(scores, kept, axis=1)
    return chosen, np.take_along_axis(indices, kept, axis=1), left.max(axis=1, initial=-np.inf)
