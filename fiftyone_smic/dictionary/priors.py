"""Priors: the shared statistics of an encoder's latents, so that archives need not store them.

A prior is a mean, principal axes, the typical size of atoms along these axes, and the atoms of a
dictionary, all learned on any public latents of the encoder. The mean and the atoms of an archive
are predicted from the prior's where that saves bits. With 50 to 200 items, for which the dictionary
is most of the archive, a prior from similar pictures saves two thirds of the file. An archive names
its prior by a hash of its content, and reading the archive needs the same prior.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.coding.rows import Public
from fiftyone_smic.dictionary.initialization import auto_atoms
from fiftyone_smic.dictionary.learning import Settings, learn
from fiftyone_smic.utils.arrays import read_arrays
from fiftyone_smic.utils.files import replacing
from fiftyone_smic.utils.vectors import unit

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.metric import Metric

#: Folder of the shipped priors.
FOLDER = Path(__file__).parent / "data"

#: Most atoms of a prior.
MOST_ATOMS = 1024
#: Squared distance that one bit is worth where a prior's atoms are learned.
LAM = 5e-4


@dataclass(frozen=True, eq=False)
class Prior:
    """A public basis for the rows of a dictionary.

    Attributes:
        mean: (d,) float32.
        basis: (d, d) float16, its columns are principal axes, the largest variance first.
        profile: (d,) int64, typical magnitude of an atom's entry along each axis, in units of
            2**-24.
        atoms: (P, d) float16, rows along these axes that may predict the rows of an archive.

    Example:
        >>> latents = np.random.default_rng(0).normal(size=(40, 8))
        >>> prior = Prior.build(latents)
        >>> prior.basis.shape, len(prior.hash)
        ((8, 8), 16)
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float16]
    profile: NDArray[np.int64]
    atoms: NDArray[np.float16]

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits of a SHA-256 that name the content."""
        digest = hashlib.sha256()
        kinds = {"mean": "<f4", "basis": "<f2", "profile": "<i8", "atoms": "<f2"}
        for name, kind in kinds.items():
            array = getattr(self, name)
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def public(self) -> Public:
        """What writer and reader know of the rows of a dictionary with this prior."""
        return Public(self.profile, self.atoms.astype(np.float64))

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """The basis (d, d) as float64."""
        return self.basis.astype(np.float64)

    @classmethod
    def build(cls, latents: ArrayLike) -> Prior:
        """Build the shared statistics of an encoder, so that archives need not store them.

        Args:
            latents: (N, d), N >= 2; a few thousand are enough. They are scaled to unit norm.

        Raises:
            ValueError: fewer than two latents, or NaN or infinity among them.

        Example:
            >>> Prior.build(np.random.default_rng(0).normal(size=(40, 8))).mean.shape
            (8,)
        """
        z = np.asarray(latents, np.float64)
        if z.ndim != 2 or len(z) < 2 or not z.shape[1] or not np.isfinite(z).all():
            raise ValueError("a prior needs at least two finite latents, as an (N, d) array")
        z = unit(z)
        mean = z.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov((z - mean).T).reshape(z.shape[1], -1))
        variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
        # Directions without variance in the sample still carry something in other collections.
        # Atoms are about half as long as items.
        spread = 0.5 * np.sqrt(variances + 0.1 * variances.mean() + 1e-12)
        # The sign of an eigenvector is arbitrary. It is fixed here, so that the hash is too.
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))] < 0, -1, 1)
        bare = cls(
            mean.astype(np.float32),
            axes.astype(np.float16),
            np.maximum(np.rint(spread * (1 << 24)), 1).astype(np.int64),
            np.zeros((0, len(mean)), np.float16),
        )
        learned = learn(
            z.astype(np.float32),
            Settings(LAM, max_level=4, max_nonzero=16, nonnegative=False, prior=bare),
            n_items=len(z),
            n_atoms=min(auto_atoms(len(z)), MOST_ATOMS),
            max_iter=20,
            n_swaps="auto",
            rng=np.random.RandomState(0),
        )
        return replace(bare, atoms=(learned.atoms @ bare.axes).astype(np.float16))

    def save(self, path: str | os.PathLike[str], *, metric: Metric | None = None) -> None:
        """Write the prior as an .npz file of about 2 d (d + P) bytes.

        Args:
            path: of the file, conventionally ``*.prior.npz``; replaced if it exists.
            metric: a metric to carry along, which ``SemanticDictionary(metric=path)`` then takes.
                The prior and its hash are the same without it.

        Raises:
            OSError: the file cannot be written.

        Example:
            >>> import tempfile
            >>> prior = Prior.build(np.random.default_rng(0).normal(size=(40, 8)))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     prior.save(f"{folder}/mine.prior.npz")
            ...     Prior.load(f"{folder}/mine.prior.npz").hash == prior.hash
            True
        """
        arrays: dict[str, Any] = {
            "mean": self.mean,
            "basis": self.basis,
            "profile": self.profile,
            "atoms": self.atoms,
        }
        if metric is not None:
            arrays["metric"] = metric.matrix
        with replacing(path) as f:
            np.savez(f, **arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Prior:
        """Read a prior that :meth:`save` wrote.

        Args:
            path: of the file.

        Raises:
            ValueError: the file is not a prior.
            OSError: the file cannot be read.

        Example:
            >>> prior = Prior.load(next(FOLDER.glob("*.prior.npz")))
            >>> prior.mean.dtype, prior.basis.dtype
            (dtype('float32'), dtype('float16'))
        """
        try:
            prior = cls(**read_arrays(path, ("mean", "basis", "profile", "atoms")))
        except ValueError as e:
            raise ValueError(f"{os.fspath(path)} is not a prior: {e}") from e
        return prior.checked(f"{os.fspath(path)} is not a prior: it")

    def checked(self, what: str) -> Prior:
        """Return the prior if it is one that :meth:`build` can have made.

        Args:
            what: beginning of the message otherwise.

        Raises:
            ValueError: an array has another type or shape, or numbers that are out of range.
        """
        kinds = {"mean": np.float32, "basis": np.float16, "profile": np.int64, "atoms": np.float16}
        wrong = [name for name, kind in kinds.items() if getattr(self, name).dtype != kind]
        d = len(self.mean) if self.mean.ndim == 1 else 0
        if (
            wrong
            or d == 0
            or self.basis.shape != (d, d)
            or self.profile.shape != (d,)
            or self.atoms.shape[1:] != (d,)
            or len(self.atoms) > MOST_ATOMS
            or self.profile.min() < 1
            or self.profile.max() > 1 << 28
            or not all(np.isfinite(getattr(self, name)).all() for name in kinds)
        ):
            found = ", ".join(
                f"{name} {getattr(self, name).dtype} {getattr(self, name).shape}" for name in kinds
            )
            raise ValueError(f"{what} holds arrays that do not fit together ({found})")
        return self


def as_prior(prior: Prior | str | os.PathLike[str] | None) -> Prior | None:
    """Return a prior as it is, or load it from a file.

    Args:
        prior: a prior, the path of its file, or None.

    Raises:
        ValueError: the file is not a prior.
        OSError: the file cannot be read.

    Example:
        >>> prior = Prior.build(np.random.default_rng(0).normal(size=(40, 8)))
        >>> as_prior(prior) is prior, as_prior(None)
        (True, None)
    """
    return prior if prior is None or isinstance(prior, Prior) else Prior.load(prior)


def shipped_prior_file(encoder: str) -> str:
    """Return the name of the file of an encoder's shipped prior."""
    return encoder.replace("@", "-") + ".prior.npz"


def shipped_prior(encoder: str) -> Prior | None:
    """Return the prior that comes with this package for an encoder, or None.

    Args:
        encoder: identity of the encoder, as an archive stores it.

    Example:
        >>> shipped_prior("some-encoder/of-yours") is None
        True
    """
    for path in FOLDER.glob("*.prior.npz"):
        if path.name == shipped_prior_file(encoder):
            return Prior.load(path)
    return None


def find_prior(name: str) -> Prior | None:
    """Return the prior with this hash that comes with this package, or None.

    Args:
        name: :attr:`Prior.hash`, 16 hexadecimal digits, as an archive stores it.

    Example:
        >>> shipped = Prior.load(next(FOLDER.glob("*.prior.npz")))
        >>> find_prior(shipped.hash).hash == shipped.hash, find_prior("0" * 16)
        (True, None)
    """
    for path in sorted(FOLDER.glob("*.prior.npz")):
        prior = Prior.load(path)
        if prior.hash == name:
            return prior
    return None
