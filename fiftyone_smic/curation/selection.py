"""Choosing a subset of a collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation import covering, facility
from fiftyone_smic.curation.geometry import Geometry
from fiftyone_smic.curation.inputs import accepts_archives, check_k, check_pair
from fiftyone_smic.curation.results import UNSEEN, several
from fiftyone_smic.dictionary.estimator import SemanticDictionary

Method = Literal["representative", "diverse", "balanced", "covering"]
METHODS = ("representative", "diverse", "balanced", "covering")


@dataclass(frozen=True, eq=False)
class Selection:
    """A chosen subset.

    Attributes:
        indices: (k,) items in the order chosen; the first j of them are a subset of j.
        coverage: (k,) mean over all items of the similarity (0..1) to the nearest chosen so far.
        radius: largest distance 1 - similarity of an item to its nearest chosen one.
        method: how they were chosen.
        bound: what is guaranteed, as a sentence.
        items: number of items there are.
    """

    indices: NDArray[np.intp]
    coverage: NDArray[np.float64]
    radius: float
    method: str
    bound: str
    items: int

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per chosen item: rank, index, coverage so far."""
        pairs = zip(self.indices.tolist(), self.coverage.tolist(), strict=True)
        return [{"rank": r, "index": i, "coverage": c} for r, (i, c) in enumerate(pairs)]

    def __str__(self) -> str:
        k = len(self.indices)
        if k == 0:
            return f"Nothing had to be chosen: {self.bound}"
        shown = ", ".join(map(str, self.indices[:10])) + (", ..." if k > 10 else "")
        steps = [j for j in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if j < k]
        curve = ", ".join(f"{self.coverage[j - 1]:.0%} with {j}" for j in steps[-4:])
        return (
            f"{several(k, 'item')} of {self.items:,} ({self.method}): {shown}\n"
            f"Coverage {self.coverage[-1]:.1%}" + (f" ({curve})" if curve else "") + ", "
            f"radius {self.radius:.2f}.\n{self.bound}\n{UNSEEN}"
        )


@accepts_archives
def select(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    k: int | None,
    method: Method = "representative",
    preselected: ArrayLike | None = None,
    *,
    times: int = 1,
    fewest: int = 2,
    seed: int = 0,
) -> Selection:
    """Choose k items.

    - "representative": facility location by lazy greedy choice over the different codes (Minoux
      1978): every item should have a chosen one near it.
    - "diverse": farthest first (Gonzalez 1985): the chosen ones are far apart.
    - "balanced": every atom and sign gets its share: greedy for the sum over them of the square
      root of how much the chosen ones use it. Rare kinds get more than they have.
    - "covering": as few items as possible that show every atom ``times`` times; with k, at most k.

    Args:
        dictionary: the one the codes were made with; or an archive in place of both.
        codes: (N, K).
        k: how many, 1..N less those preselected; None, with "covering", as many as it takes.
        method: as above.
        preselected: items that are chosen already: they count, and are not chosen again.
        times: how often "covering" shows each atom.
        fewest: "covering" leaves out atoms that fewer items use.
        seed: of the samples that large collections are judged on.

    Raises:
        ValueError: codes of another dictionary, k out of range, or an unknown method.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = rng.normal(size=(100, 8)).astype(np.float32)
        >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(n_atoms=12, max_iter=3, n_swaps=0).fit(z)
        >>> chosen = select(dictionary, dictionary.transform(z), 10)
        >>> len(set(chosen.indices.tolist())), bool((np.diff(chosen.coverage) >= 0).all())
        (10, True)
    """
    dictionary, c = check_pair(dictionary, codes)
    n = c.shape[0]
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    before = _preselected(preselected, n)
    if k is None:
        if method != "covering":
            raise ValueError(f'k is needed with method "{method}": how many to choose')
    else:
        k = check_k(
            k, n - len(before), "items that are not preselected" if len(before) else "items"
        )
    similarity = facility.Similarity.of(c, Geometry.of(dictionary), seed)
    if method == "representative":
        chosen, bound = facility.representative(similarity, _some(k), before)
    elif method == "diverse":
        chosen, bound = facility.diverse(similarity, _some(k), before)
    elif method == "balanced":
        sizes = np.linalg.norm(dictionary.atoms_, axis=1)
        chosen, bound = covering.balanced(c, sizes, _some(k), before)
    else:
        chosen, bound = covering.covering(c, k, before, times, fewest)
    coverage, radius = similarity.coverage(np.concatenate([before, chosen]).astype(np.intp))
    return Selection(chosen, coverage[len(before) :], radius, method, bound, n)


def _some(k: int | None) -> int:
    assert k is not None
    return k


def _preselected(given: ArrayLike | None, n: int) -> NDArray[np.intp]:
    if given is None:
        return np.zeros(0, np.intp)
    p = np.asarray(given)
    if p.dtype == bool and p.shape == (n,):
        p = np.flatnonzero(p)
    if p.size == 0:
        return np.zeros(0, np.intp)
    if p.ndim != 1 or p.dtype.kind not in "iu" or p.min() < 0 or p.max() >= n:
        raise ValueError(f"preselected must be items between 0 and {n - 1}")
    return np.unique(p).astype(np.intp)
