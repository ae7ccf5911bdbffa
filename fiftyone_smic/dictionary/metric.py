"""What a difference between two latents matters: a metric, by which a dictionary spends its bits.

With a metric M the distance of a latent z and its rebuilt z' is ``(z - z')' M (z - z')``. Only what
learns and encodes knows M. A decoder and a file do not, because z' is a mean plus atoms as before.

The metric of texts is the mean squared error of their scores: a text t scores an image by ``t'z``,
so ``(t'z - t'z')**2``, averaged over texts, is a distance with ``M = mean(t t')``. The mean of the
texts stays in M on purpose. Texts lie apart from images (Liang et al. 2022, "Mind the gap"), so
their scores share one large part, and the images that it favours come first for many texts.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.utils.arrays import read_arrays
from fiftyone_smic.utils.files import replacing
from fiftyone_smic.utils.vectors import unit

#: Weight of plain squared distance beside a metric's own part, which has weight 1.
FLOOR = 1.0
#: Smallest eigenvalue of a metric, as a share of the largest.
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class Metric:
    """A symmetric positive definite matrix that says which differences between latents matter.

    Its scale does not matter: :meth:`SemanticDictionary.fit` scales it so that the latents vary as
    much by it as by squared distance, and so ``lam`` keeps its meaning.

    Attributes:
        matrix: (d, d) float32.

    Raises:
        ValueError: the matrix is not square, finite, symmetric or positive definite.

    Example:
        >>> Metric(np.diag([4.0, 1.0])).matrix.tolist()
        [[4.0, 0.0], [0.0, 1.0]]
    """

    matrix: NDArray[np.float32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", _checked(self.matrix))

    @property
    def dim(self) -> int:
        """d, the number of dimensions.

        Example:
            >>> Metric(np.eye(3)).dim
            3
        """
        return len(self.matrix)

    @classmethod
    def of_texts(cls, latents: ArrayLike, *, floor: float = FLOOR) -> Metric:
        """Build the metric by which what texts find stays: the mean squared error of their scores.

        Args:
            latents: (V, d) latents of texts, V >= 1; a hundred or more, of whatever people will
                ask for, are good. They are scaled to unit norm.
            floor: weight of plain squared distance, above 0. A larger one keeps more of what no
                text says.

        Raises:
            ValueError: no texts, NaN or infinity among them, or a floor that is not above 0.

        Example:
            >>> metric = Metric.of_texts([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
            >>> np.diag(metric.matrix).tolist()
            [2.5, 2.5, 1.0]
        """
        t = unit(_finite(latents, 1))
        return cls(_with_floor(t.T @ t, floor))

    @classmethod
    def of_labels(
        cls, latents: ArrayLike, labels: Sequence[Any] | NDArray, *, floor: float = FLOOR
    ) -> Metric:
        """Build the metric by which what separates classes stays.

        It is the scatter of the classes' means after the spread within classes was made even, as in
        Fisher's linear discriminant analysis with a shrunken covariance.

        Args:
            latents: (N, d) latents, scaled to unit norm.
            labels: N labels of at least two classes.
            floor: weight of plain squared distance, above 0.

        Raises:
            ValueError: another number of labels, fewer than two classes, all means alike, NaN or
                infinity among the latents, or a floor that is not above 0.

        Example:
            >>> metric = Metric.of_labels([[1.0, 0.1], [1.0, -0.1], [-1.0, 0.1], [-1.0, -0.1]],
            ...                           ["cat", "cat", "dog", "dog"])
            >>> bool(metric.matrix[0, 0] > metric.matrix[1, 1])
            True
        """
        z = unit(_finite(latents, 2))
        classes, place, counts = np.unique(
            np.asarray(labels), return_inverse=True, return_counts=True
        )
        if len(place) != len(z) or len(classes) < 2:
            raise ValueError(
                f"a metric of labels needs one label for each of the {len(z)} latents and at least "
                f"two classes; it has {len(place)} labels of {len(classes)} classes"
            )
        sums = np.zeros((len(classes), z.shape[1]))
        np.add.at(sums, place.ravel(), z)
        means = sums / counts[:, None]
        rest = z - means[place.ravel()]
        within = rest.T @ rest / len(z)
        # Half of the spread is taken to be the same everywhere: classes of few items say little.
        within = within / 2 + np.eye(len(within)) * (np.trace(within) / (2 * len(within)) + 1e-12)
        apart = np.linalg.solve(within, (means - z.mean(axis=0)).T) * np.sqrt(counts)
        return cls(_with_floor(apart @ apart.T, floor))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the metric as an .npz file, which :meth:`load` reads.

        Args:
            path: of the file. It appears whole or not at all; an old one is replaced.

        Raises:
            OSError: the file cannot be written.

        Example:
            >>> import tempfile
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     Metric(np.eye(2)).save(f"{folder}/words.npz")
            ...     Metric.load(f"{folder}/words.npz").dim
            2
        """
        with replacing(path) as f:
            np.savez(f, metric=self.matrix)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Metric:
        """Read the metric of a file: of :meth:`save`, or of a prior that was saved with one.

        Args:
            path: of the file.

        Raises:
            ValueError: the file holds no metric.
            OSError: the file cannot be read.

        Example:
            >>> import tempfile
            >>> from fiftyone_smic.dictionary import Prior
            >>> prior = Prior.build(np.random.default_rng(0).normal(size=(40, 8)))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     prior.save(f"{folder}/p.prior.npz", metric=Metric(np.eye(8)))
            ...     Metric.load(f"{folder}/p.prior.npz").dim
            8
        """
        try:
            return cls(read_arrays(path, ["metric"])["metric"])
        except ValueError as e:
            raise ValueError(f"{os.fspath(path)} holds no metric: {e}") from e

    def scaled_to(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the matrix (d, d), scaled so that latents vary by it as much as by distance.

        Args:
            latents: (N, d).

        Example:
            >>> Metric(8 * np.eye(2)).scaled_to(np.eye(2, dtype=np.float32)).tolist()
            [[1.0, 0.0], [0.0, 1.0]]
        """
        if len(latents) < 2:
            return self.matrix
        y = latents - latents.mean(axis=0, dtype=np.float64).astype(np.float32)
        spread = np.asarray(y.T @ y, np.float64)
        by_metric = float((spread * self.matrix).sum())
        if not by_metric > 0:  # all latents are alike
            return self.matrix
        return (self.matrix * (float(np.trace(spread)) / by_metric)).astype(np.float32)


def as_metric(metric: Metric | ArrayLike | str | os.PathLike[str] | None) -> Metric | None:
    """Return a metric given as such, as a matrix, as a file, or not at all.

    Args:
        metric: a :class:`Metric`, a (d, d) matrix, the path of a file for :meth:`Metric.load`, or
            None.

    Raises:
        ValueError: the matrix is no metric, or the file holds none.
        OSError: the file cannot be read.

    Example:
        >>> as_metric(np.eye(2)).dim, as_metric(None)
        (2, None)
    """
    if metric is None or isinstance(metric, Metric):
        return metric
    if isinstance(metric, (str, os.PathLike)):
        return Metric.load(metric)
    return Metric(np.asarray(metric))


def _finite(latents: ArrayLike, least: int) -> NDArray[np.float64]:
    z = np.asarray(latents, np.float64)
    if z.ndim != 2 or len(z) < least or not z.shape[1] or not np.isfinite(z).all():
        raise ValueError(f"a metric needs {least} or more finite latents, as an (N, d) array")
    return z


def _with_floor(own: NDArray[np.float64], floor: float) -> NDArray[np.float32]:
    """A metric's own part, scaled to a mean eigenvalue of 1, plus the floor."""
    if not (np.isfinite(floor) and floor > 0):
        raise ValueError(f"the floor must be a number above 0, got {floor!r}")
    scale = np.trace(own) / len(own)
    if not scale > 0:
        raise ValueError("these latents say nothing: they are all zero, or all classes are alike")
    return (own / scale + floor * np.eye(len(own))).astype(np.float32)


def _checked(matrix: Any) -> NDArray[np.float32]:
    """The matrix as float32, exactly symmetric; else ValueError."""
    m = np.asarray(matrix)
    if m.ndim != 2 or m.shape[0] != m.shape[1] or not len(m) or m.dtype.kind not in "fiu":
        raise ValueError(
            f"a metric is a (d, d) matrix of real numbers, not {m.dtype} of shape {m.shape}"
        )
    with np.errstate(over="ignore"):
        wide, m = m.astype(np.float64), m.astype(np.float32)
    if not np.isfinite(m).all():
        raise ValueError("a metric must be finite, and this one has NaN, infinity or huge numbers")
    if not np.allclose(wide, wide.T, rtol=1e-4, atol=1e-5 * np.abs(wide).max()):
        raise ValueError("a metric must be symmetric, and this one is not: use (M + M.T) / 2")
    wide = (wide + wide.T) / 2
    values = np.linalg.eigvalsh(wide)
    if not values[0] > _LEAST * values[-1]:
        raise ValueError(
            "a metric must be positive definite, and the eigenvalues of this one go from "
            f"{values[0]:.3g} to {values[-1]:.3g}: add a share of the identity"
        )
    return wide.astype(np.float32)
