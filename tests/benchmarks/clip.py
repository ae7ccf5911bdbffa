"""How well the embedded CLIP reads postcards: zero-shot, retrieval, and linear probes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

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
from tests.benchmarks.bench import ATTRIBUTES, Bench, base_rates

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


def said_of(scenes: Sequence[str], encoder: Any, phrases: Sequence[str]) -> np.ndarray:
    """Latents of each phrase said of each scene, (scenes times phrases, d)."""
    return encoder.encode_texts([f"{scene} {p}".strip() for p in phrases for scene in scenes])


def judge_clip(bench: Bench) -> None:
    report, encoder, data = bench.report, bench.encoder, bench.held_out
    latents, n = data.latents, len(data.latents)
    bars = {"season": 0.97}
    prompts = {k: [said_of(SCENES, encoder, p).mean(0) for p in v] for k, v in PHRASES.items()}
    prompts["terrain"] = [
        encoder.encode_texts(list(words)).mean(0) for words in TERRAIN_WORDS.values()
    ]
    base = base_rates(data.labels, n)
    for name, means in prompts.items():
        truth = data.labels[name]
        rows = np.stack([mean / np.linalg.norm(mean) for mean in means])
        found = (latents @ rows.T).argmax(1)
        report.add(
            f"clip zero-shot: {name}",
            (found == truth)[truth >= 0].mean(),
            base_rate=base[name],
            bar=bars.get(name, 0.98),
        )
    bare = said_of(SCENES, encoder, [""]).mean(0)
    for name in FLAGS:
        direction = (
            said_of(SCENES, encoder, [f"with {w}" for w in OBJECT_WORDS[name]]).mean(0) - bare
        )
        auc = roc_auc_score(data.labels[name], latents @ direction)
        report.add(f"clip AUC: {name}", auc, base_rate=0.5, bar=0.995 if name in OBJECTS else 0.98)
    count = min(1000, n)
    texts = encoder.encode_texts([c[0] for c in data.captions[:count]])
    rank = (latents[:count] @ texts.T).argmax(1)
    report.add(
        f"clip retrieval: R@1 of {count:,}",
        (rank == np.arange(count)).mean(),
        base_rate=1 / count,
        bar=0.9,
    )
    # What is in the latent at all: whatever a probe reads and the decoder does not draw, the
    # decoder has lost.
    for name in ATTRIBUTES:
        there = bench.training.labels[name]
        probe = LogisticRegression(C=100, max_iter=1000)
        probe.fit(bench.training.latents[there >= 0], there[there >= 0])
        truth = data.labels[name]
        score = probe.score(latents[truth >= 0], truth[truth >= 0])
        majority = np.bincount(truth[truth >= 0]).max() / (truth >= 0).sum()
        report.add(f"clip linear probe: {name}", score, base_rate=majority)
