"""What the parts of :mod:`tests.benchmarks.postcards` share: the report, the models, the reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.metrics import balanced_accuracy_score

from fiftyone_smic.postcards.attributes import CATEGORIES, FLAGS, OBJECTS
from fiftyone_smic.postcards.training import load_training_set, to_batch
from tests.benchmarks.reader import read

ATTRIBUTES = (*CATEGORIES, *FLAGS)
SCENE = ("time", "terrain", "weather", "season", "river")
THINGS = tuple(name for name in ATTRIBUTES if name not in SCENE)


class Report:
    """Collects figures and prints each as it comes."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.missed: list[str] = []
        print(
            f"{'figure':52}" + "".join(f"{c:>10}" for c in ("value", "ceiling", "base rate", "bar"))
        )

    def add(
        self,
        figure: str,
        value: float,
        *,
        ceiling: float | None = None,
        base_rate: float | None = None,
        bar: float | None = None,
        at_most: bool = False,
    ) -> None:
        """One row; ``bar`` is what the value must reach, or with ``at_most`` not exceed."""
        row = {"value": value, "ceiling": ceiling, "base_rate": base_rate, "bar": bar}
        row = {k: v if v is None else round(float(v), 4) for k, v in row.items()}
        cells = ["-" if v is None else f"{v:.3f}" for v in row.values()]
        missed = bar is not None and (value > bar if at_most else value < bar)
        if missed:
            self.missed.append(figure)
        line = f"{figure:52}" + "".join(f"{c:>10}" for c in cells)
        print(line + ("  missed" if missed else ""), flush=True)
        self.rows.append({"figure": figure, **row})

    def table(self) -> str:
        """The figures as a Markdown table, a line for each group, for the model card."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            group, _, name = row["figure"].partition(": ")
            swept = "alpha" in group and "best alpha" not in group
            if not swept and group != "atom AUC of a value":
                groups.setdefault(group, []).append({**row, "name": name})
        lines = ["| figure | value (and bar, where it is missed) | base rate |", "|---|---|---|"]
        for group, rows in groups.items():
            values = ", ".join(
                f"{r['name']} {r['value']:.3g}"
                + (f" (bar {r['bar']:.3g})" if r["figure"] in self.missed else "")
                for r in rows
            )
            rates = [r["base_rate"] for r in rows if r["base_rate"] is not None]
            span = sorted({f"{min(rates):.2f}", f"{max(rates):.2f}"}) if rates else []
            lines.append(f"| {group} | {values} | {' to '.join(span)} |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Postcards:
    """Postcards that were drawn, what they show, and their latents.

    Attributes:
        latents: (N, d) float32 of unit norm
        images: (N, 64, 64, 3) uint8
        labels: name -> (N,) int64, -1 where it has no meaning
        captions: per postcard, a few captions
    """

    latents: np.ndarray
    images: np.ndarray
    labels: dict[str, np.ndarray]
    captions: list[list[str]]

    @classmethod
    def load(cls, encoder: Any, work: Path, n: int, collection: int) -> Postcards:
        data = load_training_set(work, n, collection)
        latents = np.concatenate(
            [encode_pixels(encoder, data.images[i : i + 250]) for i in range(0, n, 250)]
        )
        return cls(latents, data.images, data.labels, data.captions)

    def values(self) -> dict[str, tuple[str, np.ndarray, np.ndarray]]:
        """``"time=day"`` -> its attribute, (N,) bool who shows it, (N,) bool where it is known."""
        found = {
            f"{name}={value}": (name, self.labels[name] == i, self.labels[name] >= 0)
            for name, values in CATEGORIES.items()
            for i, value in enumerate(values)
        }
        return found | {
            name: (name, self.labels[name] == 1, self.labels[name] >= 0) for name in FLAGS
        }


@dataclass(frozen=True)
class Bench:
    """The models to judge, what they are judged on, and where the results go."""

    report: Report
    encoder: Any
    generator: Any
    reader: Any
    held_out: Postcards
    training: Postcards
    pictures: Path | None = None

    def draw(self, latents: np.ndarray) -> np.ndarray:
        """Latents (N, d) -> (N, 64, 64, 3) uint8; picture i always starts from seed i's noise."""
        pictures = self.generator.generate(
            latents, norm=self.generator.latent_norm, seeds=0, batch_size=32
        )
        return np.stack([np.asarray(p) for p in pictures])

    def read(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """(N, 64, 64, 3) uint8 -> attribute name -> (N,) class indices."""
        return read(self.reader, images)

    def save(self, image: Image.Image, name: str) -> None:
        """Write a picture with a palette, which keeps it small, if pictures are wanted."""
        if self.pictures is not None:
            self.pictures.mkdir(parents=True, exist_ok=True)
            image.quantize(256, dither=Image.Dither.NONE).save(self.pictures / name, optimize=True)


def encode_pixels(encoder: Any, images: np.ndarray) -> np.ndarray:
    """(N, 64, 64, 3) uint8, already at the encoder's size -> latents (N, d)."""
    return encoder.encode_tensors(to_batch(images))[0]


def agreement(
    found: dict[str, np.ndarray], labels: dict[str, np.ndarray], n: int
) -> dict[str, float]:
    """Of the first n: balanced accuracy for objects, accuracy for the rest."""
    scores = {}
    for name in ATTRIBUTES:
        truth = labels[name][:n]
        known = truth >= 0
        if name in OBJECTS:
            scores[name] = balanced_accuracy_score(truth, found[name][:n])
        else:
            scores[name] = (found[name][:n] == truth)[known].mean()
    return scores


def base_rates(labels: dict[str, np.ndarray], n: int) -> dict[str, float]:
    """What :func:`agreement` gives to who always guesses the commonest value."""
    rates = {}
    for name in ATTRIBUTES:
        known = labels[name][:n][labels[name][:n] >= 0]
        rates[name] = 0.5 if name in OBJECTS else np.bincount(known).max() / len(known)
    return rates


def grid(rows: list[tuple[str, list[np.ndarray]]], heads: list[str], cell: int = 96) -> Image.Image:
    """Rows of pictures (64, 64, 3) uint8 under column heads, each row behind its name."""
    from PIL import ImageDraw, ImageFont

    gap, left, top = 4, 96, 18
    font = ImageFont.load_default(12)
    sheet = Image.new(
        "RGB", (left + len(heads) * (cell + gap), top + len(rows) * (cell + gap)), "white"
    )
    draw = ImageDraw.Draw(sheet)
    for j, head in enumerate(heads):
        x = left + j * (cell + gap) + cell // 2
        draw.text((x, top // 2), head, "black", font, anchor="mm")
    for i, (name, pictures) in enumerate(rows):
        y = top + i * (cell + gap)
        draw.multiline_text((left - 8, y + cell // 2), name, "black", font, anchor="rm")
        for j, picture in enumerate(pictures):
            sheet.paste(
                Image.fromarray(picture).resize((cell, cell), Image.Resampling.LANCZOS),
                (left + j * (cell + gap), y),
            )
    return sheet
