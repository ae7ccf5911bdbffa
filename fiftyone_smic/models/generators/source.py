"""Where a pipeline of diffusers comes from, and how its parts are read."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where a pipeline comes from, and what is known of it before it is loaded.

    Attributes:
        name: The name it was asked for.
        pipeline: The pipeline's class in diffusers.
        places: Repositories on the hub, or one local folder, tried in this order.
        encoder: Identity of the encoder whose latents it draws from.
        steps: Denoising steps; None takes the family's default.
        guidance: Guidance scale; None takes the family's default.
        latent_norm: The length that training scaled latents to; None for the raw output.
        notice: What a user must know about the model.
        scheduler: The sampler to use instead of the pipeline's own.
        negative: (d,) the negative of the guidance, where it is an encoding and is known.
        adapter: Repository or folder, subfolder and file of an IP-Adapter.
        revision: The version of the repository.
        folder: The local folder, or None for the hub.
    """

    name: str
    pipeline: str
    places: tuple[str, ...]
    encoder: str
    steps: int | None = None
    guidance: float | None = None
    latent_norm: float | None = None
    notice: str | None = None
    scheduler: str | None = None
    negative: NDArray[np.float32] | None = None
    adapter: tuple[str, str, str] | None = None
    revision: str | None = None
    folder: Path | None = None

    def configured(self, part: str, entry: str) -> int:
        """Read an integer from the configuration of a part in the local folder."""
        assert self.folder is not None
        file = self.folder / part / "config.json"
        try:
            return int(json.loads(file.read_text("utf-8"))[entry])
        except (
            OSError,
            ValueError,
            TypeError,
            LookupError,
            OverflowError,
            RecursionError,
        ) as error:
            raise ValueError(
                f"{self.folder} has no {part}/config.json with a number {entry!r}: {error}"
            ) from None


def load_pipeline(source: Source, dtype: torch.dtype, parts: dict[str, Any]) -> Any:
    """Load a pipeline from the first place that has it, in half-precision files where those do."""
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            "drawing images needs diffusers: pip install 'fiftyone_smic[generate]'"
        ) from error
    from safetensors import SafetensorError

    pipeline_class = getattr(diffusers, source.pipeline)
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, **parts}
    if source.revision:
        options["revision"] = source.revision
    problems = []
    for place in source.places:
        for variant in _variants(source.folder, dtype):
            try:
                pipeline = pipeline_class.from_pretrained(place, variant=variant, **options)
            except (OSError, ValueError, RuntimeError, SafetensorError) as error:
                problem = f"{place}: {error}"
                continue
            if place != source.places[0]:
                logger.warning("%s is not available, using %s", source.places[0], place)
            return pipeline
        problems.append(problem)
    hint = " Download it once where there is a network, or give a local directory."
    raise OSError(
        f"generator {source.name!r} could not be loaded.{'' if source.folder else hint}\n"
        + "\n".join(problems)
    )


def _variants(folder: Path | None, dtype: torch.dtype) -> tuple[str | None, ...]:
    """Which files to try: half-precision ones, which are half as large, and full ones."""
    half = str(dtype) != "torch.float32"
    if folder is None:
        return ("fp16", None) if half else (None,)
    files = list(folder.glob("*/*.safetensors"))
    halves = [file for file in files if ".fp16." in file.name]
    if not halves:
        return (None,)
    return ("fp16",) if half or len(halves) == len(files) else (None,)


def without_image_encoder(dtype: torch.dtype) -> dict[str, Any]:
    """Parts that stand in for a pipeline's own image encoder, which drawing does not use.

    Some pipelines insist on an image encoder. A tiny one of the right class saves the download and
    the memory of the real one, 632 million parameters for ViT-H.
    """
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    sizes = {"hidden_size": 4, "intermediate_size": 4, "image_size": 4, "patch_size": 4}
    config = CLIPVisionConfig(**sizes, num_hidden_layers=1, num_attention_heads=1, projection_dim=4)
    encoder = CLIPVisionModelWithProjection(config).to(dtype)
    return {"image_encoder": encoder, "feature_extractor": None}


@contextmanager
def quiet() -> Iterator[None]:
    """Keep diffusers and transformers from drawing bars and warning while a local folder loads.

    What they warn of, parts other than the original ones, is what such a folder is for. Downloads
    are not quiet: they take minutes, and their bars show it.
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
