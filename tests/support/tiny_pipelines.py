"""Tiny, randomly initialised pipelines of every family, with the same kinds of parts as real ones.

Each function saves a pipeline to a folder as its makers save theirs. The recipes follow diffusers'
own tests (``get_dummy_components``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from fiftyone_smic.models.embedded import CLIP_DIR

#: Dimensions of the latents that all of them take.
DIM = 32


def declare(folder: Path, **entries: Any) -> Path:
    """Write the folder's ``smic.json``."""
    (folder / "smic.json").write_text(json.dumps({"encoder": "ViT-Tiny/none", **entries}))
    return folder


def save_unclip(folder: Path, dim: int = DIM) -> None:
    """Stable unCLIP, with AutoencoderKL and cross-attention, unlike the embedded one."""
    from diffusers import DDIMScheduler, DDPMScheduler, StableUnCLIPImg2ImgPipeline
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    torch.manual_seed(0)
    normalizer = StableUnCLIPImageNormalizer(embedding_dim=dim)
    torch.nn.init.normal_(normalizer.mean)
    torch.nn.init.uniform_(normalizer.std, 0.5, 1.5)
    StableUnCLIPImg2ImgPipeline(
        **_vision(dim),
        image_normalizer=normalizer,
        image_noising_scheduler=DDPMScheduler(beta_schedule="squaredcos_cap_v2"),
        tokenizer=_tokenizer(),
        text_encoder=_text(),
        unet=_unet(
            sample_size=16,
            attention_head_dim=(2, 4),
            class_embed_type="projection",
            projection_class_embeddings_input_dim=2 * dim,
        ),
        scheduler=DDIMScheduler(prediction_type="v_prediction", clip_sample=False),
        vae=_vae(),
    ).save_pretrained(folder)


def save_kandinsky22(folder: Path, dim: int = DIM) -> None:
    """Kandinsky 2.2's decoder."""
    from diffusers import DDPMScheduler, KandinskyV22Pipeline

    KandinskyV22Pipeline(
        unet=_kandinsky_unet("image", encoder_hid_dim=dim, cross_attention_dim=32),
        movq=_movq(),
        scheduler=DDPMScheduler(
            beta_schedule="linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=True,
            clip_sample_range=2.0,
            variance_type="learned_range",
            thresholding=True,
            sample_max_value=2.0,
        ),
    ).save_pretrained(folder)


def save_kandinsky21(folder: Path) -> None:
    """Kandinsky 2.1, whose latents have the dimensions of its cross-attention."""
    from diffusers import KandinskyPipeline
    from diffusers.pipelines.kandinsky.text_encoder import MCLIPConfig, MultilingualCLIP
    from transformers import XLMRobertaTokenizer

    torch.manual_seed(0)
    config = MCLIPConfig(
        numDims=DIM,
        transformerDimensions=24,
        hidden_size=24,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=1,
        vocab_size=100,
    )
    words = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", "a", "<mask>"]
    KandinskyPipeline(
        text_encoder=MultilingualCLIP(config).eval(),
        tokenizer=XLMRobertaTokenizer(vocab=[(word, 0.0) for word in words]),
        unet=_kandinsky_unet("text_image", encoder_hid_dim=24, cross_attention_dim=DIM),
        movq=_movq(),
        scheduler=_ddim(),
    ).save_pretrained(folder)


def save_sd15(folder: Path) -> None:
    """Stable Diffusion 1.5 with an IP-Adapter in the folder ``adapter``."""
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=_text(),
        tokenizer=_tokenizer(),
        unet=_unet(sample_size=16, attention_head_dim=2),
        scheduler=_ddim(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
    _save_adapter(folder, pipeline.unet)


def save_sdxl(folder: Path) -> None:
    """Stable Diffusion XL with an IP-Adapter in the folder ``adapter``."""
    from diffusers import StableDiffusionXLPipeline
    from transformers import CLIPTextModelWithProjection

    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_text(),
        text_encoder_2=_text(CLIPTextModelWithProjection),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=_unet(
            sample_size=16,
            attention_head_dim=2,
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=_ddim(),
    )
    pipeline.save_pretrained(folder)
    _save_adapter(folder, pipeline.unet)


def save_karlo(folder: Path) -> None:
    """Karlo, whose published files name its parts' module as older versions of diffusers had it."""
    from diffusers import (
        UnCLIPImageVariationPipeline,
        UnCLIPScheduler,
        UNet2DConditionModel,
        UNet2DModel,
    )
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
    from transformers import CLIPTextModelWithProjection

    torch.manual_seed(0)
    enlarge = [
        UNet2DModel(
            sample_size=32,
            layers_per_block=1,
            down_block_types=("ResnetDownsampleBlock2D",) * 2,
            up_block_types=("ResnetUpsampleBlock2D",) * 2,
            block_out_channels=(32, 64),
            in_channels=6,
            out_channels=3,
        )
        for _ in range(2)
    ]
    projection = UnCLIPTextProjModel(
        clip_embeddings_dim=DIM, time_embed_dim=128, cross_attention_dim=32
    )
    torch.nn.init.normal_(projection.learned_classifier_free_guidance_embeddings)
    UnCLIPImageVariationPipeline(
        **_vision(DIM),
        decoder=UNet2DConditionModel(
            sample_size=16,
            in_channels=3,
            out_channels=6,
            cross_attention_dim=32,
            class_embed_type="identity",
            **_KANDINSKY_BLOCKS,
        ),
        text_encoder=_text(CLIPTextModelWithProjection),
        tokenizer=_tokenizer(),
        text_proj=projection,
        super_res_first=enlarge[0],
        super_res_last=enlarge[1],
        decoder_scheduler=UnCLIPScheduler(variance_type="learned_range"),
        super_res_scheduler=UnCLIPScheduler(variance_type="fixed_small_log"),
    ).save_pretrained(folder)
    index = json.loads((folder / "model_index.json").read_text())
    index["text_proj"][0] = "unclip"
    (folder / "model_index.json").write_text(json.dumps(index))


def save_variations(folder: Path) -> None:
    """Stable Diffusion image variations."""
    from diffusers import StableDiffusionImageVariationPipeline

    StableDiffusionImageVariationPipeline(
        **_vision(DIM),
        vae=_vae(),
        unet=_unet(sample_size=16, attention_head_dim=2, cross_attention_dim=DIM),
        scheduler=_ddim(),
        safety_checker=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


_TOWER = {
    "hidden_size": 32,
    "intermediate_size": 37,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
_KANDINSKY_BLOCKS = {
    "down_block_types": ("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D"),
    "up_block_types": ("SimpleCrossAttnUpBlock2D", "ResnetUpsampleBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "block_out_channels": (32, 64),
    "layers_per_block": 1,
    "attention_head_dim": 4,
    "resnet_time_scale_shift": "scale_shift",
}


def _tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CLIP_DIR, model_max_length=16)


def _text(kind: type | None = None) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel

    torch.manual_seed(0)
    config = CLIPTextConfig(
        vocab_size=len(_tokenizer()), max_position_embeddings=16, projection_dim=32, **_TOWER
    )
    return (kind or CLIPTextModel)(config).eval()


def _vision(dim: int) -> dict[str, Any]:
    """An image encoder, which pipelines come with and drawing does not use."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(0)
    config = CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=dim, **_TOWER)
    return {
        "image_encoder": CLIPVisionModelWithProjection(config).eval(),
        "feature_extractor": CLIPImageProcessor(
            size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
        ),
    }


def _unet(**settings: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        **{
            "block_out_channels": (16, 32),
            "norm_num_groups": 8,
            "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
            "cross_attention_dim": 32,
            "layers_per_block": 1,
            **settings,
        }
    )


def _kandinsky_unet(condition: str, **settings: Any) -> Any:
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=8,
        addition_embed_type=condition,
        encoder_hid_dim_type=f"{condition}_proj",
        **_KANDINSKY_BLOCKS,
        **settings,
    )


def _vae() -> Any:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL(
        block_out_channels=(8, 16),
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )


def _movq() -> Any:
    from diffusers import VQModel

    torch.manual_seed(0)
    return VQModel(
        block_out_channels=[32, 64],
        down_block_types=["DownEncoderBlock2D", "AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D", "UpDecoderBlock2D"],
        latent_channels=4,
        layers_per_block=1,
        norm_num_groups=8,
        norm_type="spatial",
        num_vq_embeddings=12,
        vq_embed_dim=4,
    )


def _ddim() -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def _save_adapter(folder: Path, unet: Any) -> None:
    """An IP-Adapter for a global latent: keys and values for every cross-attention."""
    from diffusers.models.attention_processor import IPAdapterAttnProcessor
    from diffusers.models.embeddings import ImageProjection
    from safetensors.torch import save_file

    torch.manual_seed(1)
    cross = unet.config.cross_attention_dim
    widths = unet.config.block_out_channels
    state, number = {}, 1
    for name in unet.attn_processors:
        if name.endswith("attn1.processor"):
            continue
        if name.startswith("mid_block"):
            width = widths[-1]
        else:
            block = int(name.split(".")[1])
            width = widths[block] if name.startswith("down") else widths[::-1][block]
        parts = IPAdapterAttnProcessor(width, cross).state_dict()
        for kind in ("k", "v"):
            weight = parts[f"to_{kind}_ip.0.weight"]
            # Untrained weights are small: the latent must be seen in a picture of 8 bits.
            state[f"ip_adapter.{number}.to_{kind}_ip.weight"] = 4 * weight
        number += 2
    projection = ImageProjection(DIM, cross, num_image_text_embeds=4).state_dict()
    for mine, theirs in {"proj": "image_embeds", "norm": "norm"}.items():
        for kind in ("weight", "bias"):
            state[f"image_proj.{mine}.{kind}"] = projection[f"{theirs}.{kind}"]
    (folder / "adapter").mkdir()
    save_file({k: v.contiguous() for k, v in state.items()}, folder / "adapter/ip.safetensors")


#: How to save each family, and what its ``smic.json`` must say beside the encoder.
FAMILIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "unclip": (save_unclip, {}),
    "kandinsky22": (save_kandinsky22, {"negative": [0.1 * i for i in range(DIM)]}),
    "kandinsky21": (save_kandinsky21, {"negative": [0.1 * i for i in range(DIM)]}),
    "sd15": (save_sd15, {"ip_adapter": "adapter/ip.safetensors"}),
    "sdxl": (save_sdxl, {"ip_adapter": "adapter/ip.safetensors"}),
    "karlo": (save_karlo, {}),
    "variations": (save_variations, {}),
}
