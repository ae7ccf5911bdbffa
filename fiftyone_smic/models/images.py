"""Image files as upright RGB pictures."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image


def load_image(path: str | os.PathLike[str]) -> Image.Image:
    """Read an image file as upright RGB.

    The orientation in the EXIF data is applied, as every viewer does.

    Raises:
        OSError, ValueError, SyntaxError: whatever Pillow says about a missing or corrupt file.
    """
    from PIL import Image, ImageOps

    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # Pillow would clip 16 bits to 8 instead of scaling them
            image = Image.fromarray((np.asarray(image, np.uint32) >> 8).astype(np.uint8))
        return image.convert("RGB")
