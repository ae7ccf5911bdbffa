"""Atoms to start learning from: centres of the items, then of their residuals, and so on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.utils.progress import Progress


def auto_atoms(n_items: int) -> int:
    """Return the number of atoms to start from: ``0.6 N**0.7``, at least 1 and at most N.

    Args:
        n_items: N.

    Example:
        >>> auto_atoms(3000)
        163
    """
    return max(1, min(n_items, round(0.6 * n_items**0.7)))


def residual_stages(
    items: NDArray[np.float32],
    n_atoms: int,
    rng: np.random.RandomState,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return atoms from at most 16 stages of k-means, each on the residual of the one before.

    A single k-means with all atoms gives each item an atom of its own. Many small stages give atoms
    that items share.

    Args:
        items: (n, d) float32, the mean subtracted.
        n_atoms: number of atoms.
        rng: source of the first centres.
        progress: called with the fraction done.

    Returns:
        (n_atoms, d) float32.
    """
    if n_atoms == 1:  # the centre of centred items is 0
        return items[np.square(items).sum(axis=1).argmax()][None]
    stages = max(1, min(16, n_atoms // 4))
    residual, atoms = items, []
    for stage in range(stages):
        k = n_atoms * (stage + 1) // stages - n_atoms * stage // stages
        found, labels = centres(residual, k, rng)
        atoms.append(found)
        residual = residual - found[labels]
        if progress:
            progress((stage + 1) / stages)
    return np.vstack(atoms)


def centres(
    items: NDArray[np.float32], k: int, rng: np.random.RandomState, rounds: int = 6
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Cluster items by k-means (Lloyd), starting from k random ones.

    A cluster that becomes empty takes an item that is far from all centres.

    Args:
        items: (n, d) float32.
        k: number of clusters, at most n.
        rng: source of the first centres.
        rounds: number of rounds.

    Returns:
        Centres (k, d) float32 and labels (n,) int64.
    """
    found = items[rng.permutation(len(items))[:k]].copy()
    for _ in range(rounds):
        scores = items @ found.T - 0.5 * np.square(found).sum(axis=1)
        labels = scores.argmax(axis=1)
        counts = np.bincount(labels, minlength=k)
        members = csr_matrix(
            (np.ones(len(items), np.float32), (labels, np.arange(len(items)))), (k, len(items))
        )
        sums = np.asarray(members @ items, np.float32)
        found = np.divide(sums, np.maximum(counts, 1)[:, None], dtype=np.float32)
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            far = np.argsort(scores.max(axis=1) - 0.5 * np.square(items).sum(axis=1), kind="stable")
            found[empty] = items[far[: len(empty)]]
    scores = items @ found.T - 0.5 * np.square(found).sum(axis=1)
    return found, scores.argmax(axis=1)
