"""What survives drawing: from full latents, and from codes of about 30 payload bits."""

from __future__ import annotations

import time

import numpy as np
from PIL import Image

from fiftyone_smic import SemanticDictionary
from fiftyone_smic.archive import encode_archive
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.pipelines.report import contact_sheet
from fiftyone_smic.postcards.attributes import OBJECTS
from fiftyone_smic.postcards.train_autoencoder import psnr
from fiftyone_smic.postcards.training import to_batch
from tests.benchmarks.bench import Bench, agreement, base_rates, encode_pixels

BARS = {"river": 0.98, "people": 0.8, "shirt": 0.8, **dict.fromkeys(OBJECTS, 0.9)}
SHOWN = 64
FULL, CODES = "full latent", "codes"


def judge_reader(bench: Bench) -> None:
    data = bench.held_out
    n = len(data.latents)
    base = base_rates(data.labels, n)
    for name, score in agreement(bench.read(data.images), data.labels, n).items():
        bar = 0.99 if name == "people" else 0.98
        bench.report.add(f"reader on originals: {name}", score, base_rate=base[name], bar=bar)


def judge_autoencoder(bench: Bench, n: int) -> None:
    """The decibels, and what the reader still reads: the ceiling of anything drawn through it."""
    import torch

    images = bench.held_out.images[:n]
    vae = bench.generator.pipeline.vae
    errors, pictures = [], []
    with torch.no_grad():
        for i in range(0, n, 64):
            x = to_batch(images[i : i + 64])
            again = vae.decode(vae.encode(x).latent).sample
            errors.append((again - x).square().mean(dim=(1, 2, 3)).numpy())
            pixels = ((again.clamp(-1, 1) + 1) * 127.5).round().byte()
            pictures.append(pixels.permute(0, 2, 3, 1).numpy())
    bench.report.add("autoencoder: dB", psnr(float(np.concatenate(errors).mean())), bar=32)
    labels = bench.held_out.labels
    ceiling, base = agreement(bench.read(images), labels, n), base_rates(labels, n)
    for name, score in agreement(bench.read(np.concatenate(pictures)), labels, n).items():
        bench.report.add(
            f"reader on autoencoded: {name}", score, ceiling=ceiling[name], base_rate=base[name]
        )


def judge_decoder(bench: Bench, dictionary: SemanticDictionary, n: int) -> None:
    """Every attribute after drawing from the latents, and from their codes."""
    data, report = bench.held_out, bench.report
    latents = data.latents[:n]
    full = _judge(bench, FULL, latents, {}, n)

    codes = dictionary.transform(data.latents)
    rate = encode_archive(dictionary, codes, encoder="")[1]
    rebuilt = dictionary.inverse_transform(codes)
    report.add("codes: payload bits per item", rate.payload_bits_per_item)
    explained = fidelity(data.latents, rebuilt, max_queries=1).explained_variance
    report.add("codes: explained variance", explained, ceiling=1, base_rate=0)
    _judge(bench, CODES, rebuilt[:n], {name: score - 0.03 for name, score in full.items()}, n)


def _judge(
    bench: Bench, label: str, latents: np.ndarray, bars: dict[str, float], n: int
) -> dict[str, float]:
    data, report = bench.held_out, bench.report
    drawn = bench.draw(latents)
    ceiling = agreement(bench.read(data.images[:n]), data.labels, n)
    base = base_rates(data.labels, n)
    scores = agreement(bench.read(drawn), data.labels, n)
    for name, score in scores.items():
        report.add(
            f"decoder, {label}: {name}",
            score,
            ceiling=ceiling[name],
            base_rate=base[name],
            bar=bars.get(name, BARS.get(name, 0.97)),
        )
    cosines = (encode_pixels(bench.encoder, drawn) * data.latents[:n]).sum(1)
    chance = (data.latents[:n] * np.roll(data.latents[:n], 1, 0)).sum(1).mean()
    name = "CLIP cosine"
    scores[name] = cosines.mean()
    report.add(
        f"decoder, {label}: {name}",
        scores[name],
        ceiling=1,
        base_rate=chance,
        bar=bars.get(name, 0.93),
    )
    pictures = [[Image.fromarray(p) for p in rows[:SHOWN]] for rows in (data.images[:n], drawn)]
    bench.save(contact_sheet(*pictures, columns=16, cell=64), f"sheet-{label.split()[0]}.png")
    return scores


def judge_speed(bench: Bench, repeats: int = 7) -> None:
    """Best of a few repeats, since other work on the machine only ever adds time."""
    import torch

    threads = torch.get_num_threads()
    for images, cores, bar in ((1, 1, 0.4), (64, 2, 12.0)):
        torch.set_num_threads(cores)
        seconds = []
        for _ in range(repeats if images == 1 else 3):
            started = time.perf_counter()
            bench.draw(bench.held_out.latents[:images])
            seconds.append(time.perf_counter() - started)
        figure = f"seconds for 20 steps: {images} images, {cores} cores"
        bench.report.add(figure, min(seconds), bar=bar, at_most=True)
    torch.set_num_threads(threads)
