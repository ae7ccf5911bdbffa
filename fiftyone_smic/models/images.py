"""Image files as upright RGB pictures: what a browser shows is what is encoded."""

from __future__ import annotations

import io
import os
import stat
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.colours import rgb, to_rgb

if TYPE_CHECKING:
    from PIL import Image

#: Most pixels of a picture, unless the environment variable :data:`LIMIT_VARIABLE` says otherwise.
#: Pillow refuses larger pictures by itself, because a small file can hold a huge one.
MAX_PIXELS = 178_956_970
LIMIT_VARIABLE = "FIFTYONE_SMIC_MAX_PIXELS"

# A picture longer than this many times its width is cropped before it is scaled.
_SLIVER = 8

_ORIENTATION = 0x0112
_SHORT = 3


class UnreadableImage(ValueError):
    """A file cannot be read as a picture; the message is a phrase that says why."""


def load_image(
    source: str | bytes | os.PathLike[str] | Image.Image,
    *,
    ground: str | tuple[int, int, int] = "white",
    max_pixels: int | None = None,
) -> Image.Image:
    """Read an image file as an upright 8-bit sRGB picture.

    Transparent pixels are composed onto a ground. Integers of more than 8 bits and floats are
    scaled by the range of the format or of the picture. CMYK, LAB and wide-gamut pictures are
    converted by their ICC profile; a broken profile is ignored. The EXIF orientation is applied.
    Of files with several frames the first one is read. Text and other metadata of any size or kind
    make no difference.

    Args:
        source: a file, or a picture that is open already and is converted in the same way.
        ground: the colour behind transparent pixels: a name or ``"#rrggbb"`` as Pillow knows them,
            or (red, green, blue) from 0 to 255.
        max_pixels: the most pixels a picture may have. None takes the environment variable
            ``FIFTYONE_SMIC_MAX_PIXELS`` if it is set, else 178,956,970.

    Returns:
        A picture in mode RGB.

    Raises:
        UnreadableImage: the file is missing, empty, damaged, too large, or not an image.
        ValueError: ``ground`` is not a colour, or the limit is not a whole number above 0.

    Example:
        >>> from PIL import Image
        >>> load_image(Image.new("RGBA", (2, 2), (255, 0, 0, 0)), ground="#0000ff").getpixel((0, 0))
        (0, 0, 255)
    """
    from PIL import Image

    limit = _limit(max_pixels)
    colour = rgb(ground)
    try:
        if isinstance(source, Image.Image):
            return to_rgb(source, colour)
        return _read_file(source, colour, limit)
    except UnreadableImage:
        raise
    except MemoryError:
        raise UnreadableImage("there is not enough memory to decode it") from None
    except FileNotFoundError:
        raise UnreadableImage("there is no such file") from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage("Pillow does not know this file as an image") from None
    except OSError as error:
        if error.strerror:
            raise UnreadableImage(f"the file cannot be read ({error.strerror})") from error
        if "truncated" in str(error).lower():
            raise UnreadableImage(f"the file is truncated ({error})") from error
        raise UnreadableImage(f"the picture is damaged ({error})") from error
    except Exception as error:  # Pillow raises almost anything on a broken file
        raise UnreadableImage(
            f"the picture is damaged ({type(error).__name__}: {error})"
        ) from error


def image_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return the width and height of an image file as stored, from its header where it is sound.

    Args:
        path: the file.

    Returns:
        Width and height in pixels.

    Raises:
        UnreadableImage: see :func:`load_image`.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("RGB", (40, 30)).save(file.name)
        ...     image_size(file.name)
        (40, 30)
    """
    from PIL import Image

    register_heif()
    try:
        with open(path, "rb") as file, Image.open(file) as image:
            return image.size
    except Exception:  # large texts and sizes above Pillow's limit end in an error
        return load_image(path).size


def crop_sliver(image: Image.Image) -> Image.Image:
    """Crop an extreme shape to its middle, before something scales it up.

    A model that scales the shorter side to 224 pixels and keeps the centre square turns 1 x 65,000
    pixels into 224 x 14,560,000 first. The middle alone gives the same square, because the crop
    is several times longer than what is kept, and is centred to the half pixel.

    Args:
        image: a picture of any shape.

    Returns:
        The picture itself, or for a side more than 8 times as long as the other its middle part,
        8 or 9 times as long.

    Example:
        >>> from PIL import Image
        >>> crop_sliver(Image.new("RGB", (1, 65000))).size
        (1, 8)
    """
    short, long = sorted(image.size)
    kept = _SLIVER * short
    if (long - kept) % 2:  # keep the centre where it is
        kept += short if short % 2 else 1
    if long <= kept:
        return image
    first = (long - kept) // 2
    if image.width == long:
        return image.crop((first, 0, first + kept, short))
    return image.crop((0, first, short, first + kept))


def _limit(max_pixels: int | None) -> int:
    given: Any = max_pixels
    if given is None:
        given = os.environ.get(LIMIT_VARIABLE) or MAX_PIXELS
    try:
        limit = int(given)
    except (TypeError, ValueError):
        limit = 0
    if limit < 1:
        name = LIMIT_VARIABLE if max_pixels is None else "max_pixels"
        raise ValueError(f"{name} must be a whole number of pixels above 0, not {given!r}")
    return limit


def _read_file(
    path: str | bytes | os.PathLike[str], ground: tuple[int, int, int], limit: int
) -> Image.Image:
    register_heif()
    status = os.stat(path)
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("it is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("it is not a regular file")
    if not status.st_size:
        raise UnreadableImage("the file is empty")
    # Pillow gets no path: it would map plain TIFF files, and then scrambles those that are turned.
    with open(path, "rb") as file:
        try:
            return _decode(file, ground, limit)
        except UnreadableImage:
            raise
        except Exception:
            # Pillow refuses PNG files for large texts or profiles. Their pixels may be sound.
            file.seek(0)
            data = file.read()
            if not data.startswith(_PNG):
                raise
        pixels, profile = _essential_chunks(data)
        return _decode(io.BytesIO(pixels), ground, limit, profile)


def _decode(
    file: Any, ground: tuple[int, int, int], limit: int, profile: bytes | None = None
) -> Image.Image:
    from PIL import Image

    try:
        with Image.open(file) as image:
            return _finish(image, ground, limit, profile)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        if limit <= 2 * (Image.MAX_IMAGE_PIXELS or 0):
            raise UnreadableImage(_too_large(str(error), limit)) from None
    file.seek(0)
    with _without_pillows_limit(), Image.open(file) as image:
        return _finish(image, ground, limit, profile)


def _finish(
    image: Any, ground: tuple[int, int, int], limit: int, profile: bytes | None
) -> Image.Image:
    """Decode an open file; raises UnreadableImage before decoding if it is too large."""
    if image.width * image.height > limit:
        raise UnreadableImage(_too_large(f"{image.width} x {image.height} pixels", limit))
    # Pillow turns TIFF files by itself while it loads them, and would follow what XMP says.
    image.info.pop("xmp", None)
    image.load()
    if profile is not None:
        image.info["icc_profile"] = profile
    # Only now: the EXIF data of a PNG file may come after its pixels.
    turn = _orientation(image.info.get("exif"))
    upright = to_rgb(image, ground)
    return upright if turn is None else upright.transpose(turn)


def _too_large(size: str, limit: int) -> str:
    return (
        f"the picture is larger than the limit of {limit:,} pixels ({size}); to read it anyway, "
        f"set the environment variable {LIMIT_VARIABLE} to more"
    )


_limit_lock = threading.Lock()
_limit_users = 0
_limit_kept: int | None = None


@contextmanager
def _without_pillows_limit() -> Iterator[None]:
    """Switch Pillow's own limit off, which is global, while threads read large pictures."""
    from PIL import Image

    global _limit_users, _limit_kept
    with _limit_lock:
        if not _limit_users:
            _limit_kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _limit_users += 1
    try:
        yield
    finally:
        with _limit_lock:
            _limit_users -= 1
            if not _limit_users:
                Image.MAX_IMAGE_PIXELS = _limit_kept


def _orientation(exif: bytes | None) -> Any:
    """How to turn a picture, by the orientation in its EXIF data and nothing else of it.

    Read as browsers do: one 16-bit integer of 1 to 8 in the first directory, or it does not count.
    """
    from PIL import Image

    if not isinstance(exif, bytes):
        return None
    data = exif[6:] if exif.startswith(b"Exif\0\0") else exif
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", data, 4)
        (count,) = struct.unpack_from(order + "H", data, start)
        for i in range(count):
            tag, kind, n, value = struct.unpack_from(order + "HHIH", data, start + 2 + 12 * i)
            if tag == _ORIENTATION and kind == _SHORT and n == 1:
                turns = Image.Transpose
                return {
                    2: turns.FLIP_LEFT_RIGHT,
                    3: turns.ROTATE_180,
                    4: turns.FLIP_TOP_BOTTOM,
                    5: turns.TRANSPOSE,
                    6: turns.ROTATE_270,
                    7: turns.TRANSVERSE,
                    8: turns.ROTATE_90,
                }.get(value)
    except struct.error:  # the data ends too early
        pass
    return None


_PNG = b"\x89PNG\r\n\x1a\n"
_LARGEST_PROFILE = 64 << 20


def _essential_chunks(data: bytes) -> tuple[bytes, bytes | None]:
    """A PNG file of what its picture needs, and its profile if that can be unpacked."""
    out, profile, at = [_PNG], None, len(_PNG)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 12 + length
        sound = data[end - 4 : end] == struct.pack(">I", zlib.crc32(data[at + 4 : end - 4]))
        if kind[:1].isupper() or (kind in (b"tRNS", b"eXIf") and sound):
            out.append(data[at:end])
        elif kind == b"iCCP":
            profile = _unpack_profile(data[at + 8 : end - 4])
        at = end
    return b"".join(out), profile


def _unpack_profile(chunk: bytes) -> bytes | None:
    packed = chunk.partition(b"\0")[2]
    try:
        unpacking = zlib.decompressobj()
        profile = unpacking.decompress(packed[1:], _LARGEST_PROFILE)
        return profile if unpacking.eof else None
    except zlib.error:
        return None


@cache
def register_heif() -> None:
    """Let Pillow read HEIC and HEIF files, if ``pillow-heif`` is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return
    register_heif_opener()
