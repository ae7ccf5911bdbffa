"""Image baselines: real bytes of real encoders."""

from __future__ import annotations

import io

from PIL import Image

from fiftyone_smic.pipelines.image_codecs import image_baselines


def test_totals_are_what_the_codecs_write(pictures):
    totals = image_baselines(pictures)
    assert totals["original"] == sum(path.stat().st_size for path in pictures)
    expected = 0
    for path in pictures:
        buffer = io.BytesIO()
        Image.open(path).save(buffer, "JPEG", quality=1, optimize=True, subsampling="4:2:0")
        expected += len(buffer.getvalue())
    assert totals["jpeg"] == expected
    assert 0 < totals["webp"] < totals["original"]
    assert 0 < totals["avif"] < totals["original"]


def test_no_other_quality_is_smaller(pictures):
    totals = image_baselines(pictures[:2])
    for name, qualities in {"JPEG": (20, 75), "WEBP": (20, 75), "AVIF": (20, 75)}.items():
        for quality in qualities:
            size = 0
            for path in pictures[:2]:
                buffer = io.BytesIO()
                Image.open(path).save(buffer, name, quality=quality)
                size += len(buffer.getvalue())
            assert totals[name.lower()] <= size


def test_unreadable_files_count_nowhere(pictures, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(pictures[0].read_bytes()[:500])
    seen = []
    totals = image_baselines([*pictures, broken, tmp_path / "missing.png"], progress=seen.append)
    assert totals == image_baselines(pictures)
    assert seen[-1] == 1
