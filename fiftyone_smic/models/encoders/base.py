"""What every encoder does: image files to latents, and texts if it knows any.

A latent is the output of an encoder divided by its length: float32, one row per item, unit norm.
Generators were trained on the output *before* it is divided by its length, so an encoder also
reports the typical length of what it saw (see :class:`ImageLatents`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_smic.models.colours import rgb
from fiftyone_smic.models.images import UnreadableImage, crop_sliver, load_image
from fiftyone_smic.utils.progress import Progress

if TYPE_CHECKING:
    import torch
    from PIL import Image

PRECISIONS = ("fp32", "fp16", "bf16")


@dataclass(frozen=True)
class ImageLatents:
    """What :meth:`Encoder.encode_images` gives back.

    Attributes:
        latents: (n, d) float32, every row of unit norm; n counts the images that could be read.
        indices: (n,) int64, the position in ``paths`` of each row.
        failures: position in ``paths`` -> why that image was skipped.
        norm: the median length of the encoder's raw output over these images; 1.0 if n is 0. The
            median, because a few odd images (blank, corrupt but readable) have odd lengths.
    """

    latents: np.ndarray
    indices: np.ndarray
    failures: dict[int, str] = field(default_factory=dict)
    norm: float = 1.0


class Encoder:
    """A model ready to encode; :func:`load_encoder` makes one of those that are known.

    A class of your own needs :meth:`image_features`, and :meth:`text_features` if it has texts;
    :func:`register_encoder` gives it a name.

    Attributes:
        name: identity that is stored with latents. Open_clip's own models are called as open_clip
            calls them; models read from a file end in ``@`` and the first 12 hex digits of the
            SHA-256 of the weights, so that two different models never share a name.
        source: the name by which :func:`load_encoder` finds this encoder again on this machine.
        device: where the model runs, as PyTorch writes it.
        notice: what a user must know about this model, or None.
        preprocess: turns an upright RGB picture into a tensor (3, height, width).
        crops_centre: whether ``preprocess`` scales the shorter side and keeps the centre square.
            Extreme shapes are then cropped before they are scaled, which saves memory.
    """

    def __init__(
        self,
        preprocess: Callable[[Image.Image], torch.Tensor],
        *,
        name: str,
        source: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype | None = None,
        notice: str | None = None,
        crops_centre: bool = False,
    ) -> None:
        self.preprocess = preprocess
        self.name = name
        self.source = source or name
        self.device = device
        self.notice = notice
        self.crops_centre = crops_centre
        self._dtype = dtype

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """Raw latents (n, d) of a batch (n, 3, height, width) on the encoder's device."""
        raise NotImplementedError(f"{type(self).__name__} must define image_features")

    def text_features(self, texts: list[str]) -> torch.Tensor:
        """Raw latents (n, d) of texts.

        Raises:
            ValueError: the encoder has no texts.
        """
        raise ValueError(
            f"the encoder {self.name!r} knows images only and no texts; name atoms after labels, "
            "or use an encoder with texts such as 'ViT-L-14/openai' or 'photographs'"
        )

    def vocabulary(self) -> list[str] | None:
        """The texts that the encoder knows, if it knows only some; None if it reads any text."""
        return None

    @cached_property
    def dim(self) -> int:
        """d, the number of dimensions of a latent."""
        from PIL import Image

        blank = self.preprocess(Image.new("RGB", (64, 64)))
        return self.encode_tensors(blank[None])[0].shape[1]

    def encode_tensors(self, batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Encode a batch that went through :attr:`preprocess`.

        Args:
            batch: (n, 3, height, width).

        Returns:
            Latents (n, d) float32 of unit norm, and the lengths (n,) float32 they had.
        """
        import torch

        with torch.inference_mode():
            raw = self.image_features(batch.to(self.device, self._dtype))
        return _unit(raw.float().cpu().numpy())

    def encode_images(
        self,
        paths: Sequence[str | os.PathLike[str] | Image.Image],
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        ground: str | tuple[int, int, int] = "white",
        progress: Progress | None = None,
    ) -> ImageLatents:
        """Encode images; a file that cannot be read is skipped and named, never fatal.

        Args:
            paths: n image files in any format Pillow reads, or pictures that are open already.
            batch_size: images per forward pass.
            num_workers: processes that read images; 0 reads them in this one.
            ground: colour behind transparent pixels, see :func:`load_image`.
            progress: called with the fraction done, from 0 to 1.

        Raises:
            ValueError: ``batch_size`` is below 1, ``num_workers`` is below 0, or ``ground`` is not
                a colour.

        Example:
            >>> from PIL import Image
            >>> from fiftyone_smic import load_encoder
            >>> encoder = load_encoder("postcards", device="cpu")
            >>> found = encoder.encode_images([Image.new("RGB", (64, 64), "red"), "missing.png"])
            >>> found.latents.shape, found.failures
            ((1, 128), {1: 'there is no such file'})
        """
        latents: list[np.ndarray] = []
        norms: list[np.ndarray] = []
        indices: list[int] = []
        failures: dict[int, str] = {}
        for part in self.iter_images(
            paths,
            batch_size=batch_size,
            num_workers=num_workers,
            ground=ground,
            progress=progress,
        ):
            latents.append(part.latents)
            norms.append(part.norms)
            indices.extend(part.indices)
            failures.update(part.failures)
        if not indices:
            return ImageLatents(
                np.zeros((0, self.dim), np.float32), np.zeros(0, np.int64), failures
            )
        return ImageLatents(
            np.concatenate(latents),
            np.asarray(indices, np.int64),
            failures,
            float(np.median(np.concatenate(norms))),
        )

    def iter_images(
        self,
        paths: Sequence[str | os.PathLike[str] | Image.Image],
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        ground: str | tuple[int, int, int] = "white",
        progress: Progress | None = None,
    ) -> Iterator[ImageBatch]:
        """Encode images and yield every batch as it is done, to be written at once.

        The arguments and errors are those of :meth:`encode_images`.
        """
        import torch
        from torch.utils.data import DataLoader

        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers at least 0, not {batch_size} and "
                f"{num_workers}"
            )
        loader = DataLoader(
            _Files(list(paths), self.preprocess, rgb(ground), self.crops_centre),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=list,
        )
        done = 0
        for items in loader:
            good = [(i, tensor) for i, tensor, reason in items if reason is None]
            if good:
                z, norms = self.encode_tensors(torch.stack([tensor for _, tensor in good]))
            else:
                z, norms = np.zeros((0, self.dim), np.float32), np.zeros(0, np.float32)
            yield ImageBatch(
                z,
                norms,
                [i for i, _ in good],
                {i: reason for i, _, reason in items if reason is not None},
            )
            done += len(items)
            if progress is not None:
                progress(done / len(paths))

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Encode texts.

        Args:
            texts: n strings; longer ones than the model's context are cut.
            batch_size: texts per forward pass.

        Returns:
            (n, d) float32, every row of unit norm.

        Raises:
            ValueError: the encoder has no texts, or does not know one of these.

        Example:
            >>> from fiftyone_smic import load_encoder
            >>> load_encoder("postcards", device="cpu").encode_texts(["a river", "night"]).shape
            (2, 128)
        """
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                raw = self.text_features(list(texts[start : start + batch_size]))
                rows.append(_unit(raw.float().cpu().numpy())[0])
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), np.float32)


@dataclass(frozen=True)
class ImageBatch:
    """One batch of :meth:`Encoder.iter_images`.

    Attributes:
        latents: (n, d) float32 of unit norm, of the images of the batch that could be read.
        norms: (n,) float32, the lengths of the raw output.
        indices: the position in ``paths`` of each row.
        failures: position in ``paths`` -> why that image was skipped.
    """

    latents: np.ndarray
    norms: np.ndarray
    indices: list[int]
    failures: dict[int, str]


class _Files:
    """The map-style dataset behind :meth:`Encoder.iter_images`."""

    def __init__(
        self,
        images: list[Any],
        preprocess: Callable[[Image.Image], torch.Tensor],
        ground: tuple[int, int, int],
        crops_centre: bool,
    ) -> None:
        self.images = images
        self.preprocess = preprocess
        self.ground = ground
        self.crops_centre = crops_centre

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor | None, str | None]:
        try:
            image = load_image(self.images[index], ground=self.ground)
            if self.crops_centre:
                image = crop_sliver(image)
            return index, self.preprocess(image), None
        except UnreadableImage as error:
            return index, None, str(error)
        except Exception as error:  # a preprocess of somebody else's may raise anything
            return index, None, f"{type(error).__name__}: {error}"


def torch_dtype(precision: str) -> torch.dtype:
    """PyTorch's type for one of :data:`PRECISIONS`."""
    import torch

    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]


def _unit(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norms = np.linalg.norm(raw, axis=1)
    safe = np.maximum(norms, np.finfo(np.float32).tiny)
    return (raw / safe[:, None]).astype(np.float32), norms.astype(np.float32)
