"""Pixels of any kind as 8-bit sRGB."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

# Rows of a large picture that are scaled at once, in pixels: bounds the memory for floats.
_STRIP = 1 << 21
# Integer values are taken to have one of these numbers of bits.
_DEPTHS = (8, 16, 24, 31, 32)
# A picture that uses less than this share of the range of its type has a range of its own.
_USED = 0.25

# Tags of TIFF files: bits of a value, what zero means, and whether values have a sign.
_BITS, _PHOTOMETRIC, _KIND = 258, 262, 339


def rgb(colour: str | tuple[int, int, int]) -> tuple[int, int, int]:
    """A colour as (red, green, blue).

    Args:
        colour: a name or ``"#rrggbb"`` as Pillow knows them, or three integers from 0 to 255.

    Raises:
        ValueError: it is not a colour.

    Example:
        >>> rgb("white")
        (255, 255, 255)
    """
    from PIL import ImageColor

    try:
        if isinstance(colour, str):
            return ImageColor.getrgb(colour)[:3]
        red, green, blue = (int(value) for value in colour)
    except (TypeError, ValueError):
        red = green = blue = -1
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(
            f"{colour!r} is not a colour: give a name such as 'white', '#rrggbb', or three "
            "integers from 0 to 255"
        )
    return red, green, blue


def to_rgb(image: Image.Image, ground: tuple[int, int, int]) -> Image.Image:
    """Convert a loaded picture of any mode to RGB.

    Args:
        image: the picture. Its ``info`` may hold an ICC profile and a transparent colour.
        ground: colour behind transparent pixels.

    Returns:
        A picture in mode RGB that shares no pixels with ``image``.
    """
    from PIL import Image

    key = image.info.get("transparency")
    profile = image.info.get("icc_profile")
    alpha: Image.Image | None = None
    if image.mode.startswith(("I", "F")):
        image, alpha = _scaled(image, key)
    else:
        image = _plain(image, key)
        if image.mode in ("LA", "RGBA"):
            alpha = image.getchannel("A")
            if alpha.getextrema()[0] == 255:
                alpha = None
            image = image.convert(image.mode[:-1])
    picture = _managed(image, profile)
    if alpha is None:
        return picture
    composed = Image.new("RGB", picture.size, ground)
    composed.paste(picture, mask=alpha)
    return composed


def _plain(image: Image.Image, key: Any) -> Image.Image:
    """Modes of 8 bits or fewer as L, LA, RGB, RGBA, CMYK or LAB."""
    if image.mode == "1":
        image = _without_key(image).convert("L")
        return _keyed(image, 255 * bool(key)) if isinstance(key, int) else image
    if image.mode in ("L", "RGB") and key is not None:
        if isinstance(key, bytes):  # a table of opacities belongs to palettes
            return _without_key(image)
        values = key if isinstance(key, tuple) else (key,)
        if max(values) > 255:  # Pillow keeps the high bytes of 16-bit colours, but not of the key
            values = tuple(value >> 8 for value in values)
        return _keyed(_without_key(image), *values)
    if image.mode in ("P", "PA"):
        own = "A" in getattr(image.palette, "mode", "")
        transparent = own or image.mode == "PA" or key is not None
        return image.convert("RGBA" if transparent else "RGB")
    known = {"La": "LA", "RGBa": "RGBA", "LA": "LA", "RGBA": "RGBA"}
    if image.mode in known:
        return image.convert(known[image.mode])
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB")


def _without_key(image: Image.Image) -> Image.Image:
    image = image.copy()
    image.info.pop("transparency", None)
    return image


def _keyed(image: Image.Image, *key: int) -> Image.Image:
    """A picture whose pixels of one colour are transparent."""
    from PIL import Image

    pixels = np.asarray(image).reshape(image.height, image.width, -1)
    alpha = np.where((pixels == np.array(key)).all(axis=2), 0, 255).astype(np.uint8)
    image = image.copy()
    image.putalpha(Image.fromarray(alpha))
    return image


def _scaled(image: Image.Image, key: Any) -> tuple[Image.Image, Image.Image | None]:
    """Integers of 16 or 32 bits and floats as 8 bits, and the opacity that a colour key gives."""
    from PIL import Image

    pixels = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # of TIFF files
    if image.mode == "I" and tags.get(_BITS, (0,))[0] == 32 and tags.get(_KIND, (1,))[0] == 1:
        pixels = pixels.view(np.uint32)  # Pillow reads them as if they had a sign
    scale = _scale(image, pixels, tags)
    out = np.empty(pixels.shape, np.uint8)
    rows = max(1, _STRIP // max(1, image.width))
    for start in range(0, image.height, rows):
        part = slice(start, start + rows)
        out[part] = np.rint(np.clip(scale(pixels[part]), 0, 1) * 255)
    alpha = None
    if isinstance(key, int):
        alpha = Image.fromarray(np.where(pixels == key, 0, 255).astype(np.uint8))
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which Pillow follows for 8 bits only
        out = 255 - out
    return Image.fromarray(out), alpha


def _scale(image: Image.Image, pixels: np.ndarray, tags: Any) -> Callable[[np.ndarray], np.ndarray]:
    """The function that brings pixel values to the range from 0 to 1.

    PNG and PGM files use all of their 16 bits, and browsers show them so. Other formats may hold
    anything, 12 bits of a sensor in 16 or numbers of a measurement: these are scaled by the range
    of their type if they use a fair part of it, else by their own.
    """
    if image.mode.startswith("F"):
        low, high = _finite_range(pixels)
        if low >= -0.1 and high <= 2:
            low, high = (0.0, 1.0) if high > 0.01 or high <= 0 else (0.0, high)
        elif low >= -1.1 and high <= 1.1:
            low, high = -1.0, 1.0
        elif low >= -10 and 16 <= high <= 300:
            low, high = 0.0, 255.0
        elif low >= 0 and 65535 * _USED <= high <= 65535:
            low, high = 0.0, 65535.0
        elif low >= 0:
            low = 0.0
    else:
        low, high = float(pixels.min()), float(pixels.max())
        bits = tags.get(_BITS, (16,))[0]
        if image.format in ("PNG", "PPM"):
            low, high = 0.0, 65535.0
        elif bits < 16 and low >= 0:
            low, high = 0.0, 2.0**bits - 1
        elif low >= 0:
            signed = bits == 16 and tags.get(_KIND, (1,))[0] == 2
            depths = (8, 15) if signed else _DEPTHS
            full = next(2.0**depth - 1 for depth in depths if high < 2.0**depth)
            low, high = 0.0, full if full == 255 or high >= _USED * full else high
        else:
            least = min(low, -high - 1)
            half = next(2.0 ** (bits - 1) for bits in (8, 16, 32) if -(2.0 ** (bits - 1)) <= least)
            if max(-low, high) >= _USED * half:
                low, high = -half, half - 1
    span = high - low if high > low else 1.0
    top = high

    def scaled(values: np.ndarray) -> np.ndarray:
        finite = np.nan_to_num(values.astype(np.float64), nan=low, posinf=top, neginf=low)
        return (finite - low) / span

    return scaled


def _finite_range(pixels: np.ndarray) -> tuple[float, float]:
    finite = pixels[np.isfinite(pixels)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def _managed(image: Image.Image, profile: Any) -> Image.Image:
    """RGB from L, RGB, CMYK or LAB, through the profile if there is a sound one that fits."""
    from PIL import ImageCms

    if isinstance(profile, bytes) and profile:
        made = _transform(profile, image.mode)
        if made is not None:
            mode, transform = made
            try:
                source = image if image.mode == mode else image.convert(mode)
                return _applied(source, transform)
            except (ImageCms.PyCMSError, ValueError, OSError):
                pass  # a profile that only claims to be one
    if image.mode == "LAB":
        return _applied(image, _from_lab())
    return image.convert("RGB")


def _applied(image: Image.Image, transform: Any) -> Image.Image:
    from PIL import ImageCms

    out = ImageCms.applyTransform(image, transform)
    assert out is not None  # it is None only where the picture itself is changed
    return out


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> tuple[str, Any] | None:
    """The mode that a profile describes and the way from it to sRGB, or None if it does not fit."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space.strip()
        described = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space)
        if described is None or (described != mode and (described, mode) != ("RGB", "L")):
            return None
        target = ImageCms.createProfile("sRGB")
        return described, ImageCms.buildTransform(source, target, described, "RGB")
    except (ImageCms.PyCMSError, ValueError, OSError, TypeError):
        return None


@lru_cache(maxsize=1)
def _from_lab() -> Any:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
