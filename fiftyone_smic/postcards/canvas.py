"""Pillow drawing in units of 1/64 of the picture's side, supersampled."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from fiftyone_smic.postcards.palette import Color

UNITS = 64
#: Height of the horizon, in units from the top.
HORIZON = 32
#: Every picture is drawn at this multiple of its size and scaled down, which smooths the edges.
SUPERSAMPLING = 2


class Canvas:
    """A square picture in the making.

    Args:
        size: side of the finished picture, in pixels.
        background: (2, 3) colours of the sky's top and of the horizon.
    """

    def __init__(self, size: int, background: np.ndarray) -> None:
        self.size = size
        self.scale = size * SUPERSAMPLING / UNITS
        side = size * SUPERSAMPLING
        rows = np.linspace(0, UNITS, side, endpoint=False)
        column = np.stack([np.interp(rows, [0, HORIZON], background[:, c]) for c in range(3)], 1)
        pixels = np.repeat(column[:, None].round().astype(np.uint8), side, 1)
        self.image = Image.fromarray(pixels)
        self._draw = ImageDraw.Draw(self.image)

    def polygon(self, points: list[tuple[float, float]], color: Color) -> None:
        self._draw.polygon([(x * self.scale, y * self.scale) for x, y in points], fill=color)

    def ellipse(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        s = self.scale
        self._draw.ellipse([(x - rx) * s, (y - ry) * s, (x + rx) * s, (y + ry) * s], fill=color)

    def box(
        self, x0: float, y0: float, x1: float, y1: float, color: Color, radius: float = 0
    ) -> None:
        s = self.scale
        self._draw.rounded_rectangle([x0 * s, y0 * s, x1 * s, y1 * s], radius * s, fill=color)

    def line(self, points: list[tuple[float, float]], color: Color, width: float) -> None:
        s = self.scale
        self._draw.line(
            [(x * s, y * s) for x, y in points],
            fill=color,
            width=max(1, round(width * s)),
            joint="curve",
        )

    def finish(self) -> Image.Image:
        return self.image.resize((self.size, self.size), Image.Resampling.BOX)
