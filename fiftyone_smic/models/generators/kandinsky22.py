"""Kandinsky 2.2: ``KandinskyV22Pipeline``, for ViT-bigG.

The decoder needs no text encoder and puts a LayerNorm on its condition, so that the length of a
latent hardly matters. The ``clip_mean`` and ``clip_std`` that are published with the family undo
the standardisation of its *prior*; latents of an encoder are never standardised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.diffusion import DiffusionGenerator
from fiftyone_smic.models.generators.registry import SCHEDULERS

if TYPE_CHECKING:
    import torch


class Kandinsky22Generator(DiffusionGenerator):
    """Kandinsky 2.2.

    The negative of the guidance is neither zeros nor a black picture: it is the encoding, at raw
    length, of a tensor of zeros, which is a uniform picture of the mean colour of the training
    images.
    """

    default_steps = 50
    default_guidance = 4.0
    dim_entry = ("unet", "encoder_hid_dim")
    prompt_method: ClassVar[str | None] = None
    takes_negative = True
    # The pipeline passes noise generators to the sampler, which UniPC does not take.
    schedulers = tuple(name for name in SCHEDULERS if name != "UniPCMultistepScheduler")

    def _loaded_size(self) -> int:
        return int(self.pipeline.unet.config.sample_size * self.pipeline.movq_scale_factor)

    def _replace_scheduler(self, name: str) -> Any:
        import diffusers

        # The network also predicts variances, which only its own kind of sampler uses. The
        # pipeline drops them unless the sampler's configuration speaks of them.
        config = dict(self.pipeline.scheduler.config)
        if name != "DDPMScheduler":
            config.pop("variance_type", None)
        return getattr(diffusers, name).from_config(config)

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        return {
            # In the network's precision: diffusers casts them only under guidance (issue 13596).
            "image_embeds": latents,
            "negative_image_embeds": self._negatives(latents),
            "height": self.size,
            "width": self.size,
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
        }
