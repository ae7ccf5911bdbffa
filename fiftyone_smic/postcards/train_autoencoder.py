"""Train the autoencoder: ``python -m fiftyone_smic.postcards.train_autoencoder --work DIR``.

An ``AutoencoderDC`` (Chen et al. 2024) that goes down by 16: at 64 pixels a postcard is 4 x 4
tokens, one for each slot that things stand in. Its first weights are the best linear autoencoder
(principal components of nested 2, 4, 8 and 16 pixel patches), written into the convolutions
exactly; training then only has to improve on that, which takes minutes rather than hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.models.embedded import UNCLIP_DIR
from fiftyone_smic.postcards.training import command_line, load_training_set, run_training, to_batch

LATENT_CHANNELS = 96
WIDTHS = (24, 24, 48, 96, 192)  # at 64 (unused: no layers there), 32, 16, 8 and 4 pixels
KEPT = (12, 40, 80)  # components of 2, 4 and 8 pixel patches that the decoder carries
CONSTANT = 60.0


def build_autoencoder() -> Any:
    """An ``AutoencoderDC`` with random weights, as ``StableUnCLIPImg2ImgPipeline`` expects it."""
    from diffusers import AutoencoderDC

    layers = (0, 1, 1, 1, 1)
    model = AutoencoderDC(
        latent_channels=LATENT_CHANNELS,
        encoder_block_out_channels=WIDTHS,
        decoder_block_out_channels=WIDTHS,
        encoder_layers_per_block=layers,
        decoder_layers_per_block=layers,
        encoder_qkv_multiscales=((),) * len(WIDTHS),
        decoder_qkv_multiscales=((),) * len(WIDTHS),
        encoder_out_shortcut=False,
    )
    # The pipeline reads the downscaling from this entry, which AutoencoderDC itself lacks.
    model.register_to_config(block_out_channels=list(WIDTHS))
    return model


def patches_of(images: np.ndarray, side: int) -> np.ndarray:
    """(N, H, W, 3) in [-1, 1] -> (M, 3, side, side) non-overlapping patches."""
    n, h, w, _ = images.shape
    x = images.reshape(n, h // side, side, w // side, side, 3)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(-1, 3, side, side)


def principal_components(patches: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean (D,), the first k components (D, k) and their standard deviations (k,)."""
    flat = patches.reshape(len(patches), -1)
    mean = flat.mean(0)
    values, vectors = np.linalg.eigh(np.cov((flat - mean).T))
    order = np.argsort(values)[::-1][:k]
    return mean, vectors[:, order], np.sqrt(np.maximum(values[order], 1e-12))


def shuffle_rows(basis: np.ndarray, side: int) -> np.ndarray:
    """Rows of a (3*side*side, k) patch basis as 4 quarters: (4, 3*(side/2)**2, k)."""
    half = side // 2
    x = basis.reshape(3, 2, half, 2, half, -1).transpose(1, 3, 0, 2, 4, 5)
    return x.reshape(4, 3 * half * half, -1)


def set_linear(
    conv: Any, weight: np.ndarray, bias: np.ndarray, shortcut: np.ndarray | float
) -> None:
    """Make ``conv`` plus its block's shortcut the 1x1 map ``weight`` (out, in) and ``bias``."""
    import torch

    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:, :, 1, 1] = torch.from_numpy(weight - shortcut).float()
        conv.bias.copy_(torch.from_numpy(bias).float())


@dataclass(frozen=True)
class PatchBasis:
    """The linear latent: half-whitened principal components of 16 pixel patches.

    Half-whitened lies between the pixels' own spectrum, where detail drowns in the diffusion's
    noise, and a white one, where it costs as much as the scene.
    """

    mean: np.ndarray  # (768,)
    components: np.ndarray  # (768, LATENT_CHANNELS)
    gain: np.ndarray  # (LATENT_CHANNELS,)

    @classmethod
    def fit(cls, images: np.ndarray) -> PatchBasis:
        mean, components, deviation = principal_components(patches_of(images, 16), LATENT_CHANNELS)
        gain = deviation**-0.5
        return cls(mean, components, gain / np.sqrt(np.mean((deviation * gain) ** 2)))

    def encode(self, images: np.ndarray) -> np.ndarray:
        """(N, 64, 64, 3) in [-1, 1] -> (N, LATENT_CHANNELS, 4, 4) float32 of unit power."""
        n = len(images)
        flat = patches_of(images, 16).reshape(-1, len(self.mean)) - self.mean
        z = (flat @ self.components * self.gain).astype(np.float32)
        return z.reshape(n, 4, 4, LATENT_CHANNELS).transpose(0, 3, 1, 2)


def initialise_linear(model: Any, images: np.ndarray, latent: PatchBasis) -> None:
    """Make the decoder the linear inverse of ``latent``; residual blocks start as identities.

    It carries, at each scale, the components of that scale's patches and one constant
    channel, which keeps the final RMS normalisation and ReLU in their linear range.
    """
    import torch

    decoder = model.decoder
    for stage in decoder.up_blocks:
        for block in stage:
            if hasattr(block, "norm"):
                torch.nn.init.zeros_(block.norm.weight)
                torch.nn.init.zeros_(block.norm.bias)

    bases = {
        side: principal_components(patches_of(images, side), k)
        for side, k in zip((2, 4, 8), KEPT, strict=True)
    }
    w = np.zeros((WIDTHS[4], LATENT_CHANNELS))
    w[:LATENT_CHANNELS] = np.diag(1 / latent.gain)
    b = np.zeros(WIDTHS[4])
    b[-1] = CONSTANT
    repeat = WIDTHS[4] // LATENT_CHANNELS
    set_linear(decoder.conv_in, w, b, np.repeat(np.eye(LATENT_CHANNELS), repeat, 0))
    mean, basis = latent.mean, latent.components
    for side, stage, width_in, width in ((8, 3, 192, 96), (4, 2, 96, 48), (2, 1, 48, 24)):
        small_mean, small, _ = bases[side]
        quarters = shuffle_rows(basis, 2 * side)  # (4, D_small, k)
        offsets = shuffle_rows(mean[:, None], 2 * side)[..., 0] - small_mean
        k, m = small.shape[1], basis.shape[1]
        w, b = np.zeros((width, 4, width_in)), np.zeros((width, 4))
        w[:k, :, :m] = np.einsum("dk,qdm->kqm", small, quarters)
        b[:k] = small.T @ offsets.T
        w[-1, :, -1] = 1.0
        shortcut = np.repeat(np.eye(width_in), 4 * width // width_in, 0)
        up = decoder.up_blocks[stage][0]
        set_linear(up.conv, w.reshape(4 * width, width_in), b.reshape(-1), shortcut)
        mean, basis = small_mean, small
    # norm_out: x / rms with rms almost constant; lift by one so that ReLU passes everything.
    rms = math.sqrt((CONSTANT**2 + 1.0) / WIDTHS[1])
    with torch.no_grad():
        decoder.norm_out.weight.fill_(rms / 4)
        decoder.norm_out.bias.fill_(1.0)
    quarters = shuffle_rows(basis, 2)  # (4, 3, 12)
    offsets = shuffle_rows(mean[:, None], 2)[..., 0]
    w, b = np.zeros((3, 4, WIDTHS[1])), offsets.T.copy()
    w[:, :, : KEPT[0]] = 4 * quarters.transpose(1, 0, 2)
    b -= w.sum(2)
    set_linear(decoder.conv_out.conv, w.reshape(12, -1), b.reshape(-1), 0.0)


def load_basis(images: np.ndarray) -> PatchBasis:
    """The basis that all trainings share: fitted on the first 4,000 training images."""
    return PatchBasis.fit(images[:4000].astype(np.float32) / 127.5 - 1)


def psnr(error: float) -> float:
    """dB for images in [-1, 1], from their mean squared error."""
    return -10 * math.log10(error / 4)


def train(
    work: Path,
    directory: Path = UNCLIP_DIR,
    *,
    steps: int = 1500,
    images: int = 30_000,
    batch_size: int = 64,
    lr: float = 1e-3,
) -> None:
    """Train and export to ``directory/vae``; continues from ``work/autoencoder.pt``.

    The encoder learns to give the linear latent, the decoder to invert it better than linearly,
    from latents with a little noise, since a diffusion model's are never exact.
    """
    import torch

    torch.manual_seed(1)
    data = load_training_set(work, images)
    basis = load_basis(data.images)
    model = build_autoencoder()
    initialise_linear(model, data.images[:4000].astype(np.float32) / 127.5 - 1, basis)
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=1e-4, betas=(0.9, 0.98))

    def export() -> None:
        model.half().save_pretrained(directory / "vae")
        model.float()

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        rows = np.sort(rng.choice(images, batch_size, replace=False))
        x = to_batch(data.images[rows])
        z = torch.from_numpy(basis.encode(data.images[rows].astype(np.float32) / 127.5 - 1))
        encoded = model.encode(x).latent
        decoded = model.decode(z + 0.03 * torch.randn_like(z)).sample
        encoder_loss = (encoded - z).square().mean()
        difference = decoded - x
        edges = (difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()) / 2
        loss = difference.abs().mean() + 2 * difference.square().mean() + edges + encoder_loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {
            "decoder_psnr": psnr(difference.square().mean().item()),
            "encoder_mse": encoder_loss.item(),
        }

    run_training(
        step,
        {"model": model},
        optimizer,
        steps=steps,
        peak_lr=lr,
        checkpoint=work / "autoencoder.pt",
        export=export,
        every=100,
    )


if __name__ == "__main__":
    options = command_line(
        str(__doc__).splitlines()[0], UNCLIP_DIR, steps=1500, images=30_000, batch_size=64, lr=1e-3
    )
    train(**vars(options))
