"""Drawings are encoded again and compared with what they were drawn from."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import drawings
from fiftyone_smic.models.encoders import load_encoder


@pytest.fixture
def drawn(encoded, tmp_path):
    smic.regenerate(encoded[:4], output_dir=tmp_path / "d", steps=1, progress=False)
    return encoded


def test_the_cosine_is_between_the_drawing_and_the_original(drawn):
    report = smic.measure_drawings(drawn)
    assert (report.measured, report.kept, report.skipped) == (4, 0, {})
    paths, latents = drawn[:4].values(["smic_regenerated", "clip_latents"])
    again = load_encoder(device="cpu").encode_images(paths).latents
    mean = smic.load_dictionary(drawn).mean_
    a, b = np.array(latents) - mean, again - mean
    expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(drawn[:4].values("smic_drawn_fidelity"), expected, atol=1e-4)
    assert drawn.count("smic_drawn_fidelity") == 4
    assert report.mean == pytest.approx(expected.mean(), abs=1e-4)


def test_what_was_measured_is_not_measured_again_until_the_picture_is_another(drawn, tmp_path):
    smic.measure_drawings(drawn[:2])
    report = smic.measure_drawings(drawn)
    assert (report.measured, report.kept) == (2, 2)
    before = drawn.values("smic_drawn_fidelity")
    smic.regenerate(drawn[:1], output_dir=tmp_path / "d", steps=1, seed=7, progress=False)
    assert drawn.values("smic_drawn_fidelity") == [None, *before[1:]]
    assert smic.measure_drawings(drawn).measured == 1
    assert drawn.first().smic_drawn_fidelity != before[0]
    assert smic.measure_drawings(drawn, overwrite=True).measured == 4


def test_a_run_that_is_stopped_keeps_what_it_measured(drawn, monkeypatch):
    monkeypatch.setattr(drawings, "WRITE_EVERY", 2)

    def stop(fraction):
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        smic.measure_drawings(drawn, progress=stop)
    assert drawn.count("smic_drawn_fidelity") == 2
    assert smic.measure_drawings(drawn).kept == 2


def test_without_latents_the_code_stands_for_the_original(drawn):
    mean = smic.load_dictionary(drawn).mean_
    drawn.delete_sample_field("clip_latents")
    smic.measure_drawings(drawn)
    again = load_encoder(device="cpu").encode_images(drawn[:4].values("smic_regenerated")).latents
    ids, codes = smic.rebuilt_latents(drawn[:4])
    assert ids == drawn[:4].values("id")
    a, b = codes - mean, again - mean
    expected = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(drawn[:4].values("smic_drawn_fidelity"), expected, atol=1e-4)


def test_drawings_that_are_gone_are_named_and_nothing_drawn_is_said(drawn, encoded):
    from pathlib import Path

    gone = drawn[:4].values("smic_regenerated")[2]
    Path(gone).unlink()
    report = smic.measure_drawings(drawn)
    assert report.measured == 3 and [gone in why for why in report.skipped.values()] == [True]
    with pytest.raises(ValueError, match="regenerate"):
        smic.measure_drawings(encoded[10:])
