"""Train the decoder: ``python -m fiftyone_smic.postcards.train_unclip --work DIR``.

A ``UNet2DConditionModel`` over 4 x 4 tokens, conditioned on the CLIP latent as unCLIP is (Ramesh et
al. 2022), assembled with the autoencoder into a ``StableUnCLIPImg2ImgPipeline`` folder. Run
``train_clip`` and ``train_autoencoder`` first.

The network predicts the clean tokens, not the noise or the velocity: a network narrower than its
96-channel tokens cannot pass noise through (Li and He 2025, "Back to basics: let denoising
generative models denoise"), and pictures of one that had to stayed grainy.

A second run with ``--guided`` teaches the trained network to predict what classifier-free guidance
would make of it, so that drawing takes one pass through it for a step instead of two. Run where
only its weights are left, it goes on from those.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.models.embedded import CLIP_DIR, NOTICE, UNCLIP_DIR
from fiftyone_smic.postcards.train_autoencoder import LATENT_CHANNELS, load_basis
from fiftyone_smic.postcards.train_clip import DIMENSION
from fiftyone_smic.postcards.training import (
    MODEL_SIZE,
    command_line,
    load_training_set,
    run_training,
    to_batch,
)

TEXT_WIDTH = 16  # of the dummy text encoder: the prompt is always empty
GUIDANCE = 3.0  # 1.5 leaves out objects that the latent has; above 4 nothing more is gained
STEPS = 20
NOISE_LEVELS = 300
# Dictionaries whose rebuilt latents are conditions too: about 30, 40 and 80 bits for a postcard.
CODED = ({"n_atoms": 30, "nonnegative": True, "lam": 0.001}, {"lam": 0.002}, {"lam": 0.0005})


def build_unet() -> Any:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=4,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=(192,),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D",),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D",),
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
        class_embed_type="projection",
        projection_class_embeddings_input_dim=2 * DIMENSION,
        resnet_time_scale_shift="scale_shift",
    )


def assemble(unet: Any, autoencoder: Any, normalizer: Any, tokenizer_directory: Path) -> Any:
    """The pipeline's other components: a dummy text encoder and image encoder, the schedulers."""
    from diffusers import DDIMScheduler, StableUnCLIPImg2ImgPipeline
    from transformers import (
        CLIPImageProcessor,
        CLIPTextConfig,
        CLIPTextModel,
        CLIPTokenizer,
        CLIPVisionConfig,
        CLIPVisionModelWithProjection,
    )

    tokenizer = CLIPTokenizer.from_pretrained(str(tokenizer_directory), model_max_length=8)
    last = len(tokenizer) - 1
    tiny = {"hidden_size": TEXT_WIDTH, "intermediate_size": TEXT_WIDTH, "num_hidden_layers": 1}
    text = CLIPTextConfig(
        **tiny,
        vocab_size=last + 1,
        num_attention_heads=1,
        max_position_embeddings=8,
        projection_dim=TEXT_WIDTH,
        bos_token_id=last - 1,
        eos_token_id=last,
        pad_token_id=0,
    )
    vision = CLIPVisionConfig(
        **tiny,
        num_attention_heads=1,
        image_size=MODEL_SIZE,
        patch_size=32,
        projection_dim=DIMENSION,
    )
    return StableUnCLIPImg2ImgPipeline(
        feature_extractor=CLIPImageProcessor(
            size={"shortest_edge": MODEL_SIZE},
            crop_size={"height": MODEL_SIZE, "width": MODEL_SIZE},
        ),
        image_encoder=CLIPVisionModelWithProjection(vision),
        image_normalizer=normalizer,
        image_noising_scheduler=noise_schedule(),
        tokenizer=tokenizer,
        text_encoder=CLIPTextModel(text),
        unet=unet,
        scheduler=DDIMScheduler.from_config(
            noise_schedule().config,
            prediction_type="sample",
            clip_sample=False,
            timestep_spacing="trailing",
        ),
        vae=autoencoder,
    )


def noise_schedule() -> Any:
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")


def rebuilt(latents: np.ndarray) -> list[np.ndarray]:
    """Latents (N, d) of unit norm as archives of the dictionaries ``CODED`` give them back."""
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    found = []
    for parameters in CODED:
        dictionary = SemanticDictionary(**parameters).fit(latents[:6000])  # type: ignore[arg-type]
        found.append(dictionary.inverse_transform(dictionary.transform(latents)))
    return found


def train(
    work: Path,
    directory: Path = UNCLIP_DIR,
    *,
    steps: int = 3000,
    images: int = 30_000,
    batch_size: int = 128,
    lr: float = 1e-3,
    guided: bool = False,
) -> None:
    """Train and export to ``directory``; continues from ``work/unclip.pt``.

    With ``guided`` it starts from that file's network, or if there is none from the one in
    ``directory``, and continues from ``work/guided.pt``. What is to be predicted then is the clean
    tokens plus ``1 - 1 / GUIDANCE`` times the difference that the condition makes to the averaged
    network's own prediction, which settles where guidance would take it (Tang et al. 2025,
    "Diffusion models without classifier-free guidance").

    The condition is the unnormalised CLIP image embedding's direction at the encoder's median
    norm, which is what an archive gives back. A tenth of the conditions is dropped, for
    classifier-free guidance; a third has noise added, and another third is what dictionaries make
    of the latent, so that compressed latents decode well.
    """
    import torch
    import torch.nn.functional as F
    from diffusers import AutoencoderDC, UNet2DConditionModel
    from diffusers.models.embeddings import get_timestep_embedding
    from diffusers.pipelines.stable_diffusion.stable_unclip_image_normalizer import (
        StableUnCLIPImageNormalizer,
    )

    from fiftyone_smic.models.encoders import load_encoder

    torch.manual_seed(3)
    data = load_training_set(work, images)
    basis = load_basis(data.images)
    encoder = load_encoder(f"local-dir:{CLIP_DIR}")
    raw, tokens = [], []
    with torch.no_grad():
        for i in range(0, images, 500):
            block = data.images[i : i + 500]
            raw.append(encoder.image_features(to_batch(block)).float())
            tokens.append(torch.from_numpy(basis.encode(block.astype(np.float32) / 127.5 - 1)))
    norm = float(torch.cat(raw).norm(dim=-1).median())
    latents = F.normalize(torch.cat(raw), dim=-1)
    conditions = latents * norm
    coded = torch.from_numpy(np.stack(rebuilt(latents.numpy())))
    coded = F.normalize(coded, dim=-1) * norm
    tokens = torch.cat(tokens)
    mean, deviation = conditions.mean(0), conditions.std(0)

    unet = build_unet()
    with torch.no_grad():
        # Start from whitened conditions: their few strong directions would drown the others.
        first = unet.class_embedding.linear_1
        _, values, vectors = torch.linalg.svd(
            (conditions[:8000] - mean) / 8000**0.5, full_matrices=False
        )
        whitening = vectors / (values + 0.02 * values[0])[:, None]
        first.weight.zero_()
        random = torch.randn(len(first.weight), DIMENSION) / DIMENSION**0.5
        first.weight[:, :DIMENSION] = random @ whitening
        first.bias.copy_(-(first.weight[:, :DIMENSION] @ mean))
    if guided:
        start = work / "unclip.pt"
        unet.load_state_dict(
            torch.load(start, weights_only=True)["ema"]
            if start.exists()
            else UNet2DConditionModel.from_pretrained(directory / "unet").float().state_dict()
        )
    parameters = list(unet.parameters())
    averaged = build_unet().requires_grad_(False)
    averaged.load_state_dict(unet.state_dict())
    alphas = noise_schedule().alphas_cumprod
    levels = get_timestep_embedding(
        torch.arange(1000), DIMENSION, flip_sin_to_cos=True, downscale_freq_shift=0
    )
    prompt = torch.zeros(batch_size, 1, TEXT_WIDTH)
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-3, betas=(0.9, 0.99))

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        seeded = torch.Generator().manual_seed(int(rng.integers(2**62)))

        def normal(x: torch.Tensor) -> torch.Tensor:
            return torch.randn(x.shape, generator=seeded)

        index = torch.from_numpy(rng.integers(images, size=batch_size))
        z, condition = tokens[index], conditions[index]
        kind = torch.from_numpy(rng.integers(3, size=batch_size))  # exact, noisy or coded
        level = torch.from_numpy(rng.integers(NOISE_LEVELS, size=batch_size)) * (kind == 1)
        which = torch.from_numpy(rng.integers(len(coded), size=batch_size))
        condition = torch.where((kind == 2)[:, None], coded[which, index], condition)
        a = alphas[level][:, None]
        scaled = (condition - mean) / deviation
        scaled = a.sqrt() * scaled + (level > 0)[:, None] * (1 - a).sqrt() * normal(scaled)
        condition = torch.cat([scaled * deviation + mean, levels[level]], 1)
        condition *= torch.from_numpy(rng.random((batch_size, 1)) > 0.1)
        t = torch.from_numpy(rng.integers(1000, size=batch_size))
        a = alphas[t][:, None, None, None]
        noise = normal(z)
        noisy = a.sqrt() * z + (1 - a).sqrt() * noise
        if guided:
            with torch.no_grad():
                both = torch.cat([condition, torch.zeros_like(condition)])
                twice = averaged(
                    torch.cat([noisy, noisy]),
                    torch.cat([t, t]),
                    torch.cat([prompt, prompt]),
                    class_labels=both,
                ).sample
                # Nothing is added where the condition was dropped: both halves are the same.
                z = z + (1 - 1 / GUIDANCE) * (twice[:batch_size] - twice[batch_size:])
        predicted = unet(noisy, t, prompt, class_labels=condition).sample
        # The error of the velocity that this prediction implies, bounded at the lowest noise.
        loss = ((predicted - z).square() / (1 - a).clamp(min=0.05)).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with torch.no_grad():
            decay = min(0.998, (i + 1) / (i + 30))
            torch._foreach_lerp_(list(averaged.parameters()), parameters, 1 - decay)
        return {"loss": loss.item()}

    def export() -> None:
        normalizer = StableUnCLIPImageNormalizer(embedding_dim=DIMENSION)
        normalizer.load_state_dict({"mean": mean[None], "std": deviation[None]})
        autoencoder = AutoencoderDC.from_pretrained(directory / "vae")
        pipeline = assemble(copy.deepcopy(averaged), autoencoder, normalizer, CLIP_DIR)
        pipeline.to(torch.float16).save_pretrained(directory)
        declared = {
            "encoder": "postcards",
            "latent_norm": round(norm, 4),
            "guidance": 1.0 if guided else GUIDANCE,
            "steps": STEPS,
            "notice": NOTICE,
        }
        (directory / "smic.json").write_text(json.dumps(declared, indent=1) + "\n")

    run_training(
        step,
        {"unet": unet, "ema": averaged},
        optimizer,
        steps=steps,
        peak_lr=lr,
        checkpoint=work / ("guided.pt" if guided else "unclip.pt"),
        export=export,
        every=100,
    )


if __name__ == "__main__":
    options = command_line(
        str(__doc__).splitlines()[0],
        UNCLIP_DIR,
        steps=3000,
        images=30_000,
        batch_size=128,
        lr=1e-3,
        guided=False,
    )
    train(**vars(options))
