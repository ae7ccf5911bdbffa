"""A supervised reader of postcard attributes, used only to judge what models draw.

It is no part of the package. Train it with ``python -m tests.benchmarks.reader --work DIR``
(resumable, about five minutes on one core); its weights lie beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.postcards.attributes import CATEGORIES, FLAGS
from fiftyone_smic.postcards.training import (
    MODEL_SIZE,
    command_line,
    load_training_set,
    run_training,
    to_batch,
)

WEIGHTS = Path(__file__).with_name("reader.safetensors")
CLASSES = {**{k: len(v) for k, v in CATEGORIES.items()}, **dict.fromkeys(FLAGS, 2)}
FEATURES = 256


def build_reader() -> Any:
    """open_clip's ResNet with one linear head of all classes, in the order of ``CLASSES``."""
    import torch
    from open_clip.modified_resnet import ModifiedResNet

    tower = ModifiedResNet([1, 1, 1, 1], FEATURES, heads=6, image_size=MODEL_SIZE, width=12)
    return torch.nn.Sequential(tower, torch.nn.Linear(FEATURES, sum(CLASSES.values())))


def load_reader() -> Any:
    from safetensors.torch import load_file

    reader = build_reader()
    reader.load_state_dict({k: v.float() if v.is_floating_point() else v
                            for k, v in load_file(WEIGHTS).items()})  # fmt: skip
    return reader.eval()


def split_heads(logits: Any) -> dict[str, Any]:
    return dict(zip(CLASSES, logits.split(list(CLASSES.values()), 1), strict=True))


def read(reader: Any, images: np.ndarray) -> dict[str, np.ndarray]:
    """(N, 64, 64, 3) uint8 -> attribute name -> (N,) class indices."""
    import torch

    found: dict[str, list[np.ndarray]] = {k: [] for k in CLASSES}
    with torch.no_grad():
        for i in range(0, len(images), 256):
            for k, logits in split_heads(reader(to_batch(images[i : i + 256]))).items():
                found[k].append(logits.argmax(1).numpy())
    return {k: np.concatenate(v) for k, v in found.items()}


def train(
    work: Path,
    directory: Path = WEIGHTS.parent,
    *,
    steps: int = 1200,
    images: int = 30_000,
    batch_size: int = 128,
    lr: float = 2e-3,
) -> None:
    import torch
    import torch.nn.functional as F
    from safetensors.torch import save_file

    torch.manual_seed(2)
    data = load_training_set(work, images)
    reader = build_reader().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(reader.parameters(), weight_decay=0.05)

    def step(i: int, rng: np.random.Generator) -> dict[str, float]:
        rows = np.sort(rng.choice(images, batch_size, replace=False))
        x = to_batch(data.images[rows])
        # A little noise, since what it will judge is not drawn with a ruler.
        x = x + 0.06 * torch.rand(batch_size, 1, 1, 1) * torch.randn_like(x)
        heads = split_heads(reader(x))
        losses = [
            F.cross_entropy(v, torch.from_numpy(data.labels[k][rows]), ignore_index=-1)
            for k, v in heads.items()
        ]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        return {"loss": loss.item()}

    def export() -> None:
        weights = {k: v.half() if v.is_floating_point() else v for k, v in
                   reader.state_dict().items()}  # fmt: skip
        save_file({k: v.contiguous() for k, v in weights.items()}, directory / WEIGHTS.name)

    run_training(
        step,
        {"reader": reader},
        optimizer,
        steps=steps,
        peak_lr=lr,
        checkpoint=work / "reader.pt",
        export=export,
    )


if __name__ == "__main__":
    train(**vars(command_line(str(__doc__).splitlines()[0], WEIGHTS.parent, steps=1200, lr=2e-3)))
