"""`fiftyone-smic demo` on a small collection, and again."""

from __future__ import annotations

import json

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from fiftyone_smic.archive import read_archive
from fiftyone_smic.fiftyone import demo

KEYS = {
    "items",
    "pixels_per_item",
    "original_bytes",
    "archive_bytes",
    "payload_bits",
    "dictionary_bits",
    "header_bits",
    "bits_per_item",
    "bits_per_pixel",
    "explained_variance",
    "centred_cosine",
    "cosine",
    "recall_at_10",
    "seconds",
    "baselines",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    demo.run_demo(folder, items=40, regenerate=4)
    yield folder
    fo.delete_dataset(demo.DATASET)


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text())


def test_the_report_adds_up(folder, report):
    assert set(report) >= KEYS
    assert report["items"] == 40
    assert report["pixels_per_item"] >= 128 * 128
    assert report["archive_bytes"] == (folder / "postcards.smic").stat().st_size
    bits = report["payload_bits"] + report["dictionary_bits"] + report["header_bits"]
    assert bits == 8 * report["archive_bytes"]
    assert report["bits_per_item"] == pytest.approx(bits / 40)
    assert report["bits_per_pixel"] == pytest.approx(bits / 40 / report["pixels_per_item"])
    files = list((folder / "postcards").rglob("*.png"))
    assert report["original_bytes"] == sum(file.stat().st_size for file in files)
    assert set(report["baselines"]) == {"jpeg", "webp", "avif", "float32_latents"}
    assert "photographs" in report["notice"]


def test_the_dataset_holds_what_the_archive_holds(folder, report):
    dataset = fo.load_dataset(demo.DATASET)
    codes = read_archive(folder / "postcards.smic").codes.toarray()
    atoms, coefficients = dataset.values(["smic_atoms", "smic_coefficients"])
    fields = np.zeros_like(codes)
    for row, (columns, values) in enumerate(zip(atoms, coefficients, strict=True)):
        fields[row, columns] = values
    # Atoms that no item uses may be left out of an archive's statistics, never of its dictionary.
    assert (fields == codes).all()


def test_what_was_drawn_is_shown_beside_its_original(folder, report):
    dataset = fo.load_dataset(demo.DATASET)
    drawn = [path for path in dataset.values("smic_regenerated") if path is not None]
    assert len(drawn) == report["regenerated"] == 4
    assert all(Image.open(path).width >= 64 for path in drawn)
    assert "smic_regenerated" in dataset.app_config.media_fields
    for picture in ("contact-sheet.png", "atoms.png"):
        assert np.asarray(Image.open(folder / picture).convert("L")).std() > 0


def test_running_it_again_replaces_its_own_results_only(folder, capsys):
    first = (folder / "postcards.smic").read_bytes()
    demo.run_demo(folder, items=40, regenerate=2)
    assert (folder / "postcards.smic").read_bytes() == first
    assert len(list((folder / "regenerated").glob("*.png"))) == 2
    out = capsys.readouterr().out
    assert "fiftyone app launch smic-demo" in out and "bits/item" in out

    dataset = fo.load_dataset(demo.DATASET)
    dataset.info.clear()
    dataset.save()
    with pytest.raises(ValueError, match="another dataset"):
        demo.run_demo(folder, items=40, regenerate=2)
    assert fo.dataset_exists(demo.DATASET)
