"""``regenerate(generator="nearest")``: codes are answered with pictures of the dataset."""

from __future__ import annotations

import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone.gallery import dataset_gallery
from fiftyone_smic.models.images import load_image


def pixels(path):
    return np.asarray(load_image(path))


def answers(dataset):
    return dict(zip(*dataset.values(["id", "smic_regenerated"]), strict=True))


def nearest_files(dataset, field="clip_latents"):
    """Sample id -> file of the nearest other sample, by brute force."""
    ids, files, latents = dataset.values(["id", "filepath", field])
    position = {sample: i for i, sample in enumerate(ids)}
    coded, rebuilt = smic.rebuilt_latents(dataset)
    cosines = rebuilt @ np.stack(latents).T
    cosines[np.arange(len(coded)), [position[sample] for sample in coded]] = -2
    return {s: files[i] for s, i in zip(coded, cosines.argmax(1), strict=True)}


def test_each_sample_gets_the_nearest_other_picture(encoded, tmp_path):
    view = encoded[:7]
    done = smic.regenerate(view, generator="nearest", output_dir=tmp_path, batch_size=3)
    assert (done.drawn, done.generator) == (7, "nearest")
    expected, found = nearest_files(encoded), answers(view)
    for sample, path in found.items():
        assert (pixels(path) == pixels(expected[sample])).all()
    again = smic.regenerate(view, generator="nearest", output_dir=tmp_path)
    assert (again.drawn, again.reused) == (0, 7)
    assert "smic_regenerated" in encoded.app_config.media_fields


def test_it_works_for_an_encoder_that_nothing_draws(postcards, tmp_path):
    postcards.get_field("clip_latents").info = {"encoder": "unknown"}
    postcards.get_field("clip_latents").save()
    smic.learn_dictionary(postcards, n_atoms=8)
    smic.encode(postcards)
    with pytest.raises(ValueError, match="no generator is known for unknown"):
        smic.regenerate(postcards, output_dir=tmp_path)
    assert smic.regenerate(postcards, generator="nearest", output_dir=tmp_path).drawn == 80


def test_a_dataset_without_latents_answers_by_its_codes(encoded, tmp_path):
    encoded.delete_sample_field("clip_latents")
    latents, files = dataset_gallery(encoded, "smic")
    assert latents.shape == (80, 128) and len(files) == 80
    assert smic.regenerate(encoded[:3], generator="nearest", output_dir=tmp_path).drawn == 3


def test_pictures_that_are_not_there_are_no_answer(encoded, tmp_path):
    first = encoded.first()
    near = nearest_files(encoded)[first.id]
    other = encoded.one(smic_file(near))
    other.filepath = str(tmp_path / "gone.png")
    other.save()
    _, files = dataset_gallery(encoded, "smic")
    assert len(files) == 79 and near not in files
    smic.regenerate(encoded[:1], generator="nearest", output_dir=tmp_path)
    assert (pixels(answers(encoded[:1])[first.id]) != pixels(near)).any()


def smic_file(path):
    import fiftyone as fo

    return fo.ViewField("filepath") == path


def test_an_imported_archive_without_pictures_has_no_gallery(encoded, tmp_path, delete):
    smic.export_archive(encoded, "smic", tmp_path / "x.smic")
    imported = smic.import_archive(tmp_path / "x.smic", name="no-pictures", draw=False)
    delete("no-pictures")
    with pytest.raises(ValueError, match="none of its 80 samples has a picture of its own"):
        smic.regenerate(imported, generator="nearest", output_dir=tmp_path)
