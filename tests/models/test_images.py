"""Files to pictures: what a browser shows is what is encoded."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from fiftyone_smic.models.images import UnreadableImage, crop_sliver, image_size, load_image
from tests.benchmarks.odd_pictures import differences
from tests.support.odd_pictures import (
    ADOBE,
    converted,
    drawing,
    huge_png,
    matrix_profile,
    odd_pictures,
    oriented,
    png_chunk,
    with_chunk,
)


def test_odd_files_show_what_the_same_picture_saved_plainly_shows(tmp_path):
    pictures = list(odd_pictures(tmp_path, 130))
    read, reasons, wrong = differences(pictures)
    assert wrong == []
    assert read == 117 and sum(reasons.values()) == 13
    assert set(reasons) >= {
        "the file is empty",
        "the file is truncated",
        "Pillow does not know this file as an image",
        "the picture is larger than the limit of 178,956,970 pixels",
        "it is a folder, not a file",
        "there is no such file",
        "it is not a regular file",
    }


def test_two_black_shapes_on_nothing_are_two_pictures(tmp_path, encoder):
    for name, box in {"left": (4, 4, 26, 26), "right": (36, 36, 60, 60)}.items():
        alpha = Image.new("L", (64, 64))
        alpha.paste(255, box)
        image = Image.new("RGBA", (64, 64))
        image.putalpha(alpha)
        image.save(tmp_path / f"{name}.png")
    found = encoder.encode_images([tmp_path / "left.png", tmp_path / "right.png"]).latents
    assert found[0] @ found[1] < 0.99
    blue = encoder.encode_images([tmp_path / "left.png"], ground=(0, 0, 255)).latents
    assert found[0] @ blue[0] < 0.99


def test_colours_under_full_transparency_do_not_matter(tmp_path):
    for i, hidden in enumerate(((255, 0, 0), (0, 255, 0))):
        image = Image.new("RGBA", (8, 8), (*hidden, 0))
        image.paste((9, 9, 9, 255), (0, 0, 4, 4))
        image.save(tmp_path / f"{i}.png")
    one, two = (load_image(tmp_path / f"{i}.png") for i in range(2))
    assert one.tobytes() == two.tobytes()
    assert load_image(tmp_path / "0.png", ground="#123456").getpixel((7, 7)) == (0x12, 0x34, 0x56)
    with pytest.raises(ValueError, match="is not a colour"):
        load_image(tmp_path / "0.png", ground="reddish")


def tiff(path, values, photometric=1):
    """A TIFF file of one band in the byte order and type of ``values``, as no library is asked."""
    order = ">" if values.dtype.byteorder == ">" else "<"
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    height, width = values.shape
    entries = [(256, width), (257, height), (258, 8 * values.dtype.itemsize), (259, 1)]
    entries += [(262, photometric), (273, 8), (277, 1), (278, height), (279, values.nbytes)]
    entries += [(339, kind)]
    table = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in entries)
    head = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 8 + values.nbytes)
    count = struct.pack(order + "H", len(entries))
    path.write_bytes(head + values.tobytes() + count + table + bytes(4))


@pytest.mark.parametrize(
    ("kind", "scale", "offset"),
    [
        ("<u2", 257, 0),
        (">u2", 257, 0),
        ("<i2", 128, 0),
        ("<i2", 257, -32768),
        (">i2", 257, -32768),
        ("<u2", 4095 / 255, 0),  # 12 bits of a sensor
        ("<u4", 1 << 24, 0),
        ("<u4", 1, 0),
        ("<i4", 1000 / 255, 0),
        ("<i4", 1 << 24, -(1 << 31)),
        (">i4", 1 << 23, 0),
        ("<f4", 1 / 255, 0),
        (">f4", 1.02 / 255, -0.01),  # as resampling leaves it
        ("<f4", 3e7, -1e9),
        ("<f4", 257, 0),
        ("<f4", 10 / 255, 0),
    ],
)
def test_numbers_are_scaled_by_their_range(tmp_path, kind, scale, offset):
    grey = np.linspace(0, 255, 64 * 64).reshape(64, 64).round()
    tiff(tmp_path / "x.tif", (grey * scale + offset).astype(kind))
    shown = np.asarray(load_image(tmp_path / "x.tif"))[:, :, 0].astype(float)
    assert np.abs(shown - grey).max() <= 4


def test_white_may_be_zero(tmp_path):
    grey = np.linspace(0, 255, 64).reshape(8, 8).round()
    tiff(tmp_path / "x.tif", ((255 - grey) * 257).astype("<u2"), photometric=0)
    assert np.abs(np.asarray(load_image(tmp_path / "x.tif"))[:, :, 1] - grey).max() <= 1


def test_a_dark_picture_stays_dark(tmp_path):
    tiff(tmp_path / "x.tif", np.full((8, 8), 20, "<i4"))
    assert load_image(tmp_path / "x.tif").getpixel((0, 0)) == (20, 20, 20)
    tiff(tmp_path / "y.tif", np.full((8, 8), 0.1, "<f4"))
    assert load_image(tmp_path / "y.tif").getpixel((0, 0)) == (26, 26, 26)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16"])
def test_turned_tiff_files_are_not_scrambled(tmp_path, orientation, mode):
    """Pillow maps plain files into memory with the sides exchanged."""
    pixels = drawing(1)
    image = Image.fromarray(pixels)
    if mode != "RGB":
        image = image.convert("L" if mode == "I;16" else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x112] = orientation
    image.save(tmp_path / "x.tif", exif=exif)
    shown = pixels if mode.startswith("RGB") else np.asarray(Image.fromarray(pixels).convert("L"))
    shown = shown if shown.ndim == 3 else np.repeat(shown[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(load_image(tmp_path / "x.tif"), oriented(shown, orientation))


@pytest.mark.parametrize("size", [(30, 3000), (3001, 31), (7, 64), (1, 999), (1, 1000), (2, 501)])
def test_cropping_a_sliver_keeps_what_the_centre_crop_would_have_kept(size):
    from torchvision import transforms

    way = transforms.Compose([transforms.Resize(64, 3), transforms.CenterCrop(64)])
    rng = np.random.default_rng(0)
    coarse = [max(1, round(3 * side / min(size))) for side in size]  # details of a third of it
    noise = rng.integers(0, 256, (coarse[1], coarse[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)
    cropped = crop_sliver(image)
    assert max(cropped.size) <= 10 * min(size)
    whole, part = (np.asarray(way(picture)).astype(int) for picture in (image, cropped))
    # torchvision rounds where the crop begins to whole pixels, so it may be half a pixel off.
    assert np.abs(whole - part).mean() < 3


def test_a_sliver_takes_little_memory(tmp_path):
    """339 bytes that took over 10 GB at 224 pixels, in a process that can be measured."""
    Image.new("RGB", (1, 65000), "red").save(tmp_path / "tall.png")
    Image.new("RGB", (65000, 1), "red").save(tmp_path / "wide.png")
    code = (
        "import resource, sys; from torchvision import transforms as t\n"
        "from fiftyone_smic.models.encoders import Encoder\n"
        "way = t.Compose([t.Resize(224), t.CenterCrop(224), t.ToTensor()])\n"
        "class Mean(Encoder):\n"
        "    def image_features(self, batch): return batch.mean(dim=(2, 3)) + 1\n"
        "encoder = Mean(way, name='mean', crops_centre=True)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = encoder.dim and peak()\n"
        "assert not encoder.encode_images(sys.argv[1:]).failures\n"
        "print((peak() - before) / 1024)"
    )
    files = [str(tmp_path / name) for name in ("tall.png", "wide.png")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files], check=True, capture_output=True, text=True
    )
    assert float(done.stdout) < 200


def test_the_limit_of_pixels_can_be_raised_and_lowered(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    path.write_bytes(huge_png(14_000, 14_000))
    former = Image.MAX_IMAGE_PIXELS
    with pytest.raises(UnreadableImage, match="FIFTYONE_SMIC_MAX_PIXELS"):
        load_image(path)
    assert load_image(path, max_pixels=200_000_000).size == (14_000, 14_000)
    monkeypatch.setenv("FIFTYONE_SMIC_MAX_PIXELS", "1000000")
    with pytest.raises(UnreadableImage, match="1,000,000 pixels"):
        load_image(path)
    monkeypatch.setenv("FIFTYONE_SMIC_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="whole number of pixels"):
        load_image(path)
    assert former == Image.MAX_IMAGE_PIXELS


def test_reading_writes_nothing(tmp_path):
    path = tmp_path / "x.jpg"
    Image.fromarray(drawing(0)).save(path)
    path.chmod(0o400)
    before = path.read_bytes(), path.stat().st_mtime_ns
    load_image(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("padding", [0, 3 << 20])
def test_a_profile_counts_whatever_its_size(tmp_path, padding):
    """Pillow refuses a PNG file whose profile has more than a megabyte."""
    pixels = drawing(3)
    path = tmp_path / "x.png"
    Image.fromarray(pixels).save(path)
    packed = zlib.compress(matrix_profile(ADOBE, 2.19921875, padding), 1)
    path.write_bytes(with_chunk(path.read_bytes(), png_chunk(b"iCCP", b"x\0\0" + packed)))
    assert image_size(path) == (48, 32)
    shown = np.asarray(load_image(path)).astype(int)
    assert np.abs(shown - pixels).max() > 10
    assert np.abs(shown - converted(pixels)).max() <= 4


def test_infinite_is_white_and_nan_is_black(tmp_path):
    tiff(tmp_path / "x.tif", np.array([[np.nan, -np.inf, 0.5, np.inf]], "<f4"))
    assert [v[0] for v in np.asarray(load_image(tmp_path / "x.tif"))[0]] == [0, 0, 128, 255]
