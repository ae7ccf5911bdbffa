"""Search by text or image: latents against codes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation.geometry import Geometry
from fiftyone_smic.curation.inputs import (
    accepts_archives,
    check_beside,
    check_k,
    check_pair,
    check_queries,
)
from fiftyone_smic.curation.results import UNSEEN, text_table
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.utils.vectors import unit

#: Added to the squared length of each item's atoms, as a share of its mean: codes that say next to
#: nothing do not come first by chance.
SHRINKAGE = 0.1
#: Agreement with latents below which a warning says so.
LITTLE = 0.5


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found; ``scores, indices = search(...)`` takes it apart.

    Attributes:
        scores: (m, k) float32, best first: the cosine of query and code, both without what all
            items have in common.
        indices: (m, k) items.
        tied: share of the m queries whose last place could as well be another item's, with the
            same score.
        agreement: mean share of the k items that full latents find too, or None without latents.
    """

    scores: NDArray[np.float32]
    indices: NDArray[np.intp]
    tied: float
    agreement: float | None = None

    def __iter__(self) -> Iterator[NDArray]:
        return iter((self.scores, self.indices))

    def __getitem__(self, index: int) -> NDArray:
        return (self.scores, self.indices)[index]

    def __len__(self) -> int:
        return 2

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per query and place: query, rank, index, score."""
        return [
            {"query": q, "rank": r, "index": int(i), "score": float(s)}
            for q, (row, scores) in enumerate(zip(self.indices, self.scores, strict=True))
            for r, (i, s) in enumerate(zip(row, scores, strict=True))
        ]

    def __str__(self) -> str:
        m, k = self.indices.shape
        rows = [
            (str(q), ", ".join(map(str, row[:8])) + (", ..." if k > 8 else ""), f"{s[0]:.3f}")
            for q, (row, s) in enumerate(zip(self.indices[:10], self.scores[:10], strict=True))
        ]
        text = text_table(("query", "items", "best score"), rows)
        if self.tied:
            text += (
                f"\nFor {self.tied:.0%} of {m} queries the last place is shared: several codes "
                "score alike there, and which of their items is shown is arbitrary."
            )
        if self.agreement is not None:
            return f"{text}\n{_agreeing(self.agreement, k)}"
        return f"{text}\n{UNSEEN}"


def _agreeing(share: float, k: int) -> str:
    return f"Of the first {k}, {share:.0%} are also among the first {k} by full latents."


@accepts_archives
def search(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    queries: ArrayLike,
    k: int = 20,
    *,
    text_mean: ArrayLike | None = None,
    latents: ArrayLike | None = None,
    by: str = "cosine",
) -> Found:
    """Find the items whose codes lie nearest to latents of texts or images.

    What all items have in common (their mean) is taken from queries and codes: texts lie apart
    from images along it (Liang et al. 2022, "Mind the gap"). The rest is compared by its cosine,
    so that an item of which the code keeps little is not ranked by how little.

    Args:
        dictionary: the one the codes were made with; or an archive in place of both.
        codes: (N, K).
        queries: (m, d) or (d,) latents of texts or images of the same encoder.
        k: how many to find, 1..N.
        text_mean: (d,) mean latent of many texts, taken from each query: with a vocabulary at hand
            texts are compared by what tells them apart.
        latents: (N, d) latents of the items, where they are still there: then the result says how
            far codes and latents agree on these queries.
        by: ``"cosine"`` as above, or ``"product"``: the inner product of query and rebuilt latent,
            which estimates the cosine that the full latent of unit norm has. With codes of a metric
            of texts it finds more of what full latents find; ``text_mean`` is not used.

    Returns:
        Scores and indices, (m, k) each.

    Raises:
        ValueError: codes of another dictionary, no codes, k out of range, or queries that are not
            finite or of another encoder, or another ``by``.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(200, 16)).astype(np.float32)
        >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(n_atoms=32, lam=1e-4, max_iter=3, n_swaps=0).fit(z)
        >>> scores, indices = search(dictionary, dictionary.transform(z), z[:3], k=5)
        >>> indices[:, 0].tolist()
        [0, 1, 2]
    """
    dictionary, c = check_pair(dictionary, codes)
    n, k = c.shape[0], check_k(k, c.shape[0])
    q = check_queries(queries, dictionary.n_features_in_)
    z = None if latents is None else check_beside(latents, n, dictionary.n_features_in_)
    if by not in ("cosine", "product"):
        raise ValueError(f"by must be 'cosine' or 'product', got {by!r}")
    whole = by == "product"
    asked = unit(q) if whole else directions(dictionary, q, text_mean)
    shared = asked @ dictionary.mean_ if whole else np.zeros(len(q), np.float32)
    lengths = Geometry.of(dictionary).displacements(c)
    scale = 1 / np.sqrt(lengths + SHRINKAGE * lengths.mean() + 1e-9)
    weights = c.astype(np.float32)
    if not whole:
        weights.data *= np.repeat(scale, np.diff(c.indptr)).astype(np.float32)
    by_atom = dictionary.atoms_ @ asked.T
    scores, indices, tied = np.empty((len(q), k), np.float32), np.empty((len(q), k), np.intp), 0
    for row in range(len(q)):
        all_scores = weights @ by_atom[:, row] + shared[row]
        indices[row] = best(all_scores, k)
        scores[row] = all_scores[indices[row]]
        tied += k < n and int((all_scores >= scores[row, -1]).sum()) > k
    agreement = None if z is None else _agreement(q, z, indices)
    if agreement is not None and agreement < LITTLE:
        warnings.warn(
            _agreeing(agreement, k) + " Codes of more bits (a smaller lam) find more.",
            stacklevel=3,
        )
    return Found(scores, indices, tied / len(q), agreement)


def directions(
    dictionary: SemanticDictionary, queries: NDArray[np.float32], text_mean: ArrayLike | None
) -> NDArray[np.float32]:
    """Queries of unit norm, without a mean of texts, if given, and without the items' mean."""
    asked = unit(queries)
    if text_mean is not None:
        common = np.asarray(text_mean, np.float32)
        if common.shape != asked.shape[1:] or not np.isfinite(common).all():
            raise ValueError(
                f"text_mean must be {asked.shape[1]} finite numbers, one for each dimension of the "
                f"queries; its shape is {common.shape}"
            )
        asked = asked - common
    along = unit(dictionary.mean_[None])[0]
    return unit(asked - np.outer(asked @ along, along)).astype(np.float32)


def best(scores: NDArray, k: int) -> NDArray[np.intp]:
    """Positions of the k largest, best first; among equals the first comes first."""
    if k < len(scores):
        bar = np.partition(scores, len(scores) - k)[len(scores) - k]
        above, at = np.flatnonzero(scores > bar), np.flatnonzero(scores == bar)
        chosen = np.concatenate([above, at[: k - len(above)]])
    else:
        chosen = np.arange(len(scores))
    return chosen[np.lexsort((chosen, -scores[chosen]))]


def _agreement(queries: NDArray, latents: NDArray, found: NDArray[np.intp]) -> float:
    k = found.shape[1]
    pairs = zip(queries, found, strict=True)
    hits = [len(np.intersect1d(row, best(latents @ q, k))) for q, row in pairs]
    return float(np.mean(hits)) / k
