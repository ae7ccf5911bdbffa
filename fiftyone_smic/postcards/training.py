"""What the trainings share: the drawn training set, checkpoints, and the learning-rate schedule.

Each training is a command that can be interrupted and run again: it continues from its last
checkpoint in ``--work``. The seeds are fixed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from fiftyone_smic.postcards.attributes import CATEGORIES, FLAGS, Attributes, compose_caption
from fiftyone_smic.postcards.draw import draw_postcard

if TYPE_CHECKING:
    import torch

DRAWN_SIZE = 128
MODEL_SIZE = 64
TRAIN_COLLECTION = 900
TEST_COLLECTION = 901
CAPTIONS_PER_POSTCARD = 4


@dataclass(frozen=True)
class TrainingSet:
    """Postcards as the models see them.

    Attributes:
        images: (N, 64, 64, 3) uint8, memory-mapped
        labels: name -> (N,) int64 index into its categories, -1 where it has no meaning
        captions: per postcard, a few captions
    """

    images: np.ndarray
    labels: dict[str, np.ndarray]
    captions: list[list[str]]


def label_of(attributes: Attributes) -> dict[str, int]:
    """Attribute values as category indices; the shirt of nobody is -1."""
    labels = {k: values.index(getattr(attributes, k)) for k, values in CATEGORIES.items()}
    labels.update({k: int(getattr(attributes, k)) for k in FLAGS})
    if not attributes.people:
        labels["shirt"] = -1
    return labels


def load_training_set(
    work: Path, n: int, collection: int = TRAIN_COLLECTION, size: int = MODEL_SIZE
) -> TrainingSet:
    """Draw ``n`` postcards once, and keep them in ``work``."""
    work.mkdir(parents=True, exist_ok=True)
    stem = work / f"postcards-{collection}-{n}-{size}"
    images_path, text_path = stem.with_suffix(".npy"), stem.with_suffix(".json")
    if not text_path.exists():
        partial = stem.with_suffix(".part.npy")
        images = np.lib.format.open_memmap(partial, "w+", np.uint8, (n, size, size, 3))
        rows = []
        for i in tqdm(range(n), desc="drawing", mininterval=5):
            seed = collection * 1_000_000 + i
            image, attributes, caption = draw_postcard(seed, DRAWN_SIZE)
            # The same resizing as open_clip's preprocessing does.
            images[i] = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
            rng = np.random.default_rng([seed, 1])
            more = [compose_caption(attributes, rng) for _ in range(CAPTIONS_PER_POSTCARD - 1)]
            rows.append({"labels": label_of(attributes), "captions": [caption, *more]})
        images.flush()
        partial.replace(images_path)
        text_path.write_text(json.dumps(rows), encoding="utf-8")
    rows = json.loads(text_path.read_text(encoding="utf-8"))
    names = [*CATEGORIES, *FLAGS]
    return TrainingSet(
        images=np.load(images_path, mmap_mode="r"),
        labels={k: np.array([r["labels"][k] for r in rows], np.int64) for k in names},
        captions=[r["captions"] for r in rows],
    )


def to_batch(images: np.ndarray) -> torch.Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float32 in [-1, 1], channels last."""
    import torch

    x = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float()
    return x.div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)


def run_training(
    step: Callable[[int, np.random.Generator], dict[str, float]],
    state: dict[str, Any],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int,
    peak_lr: float,
    checkpoint: Path,
    export: Callable[[], None],
    every: int = 200,
) -> None:
    """Run ``step`` until ``steps``, with warm-up, cosine decay, checkpoints and a log line.

    Args:
        step: does one step (forward, backward, optimizer) and returns figures to log
        state: name -> module that a checkpoint holds
        optimizer: its learning rate is set here
        steps: total number, earlier runs included
        peak_lr: highest learning rate
        checkpoint: file to continue from and to save to
        export: writes the final weights; also called at every checkpoint
        every: steps between checkpoints
    """
    import torch

    first = 0
    if checkpoint.exists():
        # weights_only: a checkpoint is data, nothing in it is unpickled into code.
        saved = torch.load(checkpoint, weights_only=True)
        first = saved["step"]
        optimizer.load_state_dict(saved["optimizer"])
        for name, holder in state.items():
            holder.load_state_dict(saved[name])
    logged: list[dict[str, float]] = []
    with tqdm(total=steps, initial=first, mininterval=10) as bar:
        for i in range(first, steps):
            lr = peak_lr * min(1, (i + 1) / 50)
            lr *= 0.5 * (1 + math.cos(math.pi * i / steps)) + 0.01
            for group in optimizer.param_groups:
                group["lr"] = lr
            # One generator per step, so a continued run sees what an uninterrupted one would.
            logged.append(step(i, np.random.default_rng([i, 7])))
            bar.update()
            if (i + 1) % every == 0 or i + 1 == steps:
                means = {k: float(np.mean([r[k] for r in logged])) for k in logged[0]}
                tqdm.write(f"{i + 1} " + " ".join(f"{k} {v:.4f}" for k, v in means.items()))
                logged.clear()
                holders = {k: v.state_dict() for k, v in state.items()}
                partial = checkpoint.with_suffix(".part")
                torch.save({"step": i + 1, "optimizer": optimizer.state_dict(), **holders}, partial)
                partial.replace(checkpoint)
                export()


def command_line(description: str, directory: Path, **defaults: Any) -> Any:
    """The options every training has: ``--work`` and ``--directory``, and its own with defaults."""
    import argparse

    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--work", type=Path, required=True, help="folder for data and checkpoints")
    parser.add_argument("--directory", type=Path, default=directory, help="folder of the weights")
    for name, value in defaults.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(value), default=value)
    return parser.parse_args()
