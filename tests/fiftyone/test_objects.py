"""Objects in images: their crops are encoded, their labels hold latents and codes."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import runs

#: Boxes in 128 x 128 pixels, so that a crop's pixels can be said exactly.
BOXES = ([0, 0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0.25, 0.25, 0.5, 0.25])
LATENTS = "objects.detections.clip_latents"


@pytest.fixture
def framed(original, delete):
    """12 postcards with 3 objects each in ``objects``, the first one without any."""
    dataset = original[:12].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    for i, sample in enumerate(dataset):
        boxes = BOXES if i else ()
        sample["objects"] = fo.Detections(
            detections=[fo.Detection(label="thing", bounding_box=box) for box in boxes]
        )
        sample.save()
    return dataset


def crops(dataset, folder):
    """The pixels in the boxes, cut out by hand."""
    made = []
    for i, path in enumerate(dataset[1:].values("filepath")):
        with Image.open(path) as image:
            for j, (x, y, w, h) in enumerate(BOXES):
                box = [round(128 * edge) for edge in (x, y, x + w, y + h)]
                made.append(folder / f"{i}-{j}.png")
                image.crop(box).save(made[-1])
    return made


def test_crops_are_encoded_and_not_whole_images(framed, encoder, tmp_path):
    report = smic.compute_latents(framed, patches_field="objects")
    assert (report.field, report.computed, report.kept) == (LATENTS, 33, 0)
    rows = framed.values(LATENTS)
    assert rows[0] == [] or rows[0] is None
    flat = np.stack([row for found in rows[1:] for row in found])
    direct = encoder.encode_images(crops(framed, tmp_path)).latents
    np.testing.assert_allclose(flat, direct, atol=1e-4)
    assert len(np.unique(flat.round(4), axis=0)) > 25  # three of one image differ
    assert isinstance(framed.get_field(LATENTS), fo.VectorField)
    assert framed.get_field(LATENTS).info["encoder"] == report.encoder
    assert smic.compute_latents(framed, patches_field="objects").computed == 0


def test_boxes_can_be_made_larger_and_square(framed, encoder, tmp_path):
    smic.compute_latents(framed, patches_field="objects", force_square=True, alpha=0.5)
    wide = framed.last().objects.detections[2]
    with Image.open(framed.last().filepath) as image:
        # 64 x 32 pixels about (64, 48), half as much again, then as high as it is wide.
        image.crop((16, 0, 112, 96)).save(tmp_path / "square.png")
    direct = encoder.encode_images([tmp_path / "square.png"]).latents[0]
    assert wide.clip_latents @ direct > 0.99
    with pytest.raises(ValueError, match=r"force_square=True and alpha=0\.5"):
        smic.compute_latents(framed, patches_field="objects")


def test_codes_of_objects_are_attributes_of_their_labels(framed):
    smic.compute_latents(framed, patches_field="objects")
    dictionary = smic.learn_dictionary(framed, "things", patches_field="objects", n_atoms=6)
    report = smic.encode(framed, "things")
    assert (report.encoded, report.rate.items) == (33, 33)
    ids, latents = smic.rebuilt_latents(framed, "things")
    labels = [label for found in framed.values("objects.detections")[1:] for label in found]
    assert ids == [label.id for label in labels]
    for label, latent in zip(labels, latents, strict=True):
        atoms = dictionary.atoms_[np.array(label.things_atoms, int)]
        rebuilt = dictionary.mean_ + np.array(label.things_coefficients) @ atoms
        np.testing.assert_allclose(latent, rebuilt / np.linalg.norm(rebuilt), atol=1e-5)
        assert label.things_bits > 0
    # A view of some labels codes those; what is known stays that of all.
    storage = runs.load_config(framed, "things").storage
    assert storage["items"] == 33
    some = framed.match_labels(ids=ids[:2])
    assert smic.encode(some, "things").encoded <= 3
    assert runs.load_config(framed, "things").storage["items"] == 33
    # The attributes follow the key.
    framed.rename_run("things", "parts")
    assert framed.count("objects.detections.parts_bits") == 33
    assert not framed.has_field("objects.detections.things_bits")
    assert len(smic.rebuilt_latents(framed, "parts")[0]) == 33
    for call in (
        lambda: smic.load_model("parts", framed),
        lambda: smic.regenerate(framed, "parts"),
        lambda: smic.export_archive(framed, "parts", "/nowhere/a.smic"),
    ):
        with pytest.raises(ValueError, match=r"codes the objects in 'objects'.*export the crops"):
            call()
    framed.delete_run("parts")
    assert not [name for name in framed.get_field_schema(flat=True) if "parts_" in name]
    assert framed.count(LATENTS) == 33


def test_polylines_and_single_labels(original, delete):
    dataset = original[:4].clone()
    delete(dataset.name)
    for sample in dataset:
        points = [[(0.1, 0.1), (0.6, 0.1), (0.6, 0.7)]]
        sample["outlines"] = fo.Polylines(polylines=[fo.Polyline(points=points, filled=True)])
        sample["one"] = fo.Detection(label="x", bounding_box=[0.1, 0.1, 0.5, 0.6])
        sample.save()
    first = dataset.first()
    first["one"] = None
    first.save()
    assert smic.compute_latents(dataset, patches_field="outlines").computed == 4
    assert smic.compute_latents(dataset, patches_field="one").computed == 3
    outlined = dataset.values("outlines.polylines.clip_latents")
    framed = dataset.values("one.clip_latents")
    assert framed[0] is None
    np.testing.assert_allclose(outlined[1][0], framed[1], atol=1e-5)  # the same box


def test_objects_that_cannot_be_cut_out_are_named(framed, tmp_path):
    bad = framed[1:2].first()
    bad.objects.detections[0].bounding_box = [0.2, 0.2, 0.0, 0.3]
    bad.objects.detections[1].bounding_box = [1.5, 1.5, 0.2, 0.2]
    bad.save()
    gone = framed[2:3].first()
    gone.filepath = str(tmp_path / "gone.png")
    gone.save()
    report = smic.compute_latents(framed, patches_field="objects")
    assert report.computed == 33 - 5
    assert len(report.skipped) == 5
    no_box = [why for why in report.skipped.values() if "pixels" in why or "cut out" in why]
    assert len(no_box) == 2
    with pytest.raises(ValueError, match=r"'time' holds no detections.*\['objects'\]"):
        smic.compute_latents(framed, patches_field="time")
    with pytest.raises(ValueError, match="none of the 1 samples has an object"):
        smic.compute_latents(framed[:1], patches_field="objects")
    with pytest.raises(ValueError, match="compute them first"):
        smic.learn_dictionary(framed, latents_field="others", patches_field="objects")
