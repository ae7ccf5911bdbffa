"""Out of FiftyOne and back: archives, codes matched by name, and whole curated datasets."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import all_or_none, atom_names, fields, installing, list_dictionaries
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.utils.vectors import unit


def codes_of(dataset):
    return dataset.values(["smic_atoms", "smic_coefficients", "smic_bits"])


def curated(dataset):
    """Labels, tags and views as somebody would have made them, and an atom with a name."""
    first = dataset.first()
    first["boxes"] = fo.Detections(
        detections=[fo.Detection(label="tree", bounding_box=[0.1, 0.2, 0.3, 0.4], certain=True)]
    )
    first.tags = ["checked"]
    first.save()
    dataset.info["author"] = "me"
    dataset.save()
    smic.set_atom_names(dataset, "smic", {0: "mine"})
    dataset.save_view("sea", dataset.match(F("terrain.label") == "sea"))


def said(dataset):
    """What somebody has said about the samples."""
    names = ["id", "tags", "caption", "people", "terrain.label", "things.classifications.label"]
    boxes = ["boxes.detections.bounding_box", "boxes.detections.label"]
    return dataset.values([*names, *boxes, "boxes.detections.certain"])


def test_an_archive_becomes_a_dataset(encoded, tmp_path, delete):
    smic.export_archive(encoded[:6], "smic", tmp_path / "six.smic")
    delete("six")
    made = smic.import_archive(
        tmp_path / "six.smic", output_dir=tmp_path / "pictures", steps=1, draw=True
    )
    assert made.name == "six"
    assert codes_of(made)[:2] == codes_of(encoded[:6])[:2]
    for path, former in zip(made.values("filepath"), encoded.values("filepath"), strict=False):
        assert path == str(tmp_path / "pictures" / former.rsplit("/", 1)[1])
        with Image.open(path) as image:
            assert image.size >= (64, 64) and image.mode == "RGB"
    assert made.count("smic_regenerated") == 6
    again = smic.export_archive(made, "smic", tmp_path / "again.smic")
    assert again.payload_bits == smic.read_archive(tmp_path / "six.smic").rate.payload_bits


def test_pictures_can_be_drawn_later(encoded, tmp_path, delete):
    smic.export_archive(encoded, "smic", tmp_path / "a.smic")
    delete("later")
    made = smic.import_archive(
        tmp_path / "a.smic", "later", key="old", draw=False, output_dir=tmp_path / "pictures"
    )
    paths = made.values("filepath")
    assert all(map(is_placeholder, paths))
    smic.regenerate(made[3:5], "old", output_dir=tmp_path / "drawn", steps=1)
    assert [i for i, path in enumerate(paths) if not is_placeholder(path)] == [3, 4]
    with Image.open(paths[3]) as image, Image.open(made[3:4].first().old_regenerated) as drawn:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(drawn))
    # The map and similarity need no latents: the codes stand for them.
    assert len(smic.visualize_atoms(made, "old").points) == 80
    ids, latents = smic.rebuilt_latents(made, "old")
    view = made.select(ids, ordered=True)
    fob.compute_similarity(view, embeddings=latents, brain_key="alike", backend="sklearn")
    found = made.sort_by_similarity(ids[7], k=5, brain_key="alike").values("id")
    # FiftyOne subtracts the mean before it compares.
    moved = unit(latents - latents.mean(axis=0))
    nearest = np.argsort(-(moved @ moved[7]), kind="stable")[:5]
    assert found == [ids[i] for i in nearest]


def test_an_import_that_fails_leaves_nothing(encoded, tmp_path, delete):
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "000.png").write_text("somebody's")
    before = fo.list_datasets()
    data = bytearray((tmp_path / "a.smic").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "damaged.smic").write_bytes(data)
    with pytest.raises(smic.ArchiveError):
        smic.import_archive(tmp_path / "damaged.smic")
    with pytest.raises(FileExistsError, match="choose a new folder"):
        smic.import_archive(tmp_path / "a.smic", "x", output_dir=tmp_path / "full")
    with pytest.raises(ValueError, match="give another name"):
        smic.import_archive(tmp_path / "a.smic", encoded.name)
    with pytest.raises(ValueError, match="cannot be a dictionary key"):
        smic.import_archive(tmp_path / "a.smic", "x", key="two words")
    with pytest.raises(ValueError, match="What fits"):
        smic.import_archive(tmp_path / "a.smic", "x", generator="stabilityai/nothing")
    assert fo.list_datasets() == before
    assert (tmp_path / "full" / "000.png").read_text() == "somebody's"


def test_codes_for_samples_of_the_same_name(encoded, tmp_path, state):
    smic.export_archive(encoded[:50], "smic", tmp_path / "a.smic")
    smic.export_archive(encoded, "smic", tmp_path / "nameless.smic", names=False)
    report = smic.import_codes(encoded[10:], tmp_path / "a.smic", "old")
    assert (report.matched, len(report.unmatched)) == (40, 10)
    atoms, there = encoded.values(["smic_atoms", "old_atoms"])
    assert there == [None] * 10 + atoms[10:50] + [None] * 30
    # The imported dictionary codes as the original does, but that an archive rounds how often atoms
    # are used, and then knows the fidelity.
    smic.encode(encoded, "old")
    alike = [a == b for a, b in zip(encoded.values("old_atoms"), atoms, strict=True)]
    assert sum(alike) >= 75
    ours, theirs = encoded.values(["smic_fidelity", "old_fidelity"])
    assert np.mean(theirs) == pytest.approx(np.mean(ours), abs=0.002)
    before = state(encoded)
    for path, where, says in (
        ("nameless.smic", encoded, "no file names to find its samples by"),
        ("a.smic", encoded[60:], "no sample has a file name of this archive"),
    ):
        with pytest.raises(ValueError, match=says):
            smic.import_codes(where, tmp_path / path, "new")
    with pytest.raises(ValueError, match="choose another key"):
        smic.import_codes(encoded, tmp_path / "a.smic", "old")
    assert state(encoded) == before


def test_a_dictionary_that_another_process_stored_meanwhile_stays(encoded, tmp_path, monkeypatch):
    smic.export_archive(encoded, "smic", tmp_path / "a.smic")
    write_codes = installing.write_codes

    def imported(dataset, key, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(installing, "write_codes", write_codes)
            smic.import_codes(dataset, tmp_path / "a.smic", "same")
        return write_codes(dataset, key, *arguments, **options)

    monkeypatch.setattr(installing, "write_codes", imported)
    with pytest.raises(ValueError, match="another process has stored a dictionary 'same'"):
        smic.import_codes(encoded, tmp_path / "a.smic", "same")
    assert encoded.values("same_atoms") == encoded.values("smic_atoms")  # the other import's
    assert encoded.list_runs() == ["same", "smic"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_import_of_codes_that_fails_changes_nothing(
    encoded, tmp_path, monkeypatch, state, overwrite
):
    smic.export_archive(encoded, "smic", tmp_path / "a.smic")
    smic.learn_dictionary(encoded, n_atoms=4, overwrite=True)
    smic.encode(encoded)
    before = state(encoded)
    set_of_samples = all_or_none.set_of_samples
    calls = []

    def fail_at_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError("database is full")
        return set_of_samples(*arguments)

    monkeypatch.setattr(fields, "AT_ONCE", 20)
    monkeypatch.setattr(all_or_none, "set_of_samples", fail_at_third)
    with pytest.raises(OSError, match="database is full"):
        smic.import_codes(
            encoded, tmp_path / "a.smic", "smic" if overwrite else "new", overwrite=overwrite
        )
    assert state(encoded) == before
    assert smic.rebuilt_latents(encoded)[1].shape[0] == len(encoded)


def test_names_that_fit_several_samples(encoded, tmp_path):
    smic.export_archive(encoded[:2], "smic", tmp_path / "a.smic")
    encoded.add_sample(fo.Sample(f"/elsewhere/{encoded.first().filename}"))
    with pytest.raises(ValueError, match="2 samples are called"):
        smic.import_codes(encoded, tmp_path / "a.smic", "other")


@pytest.mark.parametrize("archive", [False, True])
def test_a_curated_dataset_comes_back(encoded, tmp_path, delete, archive):
    curated(encoded)
    target = tmp_path / ("out.zip" if archive else "out")
    encoded.export(str(target), dataset_type=smic.types.SMICDataset, key="smic", progress=False)
    where = {"dataset_type": smic.types.SMICDataset, "name": "back", "draw": False}
    where["output_dir"] = tmp_path / "pictures"
    delete("back")
    if archive:
        assert not (tmp_path / "out").exists()
        back = fo.Dataset.from_archive(str(target), cleanup=False, progress=False, **where)
    else:
        back = fo.Dataset.from_dir(str(target), progress=False, **where)
    assert said(back) == said(encoded)
    assert codes_of(back)[:2] == codes_of(encoded)[:2]
    # An archive counts the bits by its own items, the dataset by those it was learned from.
    assert back.sum("smic_bits") == pytest.approx(encoded.sum("smic_bits"), rel=0.05)
    assert back.values("smic_labels.classifications.label") == encoded.values(
        "smic_labels.classifications.label"
    )
    assert atom_names(back, "smic")[0] == "mine"
    assert back.info["author"] == "me"
    assert back.load_saved_view("sea").values("id") == encoded.load_saved_view("sea").values("id")
    assert not back.has_field("clip_latents")
    former = [Path(path).name for path in encoded.values("filepath")]
    assert [Path(path).name for path in back.values("filepath")] == former
    assert is_placeholder(back.first().filepath)
    assert smic.regenerate(back[:1], steps=1, output_dir=tmp_path / "d").drawn == 1
    assert not is_placeholder(back.first().filepath)


def test_part_of_a_dataset_with_chosen_fields(encoded, tmp_path, delete):
    view = encoded.match(F("terrain.label") == "sea")
    kind = smic.types.SMICDataset
    view.export(str(tmp_path / "out"), dataset_type=kind, fields=["caption"], progress=False)
    delete("some")
    back = fo.Dataset.from_dir(
        str(tmp_path / "out"),
        dataset_type=kind,
        name="some",
        steps=1,
        max_samples=3,
        shuffle=True,
        seed=51,
        tags="imported",
        output_dir=tmp_path / "pictures",
        progress=False,
    )
    assert len(back) == 3 and not back.has_field("terrain")
    assert set(map(tuple, back.values("tags"))) == {("imported",)}
    former = dict(zip(*view.values(["id", "smic_atoms"]), strict=True))
    captions = dict(zip(*view.values(["id", "caption"]), strict=True))
    for sample in back:
        assert sample.smic_atoms == former[sample.id]
        assert sample.caption == captions[sample.id]
        assert not is_placeholder(sample.filepath)


def test_an_export_that_would_lose_pictures(encoded, tmp_path):
    encoded.add_sample(fo.Sample("/nowhere/new.png"))
    with pytest.raises(ValueError, match="1 of 81 samples have no code"):
        encoded.export(str(tmp_path / "out"), dataset_type=smic.types.SMICDataset)
    with pytest.raises(ValueError, match="has no dictionary 'other'"):
        encoded.export(str(tmp_path / "out"), dataset_type=smic.types.SMICDataset, key="other")


def test_codes_of_another_export(encoded, tmp_path, delete):
    delete("mixed")
    for name, samples in (("a", encoded[:5]), ("b", encoded[:4])):
        samples.export(str(tmp_path / name), dataset_type=smic.types.SMICDataset, progress=False)
    (tmp_path / "a" / "codes.smic").write_bytes((tmp_path / "b" / "codes.smic").read_bytes())
    with pytest.raises(smic.ArchiveError, match="do not belong together"):
        fo.Dataset.from_dir(
            str(tmp_path / "a"), dataset_type=smic.types.SMICDataset, name="mixed", draw=False
        )


def test_the_slice_of_a_group_comes_back(original, tmp_path, delete):
    dataset = fo.Dataset()
    delete(dataset.name)
    dataset.add_group_field("group", default="left")
    samples = []
    for path, latent in zip(*original[:20].values(["filepath", "clip_latents"]), strict=True):
        group = fo.Group()
        samples += [
            fo.Sample(path, group=group.element("left")),
            fo.Sample(path, group=group.element("right"), clip_latents=latent, note="right"),
        ]
    dataset.add_samples(samples)
    right = dataset.select_group_slices("right")
    smic.learn_dictionary(right)
    assert smic.encode(right).encoded == 20
    right.export(str(tmp_path / "out"), dataset_type=smic.types.SMICDataset, progress=False)
    delete("slice")
    back = fo.Dataset.from_dir(
        str(tmp_path / "out"), dataset_type=smic.types.SMICDataset, name="slice", draw=False
    )
    assert back.media_type == "image" and back.values("note") == ["right"] * 20
    assert back.values("smic_atoms") == right.values("smic_atoms")


def test_a_saved_view_by_atom(encoded):
    atom = encoded.first().smic_atoms[0]
    view = encoded.match(F("smic_atoms").contains(atom))
    encoded.save_view("with-the-atom", view)
    again = fo.load_dataset(encoded.name).load_saved_view("with-the-atom")
    assert again.values("id") == view.values("id") and encoded.first().id in again.values("id")
    assert list_dictionaries(again) == ["smic"]
