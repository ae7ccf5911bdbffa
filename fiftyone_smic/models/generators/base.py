"""What every generator does: check a request, then draw it batch by batch."""

from __future__ import annotations

import math
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.utils.progress import Progress

if TYPE_CHECKING:
    from PIL import Image

#: Seeds that PyTorch accepts.
_SEEDS = range(-(2**63), 2**64)
#: Most denoising steps: the time steps that the models are trained on.
MAX_STEPS = 1000


@dataclass(frozen=True)
class Settings:
    """How to draw, after the defaults of the generator are filled in and checked.

    Attributes:
        steps: Denoising steps.
        guidance: Scale of classifier-free guidance (Ho and Salimans 2022); 1 or less is off.
        noise_level: Noise added to the latent, in time steps.
    """

    steps: int
    guidance: float
    noise_level: int = 0


class Generator(ABC):
    """A model that draws pictures from latents; :func:`load_generator` makes one.

    A family of generators is a subclass that sets the attributes and implements :meth:`_draw`.

    Attributes:
        name: The name the generator was asked for.
        identity: The name and, for files, a hash of what decides the pictures.
        encoder: Identity of the encoder whose latents the generator understands.
        dim: d, the number of dimensions of a latent.
        size: Width and height of a picture, in pixels; 0 if pictures have sizes of their own.
        steps: Denoising steps that :meth:`generate` uses unless told otherwise.
        guidance: Guidance scale that :meth:`generate` uses unless told otherwise.
        latent_norm: The length that training scaled latents to, or None if the generator was
            trained on the encoder's raw output.
        needs_norm: Whether the length of a latent matters to the generator.
        min_steps: The smallest number of denoising steps.
        max_noise_level: The largest ``noise_level``; 0 if the family adds no noise to latents.
        notice: What a user must know about this generator, or None.
    """

    name: str
    identity: str
    encoder: str
    dim: int
    size: int
    steps: int
    guidance: float
    latent_norm: float | None = None
    notice: str | None = None
    needs_norm: ClassVar[bool] = True
    min_steps: ClassVar[int] = 1
    max_noise_level: ClassVar[int] = 0

    @abstractmethod
    def _draw(
        self,
        latents: NDArray[np.float32],
        seeds: Sequence[int],
        settings: Settings,
        exclude: Sequence[str | None],
    ) -> list[Image.Image]:
        """Draw one batch.

        Args:
            latents: (b, d) latents at the length that the generator was trained on.
            seeds: b seeds of noise.
            settings: How to draw.
            exclude: b paths of the pictures that the latents came from; None where not known.
        """

    def generate(self, latents: ArrayLike, **options: Any) -> list[Image.Image]:
        """Draw one picture per latent and return them all.

        Args:
            latents: (n, d) floats of any length above zero.
            **options: See :meth:`generate_batches`.

        Returns:
            n RGB images, in the order of the latents.

        Raises:
            ValueError: See :meth:`generate_batches`.

        Example:
            >>> from fiftyone_smic.models.generators import load_generator
            >>> postcards = load_generator("postcards", device="cpu")
            >>> latents = np.random.default_rng(0).normal(size=(2, postcards.dim))
            >>> [picture.size for picture in postcards.generate(latents, seeds=7, steps=1)]
            [(64, 64), (64, 64)]
        """
        return [picture for batch in self.generate_batches(latents, **options) for picture in batch]

    def generate_batches(
        self,
        latents: ArrayLike,
        *,
        norm: float | None = None,
        seeds: Iterable[int] | int = 0,
        batch_size: int = 8,
        steps: int | None = None,
        guidance: float | None = None,
        noise_level: int = 0,
        exclude: Sequence[str | os.PathLike[str] | None] | None = None,
        progress: Progress | None = None,
    ) -> Iterator[list[Image.Image]]:
        """Draw one picture per latent and yield them batch by batch, as they are drawn.

        The request is checked at once, before the first batch is asked for. Decoders are trained
        on latents that are not normalised, so each latent is brought to unit norm and then to the
        length that training used: the generator's own ``latent_norm`` if it has one, else
        ``norm``, which archives carry as the median raw length of their collection.

        Args:
            latents: (n, d) floats of any length above zero.
            norm: The encoder's typical raw length. It is not needed if the generator has its own.
            seeds: n integers, one per picture, or one integer s for s, s+1, ..., s+n-1. The noise
                comes from the CPU and from each picture's own seed, so a picture depends neither
                on the batch it is drawn in nor, but for rounding, on the device.
            batch_size: Pictures per pass.
            steps: Denoising steps, 1 to 1000; None takes the generator's own.
            guidance: Scale of classifier-free guidance. 1 or less switches it off; None takes the
                generator's own.
            noise_level: Noise added to the latent before drawing, in time steps: 0 to 999 for
                unCLIP generators and 0 for all others. More noise gives more variety.
            exclude: n paths of the pictures that the latents came from, None where not known. The
                generator ``nearest`` never answers with one of them; the others do not need it.
            progress: Called with the fraction done, from 0 to 1, after the caller has taken a
                batch and comes back for the next.

        Yields:
            Up to ``batch_size`` RGB images of ``size`` x ``size`` pixels, in the order of the
            latents.

        Raises:
            ValueError: The latents have the wrong shape or NaN, infinite or all-zero rows; the
                number of seeds is not n; there is no norm; or a setting is out of range.

        Example:
            >>> from fiftyone_smic.models.generators import load_generator
            >>> postcards = load_generator("postcards", device="cpu")
            >>> latents = np.random.default_rng(0).normal(size=(3, postcards.dim))
            >>> [len(b) for b in postcards.generate_batches(latents, batch_size=2, steps=1)]
            [2, 1]
        """
        scaled = self._check_latents(latents) * np.float32(self._length(norm))
        n = len(scaled)
        seed_list = _check_seeds(seeds, n)
        settings = self._check_settings(steps, guidance, noise_level)
        batch_size = _integer("batch_size", batch_size, 1)
        own = own_paths(exclude, n)
        if n:
            self._prepare(settings, own)

        def batches() -> Iterator[list[Image.Image]]:
            for start in range(0, n, batch_size):
                part = slice(start, start + batch_size)
                yield self._draw(scaled[part], seed_list[part], settings, own[part])
                if progress is not None:
                    progress(min(start + batch_size, n) / n)

        return batches()

    def _check_latents(self, latents: ArrayLike) -> NDArray[np.float32]:
        rows = np.asarray(latents, np.float32)
        if rows.ndim != 2 or rows.shape[1] != self.dim:
            raise ValueError(
                f"generator {self.name!r} draws from latents of shape (n, {self.dim}), those of "
                f"{self.encoder}, not {rows.shape}. {self._alternatives()}".rstrip()
            )
        # In double precision, so that the squares of tiny and of huge numbers stay numbers.
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0)))
        if len(bad):
            raise ValueError(f"latents with NaN, infinite or all-zero rows: {bad[:5].tolist()}")
        return rows / lengths.astype(np.float32)

    def _prepare(self, settings: Settings, exclude: Sequence[str | None]) -> None:  # noqa: B027
        """Get what a request needs, or refuse it, before anything is drawn."""

    def _alternatives(self) -> str:
        """A sentence that lists other generators, for the error of a latent that does not fit."""
        return ""

    def _length(self, norm: float | None) -> float:
        length = norm if self.latent_norm is None else self.latent_norm
        if length is None and not self.needs_norm:
            return 1.0
        if length is None or not (math.isfinite(length) and length > 0):
            raise ValueError(
                f"generator {self.name!r} needs the encoder's typical raw latent length as norm, a "
                f"finite number above 0, not {length}"
            )
        return float(length)

    def _check_settings(
        self, steps: int | None, guidance: float | None, noise_level: int
    ) -> Settings:
        steps = _integer("steps", self.steps if steps is None else steps, self.min_steps, MAX_STEPS)
        guidance = _finite("guidance", self.guidance if guidance is None else guidance)
        if self.max_noise_level == 0 and noise_level != 0:
            raise ValueError(
                f"generator {self.name!r} adds no noise to latents: leave noise_level at 0"
            )
        noise_level = _integer("noise_level", noise_level, 0, self.max_noise_level)
        return Settings(steps, guidance, noise_level)


def check_settings(
    *, batch_size: int = 1, steps: int | None = None, guidance: float | None = None, seed: int = 0
) -> None:
    """Refuse settings that no generator takes, before one is loaded and anything is changed.

    Args:
        batch_size: Pictures per pass.
        steps: Denoising steps; None for the generator's own.
        guidance: Scale of classifier-free guidance; None for the generator's own.
        seed: The seed of the first picture.

    Raises:
        ValueError: A setting is out of range.

    Example:
        >>> check_settings(batch_size=8, steps=0)
        Traceback (most recent call last):
        ValueError: steps must be an integer, 1 to 1000, not 0
    """
    _integer("batch_size", batch_size, 1)
    _check_seeds(seed, 1)
    if steps is not None:
        _integer("steps", steps, 1, MAX_STEPS)
    if guidance is not None:
        _finite("guidance", guidance)


def _finite(name: str, value: Any) -> float:
    if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")
    return float(value)


def _integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """The value as an int; floats, truth values and numbers out of range are refused."""
    allowed = f"an integer of at least {low}" if high is None else f"an integer, {low} to {high}"
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < low or (high and number > high):
        raise ValueError(f"{name} must be {allowed}, not {value!r}")
    return number


def _check_seeds(seeds: Iterable[int] | int, n: int) -> list[int]:
    """One seed per picture, from any integers: Python's, numpy's, a list, an array, a range."""
    try:
        if np.ndim(seeds) == 0:  # type: ignore[arg-type]
            first = operator.index(seeds)  # type: ignore[arg-type]
            found = list(range(first, first + n))
        else:
            found = [operator.index(seed) for seed in np.ravel(seeds).tolist()]  # type: ignore
    except TypeError:
        raise ValueError(
            f"seeds must be one integer or one integer per latent, not {seeds!r}"
        ) from None
    if len(found) != n:
        raise ValueError(f"{len(found)} seeds for {n} latents: give one for each")
    outside = [seed for seed in found if seed not in _SEEDS]
    if outside:
        raise ValueError(f"seeds must lie between -2**63 and 2**64 - 1, unlike {outside[:5]}")
    return found


def own_paths(exclude: Sequence[str | os.PathLike[str] | None] | None, n: int) -> list[str | None]:
    """The picture that each of n latents came from, or None."""
    if exclude is None:
        return [None] * n
    own = [None if path is None else os.fspath(path) for path in exclude]
    if len(own) != n:
        raise ValueError(f"exclude has {len(own)} paths for {n} latents: give one for each")
    return own
