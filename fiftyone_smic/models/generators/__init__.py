"""Latents to images, through diffusers' ``StableUnCLIPImg2ImgPipeline``.

An unCLIP model draws from one encoder's latents only. Each generator therefore declares its
encoder, and :func:`load_generator` finds the generator of an encoder and refuses pairs that do not
fit.

The reverse defaults, and where they are documented:

- ``ViT-H-14/laion2b_s32b_b79k`` -> ``stabilityai/stable-diffusion-2-1-unclip``: Stability's
  doc/UNCLIP.MD ("two models, trained on OpenAI CLIP-L and OpenCLIP-H image embeddings"), and the
  maintainers in diffusers' pull request 2897 ("trained on OpenCLIP ViT-H"). 1,024 dimensions.
- ``ViT-L-14/openai`` -> ``stabilityai/stable-diffusion-2-1-unclip-small``: the same pull request
  ("trained on CLIP ViT-L/14 embedding"). 768 dimensions.

Stability removed its Stable Diffusion 2 repositories in November 2025; the same files are kept by
``sd2-community`` (huggingface/optimum-habana pull request 2363), which is not Stability. A name is
tried as given first, so that a copy in the local cache is used, and then at the other place.

A local pipeline directory declares itself in a ``smic.json`` beside ``model_index.json``::

    {"encoder": "ViT-L-14/openai", "guidance": 10.0, "steps": 20, "latent_norm": null, "notice": ""}

of which only ``encoder`` is required.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.embedded import UNCLIP_DIR
from fiftyone_smic.models.encoders import EMBEDDED, embedded_identity, fingerprint
from fiftyone_smic.models.generators.base import Generator, Settings

if TYPE_CHECKING:
    import torch
    from PIL import Image

logger = logging.getLogger(__name__)

DECLARATION = "smic.json"


@dataclass(frozen=True)
class _Known:
    """A generator on the hub: its names, the encoder it was trained on, its defaults."""

    names: tuple[str, ...]
    encoder: str
    guidance: float = 10.0  # the pipeline's own default
    steps: int = 20


_HUB = (
    _Known(
        ("stabilityai/stable-diffusion-2-1-unclip", "sd2-community/stable-diffusion-2-1-unclip"),
        "ViT-H-14/laion2b_s32b_b79k",
    ),
    _Known(
        (
            "stabilityai/stable-diffusion-2-1-unclip-small",
            "sd2-community/stable-diffusion-2-1-unclip-small",
        ),
        "ViT-L-14/openai",
    ),
)


@dataclass(frozen=True)
class _Declared:
    """What is known of a generator before it is loaded."""

    name: str
    sources: tuple[str, ...]
    encoder: str
    guidance: float
    steps: int
    latent_norm: float | None = None
    notice: str | None = None

    @property
    def identity(self) -> str:
        weights = sorted(Path(self.sources[0]).glob("unet/*.safetensors"))
        return f"{self.name}@{fingerprint(weights[0])}" if weights else self.name


class UnclipGenerator(Generator):
    """Stable unCLIP through diffusers' ``StableUnCLIPImg2ImgPipeline``.

    The negative of its guidance is a latent of zeros.
    """

    max_noise_level = 999

    def __init__(self, pipeline: Any, declared: _Declared, device: str, dtype: torch.dtype) -> None:
        self.pipeline = pipeline
        self.name = declared.name
        self.identity = declared.identity
        self.encoder = declared.encoder
        self.steps = declared.steps
        self.guidance = declared.guidance
        self.latent_norm = declared.latent_norm
        self.notice = declared.notice
        self.device = device
        self.dim = int(pipeline.image_normalizer.config.embedding_dim)
        self.size = int(pipeline.unet.config.sample_size * pipeline.vae_scale_factor)
        self._dtype = dtype

    def _alternatives(self) -> str:
        return fits()

    def _draw(
        self,
        latents: np.ndarray,
        seeds: Sequence[int],
        settings: Settings,
        exclude: Sequence[str | None],
    ) -> list[Image.Image]:
        import torch

        return self.pipeline(
            image_embeds=torch.from_numpy(latents).to(self.device, self._dtype),
            prompt=[""] * len(seeds),
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            noise_level=settings.noise_level,
        ).images


def load_generator(
    name: str | None = None,
    *,
    encoder: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Generator:
    """Load an unCLIP generator.

    Args:
        name: a name on the hub, a local directory, or ``"postcards"``; None takes the one that was
            trained on ``encoder``.
        encoder: identity of the encoder the latents come from; a generator trained on another one
            is refused.
        device: as PyTorch writes it; None takes cuda, else mps, else cpu.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None takes float16 on cuda and
            float32 elsewhere.

    Raises:
        ValueError: no generator is known for ``encoder``, ``name`` is not known, or the two do not
            fit; the message lists what fits.
        ImportError: diffusers is not installed.
        OSError: the weights could not be found or downloaded.
    """
    declared = _find(name, encoder)
    if encoder is not None and not _matches(declared.encoder, encoder):
        raise ValueError(
            f"generator {declared.name!r} was trained on {declared.encoder} and cannot draw from "
            f"latents of {encoder}. {fits()}"
        )
    import torch

    device = device or default_device()
    if dtype is None:
        dtype = "float16" if device.startswith("cuda") else "float32"
    if dtype not in ("float32", "float16", "bfloat16"):
        raise ValueError(f"dtype must be float32, float16 or bfloat16, not {dtype!r}")
    torch_dtype = getattr(torch, dtype)
    return UnclipGenerator(
        _load_pipeline(declared, torch_dtype, device), declared, device, torch_dtype
    )


def fits() -> str:
    """A sentence that lists every encoder with the generator that was trained on it."""
    pairs = [f"{known.encoder} -> {known.names[0]}" for known in _HUB]
    return (
        f"What fits: {'; '.join([*pairs, f'{EMBEDDED} -> {EMBEDDED}'])}; "
        f"or a local directory whose {DECLARATION} names the encoder."
    )


def _matches(declared: str, encoder: str) -> bool:
    """Whether latents of ``encoder`` suit a generator: the hash counts if both give one."""
    if "@" in declared:
        return declared == encoder
    return declared == encoder.split("@")[0]


def _find(name: str | None, encoder: str | None) -> _Declared:
    if name is None:
        if encoder is None:
            raise ValueError(
                f"give the name of a generator, or the encoder to find it by. {fits()}"
            )
        name = next((k.names[0] for k in _HUB if _matches(k.encoder, encoder)), None)
        if name is None and encoder.split("@")[0] == EMBEDDED:
            name = EMBEDDED
        if name is None:
            raise ValueError(f"no generator is known for {encoder}. {fits()}")
    if name == EMBEDDED:
        declared = _read_declaration(UNCLIP_DIR, EMBEDDED)
        # The two embedded models are trained and shipped together: an archive written with another
        # version of the encoder must not be drawn by this version of the generator.
        return replace(declared, encoder=embedded_identity())
    for known in _HUB:
        if name in known.names:
            sources = (name, *(n for n in known.names if n != name))
            return _Declared(name, sources, known.encoder, known.guidance, known.steps)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _read_declaration(folder, name)
    raise ValueError(
        f"{name!r} is neither a known generator nor a directory. {fits()} A pipeline from the hub "
        f"that is not listed can be downloaded and declared with a {DECLARATION}."
    )


def _read_declaration(folder: Path, name: str) -> _Declared:
    file = folder / DECLARATION
    if not (folder / "model_index.json").is_file():
        raise ValueError(f"{folder} is not a diffusers pipeline: it has no model_index.json")
    try:
        content = json.loads(file.read_text("utf-8"))
        latent_norm = content.get("latent_norm")
        return _Declared(
            name=name,
            sources=(str(folder),),
            encoder=str(content["encoder"]),
            guidance=float(content.get("guidance", _Known.guidance)),
            steps=int(content.get("steps", _Known.steps)),
            latent_norm=None if latent_norm is None else float(latent_norm),
            notice=content.get("notice") or None,
        )
    except FileNotFoundError:
        raise ValueError(
            f"{folder} does not say which encoder it was trained on: put a {DECLARATION} into it, "
            'for example {"encoder": "ViT-L-14/openai"}'
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{file} must be a JSON object with at least "
            f'{{"encoder": "..."}}: {type(error).__name__} {error}'
        ) from error


def _load_pipeline(declared: _Declared, dtype: torch.dtype, device: str) -> Any:
    try:
        from diffusers import StableUnCLIPImg2ImgPipeline
    except ImportError as error:
        raise ImportError(
            "drawing images needs diffusers: pip install 'fiftyone_smic[generate]'"
        ) from error
    problems = []
    for source in declared.sources:
        try:
            with _quiet() if Path(source).is_dir() else nullcontext():
                pipeline = StableUnCLIPImg2ImgPipeline.from_pretrained(
                    source, dtype=dtype, use_safetensors=True
                )
        except OSError as error:
            problems.append(f"{source}: {error}")
            continue
        if source != declared.sources[0]:
            logger.warning("%s is not available, using %s", declared.sources[0], source)
        pipeline.set_progress_bar_config(disable=True)
        # Versions of diffusers before "dtype" ignored it and loaded in float32.
        return pipeline.to(device) if pipeline.dtype == dtype else pipeline.to(device, dtype)
    raise OSError(
        f"generator {declared.name!r} could not be loaded. Download it once where there is a "
        "network, or give a local directory.\n" + "\n".join(problems)
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing bars and warning while a local folder loads.

    What they warn of, parts other than Stability's, is what such a folder is for. Downloads are not
    quiet: they take minutes, and their bars show it.
    """
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    with ExitStack() as after:
        for log in (diffusers_logging, transformers_logging):
            after.callback(log.set_verbosity, log.get_verbosity())
            if log.is_progress_bar_enabled():
                after.callback(log.enable_progress_bar)
            log.set_verbosity_error()
            log.disable_progress_bar()
        yield
