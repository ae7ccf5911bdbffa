"""Stable unCLIP: ``StableUnCLIPImg2ImgPipeline``, for ViT-H, ViT-L and the embedded postcards.

Which encoder a model was trained on is said in Stability's doc/UNCLIP.MD ("two models, trained on
OpenAI CLIP-L and OpenCLIP-H image embeddings") and by the maintainers in diffusers' pull request
2897. Stability removed its Stable Diffusion 2 repositories in November 2025; ``sd2-community``
keeps the same files (huggingface/optimum-habana pull request 2363) and is not Stability.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.diffusion import DiffusionGenerator
from fiftyone_smic.models.generators.source import without_image_encoder

if TYPE_CHECKING:
    import torch


class UnclipGenerator(DiffusionGenerator):
    """Stable unCLIP.

    The latent's length matters. The pipeline standardises the latent itself and adds noise to it;
    even ``noise_level=0`` adds a little, from each picture's own seed. The negative of the guidance
    is a latent of zeros, which the pipeline makes itself.
    """

    default_steps = 20
    default_guidance = 10.0
    dim_entry = ("image_normalizer", "embedding_dim")
    max_noise_level = 999

    def _parts(self) -> dict[str, Any]:
        return without_image_encoder(self._dtype)

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        return {
            "image_embeds": latents,
            "prompt": [""] * len(latents),
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
            "noise_level": settings.noise_level,
        }
