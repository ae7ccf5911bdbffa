"""Karlo: ``UnCLIPImageVariationPipeline``, for ViT-L; its last part doubles the size twice."""

from __future__ import annotations

from collections.abc import Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.diffusion import DiffusionGenerator
from fiftyone_smic.models.generators.source import without_image_encoder

if TYPE_CHECKING:
    import torch

#: Steps of the part that enlarges the picture.
_ENLARGING_STEPS = 7


class _Functional:
    """``torch.nn.functional`` for Karlo's pipeline, whose enlarging needs float32 on a CPU."""

    def __getattr__(self, name: str) -> Any:
        from torch.nn import functional

        found = getattr(functional, name)
        if name != "interpolate":
            return found

        @wraps(found)  # the pipeline looks at the arguments that the function takes
        def interpolate(picture: torch.Tensor, **options: Any) -> torch.Tensor:
            return found(picture.float(), **options).to(picture.dtype)

        return interpolate


class KarloGenerator(DiffusionGenerator):
    """Karlo, an unCLIP model by Kakao Brain.

    The negative of the guidance is learned and part of the weights.
    """

    default_steps = 25
    default_guidance = 8.0
    dim_entry = ("text_proj", "clip_embeddings_dim")
    min_steps = 2  # its sampler divides by the number of steps minus one
    weights = ("decoder", "super_res_first", "super_res_last", "text_proj")
    prompt_method = "_encode_prompt"
    schedulers = ()  # its samplers are of their own kind
    refused_devices: ClassVar[Mapping[str, str]] = {
        "mps": "its pictures are incoherent there (diffusers issue 1791)"
    }

    def _loaded_size(self) -> int:
        return int(self.pipeline.super_res_last.config.sample_size)

    def _parts(self) -> dict[str, Any]:
        import diffusers.pipelines
        from diffusers.pipelines.deprecated.unclip import pipeline_unclip_image_variation as module

        # The published files name their parts' module, which diffusers has moved since.
        if not hasattr(diffusers.pipelines, "unclip"):
            diffusers.pipelines.unclip = diffusers.pipelines.deprecated.unclip
        module.F = _Functional()
        return without_image_encoder(self._dtype)

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        return {
            "image_embeddings": latents,
            "decoder_num_inference_steps": settings.steps,
            "super_res_num_inference_steps": _ENLARGING_STEPS,
            "decoder_guidance_scale": settings.guidance,
        }
