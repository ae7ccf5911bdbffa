"""Priors: what is public about an encoder's latents, so that no archive has to say it.

A prior is the mean, the principal axes, the typical size of atoms along them, and the atoms of a
dictionary, all learned on any public latents of the encoder. An archive's mean and atoms are
predicted from the prior's atoms where that saves bits: with a few hundred items, for which a
dictionary is most of the archive, 4 to 14 % of it. An archive names its prior by a hash of the
content; reading needs the same prior again.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.coding.rows import Public
from fiftyone_smic.utils.vectors import unit

#: Shipped priors.
FOLDER = Path(__file__).parent / "data"


#: The prior's own dictionary: at most so many atoms, and its lam.
MOST_ATOMS, LAM = 1024, 5e-4


@dataclass(frozen=True, eq=False)
class Prior:
    """A public basis for the rows of a dictionary.

    Attributes:
        mean: (d,) float32.
        basis: (d, d) float16, columns are principal axes, the largest first.
        profile: (d,) int64, typical magnitude of an atom's entry along each axis, in units of
            2**-24.
        atoms: (P, d) float16, rows along these axes that may predict those of an archive.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float16]
    profile: NDArray[np.int64]
    atoms: NDArray[np.float16]

    @cached_property
    def hash(self) -> str:
        """16 hex digits that name the content."""
        digest = hashlib.sha256()
        kinds = {"mean": "<f4", "basis": "<f2", "profile": "<i8", "atoms": "<f2"}
        for name, kind in kinds.items():
            array = getattr(self, name)
            digest.update(np.ascontiguousarray(array, dtype=kind).tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def public(self) -> Public:
        """What it says of the rows of a dictionary."""
        return Public(self.profile, self.atoms.astype(np.float64))

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """The basis as float64."""
        return self.basis.astype(np.float64)

    @classmethod
    def build(cls, latents: ArrayLike) -> Prior:
        """Learns a prior from latents (N, d), N >= 2, of unit norm or not (they are normalised);
        some thousand are enough.

        Raises:
            ValueError: fewer than two latents, or NaN among them.
        """
        from fiftyone_smic.dictionary.estimator import SemanticDictionary
        from fiftyone_smic.dictionary.initialization import auto_atoms

        z = np.asarray(latents, np.float64)
        if z.ndim != 2 or len(z) < 2 or not np.isfinite(z).all():
            raise ValueError("a prior needs at least two finite latents, as an (N, d) array")
        z = unit(z)
        mean = z.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov((z - mean).T).reshape(z.shape[1], -1))
        variances, axes = np.maximum(variances[::-1], 0), axes[:, ::-1]
        # Directions the sample has not seen still carry something; atoms are about half as long as
        # items.
        spread = 0.5 * np.sqrt(variances + 0.1 * variances.mean() + 1e-12)
        # The sign of an eigenvector is arbitrary: fix it, so that the hash is not.
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(len(axes))] < 0, -1, 1)
        bare = cls(
            mean.astype(np.float32),
            axes.astype(np.float16),
            np.maximum(np.rint(spread * (1 << 24)), 1).astype(np.int64),
            np.zeros((0, len(mean)), np.float16),
        )
        n_atoms = min(auto_atoms(len(z)), MOST_ATOMS)
        learned = SemanticDictionary(n_atoms, lam=LAM, prior=bare).fit(z).atoms_
        return replace(bare, atoms=(learned @ bare.axes).astype(np.float16))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the prior as an .npz file, about 2 d (d + P) bytes."""
        with open(path, "wb") as f:
            np.savez(f, mean=self.mean, basis=self.basis, profile=self.profile, atoms=self.atoms)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Prior:
        """Reads what :meth:`save` wrote.

        Raises:
            ValueError: the file is not a prior.
            OSError: it cannot be read.
        """
        import zipfile

        try:
            with np.load(path, allow_pickle=False) as f:
                prior = cls(f["mean"], f["basis"], f["profile"], f["atoms"])
        except (KeyError, ValueError, EOFError, zipfile.BadZipFile, TypeError) as e:
            raise ValueError(f"{path} is not a prior: {e}") from e
        d = len(prior.mean)
        if (
            prior.mean.shape != (d,)
            or prior.basis.shape != (d, d)
            or prior.profile.shape != (d,)
            or prior.mean.dtype != np.float32
            or prior.basis.dtype != np.float16
            or prior.profile.dtype != np.int64
            or not np.isfinite(prior.mean).all()
            or not np.isfinite(prior.basis).all()
            or prior.profile.min() < 1
            or prior.profile.max() > 1 << 28
            or prior.atoms.ndim != 2
            or prior.atoms.shape[1] != d
            or len(prior.atoms) > MOST_ATOMS
            or prior.atoms.dtype != np.float16
            or not np.isfinite(prior.atoms).all()
        ):
            raise ValueError(f"{path} is not a prior: its arrays do not fit together")
        return prior


def as_prior(prior: Prior | str | os.PathLike[str] | None) -> Prior | None:
    """A prior as it is, or loaded from a path."""
    return prior if prior is None or isinstance(prior, Prior) else Prior.load(prior)


def shipped_prior_file(encoder: str) -> str:
    """Name of the file of an encoder's shipped prior."""
    return encoder.replace("@", "-") + ".prior.npz"


def shipped_prior(encoder: str) -> Prior | None:
    """The prior that is shipped for the encoder of this identity, or None."""
    for path in FOLDER.glob("*.prior.npz"):
        if path.name == shipped_prior_file(encoder):
            return Prior.load(path)
    return None


def find_prior(name: str) -> Prior | None:
    """The shipped prior with this hash, or None."""
    for path in sorted(FOLDER.glob("*.prior.npz")):
        prior = Prior.load(path)
        if prior.hash == name:
            return prior
    return None
