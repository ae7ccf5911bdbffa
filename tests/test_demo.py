"""`fiftyone-smic demo` on a small collection, and again."""

from __future__ import annotations

import json
import shutil

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


def test_a_folder_of_ones_own_pictures(pictures, tmp_path, capsys):
    """Nothing of the folder is changed, and no picture is answered with itself."""
    photographs = pytest.importorskip("fiftyone_smic.models.encoders.photographs")
    if not photographs.installed():
        pytest.skip("the extra of the encoder photographs is not installed")
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    for i, path in enumerate(pictures):
        shutil.copy(path, folder / ("sub" if i % 2 else ".") / path.name)
    (folder / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    try:
        found = demo.run_demo(tmp_path / "out", items=20, regenerate=3, images=folder)
        assert found["items"] == len(pictures) and found["regenerated"] == 3
        assert found["original_bytes"] == sum(path.stat().st_size for path in pictures)
        names = read_archive(tmp_path / "out" / "images.smic").names
        assert sorted(names) == sorted(
            path.relative_to(folder).as_posix() for path in before if path.suffix == ".png"
        )
        dataset = fo.load_dataset(demo.IMAGES_DATASET)
        drawn = dataset.exists("smic_regenerated")
        for path, answer in zip(*drawn.values(["filepath", "smic_regenerated"]), strict=True):
            with Image.open(path) as image, Image.open(answer) as other:
                difference = np.asarray(image.resize(other.size), int) - np.asarray(other, int)
            assert np.abs(difference).mean() > 1
        assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
        said = capsys.readouterr().out
        assert "notes.txt" in said and "fiftyone app launch smic-demo-images" in said
        with pytest.raises(NotADirectoryError):
            demo.run_demo(tmp_path / "out", images=tmp_path / "nowhere")
    finally:
        if fo.dataset_exists(demo.IMAGES_DATASET):
            fo.delete_dataset(demo.IMAGES_DATASET)
