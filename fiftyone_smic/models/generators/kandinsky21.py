"""Kandinsky 2.1: ``KandinskyPipeline``, for ViT-L.

Like Kandinsky 2.2, with a text encoder that gets an empty prompt; and the latent's length matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.kandinsky22 import Kandinsky22Generator

if TYPE_CHECKING:
    import torch


class Kandinsky21Generator(Kandinsky22Generator):
    """Kandinsky 2.1.

    The negative of the guidance is the encoding of a tensor of zeros, as for Kandinsky 2.2.
    """

    dim_entry = ("unet", "cross_attention_dim")
    prompt_method = "_encode_prompt"

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        return {"prompt": [""] * len(latents), **super()._arguments(latents, guided, settings)}
