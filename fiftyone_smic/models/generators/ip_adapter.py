"""IP-Adapter on Stable Diffusion 1.5 and XL, for adapters that take one global latent.

The adapter turns a latent into a few tokens beside those of the (empty) prompt. Adapters that need
a grid of features (Plus, FaceID) are refused: a grid is not what an archive stores.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.generators.base import Settings
from fiftyone_smic.models.generators.diffusion import DiffusionGenerator
from fiftyone_smic.models.generators.source import Source

if TYPE_CHECKING:
    import torch


class IPAdapterGenerator(DiffusionGenerator):
    """An IP-Adapter with its base model.

    The negative of the guidance is a latent of zeros.
    """

    default_steps = 30
    default_guidance = 7.5

    @classmethod
    def _source_dim(cls, source: Source) -> int:
        """Read d from the header of the adapter's file."""
        from safetensors import SafetensorError, safe_open

        if source.adapter is None:
            raise ValueError(
                f"{source.folder} is a {source.pipeline}, which draws from texts: add the "
                'IP-Adapter\'s file to the folder and name it as "ip_adapter" in its smic.json'
            )
        file = Path(*source.adapter)
        try:
            with safe_open(file, "pt") as tensors:
                keys = set(tensors.keys())
                if "image_proj.proj.weight" not in keys:
                    raise ValueError(
                        f"{file} is no IP-Adapter for a global latent (it has no "
                        "image_proj.proj.weight); the Plus and FaceID adapters need more than a "
                        "latent"
                    )
                return int(tensors.get_slice("image_proj.proj.weight").get_shape()[1])
        except SafetensorError as error:
            raise ValueError(f"{file} is no sound safetensors file: {error}") from None

    def _loaded_dim(self) -> int:
        layer = self.pipeline.unet.encoder_hid_proj.image_projection_layers[0]
        return int(layer.image_embeds.in_features)

    def _parts(self) -> dict[str, Any]:
        # A safety checker paints the pictures black that it flags.
        return {"feature_extractor": None, "image_encoder": None, **self._unwatched}

    @property
    def _unwatched(self) -> dict[str, Any]:
        if self._is_xl:
            return {"add_watermarker": False}
        return {"safety_checker": None, "requires_safety_checker": False}

    def _check_source(self, source: Source) -> None:
        self._is_xl = source.pipeline == "StableDiffusionXLPipeline"
        super()._check_source(source)

    def _finish(self, source: Source) -> None:
        assert source.adapter is not None
        pipeline = self.pipeline
        place, subfolder, file = source.adapter
        try:
            pipeline.load_ip_adapter(
                place, subfolder=subfolder, weight_name=file, image_encoder_folder=None
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise OSError(
                f"the IP-Adapter {place}/{subfolder}/{file} could not be loaded into a "
                f"{source.pipeline}: {error}"
            ) from error
        pipeline.set_ip_adapter_scale(1.0)
        prepare = pipeline.prepare_ip_adapter_image_embeds

        def prepare_each(
            image: Any, embeds: Any, device: Any, repeats: int, guided: bool
        ) -> list[torch.Tensor]:
            # diffusers repeats a batch of latents as often as the batch is long, and every picture
            # sees the latents of its neighbours (issue 9813).
            return prepare(image, embeds, device, 1, guided)

        pipeline.prepare_ip_adapter_image_embeds = prepare_each

    def _arguments(self, latents: torch.Tensor, guided: bool, settings: Settings) -> dict[str, Any]:
        import torch

        embeds = latents[:, None]
        if guided:
            embeds = torch.cat([torch.zeros_like(embeds), embeds])
        return {
            "prompt": [""] * len(latents),
            "ip_adapter_image_embeds": [embeds],
            "num_inference_steps": settings.steps,
            "guidance_scale": settings.guidance,
        }
