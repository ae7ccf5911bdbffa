"""What all generators have in common that draw with a pipeline of diffusers.

A family says which parts to leave out, where its latent enters and what its negative is. Loading
(mirrors, half-precision files, small GPUs), seeds and the check of finished pictures are here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.models.encoders import fingerprint, load_encoder
from fiftyone_smic.models.generators.base import Generator, Settings
from fiftyone_smic.models.generators.registry import SCHEDULERS, fits, image_tower
from fiftyone_smic.models.generators.source import Source, load_pipeline, quiet

if TYPE_CHECKING:
    import torch
    from PIL import Image

logger = logging.getLogger(__name__)

#: Pipelines that an IP-Adapter can be loaded into.
_ADAPTED = ("StableDiffusionPipeline", "StableDiffusionXLPipeline")
#: GPU memory that drawing needs beside the weights, in bytes.
_WORKING_MEMORY = 3 * 2**30


class DiffusionGenerator(Generator):
    """A generator that draws with a pipeline of diffusers.

    Attributes:
        pipeline: The pipeline.
        device: Where it computes, as PyTorch writes it.
        default_steps: Denoising steps unless a declaration says otherwise.
        default_guidance: Guidance scale unless a declaration says otherwise.
        dim_entry: Which part's configuration says d, and under which name.
        weights: Folders whose weights decide the pictures; their hash is part of the identity.
        prompt_method: The pipeline's method that encodes prompts, or None.
        takes_negative: Whether the negative of the guidance is an encoding that must be known.
        schedulers: Samplers that can take the place of the pipeline's own.
        refused_devices: Kinds of devices that draw wrong pictures, and why.
    """

    default_steps: ClassVar[int]
    default_guidance: ClassVar[float]
    dim_entry: ClassVar[tuple[str, str]]
    weights: ClassVar[tuple[str, ...]] = ("unet",)
    prompt_method: ClassVar[str | None] = "encode_prompt"
    takes_negative: ClassVar[bool] = False
    schedulers: ClassVar[tuple[str, ...]] = SCHEDULERS
    refused_devices: ClassVar[Mapping[str, str]] = {}

    def __init__(self, source: Source, device: str, dtype: torch.dtype) -> None:
        for kind, why in self.refused_devices.items():
            if device.startswith(kind):
                raise ValueError(f"generator {source.name!r} cannot run on {device}: {why}")
        self._check_source(source)
        self.name = source.name
        self.encoder = source.encoder
        self.steps = self.default_steps if source.steps is None else source.steps
        self.guidance = self.default_guidance if source.guidance is None else source.guidance
        self.latent_norm = source.latent_norm
        self.notice = source.notice
        self.device = device
        self._dtype = dtype
        self._negative = source.negative
        self.pipeline = self._load(source)
        self.identity = self._identify(source)
        self.dim = self._loaded_dim()
        self.size = self._loaded_size()

    # What a family decides.

    @abstractmethod
    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        """What to call the pipeline with, but for the seeds and the form of the result.

        Args:
            latents: (b, d) on the device, in the pipeline's precision.
            guided: Whether guidance is on, so that there is a negative.
            settings: How to draw.
        """

    @classmethod
    def _source_dim(cls, source: Source) -> int:
        """Read d from a local folder, before any weights are loaded."""
        return source.configured(*cls.dim_entry)

    def _loaded_dim(self) -> int:
        part, entry = self.dim_entry
        return int(getattr(self.pipeline, part).config[entry])

    def _loaded_size(self) -> int:
        return int(self.pipeline.unet.config.sample_size * self.pipeline.vae_scale_factor)

    def _parts(self) -> dict[str, Any]:
        """Parts to pass to the pipeline instead of loading them."""
        return {}

    def _finish(self, source: Source) -> None:
        """Complete the pipeline after its parts are loaded, before it is moved to the device."""

    def _replace_scheduler(self, name: str) -> Any:
        """Another sampler for the same noise schedule and kind of prediction."""
        import diffusers

        return getattr(diffusers, name).from_config(self.pipeline.scheduler.config)

    # What all families share.

    def _check_source(self, source: Source) -> None:
        """Refuse, before any weights are loaded, what cannot fit."""
        if source.negative is not None and not self.takes_negative:
            raise ValueError(
                f"{source.name!r} declares a negative, but a {source.pipeline} has its own: remove "
                "the entry"
            )
        if source.adapter is not None and source.pipeline not in _ADAPTED:
            raise ValueError(f"{source.name!r} names an ip_adapter, but is a {source.pipeline}")
        if source.scheduler is not None and source.scheduler not in self.schedulers:
            known = ", ".join(self.schedulers) or "none but its own"
            raise ValueError(
                f"generator {source.name!r}, a {source.pipeline}, cannot use the sampler "
                f"{source.scheduler!r}; it can use {known}"
            )
        if source.folder is None:
            return
        dim = self._source_dim(source)
        expected = _known_dim(source.encoder)
        if expected is not None and dim != expected:
            raise ValueError(
                f"{source.folder} says that it was trained on {source.encoder}, whose latents have "
                f"{expected} dimensions, but it takes latents of {dim}. {fits()}"
            )
        if source.negative is not None and len(source.negative) != dim:
            raise ValueError(
                f"the negative that {source.folder} declares has {len(source.negative)} numbers, "
                f"but the pipeline takes latents of {dim} dimensions"
            )

    def _identify(self, source: Source) -> str:
        """The name; for a folder also a hash of its weights and of its settings."""
        if source.folder is None:
            sampler = f"+{source.scheduler}" if source.scheduler else ""
            return f"{self.name}{sampler}"
        files = [f for part in self.weights for f in source.folder.glob(f"{part}/*.safetensors")]
        if source.adapter:
            files.append(Path(*source.adapter))
        said = [self.steps, self.guidance, self.latent_norm, source.scheduler]
        negative = None if source.negative is None else source.negative.tolist()
        digest = hashlib.sha256(json.dumps([*said, negative]).encode())
        for file in sorted(files):
            digest.update(fingerprint(file).encode())
        return f"{self.name}@{digest.hexdigest()[:12]}"

    def _alternatives(self) -> str:
        return fits()

    def _prepare(self, settings: Settings, exclude: Sequence[str | None]) -> None:
        if settings.guidance > 1 and self.takes_negative:
            self._negative = self.negative()

    def negative(self) -> NDArray[np.float32]:
        """Get the latent that guidance leads away from, for families where it is an encoding.

        The declaration may give it. Else the encoder, which must be loadable, encodes a tensor of
        zeros: a uniform picture of the mean colour of its training images.

        Returns:
            (d,) float32 at the encoder's raw length.

        Raises:
            ValueError: It is neither declared nor can the encoder be loaded.
        """
        if self._negative is None:
            self._negative = _encode_nothing(self.name, self.encoder, self.dim, self.device)
        return self._negative

    def _negatives(self, latents: torch.Tensor) -> torch.Tensor:
        """The negative for each latent of a batch; zeros if guidance is off and none is known."""
        import torch

        if self._negative is None:
            return torch.zeros_like(latents)
        row = torch.from_numpy(self._negative).to(latents.device, latents.dtype)
        return row.expand_as(latents)

    def _draw(
        self,
        latents: NDArray[np.float32],
        seeds: Sequence[int],
        settings: Settings,
        exclude: Sequence[str | None],
    ) -> list[Image.Image]:
        import torch
        from PIL import Image

        pixels = self._pixels(latents, seeds, settings)
        bad = ~np.isfinite(pixels).all(axis=(1, 2, 3))
        if bad.any() and self._dtype != torch.float32:
            again: list[int] = np.flatnonzero(bad).tolist()
            logger.warning(
                "%d pictures overflow in %s and are drawn again in float32", len(again), self._dtype
            )
            with self._in_float32():
                pixels[again] = self._pixels(latents[again], [seeds[i] for i in again], settings)
            bad = ~np.isfinite(pixels).all(axis=(1, 2, 3))
        if bad.any():
            failed = [seeds[i] for i in np.flatnonzero(bad).tolist()][:5]
            raise FloatingPointError(
                f"generator {self.name!r} gives pictures that are not finite, for the seeds "
                f"{failed}: its weights are damaged, or guidance {settings.guidance:g} is too "
                "strong"
            )
        return [Image.fromarray((image * 255).round().astype(np.uint8)) for image in pixels]

    def _pixels(
        self, latents: NDArray[np.float32], seeds: Sequence[int], settings: Settings
    ) -> NDArray[np.float32]:
        """Pictures as (b, size, size, 3) floats from 0 to 1, or NaN where arithmetic overflowed."""
        import torch

        embeds = torch.from_numpy(latents).to(self.device, self.pipeline.dtype)
        return self.pipeline(
            **self._arguments(embeds, settings.guidance > 1, settings),
            # Noise from the CPU is the same for every device.
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images

    @contextmanager
    def _in_float32(self) -> Iterator[None]:
        import torch

        with quiet():
            self.pipeline.to(torch.float32)
        try:
            yield
        finally:
            with quiet():
                self.pipeline.to(self._dtype)

    def _load(self, source: Source) -> Any:
        import torch

        with quiet() if source.folder else nullcontext():
            self.pipeline = load_pipeline(source, self._dtype, self._parts())
            self._finish(source)
        pipeline = self.pipeline
        pipeline.set_progress_bar_config(disable=True)
        if source.scheduler:
            pipeline.scheduler = self._replace_scheduler(source.scheduler)
        if self.prompt_method:
            _remember_prompts(pipeline, self.prompt_method)
        if hasattr(getattr(pipeline, "vae", None), "enable_slicing"):
            pipeline.vae.enable_slicing()  # decode picture by picture, which needs less memory
        if any(module.dtype != self._dtype for module in _modules(pipeline)):
            with quiet():
                pipeline.to(self._dtype)  # versions of diffusers before "dtype" ignored it
        device = torch.device(self.device)
        if device.type == "cuda" and _is_small(pipeline, torch.cuda.mem_get_info(device)[0]):
            logger.warning("the GPU is small: only the part that computes is kept on it")
            pipeline.enable_model_cpu_offload(device=device)
            return pipeline
        return pipeline.to(device)


def _remember_prompts(pipeline: Any, method: str) -> None:
    """Encode a prompt once: all prompts are empty, so that only the batch and guidance differ."""
    encode = getattr(pipeline, method)
    known: dict[str, Any] = {}

    def remembered(*args: Any, **options: Any) -> Any:
        key = repr((args, sorted(options.items()), pipeline.dtype))
        if key not in known:
            known[key] = encode(*args, **options)
        return known[key]

    setattr(pipeline, method, remembered)


def _is_small(pipeline: Any, free: int) -> bool:
    """Whether the weights and the work do not fit into this many bytes of GPU memory."""
    weights = (p.numel() * p.element_size() for m in _modules(pipeline) for p in m.parameters())
    return sum(weights) + _WORKING_MEMORY > free


def _modules(pipeline: Any) -> list[Any]:
    """The parts that have weights."""
    import torch

    return [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]


def _known_dim(encoder: str) -> int | None:
    """The dimensions of an encoder's latents, if open_clip lists it; its weights are not loaded."""
    model, slash, _ = encoder.partition("/")
    if not slash or encoder.startswith("local-dir:"):
        return None
    import open_clip

    config = open_clip.get_model_config(model) if model in open_clip.list_models() else None
    return None if config is None else int(config["embed_dim"])


def _encode_nothing(name: str, encoder: str, dim: int, device: str) -> NDArray[np.float32]:
    """Encode an all-zero image tensor, at raw length."""
    import torch
    from PIL import Image

    try:
        model = load_encoder(image_tower(encoder).name, device=device)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"guidance above 1 needs the encoding of an empty image by {encoder}, as the negative "
            f"of generator {name!r}, and that encoder could not be loaded ({error}). Pass "
            f'guidance=1, or write the {dim} numbers as "negative" into the smic.json of a local '
            "pipeline"
        ) from error
    blank = torch.zeros_like(model.preprocess(Image.new("RGB", (64, 64))))
    latents, lengths = model.encode_tensors(blank[None])
    if latents.shape[1] != dim:
        raise ValueError(
            f"{encoder} gives latents of {latents.shape[1]} dimensions, but generator {name!r} "
            f"takes {dim}"
        )
    return (latents[0] * lengths[0]).astype(np.float32)
