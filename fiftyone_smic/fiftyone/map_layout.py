"""Where atoms and samples lie on a map: UMAP for some of them, their neighbours for the others."""

from __future__ import annotations

from typing import Any

import numpy as np

from fiftyone_smic.utils.progress import Portion, stage

#: UMAP is fitted on at most this many samples; the others are placed on the map it made.
MOST_FITTED = 8_000
#: Number of neighbours on the map that decide where another sample is placed.
NEIGHBOURS = 5
#: A neighbour's weight is exp(SHARPNESS * cosine), relative to the most similar neighbour.
SHARPNESS = 50.0
#: Number of samples compared with the map at a time. Their cosines with 8,000 others, the negatives
#: and the places of the largest take 65 MB.
ROWS_AT_ONCE = 500
#: MB that scikit-learn may take to compare what UMAP is fitted on; by default it takes 1,024.
WORKING_MEMORY = 64


def directions_of(rows: np.ndarray) -> np.ndarray:
    """Return rows (N, d), differences from the mean, as float32 of unit norm."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    found = (rows / np.where(norms > 0, norms, 1)).astype(np.float32, copy=False)
    # A row at the mean has no direction; one along the first axis keeps cosine defined.
    found[norms[:, 0] == 0] = np.eye(1, rows.shape[1], dtype=np.float32)
    return found


class _Layout:
    """A file for UMAP's own progress bar that passes the fraction done on.

    Args:
        report: Gets the fraction of the epochs that are done; it may raise an exception to stop.
    """

    def __init__(self, report: Any) -> None:
        self._report = report

    def write(self, text: str) -> None:
        done, slash, total = text.strip().partition("/")
        if slash and done.isdigit() and total.isdigit() and int(total):
            self._report(int(done) / int(total))

    def flush(self) -> None:
        """Do nothing; :meth:`write` passes everything on at once."""


def lay_out(
    atoms: np.ndarray, directions: np.ndarray, seed: int, report: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Put atoms and samples on one map.

    Args:
        atoms: (K, d) float32 of unit norm.
        directions: (N, d) float32 of unit norm, the samples.
        seed: Seed of UMAP and of the choice of samples that it is fitted on.
        report: A function that gets the fraction done.

    Returns:
        (K, 2) and (N, 2) float32: the positions of atoms and of samples.
    """
    import warnings

    import sklearn
    import umap
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(seed)
    fitted = np.sort(rng.permutation(len(directions))[:MOST_FITTED])
    both = np.concatenate([atoms, directions[fitted]])
    stage(report, "Laying out the map")
    neighbours = min(15, len(both) - 1)
    # UMAP's own search compiles for many seconds in every process; its answers are the same.
    near = NearestNeighbors(n_neighbors=neighbours, metric="cosine", algorithm="brute").fit(both)
    with sklearn.config_context(working_memory=WORKING_MEMORY):
        distances, indices = near.kneighbors(both)
    bar = {
        "disable": False,
        "file": _Layout(Portion(report, 0.1, 0.7)),
        "bar_format": "{n_fmt}/{total_fmt}",
        "mininterval": 0.3,
    }
    with warnings.catch_warnings():
        # "n_jobs value overridden to 1 by setting random_state" is intended: maps are repeatable.
        warnings.filterwarnings("ignore", message="n_jobs value", category=UserWarning)
        # "transforming new data ... unavailable": others are placed by _near.
        warnings.filterwarnings("ignore", message="precomputed_knn", category=UserWarning)
        reducer = umap.UMAP(
            n_neighbors=neighbours,
            precomputed_knn=(indices, distances.astype(np.float32), None),
            force_approximation_algorithm=True,  # otherwise the above is not used for few points
            min_dist=0.1,
            metric="cosine",
            # The spectral start fails on a handful of points.
            init="spectral" if len(both) > 20 else "random",
            random_state=seed,
            tqdm_kwds=bar,
        )
        placed = reducer.fit_transform(both).astype(np.float32)
        points = np.empty((len(directions), 2), dtype=np.float32)
        points[fitted] = placed[len(atoms) :]
    others = np.setdiff1d(np.arange(len(directions)), fitted)
    if len(others):
        stage(report, "Placing the others")
        points[others] = _near(directions[others], both, placed, seed, Portion(report, 0.7, 0.95))
    return placed[: len(atoms)], points


def _near(
    rows: np.ndarray, fitted: np.ndarray, placed: np.ndarray, seed: int, report: Any
) -> np.ndarray:
    """Place rows on a map at the weighted mean of their most similar neighbours on it.

    UMAP's own ``transform`` starts from the same means and then moves the points for a hundred
    epochs, which takes minutes for 50,000 samples and changes little.

    Args:
        rows: (M, d) float32 of unit norm.
        fitted: (F, d) float32 of unit norm, what is on the map.
        placed: (F, 2) float32, where it is.
        seed: Seed of the small random shift that keeps equal rows apart.
        report: A function that gets the fraction done.

    Returns:
        (M, 2) float32: the positions.
    """
    points = np.empty((len(rows), 2), dtype=np.float32)
    k = min(NEIGHBOURS, len(fitted))
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        similar = rows[part] @ fitted.T
        nearest = np.argpartition(-similar, k - 1, axis=1)[:, :k]
        # Cosines of neighbours differ little, so their differences are sharpened.
        best = np.take_along_axis(similar, nearest, axis=1)
        weights = np.exp((best - best.max(axis=1, keepdims=True)) * SHARPNESS)
        weights /= weights.sum(axis=1, keepdims=True)
        points[part] = np.einsum("nk,nkd->nd", weights, placed[nearest])
        report(min(1.0, (start + ROWS_AT_ONCE) / len(rows)))
    spread = 0.005 * np.ptp(placed, axis=0).max()
    return points + np.random.default_rng(seed).normal(0, spread, points.shape).astype(np.float32)
