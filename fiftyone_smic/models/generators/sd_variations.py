"""Stable Diffusion image variations: ``StableDiffusionImageVariationPipeline``, for ViT-L."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.diffusion import DiffusionGenerator
from fiftyone_smic.models.generators.source import Source, without_image_encoder

if TYPE_CHECKING:
    import torch


class VariationsGenerator(DiffusionGenerator):
    """Stable Diffusion fine-tuned on latents of images in place of texts.

    The latent's length matters. The negative of the guidance is a latent of zeros.
    """

    default_steps = 50
    default_guidance = 3.0
    dim_entry = ("unet", "cross_attention_dim")
    prompt_method = None

    def _parts(self) -> dict[str, Any]:
        # A safety checker paints the pictures black that it flags.
        unwatched = {"safety_checker": None, "requires_safety_checker": False}
        return {**without_image_encoder(self._dtype), **unwatched}

    def _finish(self, source: Source) -> None:
        import torch

        def given(latents: torch.Tensor, device: Any, repeats: int, guided: bool) -> torch.Tensor:
            # The pipeline has no argument for latents: they come in place of images.
            embeds = latents[:, None]
            return torch.cat([torch.zeros_like(embeds), embeds]) if guided else embeds

        self.pipeline._encode_image = given

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        return {
            "image": latents,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
        }
