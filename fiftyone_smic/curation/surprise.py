"""What does not fit: outliers within a collection, and what is new beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, issparse

from fiftyone_smic.curation.geometry import Geometry
from fiftyone_smic.curation.inference import LEVEL, bh
from fiftyone_smic.curation.inputs import accepts_archives, as_codes, check_pair, check_vector
from fiftyone_smic.curation.results import SHOWN, several, text_table
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.validation import check_latents
from fiftyone_smic.utils.vectors import unit

UNEXPLAINED, FAR = "unexplained", "far"
_SAID = {
    UNEXPLAINED: "the atoms explain little of it",
    FAR: "it lies far from what all items have in common",
}
#: The median absolute deviation of a normal distribution, as a share of its standard deviation.
_MAD = 0.6745
#: Score above which an item counts as an outlier in the printed sentence.
REMARKABLE = 5.0


@dataclass(frozen=True, eq=False)
class Outliers:
    """How little each item fits its collection.

    Attributes:
        scores: (N,) robust standard deviations from the median: the larger of the next two.
        unexplained: (N,) the same of the energy that the atoms leave: the stored distortion, or
            1 - |z'|^2 from the code alone.
        far: (N,) the same of the distance of the rebuilt latent from the collection's mean.
        measured: whether the true distortion was used.
    """

    scores: NDArray[np.float64]
    unexplained: NDArray[np.float64]
    far: NDArray[np.float64]
    measured: bool

    @property
    def indices(self) -> NDArray[np.intp]:
        """(N,) all items, the least fitting first."""
        return np.argsort(-self.scores, kind="stable")

    def causes(self) -> list[str]:
        """N causes: "unexplained" or "far", whichever is larger."""
        pairs = zip(self.unexplained, self.far, strict=True)
        return [UNEXPLAINED if u >= f else FAR for u, f in pairs]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per item, the least fitting first: index, score, cause."""
        causes = self.causes()
        return [
            {"index": int(i), "score": float(self.scores[i]), "cause": causes[i]}
            for i in self.indices
        ]

    def __str__(self) -> str:
        n = int((self.scores > REMARKABLE).sum())
        text = (
            f"{several(n, 'item')} of {len(self.scores):,} lie more than {REMARKABLE:g} robust "
            "standard deviations out."
            if n
            else f"None of {several(len(self.scores), 'item')} stands out."
        )
        causes = self.causes()
        first = self.indices[:SHOWN]
        rows = [(str(i), f"{self.scores[i]:.1f}", _SAID[causes[i]]) for i in first]
        text += "\n" + text_table(("item", "score", "because"), rows)
        text += (
            "\nOutliers that are alike get an atom of their own and do not stand out here: look "
            "at rare() too."
        )
        return f"{text}\n{self.seen}"

    @property
    def seen(self) -> str:
        """What the scores come from, as a sentence."""
        if self.measured:
            return "What the codes leave out of each item is known, and is in the scores."
        return "The scores come from codes alone; with each item's distortion they see more."


@accepts_archives
def outliers(
    dictionary: SemanticDictionary, codes: csr_matrix, distortion: ArrayLike | None = None
) -> Outliers:
    """Score how little each item fits its collection.

    An item stands out when its atoms leave much of it unexplained (1 - |z'|^2, as latents have unit
    norm; or the true distortion), or when they carry it far from the mean of all. The score is the
    larger of both, each in robust standard deviations. The length of a code says nothing: pursuit
    spends few bits on what it cannot explain.

    Args:
        dictionary: the one the codes were made with; or an archive in place of both, whose stored
            distortion is taken.
        codes: (N, K), N >= 3.
        distortion: (N,) squared distances of latents and reconstructions, if known.

    Raises:
        ValueError: codes of another dictionary, fewer than three, or a distortion of another
            length or with negative or missing values.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> z = 0.2 * rng.normal(size=(100, 8)).astype(np.float32) + 1
        >>> z[7] = [1, -1, 1, -1, 1, -1, 1, -1]
        >>> z /= np.linalg.norm(z, axis=1, keepdims=True)
        >>> dictionary = SemanticDictionary(n_atoms=4, max_iter=3, n_swaps=0).fit(z)
        >>> outliers(dictionary, dictionary.transform(z)).scores.argmax().item()
        7
    """
    dictionary, c = check_pair(dictionary, codes, minimum=3)
    geometry = Geometry.of(dictionary)
    along = geometry.means(c)
    if distortion is None:
        left = 1 - (geometry.displacements(c) + 2 * along + geometry.mean_square)
    else:
        left = check_vector(distortion, c.shape[0], "distortion")
        if (left < 0).any():
            raise ValueError("distortion is a squared distance and some of these are negative")
    unexplained, far = _robust(left), _robust(-along)
    return Outliers(np.maximum(unexplained, far), unexplained, far, distortion is not None)


def _robust(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Deviations from the median in units of the spread of the middle half, or of all where the
    middle half is one value."""
    moved = values - np.median(values)
    spread = np.median(np.abs(moved)) / _MAD
    spread = spread if spread > 0.05 * moved.std() else moved.std()
    return moved / spread if spread > 1e-9 else np.zeros_like(moved)


@dataclass(frozen=True, eq=False)
class Novelty:
    """How new each item is beside a reference.

    Attributes:
        scores: (M,) squared distance the dictionary leaves of each new item.
        p: (M,) share of the reference that is at least as badly explained (conformal p-value,
            never 0).
        q: (M,) corrected for M items.
        groups: items with q < 0.05 that use the same strongest atom and sign, largest group first.
        measured: whether latents were given rather than codes.
        references: number of reference items.
    """

    scores: NDArray[np.float64]
    p: NDArray[np.float64]
    q: NDArray[np.float64]
    groups: tuple[NDArray[np.intp], ...]
    measured: bool
    references: int

    @property
    def indices(self) -> NDArray[np.intp]:
        """Items with q < 0.05, the newest first."""
        found = np.flatnonzero(self.q < LEVEL)
        return found[np.argsort(-self.scores[found], kind="stable")]

    @property
    def relearn(self) -> bool:
        """Whether so much is new that the dictionary should be learned again: over 5 %."""
        return len(self.indices) > 0.05 * len(self.scores)

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per new item, in order: index, score, p, q, novel."""
        columns = zip(self.scores.tolist(), self.p.tolist(), self.q.tolist(), strict=True)
        return [
            {"index": i, "score": s, "p": p, "q": q, "novel": q < LEVEL}
            for i, (s, p, q) in enumerate(columns)
        ]

    def __str__(self) -> str:
        n, m = len(self.indices), len(self.scores)
        if n == 0:
            text = f"None of {several(m, 'new item')} is explained worse than chance allows."
            least = min(1.0, m / (1 + self.references))
            if least >= LEVEL:
                text += (
                    f" With {self.references} reference items a single novel item cannot be told "
                    f"(its q would be {least:.2g} at least): give a larger reference."
                )
        else:
            sizes = ", ".join(str(len(g)) for g in self.groups[:5])
            text = (
                f"{n:,} of {several(m, 'new item')} are novel (q < {LEVEL:g}), in "
                f"{several(len(self.groups), 'group')} (the largest: {sizes})."
            )
        if self.relearn:
            text += "\nOver 5 % are novel: learn the dictionary again on both collections together."
        if not self.measured:
            text += (
                "\nFrom codes alone much novelty is invisible, as a code keeps only what the "
                "dictionary knows; latents of the new items see more."
            )
        return text


@accepts_archives
def novelty(dictionary: SemanticDictionary, reference: Any, new: Any) -> Novelty:
    """Tell which new items a dictionary explains worse than it explains its own kind.

    A conformal test: the p-value of a new item is its rank among the reference. The reference
    should be items that the dictionary was *not* learned from; training items are explained a
    little too well, and then everything looks somewhat new.

    Args:
        dictionary: the one learned on what is known.
        reference: (R, d) latents, or (R, K) codes, sparse or of integers.
        new: (M, d) latents or (M, K) codes, of the same kind as ``reference``.

    Raises:
        ValueError: codes beside latents, codes of another dictionary, or nothing given.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> basis = rng.normal(size=(4, 16))
        >>> z = rng.normal(size=(300, 4)) @ basis + 0.1 * rng.normal(size=(300, 16))
        >>> z = unit(z).astype(np.float32)
        >>> dictionary = SemanticDictionary(n_atoms=20, lam=1e-3, max_iter=3, n_swaps=0)
        >>> dictionary = dictionary.fit(z[:150])
        >>> new = np.vstack([z[-20:], unit(rng.normal(size=(5, 16)))])
        >>> sorted(novelty(dictionary, z[150:280], new).indices.tolist())
        [20, 21, 22, 23, 24]
    """
    sides = [_coded(side) for side in (reference, new)]
    if sides[0] != sides[1]:
        raise ValueError(
            "the reference is given as codes and the new items as latents, or the other way "
            "round: give both as latents, or both as codes"
        )
    known, _ = _left(dictionary, reference, sides[0])
    fresh, codes = _left(dictionary, new, sides[1])
    ordered = np.sort(known)
    worse = len(ordered) - np.searchsorted(ordered, fresh - 1e-9, side="left")
    p = (1 + worse) / (1 + len(ordered))
    q = bh(p)
    found = np.flatnonzero(q < LEVEL)
    groups = _by_strongest(dictionary, codes, found)
    return Novelty(fresh, p, q, groups, not sides[0], len(ordered))


def _coded(side: Any) -> bool:
    return issparse(side) or np.asarray(side).dtype.kind in "iub"


def _left(
    dictionary: SemanticDictionary, side: Any, coded: bool
) -> tuple[NDArray[np.float64], csr_matrix]:
    if coded:
        dictionary, c = check_pair(dictionary, side)
        return 1 - Geometry.of(dictionary).energies(c), c
    check_pair(dictionary, csr_matrix((1, dictionary.n_atoms_)))
    z = check_latents(side, dimensions=dictionary.n_features_in_)
    if len(z) == 0:
        raise ValueError("there are no latents here: choose a larger view")
    z = unit(z).astype(np.float32)
    c = dictionary.transform(z)
    left = np.square(z - dictionary.inverse_transform(c), dtype=np.float64).sum(axis=1)
    return left, as_codes(c)


def _by_strongest(
    dictionary: SemanticDictionary, codes: csr_matrix, items: NDArray[np.intp]
) -> tuple[NDArray[np.intp], ...]:
    sizes = np.linalg.norm(dictionary.atoms_, axis=1)
    groups: dict[tuple[int, int], list[int]] = {}
    for i in items:
        part = slice(codes.indptr[i], codes.indptr[i + 1])
        atoms, levels = codes.indices[part], codes.data[part]
        key = (-1, 0)
        if len(atoms):
            strongest = int((np.abs(levels) * sizes[atoms]).argmax())
            key = (int(atoms[strongest]), int(np.sign(levels[strongest])))
        groups.setdefault(key, []).append(int(i))
    return tuple(np.array(g) for g in sorted(groups.values(), key=len, reverse=True))
