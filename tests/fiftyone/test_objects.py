"""Objects in images: their crops are encoded, their labels hold latents and codes."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import (
    Recipe,
    atom_statistics,
    describe_atom,
    import_codes,
    match_atom,
    measure_drawings,
    measure_storage,
    mix,
    runs,
)
from fiftyone_smic.fiftyone.crops import crop_files
from fiftyone_smic.fiftyone.visualization import load_map, samples_on_map

#: Boxes in 128 x 128 pixels, so that a crop's pixels can be said exactly.
BOXES = ([0, 0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [0.25, 0.25, 0.5, 0.25])
LATENTS = "objects.detections.clip_latents"


def frame(dataset):
    """Frame 3 objects in each image but the first."""
    for i, sample in enumerate(dataset):
        boxes = BOXES if i else ()
        sample["objects"] = fo.Detections(
            detections=[fo.Detection(label="thing", bounding_box=box) for box in boxes]
        )
        sample.save()


@pytest.fixture
def framed(original, delete):
    """12 postcards with 3 objects each in ``objects``, the first one without any."""
    dataset = original[:12].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    frame(dataset)
    return dataset


@pytest.fixture(scope="module")
def original_coded(original):
    """The framed postcards with codes of their objects, in three labels."""
    dataset = original[:12].clone()
    dataset.delete_sample_field("clip_latents")
    frame(dataset)
    kinds = [f"kind {i % 3}" for i in range(33)]
    rows = [[], *(kinds[i : i + 3] for i in range(0, 33, 3))]
    dataset.set_values("objects.detections.label", rows)
    smic.compute_latents(dataset, patches_field="objects")
    smic.learn_dictionary(dataset, "things", patches_field="objects", n_atoms=6)
    smic.encode(dataset, "things")
    yield dataset
    dataset.delete()


@pytest.fixture
def coded(original_coded):
    """A copy of them that a test may change; FiftyOne's clones keep dictionaries."""
    dataset = original_coded.clone()
    yield dataset
    dataset.delete()


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
        lambda: smic.find_outliers(framed, "parts"),
        lambda: smic.compute_similarity(framed, "parts"),
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


def of_labels(dataset, attribute):
    """Label id -> value of an attribute."""
    ids, values = dataset.values(["objects.detections.id", f"objects.detections.{attribute}"])
    return {
        i: value
        for some, found in zip(ids, values, strict=True)
        for i, value in zip(some or (), found or (), strict=True)
    }


def test_objects_are_drawn_each_from_its_own_code(coded, tmp_path):
    some = coded[1:3]
    report = smic.regenerate(some, "things", output_dir=tmp_path, steps=1, device="cpu")
    assert (report.drawn, report.reused, report.without_code) == (6, 0, 0)
    drawn = {i: path for i, path in of_labels(coded, "things_regenerated").items() if path}
    assert set(drawn) == {i for found in some.values("objects.detections.id") for i in found}
    pictures = {np.asarray(Image.open(path)).tobytes() for path in drawn.values()}
    assert len(pictures) == len({tuple(of_labels(some, "things_atoms")[i]) for i in drawn})
    assert smic.regenerate(some, "things", output_dir=tmp_path, steps=1).reused == 6
    measured = measure_drawings(coded, "things")
    assert measured.measured == 6
    assert -1 <= measured.mean <= 1
    # Another code forgets the picture; the same code keeps it.
    smic.encode(coded, "things")
    assert coded.count("objects.detections.things_regenerated") == 6
    first = coded[1:2].first()
    label = first.objects.detections[0]
    label.things_atoms, label.things_coefficients = [0], [7]
    first.save()
    smic.encode(coded, "things")
    assert coded.count("objects.detections.things_regenerated") == 5
    assert coded.count("objects.detections.things_drawn_fidelity") == 5


def test_nearest_answers_with_the_crop_of_another_object(coded, tmp_path):
    smic.regenerate(coded, "things", output_dir=tmp_path, generator="nearest")
    for i, path in of_labels(coded, "things_regenerated").items():
        with Image.open(path) as picture:
            assert picture.size in {(64, 64), (64, 32)}  # a crop, not a postcard of 128 x 128
        own = crop_files(coded, "things", [i])[i]
        assert np.asarray(Image.open(own)).tobytes() != np.asarray(Image.open(path)).tobytes()
    coded.set_values("filepath", [f"/nowhere/{i}.png" for i in range(len(coded))])
    with pytest.raises(ValueError, match="none of its 33 objects in 'objects' can be cut out"):
        smic.regenerate(coded, "things", output_dir=tmp_path, generator="nearest")


def test_a_view_of_patches_stands_for_its_objects(coded, tmp_path):
    patches = coded.to_patches("objects").match_labels(filter=F("label") == "kind 1")
    assert len(patches) == 11
    assert smic.compute_latents(patches, patches_field="objects", overwrite=False).kept == 11
    assert smic.encode(patches, "things").encoded == 11
    assert len(smic.rebuilt_latents(patches, "things")[0]) == 11
    report = smic.regenerate(patches[:2], "things", output_dir=tmp_path, steps=1, device="cpu")
    assert report.drawn == 2
    assert coded.count("objects.detections.things_regenerated") == 2
    with pytest.raises(ValueError, match="a view of patches cannot hold SMIC codes"):
        smic.compute_latents(patches)
    # What the grid shows of patches has the attributes, so the sidebar filters by them.
    fresh = coded.to_patches("objects")
    assert fresh.count("objects.things_bits") == 33
    most = max(fresh.values("objects.things_bits"))
    assert 1 <= len(fresh.match(F("objects.things_bits") >= most)) < 33


def test_statistics_and_views_count_objects(coded):
    atoms, levels = of_labels(coded, "things_atoms"), of_labels(coded, "things_coefficients")
    found = atom_statistics(coded, "things", labels="objects")
    assert found.items == 33
    for atom in range(len(found.names)):
        has = {i for i in atoms if dict(zip(atoms[i], levels[i], strict=True)).get(atom, 0) > 0}
        lacks = {i for i in atoms if dict(zip(atoms[i], levels[i], strict=True)).get(atom, 0) < 0}
        assert (found.has[atom], found.lacks[atom]) == (len(has), len(lacks))
        for sign, wanted in (("has", has), ("lacks", lacks), ("either", has | lacks)):
            view = match_atom(coded, atom, "things", sign=sign)
            assert set(of_labels(view, "label")) == wanted
        if has:
            assert {i for i, _ in describe_atom(coded, "things", atom).exemplars} <= has
            assert found.labels[atom] in {"kind 0", "kind 1", "kind 2"}
    with pytest.raises(ValueError, match="no field of single labels"):
        atom_statistics(coded, "things", labels="time")


def test_the_map_shows_objects(coded):
    shown = smic.visualize_atoms(coded, "things")
    assert len(shown.points) == 33
    assert set(shown.ids) == set(of_labels(coded, "label"))
    assert coded.get_brain_info("things_umap").config.patches_field == "objects"
    there = load_map(coded, "things")
    part = samples_on_map(coded, "things", [0, 5], [])
    assert set(of_labels(part, "label")) == {there.ids[0], there.ids[5]}


def test_atoms_are_named_after_words_or_the_objects_own_labels(coded):
    report = smic.name_atoms(coded, "things", labels="objects", weak=True)
    assert report.candidates == 3
    assert {name.split(" (")[0] for name in report.names} <= {"kind 0", "kind 1", "kind 2"}
    assert smic.name_atoms(coded, "things", ["a tent", "a boat", "night"]).candidates == 3
    with pytest.raises(ValueError, match="labels='objects'"):
        smic.name_atoms(coded, "things", labels="time")


def test_codes_of_objects_travel_in_an_archive(coded, delete, tmp_path):
    file = tmp_path / "things.smic"
    assert smic.export_archive(coded, "things", file).items == 33
    before = of_labels(coded, "things_atoms")
    clone = coded.clone()
    delete(clone.name)
    for key in smic.list_dictionaries(clone):
        clone.delete_run(key)
    assert not clone.has_field("objects.detections.things_atoms")
    report = import_codes(clone, file, "again", patches_field="objects")
    assert (report.matched, report.unmatched) == (33, [])
    assert of_labels(clone, "again_atoms") == before
    assert smic.encode(clone, "again").encoded == 33  # it knows where the latents are
    with pytest.raises(ValueError, match="no sample has a file name of this archive"):
        import_codes(clone, file, "whole")
    # Without the images it is a dataset of the objects.
    made = smic.import_archive(file, "drawn", steps=1, output_dir=tmp_path / "p", device="cpu")
    delete(made.name)
    assert sorted(map(str, made.values("smic_atoms"))) == sorted(map(str, before.values()))


def test_codes_of_objects_travel_as_a_dataset_of_the_objects(coded, delete, tmp_path):
    folder = tmp_path / "export"
    coded.export(str(folder), dataset_type=smic.types.SMICDataset, key="things", distortion=True)
    archive = smic.read_archive(folder / "codes.smic")
    latents = np.array(list(of_labels(coded, "clip_latents").values()))
    rest = latents - archive.dictionary.inverse_transform(archive.codes)
    true = np.square(rest).sum(axis=1)
    np.testing.assert_allclose(archive.distortion, true, rtol=0.05, atol=1e-6)
    made = fo.Dataset.from_dir(
        str(folder),
        dataset_type=smic.types.SMICDataset,
        name="objects-drawn",
        steps=1,
        output_dir=tmp_path / "pictures",
        device="cpu",
    )
    delete(made.name)
    assert len(made) == 33
    rows = zip(*made.values(["filepath", "objects.label", "things_atoms"]), strict=True)
    labels, atoms = of_labels(coded, "label"), of_labels(coded, "things_atoms")
    assert {Path(p).stem: (label, held) for p, label, held in rows} == {
        i: (labels[i], atoms[i]) for i in labels
    }
    assert not any(fo.load_dataset(name).name.startswith("tmp") for name in fo.list_datasets())


def test_storage_of_objects_is_measured_on_their_crops(coded):
    report = measure_storage(coded, "things", most_latents=33)
    assert (report.pictures, report.latents, report.kept) == (33, 33, True)
    assert 0 < report.codecs["jpeg"] < 33 * 2000
    assert runs.load_config(coded, "things").storage["curve"]


def test_mixes_of_objects(coded):
    ids = list(of_labels(coded, "label"))
    recipe = Recipe(ids[0], plus=ids[4], pictures=2)
    assert len(mix(coded, "things", recipe=recipe, device="cpu")) == 2
    nearest = mix(coded, "things", recipe=recipe, generator="nearest")
    with Image.open(nearest[0]) as picture:
        assert picture.size in {(64, 64), (64, 32)}


def test_objects_in_sampled_frames_of_videos(tmp_path, delete):
    # The frames that FiftyOne's sampling by ffmpeg writes, which it takes where they are there.
    folder = tmp_path / "frames" / "v"
    folder.mkdir(parents=True)
    for i in range(1, 5):
        Image.new("RGB", (64, 64), (50 * i, 40, 90)).save(folder / f"{i:06d}.jpg")
    (tmp_path / "v.mp4").write_bytes(b"no ffmpeg is needed")
    videos = fo.Dataset()
    delete(videos.name)
    sample = fo.Sample(str(tmp_path / "v.mp4"))
    for number in range(1, 5):
        boxes = [fo.Detection(label="x", bounding_box=box) for box in BOXES[:2]]
        sample.frames[number] = fo.Frame(objects=fo.Detections(detections=boxes))
    videos.add_sample(sample)
    view = videos.to_frames(sample_frames=True, output_dir=str(tmp_path / "frames"))
    for unfit in (view, view.to_patches("objects")):
        with pytest.raises(ValueError, match=r"frames .*to_frames\(sample_frames=True\)\.clone"):
            smic.compute_latents(unfit, encoder="postcards", patches_field="objects")
    frames = view.clone()
    delete(frames.name)
    assert smic.compute_latents(frames, encoder="postcards", patches_field="objects").computed == 8
    smic.learn_dictionary(frames, "things", patches_field="objects", n_atoms=2)
    assert smic.encode(frames, "things").encoded == 8
    assert frames.count("objects.detections.things_bits") == 8
