"""How good the embedded models are: ``python -m tests.benchmarks.postcards [--json OUT]``.

All on held-out drawings. ``ceiling`` is what the reader (:mod:`tests.benchmarks.reader`) scores on
the originals, ``base rate`` what always guessing the commonest value (or chance) would score, and
``bar`` the figure the project asks for.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fiftyone_smic import SemanticDictionary, load_encoder, load_generator
from fiftyone_smic.postcards.attributes import (
    CATEGORIES,
    FLAGS,
    NUMBERS,
    OBJECT_WORDS,
    OBJECTS,
    TERRAIN_WORDS,
    TIME_WORDS,
    WEATHER_WORDS,
)
from fiftyone_smic.postcards.train_autoencoder import psnr
from fiftyone_smic.postcards.training import TEST_COLLECTION, load_training_set, to_batch
from tests.benchmarks.reader import load_reader, read

SCENES = [words[0] for words in TERRAIN_WORDS.values()]
PHRASES: dict[str, list[list[str]]] = {
    "time": [list(w) for w in TIME_WORDS.values()],
    "weather": [[f"with {w}" for w in words] for words in WEATHER_WORDS.values()],
    "season": [[f"in {s}"] for s in CATEGORIES["season"]],
    "people": [["with no people", "with nobody around"], ["with one person", "with one hiker"]]
    + [[f"with {NUMBERS[n]} {w}" for w in ("people", "hikers", "friends")] for n in (2, 3, 4)],
    "shirt": [[f"with {n} in {s}" for n in ("one person", "two people", "three people")]
              for s in CATEGORIES["shirt"]],
}  # fmt: skip


class Report:
    """Collects figures and prints each as it comes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(
        self,
        figure: str,
        value: float,
        *,
        ceiling: float | None = None,
        base_rate: float | None = None,
        bar: float | None = None,
    ) -> None:
        row = {"figure": figure, "value": value, "ceiling": ceiling, "base_rate": base_rate}
        row = {k: v if v is None or isinstance(v, str) else round(float(v), 4)
               for k, v in {**row, "bar": bar}.items()}  # fmt: skip
        self.rows.append(row)
        cells = ["-" if row[k] is None else f"{row[k]:.3f}"
                 for k in ("value", "ceiling", "base_rate", "bar")]  # fmt: skip
        print(f"{figure:42}" + "".join(f"{c:>10}" for c in cells), flush=True)


def text_latents(encoder: Any, phrases: list[str]) -> np.ndarray:
    """Mean latent of each phrase said of every terrain, (d,)."""
    rows = encoder.encode_texts([f"{scene} {p}".strip() for p in phrases for scene in SCENES])
    return rows.mean(0)


def judge_clip(report: Report, encoder: Any, latents: np.ndarray, data: Any) -> None:
    bars = {"season": 0.97}
    prompts = {k: np.stack([text_latents(encoder, p) for p in v]) for k, v in PHRASES.items()}
    prompts["terrain"] = np.stack(
        [encoder.encode_texts(list(words)).mean(0) for words in TERRAIN_WORDS.values()]
    )
    for name, rows in prompts.items():
        truth = data.labels[name]
        known = truth >= 0
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        found = (latents @ rows.T).argmax(1)
        report.add(
            f"clip zero-shot {name}",
            (found == truth)[known].mean(),
            base_rate=np.bincount(truth[known]).max() / known.sum(),
            bar=bars.get(name, 0.98),
        )
    bare = text_latents(encoder, [""])
    for name in FLAGS:
        direction = text_latents(encoder, [f"with {w}" for w in OBJECT_WORDS[name]]) - bare
        auc = roc_auc_score(data.labels[name], latents @ direction)
        report.add(f"clip AUC {name}", auc, base_rate=0.5, bar=0.995 if name in OBJECTS else 0.98)
    texts = encoder.encode_texts([c[0] for c in data.captions[:1000]])
    rank = (latents[:1000] @ texts.T).argmax(1)
    report.add(
        "clip retrieval R@1 of 1,000",
        (rank == np.arange(1000)).mean(),
        base_rate=0.001,
        bar=0.9,
    )


def agreement(
    found: dict[str, np.ndarray], labels: dict[str, np.ndarray], n: int
) -> dict[str, float]:
    """Balanced accuracy for objects, accuracy for the rest."""
    scores = {}
    for name in [*CATEGORIES, *FLAGS]:
        truth = labels[name][:n]
        known = truth >= 0
        if name in OBJECTS:
            scores[name] = balanced_accuracy_score(truth, found[name][:n])
        else:
            scores[name] = (found[name][:n] == truth)[known].mean()
    return scores


def judge_decoder(report: Report, encoder: Any, latents: np.ndarray, data: Any, n: int) -> None:
    import torch
    from PIL import Image

    reader = load_reader()
    original = data.images[:n]
    ceiling = agreement(read(reader, original), data.labels, n)
    for name, score in agreement(read(reader, data.images), data.labels, len(latents)).items():
        report.add(f"reader on originals {name}", score, bar=0.99 if name == "people" else 0.98)
    generator = load_generator("postcards")
    norm = generator.latent_norm
    x = to_batch(original)
    vae = generator.pipeline.vae
    with torch.no_grad():
        again = vae.decode(vae.encode(x).latent).sample
    report.add("autoencoder dB", psnr((again - x).square().mean().item()), bar=32)

    dictionary = SemanticDictionary(lam=5e-4)
    dictionary.fit(latents)
    codes = dictionary.transform(latents)
    bits = float(np.mean(dictionary.code_bits(codes)))
    rebuilt = dictionary.inverse_transform(codes)
    rebuilt /= np.linalg.norm(rebuilt, axis=1, keepdims=True)
    bars = {"river": 0.98, "people": 0.8, "shirt": 0.8, **dict.fromkeys(OBJECTS, 0.9)}
    for label, source in (("full latent", latents), (f"codes of {bits:.0f} bits", rebuilt)):
        pictures = generator.generate(source[:n], norm=norm, seeds=0, batch_size=32)
        drawn = np.stack([np.asarray(p) for p in pictures])
        for name, score in agreement(read(reader, drawn), data.labels, n).items():
            truth = data.labels[name][:n]
            known = truth[truth >= 0]
            base = 0.5 if name in OBJECTS else np.bincount(known).max() / len(known)
            report.add(
                f"decoder, {label}: {name}",
                score,
                ceiling=ceiling[name],
                base_rate=base,
                bar=bars.get(name, 0.97),
            )
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{i}.png" for i in range(n)]
            for path, picture in zip(paths, pictures, strict=True):
                Image.Image.save(picture, path)
            seen = encoder.encode_images(paths).latents
        cosine = (seen * latents[:n]).sum(1).mean()
        chance = (seen * np.roll(latents[:n], 1, 0)).sum(1).mean()
        report.add(f"decoder, {label}: CLIP cosine", cosine, base_rate=chance, bar=0.93)
    torch.set_num_threads(1)
    started = time.perf_counter()
    generator.generate(latents[:1], norm=norm)
    report.add("decoder seconds, 1 image, 1 core", time.perf_counter() - started, bar=0.4)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--items", type=int, default=2000, help="held-out postcards")
    parser.add_argument("--decoded", type=int, default=256, help="how many are decoded")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "smic-postcards")
    options = parser.parse_args()
    data = load_training_set(options.work, options.items, TEST_COLLECTION)
    encoder = load_encoder("postcards")
    latents = np.concatenate(
        [
            encoder.encode_tensors(to_batch(data.images[i : i + 250]))[0]
            for i in range(0, options.items, 250)
        ]
    )
    report = Report()
    print(f"{'figure':42}" + "".join(f"{c:>10}" for c in ("value", "ceiling", "base rate", "bar")))
    judge_clip(report, encoder, latents, data)
    judge_decoder(report, encoder, latents, data, options.decoded)
    if options.json:
        options.json.write_text(json.dumps(report.rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
