"""Odd image files by the hundred, each beside the picture that it shows.

A file is made of one small drawing in a pixel mode, a file format, metadata, and a name. What it
shows is known without reading it: the drawing itself, composed on white, turned, or converted by a
formula that is written down here. Some files cannot be read, and say so by having no picture.
"""

from __future__ import annotations

import io
import itertools
import os
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import Image, features


@dataclass(frozen=True)
class OddPicture:
    """One file.

    Attributes:
        path: where it is.
        about: its mode, format, metadata and kind of name.
        shows: (height, width, 3) uint8, upright, on white; None if the file cannot be read.
        tolerance: mean absolute difference, in levels of 255, that the format's loss explains.
    """

    path: Path
    about: str
    shows: np.ndarray | None
    tolerance: float


@dataclass(frozen=True)
class _Drawn:
    """A picture as Pillow saves it, what it shows, and options of saving it."""

    image: Image.Image
    shows: np.ndarray
    options: dict[str, Any]


def drawing(seed: int, width: int = 48, height: int = 32) -> np.ndarray:
    """(height, width, 3) uint8: a smooth ground, a bright and a dark patch, two odd corners."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    corners = rng.integers(40, 216, (4, 3))
    weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], axis=2)
    pixels = weights @ corners
    top, left = rng.integers(2, height // 2), rng.integers(2, width // 2)
    pixels[top : top + 9, left : left + 13] = rng.integers(0, 60, 3)
    pixels[1:6, 1:9] = rng.integers(200, 256, 3)
    pixels[0, 0], pixels[-1, -1] = 0, 255
    return np.rint(pixels).astype(np.uint8)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).convert("L"))


def _three(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[:, :, None] / 255
    return np.rint(pixels * share + 255 * (1 - share)).astype(np.uint8)


def _alpha(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    alpha = np.full((height, width), 255, np.uint8)
    alpha[: height // 2, width // 2 :] = 0
    alpha[height // 2 :, : width // 3] = 128
    return alpha


def _rgb(pixels: np.ndarray) -> _Drawn:
    return _Drawn(Image.fromarray(pixels), pixels, {})


def _l(pixels: np.ndarray) -> _Drawn:
    grey = _grey(pixels)
    return _Drawn(Image.fromarray(grey), _three(grey), {})


def _one_bit(pixels: np.ndarray) -> _Drawn:
    black = _grey(pixels) > 127
    return _Drawn(Image.fromarray(black), _three(np.where(black, 255, 0).astype(np.uint8)), {})


def _rgba(pixels: np.ndarray) -> _Drawn:
    alpha = _alpha(pixels)
    image = Image.fromarray(np.dstack([pixels, alpha]))
    return _Drawn(image, _on_white(pixels, alpha), {})


def _la(pixels: np.ndarray) -> _Drawn:
    grey, alpha = _grey(pixels), _alpha(pixels)
    return _Drawn(Image.fromarray(np.dstack([grey, alpha])), _on_white(_three(grey), alpha), {})


def _black_on_nothing(pixels: np.ndarray) -> _Drawn:
    """A black shape on transparent black: all the picture is in its opacity."""
    alpha = np.where(_grey(pixels) < 128, 255, 0).astype(np.uint8)
    image = Image.fromarray(np.dstack([np.zeros_like(pixels), alpha]))
    return _Drawn(image, _three(255 - alpha), {})


def _palette(pixels: np.ndarray) -> _Drawn:
    image = Image.fromarray(pixels).quantize(32)
    return _Drawn(image, np.asarray(image.convert("RGB")), {})


def _palette_index(pixels: np.ndarray) -> _Drawn:
    image = Image.fromarray(pixels).quantize(16)
    alpha = np.where(np.asarray(image) == 3, 0, 255)
    shows = _on_white(np.asarray(image.convert("RGB")), alpha)
    return _Drawn(image, shows, {"transparency": 3})


def _palette_table(pixels: np.ndarray) -> _Drawn:
    image = Image.fromarray(pixels).quantize(16)
    table = np.array([0, 128, *[255] * 14])
    shows = _on_white(np.asarray(image.convert("RGB")), table[np.asarray(image)])
    return _Drawn(image, shows, {"transparency": bytes(table.tolist())})


def _colour_key(pixels: np.ndarray) -> _Drawn:
    key = pixels[2, 2]
    alpha = np.where((pixels == key).all(axis=2), 0, 255)
    options = {"transparency": tuple(int(v) for v in key)}
    return _Drawn(Image.fromarray(pixels), _on_white(pixels, alpha), options)


def _grey_key(pixels: np.ndarray) -> _Drawn:
    grey = _grey(pixels)
    shows = _on_white(_three(grey), np.where(grey == grey[2, 2], 0, 255))
    return _Drawn(Image.fromarray(grey), shows, {"transparency": int(grey[2, 2])})


def _numbers(scale: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], _Drawn]:
    def made(pixels: np.ndarray) -> _Drawn:
        grey = _grey(pixels)
        return _Drawn(Image.fromarray(scale(grey.astype(np.float64))), _three(grey), {})

    return made


def _with_nan(grey: np.ndarray) -> np.ndarray:
    values = (grey / 255).astype(np.float32)
    values[grey == 0], values[grey == 255] = np.nan, np.inf
    return values


def _cmyk(pixels: np.ndarray) -> _Drawn:
    image = Image.fromarray(pixels).convert("CMYK")
    return _Drawn(image, pixels, {})


def _ycc(pixels: np.ndarray) -> _Drawn:
    return _Drawn(Image.fromarray(pixels).convert("YCbCr"), pixels, {})


def _lab(pixels: np.ndarray) -> _Drawn:
    from PIL import ImageCms

    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    way = ImageCms.buildTransform(srgb, lab, "RGB", "LAB")
    image = ImageCms.applyTransform(Image.fromarray(pixels), way)
    assert image is not None
    return _Drawn(image, pixels, {})


def _wide(pixels: np.ndarray) -> _Drawn:
    profile = matrix_profile(ADOBE, 2.19921875)
    return _Drawn(Image.fromarray(pixels), converted(pixels), {"icc_profile": profile})


# What each mode can be saved as. A second number is the loss of the format, in mean levels.
_LOSSLESS = [("PNG", ".png", 1.0), ("TIFF", ".tif", 1.0)]
#: Pillow 12 does not read what it writes there.
_YCC_TIFF = [("TIFF", ".tif", 3)] if int(PIL.__version__.split(".")[0]) >= 13 else []
_MODES: dict[str, tuple[Callable[[np.ndarray], _Drawn], list[tuple[str, str, float]]]] = {
    "RGB": (
        _rgb,
        [
            *_LOSSLESS,
            ("JPEG", ".jpg", 6),
            ("BMP", ".bmp", 1),
            ("WEBP", ".webp", 6),
            ("PPM", ".ppm", 1),
            ("TGA", ".tga", 1),
            ("JPEG2000", ".jp2", 3),
            ("PCX", ".pcx", 1),
            ("SGI", ".sgi", 1),
            ("AVIF", ".avif", 6),
            ("MPO", ".mpo", 6),
            ("GIF", ".gif", 6),
            ("DDS", ".dds", 1),
        ],
    ),
    "L": (_l, [*_LOSSLESS, ("JPEG", ".jpg", 6), ("BMP", ".bmp", 1), ("GIF", ".gif", 1)]),
    "1": (_one_bit, [*_LOSSLESS, ("BMP", ".bmp", 1), ("PPM", ".pbm", 1), ("XBM", ".xbm", 256)]),
    "RGBA": (_rgba, [*_LOSSLESS, ("WEBP", ".webp", 8), ("TGA", ".tga", 1), ("AVIF", ".avif", 8)]),
    "LA": (_la, [*_LOSSLESS, ("TGA", ".tga", 1)]),
    "black on nothing": (_black_on_nothing, [*_LOSSLESS, ("WEBP", ".webp", 6), ("ICO", ".ico", 1)]),
    "P": (_palette, [*_LOSSLESS, ("GIF", ".gif", 1), ("BMP", ".bmp", 1)]),
    "P with an index": (_palette_index, [("PNG", ".png", 1), ("GIF", ".gif", 1)]),
    "P with a table": (_palette_table, [("PNG", ".png", 1)]),
    "RGB with a key": (_colour_key, [("PNG", ".png", 1)]),
    "L with a key": (_grey_key, [("PNG", ".png", 1)]),
    "16 bits": (
        _numbers(lambda grey: (grey * 257).astype(np.uint16)),
        [*_LOSSLESS, ("PPM", ".pgm", 1)],
    ),
    "32 bits, 0 to 255": (_numbers(lambda g: g.astype(np.int32)), [("TIFF", ".tif", 1)]),
    "32 bits << 16": (_numbers(lambda g: g.astype(np.int32) << 16), [("TIFF", ".tif", 2)]),
    "32 bits << 23": (_numbers(lambda g: g.astype(np.int32) << 23), [("TIFF", ".tif", 2)]),
    "float, 0 to 1": (_numbers(lambda g: (g / 255).astype(np.float32)), [("TIFF", ".tif", 1)]),
    "float, 0 to 255": (_numbers(lambda g: g.astype(np.float32)), [("TIFF", ".tif", 1)]),
    "float, -1 to 1": (_numbers(lambda g: (g / 127.5 - 1).astype("f4")), [("TIFF", ".tif", 1)]),
    "float, 0 to 1e6": (_numbers(lambda g: (g * 4000).astype("f4")), [("TIFF", ".tif", 2)]),
    "float with NaN": (_numbers(_with_nan), [("TIFF", ".tif", 1)]),
    "CMYK": (_cmyk, [("TIFF", ".tif", 1), ("JPEG", ".jpg", 8)]),
    "YCbCr": (_ycc, [*_YCC_TIFF, ("JPEG", ".jpg", 6)]),
    "LAB": (_lab, [("TIFF", ".tif", 3)]),
    "wide gamut": (_wide, [("PNG", ".png", 2), ("JPEG", ".jpg", 7), ("WEBP", ".webp", 7)]),
}

# Formats that keep EXIF data where browsers look for it.
_EXIF = ("JPEG", "PNG", "WEBP", "TIFF", "MPO")
_ODD_ENTRIES = {
    "make as a rational": (0x10F, 5, 1, struct.pack("<II", 72, 1)),
    "resolution as text": (0x11A, 2, 3, b"72\0"),
    "resolution over zero": (0x11A, 10, 1, struct.pack("<ii", -1, 0)),
    "software as a float": (0x131, 11, 1, struct.pack("<f", 1.5)),
    "unit as text": (0x128, 2, 2, b"2\0"),
    "an unknown type": (0x132, 77, 4, b"abcd"),
    "a directory that is not there": (0x8769, 4, 1, struct.pack("<I", 0xFFFFFF)),
}


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF data with these entries: (tag, type, count, value)."""
    head, data = b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)), b""
    start = 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in sorted(entries):
        if len(value) <= 4:
            head += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        else:
            head += struct.pack("<HHII", tag, kind, count, start + len(data))
            data += value
    return b"Exif\0\0" + head + b"\0\0\0\0" + data


def oriented(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What a viewer shows of stored pixels with an EXIF orientation, by the EXIF standard."""
    turned = pixels.transpose(1, 0, 2) if orientation >= 5 else pixels
    flips = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
    down, right = flips.get(orientation, (1, 1))
    return turned[::down, ::right]


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG file."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def with_chunk(png: bytes, chunk: bytes) -> bytes:
    """A PNG file with one more chunk behind its header."""
    return png[:33] + chunk + png[33:]


# Colorants relative to D50, as the ICC profiles of AdobeRGB (1998) and sRGB give them.
ADOBE = np.array(
    [[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def matrix_profile(colorants: np.ndarray, gamma: float, padding: int = 0) -> bytes:
    """An ICC profile of version 2 with these colorants (columns) and one gamma."""
    tags = {b"wtpt": _xyz(np.array([0.9642, 1.0, 0.8249]))}
    for i, letter in enumerate("rgb"):
        tags[f"{letter}XYZ".encode()] = _xyz(colorants[:, i])
        curve = b"curv" + bytes(4) + struct.pack(">IHxx", 1, round(gamma * 256))
        tags[f"{letter}TRC".encode()] = curve
    if padding:
        tags[b"mmod"] = b"data" + bytes(4) + np.random.default_rng(0).bytes(padding)
    table, body, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", at + len(body), len(data))
        body += data
    size = at + len(body)
    head = struct.pack(">I4xI4s4s4s12x4s", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    head = head.ljust(68, b"\0") + _xyz(np.array([0.9642, 1.0, 0.8249]))[8:]
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def _xyz(values: np.ndarray) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(v * 65536) for v in values))


def converted(pixels: np.ndarray) -> np.ndarray:
    """AdobeRGB pixels as sRGB, by the definition of the two."""
    light = (pixels / 255.0) ** 2.19921875 @ (np.linalg.inv(SRGB) @ ADOBE).T
    light = np.clip(light, 0, 1)
    coded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(coded * 255).astype(np.uint8)


_NAMES: dict[str, Callable[[str, str], str]] = {
    "plain": lambda stem, suffix: stem + suffix,
    "upper case": lambda stem, suffix: (stem + suffix).upper(),
    "spaces": lambda stem, suffix: f"  {stem} 100% #1{suffix}",
    "another language": lambda stem, suffix: f"{stem} снимок 写真 é{suffix}",
    "combining marks": lambda stem, suffix: f"{stem} e\u0301\u202f{suffix}",
    "bytes": lambda stem, suffix: os.fsdecode(f"{stem}".encode() + b"\xf1\xff" + suffix.encode()),
    "wrong suffix": lambda stem, suffix: stem + (".png" if suffix != ".png" else ".jpg"),
    "no suffix": lambda stem, suffix: stem,
    "long": lambda stem, suffix: stem.ljust(180, "x") + suffix,
    "newline": lambda stem, suffix: f"{stem}\n{suffix}",
}


def odd_pictures(folder: Path, count: int, seed: int = 0) -> Iterator[OddPicture]:
    """Write ``count`` odd files and yield each, one in ten of which cannot be read.

    Args:
        folder: where they go; it must exist.
        count: how many. About 200 files have every combination of mode and format once.
        seed: of the drawings.
    """
    combinations = [
        (mode, kind, suffix, loss)
        for mode, (_, formats) in _MODES.items()
        for kind, suffix, loss in formats
        if kind != "AVIF" or features.check("avif")
    ]
    metadata = ["none", *(f"orientation {i}" for i in range(1, 9)), *_ODD_ENTRIES, *_EXTRAS]
    names, broken = itertools.cycle(_NAMES), itertools.cycle(_BROKEN)
    rng = random.Random(seed)
    chosen = iter(combinations)
    for i in range(count):
        stem, name = f"{i:04d}", next(names) if i % 10 == 9 else rng.choice(list(_NAMES))
        if i % 10 == 9:
            kind = next(broken)
            path = folder / _NAMES[name](stem, ".jpg" if "JPEG" in kind else ".png")
            _BROKEN[kind](path, seed + i)
            yield OddPicture(path, f"{kind}; name: {name}", None, 0)
            continue
        mode, file_format, suffix, loss = next(chosen, None) or rng.choice(combinations)
        drawn = _MODES[mode][0](drawing(seed + i, 40 + i % 17, 30 + i % 11))
        path = folder / _NAMES[name](stem, suffix)
        # Not every kind of metadata fits every format.
        extra = rng.choice([e for e in metadata if _fits(e, file_format, drawn)])
        shows = _save(drawn, path, file_format, extra)
        about = f"{mode}; {file_format}; metadata: {extra}; name: {name}"
        yield OddPicture(path, about, shows, loss)


_EXTRAS = (
    "large text",
    "large profile",
    "broken profile",
    "orientation in XMP",
    "bad checksum",
    "frames",
)


def _fits(extra: str, kind: str, drawn: _Drawn) -> bool:
    if extra == "none":
        return True
    if extra in ("large text", "bad checksum"):
        return kind == "PNG"
    if extra == "large profile":
        return kind == "PNG" and drawn.image.mode == "RGB" and not drawn.options
    if extra == "broken profile":
        return kind in ("PNG", "JPEG", "WEBP") and "icc_profile" not in drawn.options
    if extra == "orientation in XMP":
        return kind in ("JPEG", "PNG", "TIFF", "WEBP")
    if extra == "frames":
        return kind in ("GIF", "PNG", "TIFF", "WEBP") and not drawn.options
    if kind == "TIFF" and extra in _ODD_ENTRIES:
        return drawn.image.mode in ("RGB", "L", "RGBA")
    return kind in _EXIF


def _save(drawn: _Drawn, path: Path, kind: str, extra: str) -> np.ndarray:
    options, shows = dict(drawn.options), drawn.shows
    if kind in ("JPEG", "WEBP", "AVIF", "MPO"):
        options["quality"] = 95
    if kind in ("JPEG", "AVIF", "MPO"):  # at this size halved colours are another picture
        options["subsampling"] = "4:4:4"
    if kind == "ICO":
        options["sizes"] = [drawn.image.size]
    if extra.startswith("orientation ") and extra[-1].isdigit():
        turn = int(extra[-1])
        options["exif"] = exif_block((0x112, 3, 1, struct.pack("<H", turn)))
        if kind == "TIFF":
            options["exif"] = _exif_of(turn)
        shows = oriented(shows, turn)
    elif extra in _ODD_ENTRIES:
        if kind == "TIFF":
            _save_tiff(drawn, path, [(0x112, 3, 1, struct.pack("<H", 6)), _ODD_ENTRIES[extra]])
            return oriented(shows, 6)
        turned = (0x112, 3, 1, struct.pack("<H", 6))
        options["exif"] = exif_block(turned, _ODD_ENTRIES[extra])
        shows = oriented(shows, 6)
    elif extra == "broken profile":
        options["icc_profile"] = b"\0\0\1\0lcms this is no profile" + bytes(300)
    elif extra == "orientation in XMP":
        text = '<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
        if kind == "PNG":
            from PIL import PngImagePlugin

            info = PngImagePlugin.PngInfo()
            info.add_itxt("XML:com.adobe.xmp", text)
            options["pnginfo"] = info
        elif kind == "TIFF":
            options["tiffinfo"] = {700: text.encode()}
        else:
            options["xmp"] = text.encode()
    elif extra == "frames":
        other = Image.new(drawn.image.mode, drawn.image.size)
        if drawn.image.mode == "P":
            other.putpalette(drawn.image.getpalette() or [])
        options |= {"save_all": True, "append_images": [other]}
    data = io.BytesIO()
    drawn.image.save(data, kind, **options)
    content = data.getvalue()
    if extra == "large text":
        text = b"Comment\0\0" + zlib.compress(bytes(2 << 20))
        content = with_chunk(content, png_chunk(b"zTXt", text))
    elif extra == "large profile":
        profile = matrix_profile(ADOBE, 2.19921875, padding=3 << 20)
        content = with_chunk(content, png_chunk(b"iCCP", b"big\0\0" + zlib.compress(profile, 1)))
        shows = converted(shows)
    elif extra == "bad checksum":
        content = with_chunk(content, png_chunk(b"tEXt", b"Title\0hello")[:-4] + b"oops")
    path.write_bytes(content)
    if kind == "XBM":  # its zeros are white, and Pillow writes them inverted
        with Image.open(path) as image:
            shows = np.asarray(image.convert("RGB"))
    return shows


def _exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x112] = orientation
    return exif


def _save_tiff(drawn: _Drawn, path: Path, entries: list[tuple[int, int, int, bytes]]) -> None:
    """An uncompressed TIFF file of one strip, with any further entries."""
    image = drawn.image
    bands = len(image.getbands())
    pixels = image.tobytes()
    at = 8 + len(pixels)
    bits = struct.pack(f"<{bands}H", *[8] * bands)
    more = at + 2 + 12 * 20 + 4
    own = [
        (256, 4, 1, struct.pack("<I", image.width)),
        (257, 4, 1, struct.pack("<I", image.height)),
        (258, 3, bands, bits),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", 2 if bands >= 3 else 1)),
        (273, 4, 1, struct.pack("<I", 8)),
        (277, 3, 1, struct.pack("<H", bands)),
        (278, 4, 1, struct.pack("<I", image.height)),
        (279, 4, 1, struct.pack("<I", len(pixels))),
        *([(338, 3, 1, struct.pack("<H", 2))] if bands == 4 else []),
        *entries,
    ]
    table, data = struct.pack("<H", len(own)), b""
    for tag, kind, count, value in sorted(own):
        table += struct.pack("<HHI", tag, kind, count)
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack("<I", more + len(data))
            data += value
    table = (table + bytes(4)).ljust(more - at, b"\0")
    path.write_bytes(b"II*\0" + struct.pack("<I", at) + pixels + table + data)


def _encoded(seed: int, kind: str) -> bytes:
    data = io.BytesIO()
    Image.fromarray(drawing(seed, 120, 90)).save(data, kind)
    return data.getvalue()


def huge_png(width: int = 20_000, height: int = 20_000) -> bytes:
    """A PNG file of a few hundred kilobytes that unpacks to a white square of any size."""
    row = b"\0" + b"\xff" * ((width + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(
        [*(packer.compress(row * 1000) for _ in range(height // 1000)), packer.flush()]
    )
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def _write(content: Callable[[int], bytes]) -> Callable[[Path, int], None]:
    return lambda path, seed: path.write_bytes(content(seed)) and None


_BROKEN: dict[str, Callable[[Path, int], None]] = {
    "empty": lambda path, seed: path.touch(),
    "half a PNG": _write(lambda seed: (d := _encoded(seed, "PNG"))[: len(d) // 2]),
    "half a JPEG": _write(lambda seed: (d := _encoded(seed, "JPEG"))[: len(d) // 2]),
    "a web page as JPEG": _write(lambda seed: b"<html><body>404 Not Found</body></html>"),
    "a huge picture": _write(lambda seed: huge_png()),
    "a folder": lambda path, seed: path.mkdir(),
    "a link to nothing": lambda path, seed: path.symlink_to("nowhere"),
    "a pipe": lambda path, seed: os.mkfifo(path),
    "zeros": _write(lambda seed: bytes(5000)),
    "HDF5": _write(lambda seed: b"\x89HDF\r\n\x1a\n" + bytes(500)),
}
