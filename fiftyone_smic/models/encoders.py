"""Images and texts to latents, through open_clip.

A latent is the output of a CLIP tower divided by its length: float32, one row per item, unit norm.
Three kinds of names lead to an encoder, and all three run through the same open_clip calls:

- ``"MODEL/PRETRAINED"``, any pair open_clip lists, for example ``"ViT-H-14/laion2b_s32b_b79k"``;
- ``"local-dir:/path"``, a folder with ``open_clip_config.json`` and a safetensors file;
- ``"postcards"``, the small demonstration model inside this package.

unCLIP decoders are trained on the tower's output *before* it is divided by its length, so the
encoder also reports the typical length of what it saw (see :class:`ImageLatents`).
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_smic.models.embedded import CLIP_DIR, NOTICE
from fiftyone_smic.models.identity import EMBEDDED
from fiftyone_smic.utils.progress import Progress

if TYPE_CHECKING:
    import torch
    from PIL import Image
from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.images import load_image

PRECISIONS = ("fp32", "fp16", "bf16")

_LOCAL = "local-dir:"
# The two names open_clip prefers over everything else in a folder. Pickled weights are not read.
_LOCAL_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


@dataclass(frozen=True)
class ImageLatents:
    """What :meth:`Encoder.encode_images` gives back.

    Attributes:
        latents: (n, d) float32, every row of unit norm; n counts the images that could be read.
        indices: (n,) int64, the position in ``paths`` of each row.
        failures: position in ``paths`` -> why that image was skipped.
        norm: the median length of the tower's raw output over these images; 1.0 if n is 0. The
            median, because a few odd images (blank, corrupt but readable) have odd lengths.
    """

    latents: np.ndarray
    indices: np.ndarray
    failures: dict[int, str] = field(default_factory=dict)
    norm: float = 1.0


class Encoder:
    """A CLIP model ready to encode; made by :func:`load_encoder`.

    Attributes:
        name: identity that is stored with latents. The name as given for open_clip's own models;
            for local folders and the embedded model it ends in ``@`` and the first 12 hex digits of
            the SHA-256 of the weights, so that two different models never share a name.
        dim: d, the number of dimensions of a latent.
        device: where the model runs, as PyTorch writes it.
        notice: what a user must know about this model, or None.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], torch.Tensor],
        make_tokenizer: Callable[[], Callable[[list[str]], torch.Tensor]],
        *,
        name: str,
        device: str,
        dtype: torch.dtype,
        notice: str | None = None,
    ) -> None:
        self.model = model
        self.preprocess = preprocess
        self.name = name
        self.device = device
        self.notice = notice
        self._make_tokenizer = make_tokenizer
        self._dtype = dtype

    @cached_property
    def dim(self) -> int:
        from PIL import Image

        blank = self.preprocess(Image.new("RGB", (64, 64)))
        return self.encode_tensors(blank[None])[0].shape[1]

    @cached_property
    def _tokenize(self) -> Callable[[list[str]], torch.Tensor]:
        return self._make_tokenizer()

    def encode_tensors(self, batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Encode a batch that went through :attr:`preprocess`.

        Args:
            batch: (n, 3, height, width).

        Returns:
            Latents (n, d) float32 of unit norm, and the lengths (n,) float32 they had.
        """
        import torch

        with torch.inference_mode():
            raw = self.model.encode_image(batch.to(self.device, self._dtype))
        return _unit(raw.float().cpu().numpy())

    def encode_images(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        batch_size: int = 32,
        num_workers: int = 0,
        progress: Progress | None = None,
    ) -> ImageLatents:
        """Encode image files; a file that cannot be read is skipped and named, never fatal.

        Args:
            paths: image files, in any format Pillow reads.
            batch_size: images per forward pass.
            num_workers: processes that read images; 0 reads them in this one.
            progress: called with the fraction done, from 0 to 1.

        Raises:
            ValueError: if ``batch_size`` is below 1 or ``num_workers`` below 0.
        """
        if batch_size < 1 or num_workers < 0:
            raise ValueError(
                f"batch_size must be at least 1 and num_workers at least 0, not {batch_size} and "
                f"{num_workers}"
            )
        latents: list[np.ndarray] = []
        norms: list[np.ndarray] = []
        indices: list[int] = []
        failures: dict[int, str] = {}
        done = 0
        for good, bad, count in self._read(paths, batch_size, num_workers):
            failures.update(bad)
            if good:
                import torch

                z, length = self.encode_tensors(torch.stack([tensor for _, tensor in good]))
                latents.append(z)
                norms.append(length)
                indices.extend(i for i, _ in good)
            done += count
            if progress is not None:
                progress(done / len(paths))
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

    def _read(
        self, paths: Sequence[str | os.PathLike[str]], batch_size: int, num_workers: int
    ) -> Iterator[tuple[list[tuple[int, torch.Tensor]], dict[int, str], int]]:
        """Yield, per batch: readable (position, tensor), unreadable position -> reason, count."""
        from torch.utils.data import DataLoader

        loader = DataLoader(
            _Files([os.fspath(path) for path in paths], self.preprocess),
            batch_size=batch_size,
            num_workers=num_workers,
            collate_fn=list,
        )
        for items in loader:
            good = [(i, tensor) for i, tensor, reason in items if reason is None]
            bad = {i: reason for i, _, reason in items if reason is not None}
            yield good, bad, len(items)

    def encode_texts(self, texts: Sequence[str], batch_size: int = 256) -> np.ndarray:
        """Encode texts.

        Args:
            texts: n strings; longer ones than the model's context are cut.
            batch_size: texts per forward pass.

        Returns:
            (n, d) float32, every row of unit norm.
        """
        import torch

        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), batch_size):
                tokens = self._tokenize(list(texts[start : start + batch_size]))
                raw = self.model.encode_text(tokens.to(self.device))
                rows.append(_unit(raw.float().cpu().numpy())[0])
        return np.concatenate(rows) if rows else np.zeros((0, self.dim), np.float32)


class _Files:
    """The map-style dataset behind :meth:`Encoder.encode_images`."""

    def __init__(self, paths: list[str], preprocess: Callable[[Image.Image], torch.Tensor]) -> None:
        self.paths = paths
        self.preprocess = preprocess

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[int, torch.Tensor | None, str | None]:
        try:
            return index, self.preprocess(load_image(self.paths[index])), None
        except Exception as error:  # Pillow raises almost anything on a broken file
            return index, None, f"{type(error).__name__}: {error}"


def _unit(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norms = np.linalg.norm(raw, axis=1)
    safe = np.maximum(norms, np.finfo(np.float32).tiny)
    return (raw / safe[:, None]).astype(np.float32), norms.astype(np.float32)


def load_encoder(
    name: str = EMBEDDED, *, device: str | None = None, precision: str = "fp32"
) -> Encoder:
    """Load a CLIP encoder.

    Args:
        name: ``"MODEL/PRETRAINED"``, ``"local-dir:/path"`` or ``"postcards"``.
        device: as PyTorch writes it; None takes cuda, else mps, else cpu.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``, what the model computes in. Latents are
            always float32.

    Raises:
        ValueError: the name or the precision is not known; the message lists what is.
        FileNotFoundError: a local folder lacks its configuration or its weights.
        RuntimeError: open_clip could not get the weights, for example without a network.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if name == EMBEDDED:
        return _load_local(CLIP_DIR, EMBEDDED, device, precision, NOTICE)
    if name.startswith(_LOCAL):
        folder = Path(name.removeprefix(_LOCAL)).expanduser()
        return _load_local(folder, f"{_LOCAL}{folder.resolve().name}", device, precision, None)
    return _load_tag(name, device, precision)


def embedded_identity() -> str:
    """The :attr:`Encoder.name` of the embedded encoder, without loading it."""
    return f"{EMBEDDED}@{fingerprint(_local_weights(CLIP_DIR))}"


def _load_tag(name: str, device: str | None, precision: str) -> Encoder:
    model_name, _, tag = name.partition("/")
    import open_clip

    if model_name not in open_clip.list_models():
        raise ValueError(
            f"{name!r} is not an encoder: give MODEL/PRETRAINED as open_clip lists them (for "
            "example 'ViT-L-14/openai'; see open_clip.list_pretrained()), 'local-dir:/path', or "
            f"'{EMBEDDED}'"
        )
    known = open_clip.list_pretrained_tags_by_model(model_name)
    if tag not in known:
        raise ValueError(
            f"open_clip has no weights {tag!r} for {model_name}; it has: {', '.join(known)}"
        )
    # open_clip 3 only warns when a tag was trained with QuickGELU and the model's configuration
    # says GELU (ViT-L-14/openai, for one); the latents would be wrong, so follow the tag.
    quick = bool(open_clip.get_pretrained_cfg(model_name, tag).get("quick_gelu", False))
    return _make(model_name, tag, name, device, precision, None, force_quick_gelu=quick)


def _load_local(
    folder: Path, label: str, device: str | None, precision: str, notice: str | None
) -> Encoder:
    if not (folder / "open_clip_config.json").is_file():
        raise FileNotFoundError(
            f"{folder} is not an open_clip folder: it has no open_clip_config.json"
        )
    identity = f"{label}@{fingerprint(_local_weights(folder))}"
    return _make(f"{_LOCAL}{folder}", None, identity, device, precision, notice)


def _local_weights(folder: Path) -> Path:
    for file in _LOCAL_WEIGHTS:
        if (folder / file).is_file():
            return folder / file
    raise FileNotFoundError(
        f"{folder} has no {' or '.join(_LOCAL_WEIGHTS)}; pickled weights (.bin, .pt) are not read, "
        "convert them to safetensors first"
    )


def fingerprint(file: Path) -> str:
    """The first 12 hex digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _make(
    source: str,
    tag: str | None,
    identity: str,
    device: str | None,
    precision: str,
    notice: str | None,
    **options: Any,
) -> Encoder:
    import open_clip
    import torch

    device = device or default_device()
    with warnings.catch_warnings():
        # The tokenizers of transformers warn about their own future; nothing a user can act on.
        warnings.simplefilter("ignore", FutureWarning)
        model, _, preprocess = open_clip.create_model_and_transforms(
            source, pretrained=tag, precision=precision, device=device, weights_only=True, **options
        )
    model.eval().requires_grad_(False)
    dtypes = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    return Encoder(
        model,
        preprocess,
        lambda: open_clip.get_tokenizer(source),
        name=identity,
        device=device,
        dtype=dtypes[precision],
        notice=notice,
    )
