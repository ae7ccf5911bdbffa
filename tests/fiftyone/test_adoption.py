"""Embeddings and dictionaries that are there already are taken over, or refused with a reason."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.embedding_sources import zoo_encoder


@pytest.fixture
def bare(original, delete):
    """16 postcards without latents, and the latents they had."""
    dataset = original[:16].clone()
    delete(dataset.name)
    latents = np.stack(dataset.values("clip_latents"))
    info = dict(dataset.get_field("clip_latents").info)
    dataset.delete_sample_field("clip_latents")
    return dataset, latents, info


@pytest.mark.parametrize(("kind", "length"), [("vector", 1.0), ("array", 7.5), ("list", 7.5)])
def test_a_field_of_embeddings(bare, kind, length):
    dataset, latents, info = bare
    rows = list(length * latents)
    if kind == "list":
        dataset.add_sample_field("mine", fo.ListField, subfield=fo.FloatField)
        rows = [row.tolist() for row in rows]
    else:
        dataset.add_sample_field("mine", fo.VectorField if kind == "vector" else fo.ArrayField)
    rows[3] = None
    dataset.set_values("mine", rows)
    report = smic.adopt_latents(dataset, "mine", encoder="postcards", check=5)
    assert (report.adopted, report.dim, report.encoder) == (15, 128, info["encoder"])
    assert report.cosine == pytest.approx(1, abs=1e-4)
    assert report.advice == ""
    assert next(iter(report.skipped.values())).endswith("no embedding in 'mine'")
    stored = dataset.get_field("clip_latents")
    assert isinstance(stored, fo.VectorField)
    # The raw length is the encoder's, whatever the length of what was adopted.
    assert stored.info["latent_norm"] == pytest.approx(info["latent_norm"], rel=0.1)
    extended = smic.compute_latents(dataset)
    assert (extended.computed, extended.kept) == (1, 15)
    np.testing.assert_allclose(dataset.values("clip_latents"), latents, atol=1e-4)
    smic.learn_dictionary(dataset, n_atoms=4)
    smic.encode(dataset)
    assert runs.load_config(dataset, "smic").latent_norm == stored.info["latent_norm"]


def test_in_place(bare):
    dataset, latents, info = bare
    dataset.add_sample_field("mine", fo.VectorField)
    dataset.set_values("mine", list(3 * latents))
    report = smic.adopt_latents(dataset, "mine", "mine", encoder="postcards", check=3)
    assert report.adopted == 16
    assert dataset.get_field("mine").info["encoder"] == info["encoder"]
    assert smic.compute_latents(dataset, "mine").kept == 16


def test_a_similarity_run(bare):
    dataset, latents, info = bare
    fob.compute_similarity(dataset, embeddings=5 * latents, brain_key="alike")
    assert smic.adopt_latents(dataset, "alike", "alike", encoder="postcards", check=2).adopted == 16
    report = smic.adopt_latents(dataset, "alike", encoder="postcards", check=4)
    assert report.adopted == 16 and report.encoder == info["encoder"]
    np.testing.assert_allclose(dataset.values("clip_latents"), latents, atol=1e-5)


def test_a_visualization_run_gives_only_what_its_field_holds(bare):
    dataset, latents, _ = bare
    fob.compute_visualization(dataset, points=latents[:, :2], brain_key="map")
    with pytest.raises(ValueError, match=r"keeps no embeddings.*embeddings_field"):
        smic.adopt_latents(dataset, "map")
    dataset.add_sample_field("mine", fo.VectorField)
    dataset.set_values("mine", list(latents))
    fob.compute_visualization(
        dataset, embeddings="mine", method="pca", brain_key="second", num_dims=2
    )
    assert smic.adopt_latents(dataset, "second", encoder="postcards", check=3).adopted == 16


def test_an_unknown_encoder(bare, caplog):
    dataset, latents, _ = bare
    dataset.add_sample_field("mine", fo.VectorField)
    dataset.set_values("mine", list(3 * latents))
    report = smic.adopt_latents(dataset, "mine")
    assert (report.encoder, report.cosine) == ("unknown", None)
    assert report.norm == pytest.approx(3, rel=1e-3)
    assert "encoder='MODEL/PRETRAINED'" in report.advice
    assert report.advice in caplog.text
    smic.learn_dictionary(dataset, n_atoms=4)
    assert smic.encode(dataset).encoded == 16
    with pytest.raises(ValueError, match="unknown"):
        smic.regenerate(dataset[:1], steps=1)
    with pytest.raises(ValueError, match="they cannot be mixed"):
        smic.adopt_latents(dataset, "mine")


def test_embeddings_of_other_pixels_are_told(bare, tmp_path, encoder, caplog):
    dataset, _, _ = bare
    squashed = []
    for i, path in enumerate(dataset.values("filepath")):
        with Image.open(path) as image:  # as a tool that loses a quarter of every picture
            image.crop((0, 0, image.width * 3 // 4, image.height)).save(tmp_path / f"{i}.png")
        squashed.append(tmp_path / f"{i}.png")
    dataset.add_sample_field("mine", fo.VectorField)
    dataset.set_values("mine", list(encoder.encode_images(squashed).latents))
    report = smic.adopt_latents(dataset, "mine", encoder="postcards")
    assert 0.5 < report.cosine < 0.995
    assert f"cosine {report.cosine:.3f} over 8 images" in report.advice
    caplog.clear()
    smic.compute_latents(dataset)
    assert "of other preprocessing" in caplog.text


def test_embeddings_of_something_else_are_refused(bare, state):
    dataset, latents, _ = bare
    rng = np.random.default_rng(0)
    for name, rows in {
        "noise": rng.normal(size=latents.shape).astype(np.float32),
        "others": np.roll(latents, 5, axis=0),  # of the right encoder, and of other pictures
    }.items():
        dataset.add_sample_field(name, fo.VectorField)
        dataset.set_values(name, list(rows))
    dataset.add_sample_field("short", fo.VectorField)
    dataset.set_values("short", list(latents[:, :64]))
    before = state(dataset)
    for name in ("noise", "others"):
        with pytest.raises(ValueError, match=f"'postcards' did not make '{name}'"):
            smic.adopt_latents(dataset, name, encoder="postcards")
    with pytest.raises(ValueError, match="128 dimensions and these have 64"):
        smic.adopt_latents(dataset, "short", encoder="postcards")
    with pytest.raises(ValueError, match="have been normalised"):
        smic.adopt_latents(dataset, "others", encoder="postcards", check=0)
    with pytest.raises(ValueError, match=r"'nothing' is not there.*\['noise', 'others', 'short'\]"):
        smic.adopt_latents(dataset, "nothing")
    with pytest.raises(ValueError, match="holds StringField values"):
        smic.adopt_latents(dataset, "caption")
    assert state(dataset) == before


@pytest.mark.parametrize(
    ("model", "arguments", "name", "differs"),
    [
        ("clip-vit-base32-torch", {}, "ViT-B-32/openai", True),
        ("open-clip-torch", {}, "ViT-B-32/openai", True),
        (
            "open-clip-torch",
            {"clip_model": "ViT-L-14-quickgelu", "pretrained": "openai"},
            "ViT-L-14-quickgelu/openai",
            False,
        ),
        (
            "open-clip-torch",
            {"clip_model": "ViT-H-14", "pretrained": "laion2b_s32b_b79k"},
            "ViT-H-14/laion2b_s32b_b79k",
            False,
        ),
        ("zero-shot-classification-transformer-torch", {}, "ViT-L-14/openai", False),
        ("siglip-base-patch16-224-torch", {}, "zoo:siglip-base-patch16-224-torch", False),
        (
            "clip-transformer-torch",
            {"name_or_path": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"},
            "ViT-H-14/laion2b_s32b_b79k",
            False,
        ),
        (
            "zero-shot-classification-transformer-torch",
            {"name_or_path": "somebody/else"},
            None,
            False,
        ),
        (None, {}, None, False),
    ],
)
def test_models_of_the_zoo(model, arguments, name, differs):
    found, note = zoo_encoder(model, arguments)
    assert found == name
    assert bool(note) == differs


def test_an_encoder_that_is_not_here_leaves_the_embeddings_usable(bare):
    dataset, latents, _ = bare
    dataset.add_sample_field("mine", fo.VectorField)
    dataset.set_values("mine", list(latents))
    fob.compute_similarity(dataset, embeddings="mine", brain_key="alike")
    info = dataset.get_brain_info("alike")
    info.config.model = "clip-vit-base32-torch"  # as a run of that model says
    dataset._doc.brain_methods["alike"].config = info.config.serialize()
    dataset._doc.brain_methods["alike"].save()
    report = smic.adopt_latents(dataset, "alike")
    assert report.encoder == "unknown" and "cannot be loaded here" in report.advice
    with pytest.raises((ValueError, RuntimeError, OSError)):
        smic.adopt_latents(dataset, "alike", "again", encoder="ViT-B-32/openai")


# --- dictionaries of clones ---------------------------------------------------------------------


@pytest.mark.parametrize("named", [False, True])
def test_a_clone_of_a_view_takes_its_dictionary_over(make_dataset, clustered, delete, named):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, "scenes", n_atoms=6)
    smic.encode(dataset, "scenes")
    clone = dataset[:10].clone()
    delete(clone.name)
    for call in (smic.encode, smic.rebuilt_latents, smic.load_dictionary, smic.learn_dictionary):
        with pytest.raises(ValueError, match=r"adopt_dictionary\(dataset, key='scenes'\)"):
            call(clone, "scenes")
    smic.adopt_dictionary(clone, "scenes", dataset.name if named else None)
    assert smic.list_dictionaries(clone) == ["scenes"]
    np.testing.assert_array_equal(
        smic.rebuilt_latents(clone, "scenes")[1], smic.rebuilt_latents(dataset[:10], "scenes")[1]
    )
    storage = runs.load_config(clone, "scenes").storage
    assert storage["items"] == 10  # its own numbers, not those of the whole
    assert runs.stored_rate(storage).total_bits == smic.encode(clone, "scenes").rate.total_bits
    with pytest.raises(ValueError, match="nothing to adopt"):
        smic.adopt_dictionary(clone, "scenes")


def test_a_dictionary_that_did_not_make_the_codes_is_not_taken(make_dataset, clustered, delete):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, n_atoms=6)
    smic.encode(dataset)
    clone = dataset[:10].clone()
    delete(clone.name)
    smic.learn_dictionary(dataset, n_atoms=3, overwrite=True)
    with pytest.raises(ValueError, match="no dataset of this database has the dictionary"):
        smic.adopt_dictionary(clone)
    with pytest.raises(ValueError, match="does not have the dictionary that made"):
        smic.adopt_dictionary(clone, from_dataset=dataset)
    # Codes of version 0.1.0 do not say which dictionary made them; their bits do.
    labels = [
        fo.Classifications(classifications=held.classifications)
        for held in clone.values("smic_labels")
    ]
    clone.set_values("smic_labels", labels)
    with pytest.raises(ValueError, match="name the dataset that they were cloned from"):
        smic.adopt_dictionary(clone)
    with pytest.raises(ValueError, match="their bits are not those"):
        smic.adopt_dictionary(clone, from_dataset=dataset)
    assert smic.list_dictionaries(clone) == []


# --- objects ------------------------------------------------------------------------------------

#: Two boxes an image; FiftyOne's compute_patch_embeddings writes such attributes.
BOXES = {"left": [0, 0, 0.5, 1], "low": [0.25, 0.5, 0.5, 0.5]}


@pytest.fixture(scope="module")
def original_boxed(original, delete_later):
    """9 postcards with two objects each but the first, and latents of the objects."""
    dataset = original[:9].clone()
    delete_later(dataset.name)
    dataset.delete_sample_field("clip_latents")
    for sample in dataset[1:]:
        sample["objects"] = fo.Detections(
            detections=[fo.Detection(label=k, bounding_box=box) for k, box in BOXES.items()]
        )
        sample.save()
    smic.compute_latents(dataset, "made", patches_field="objects", alpha=0.1)
    return dataset


@pytest.fixture(scope="module")
def delete_later():
    names = []
    yield names.append
    for name in names:
        fo.delete_dataset(name)


@pytest.fixture
def boxed(original_boxed, delete):
    """A copy that a test may change, whose ``made`` nobody knows; the latents; the encoder."""
    dataset = original_boxed.clone()
    delete(dataset.name)
    field = dataset.get_field("objects.detections.made")
    info = dict(field.info)
    field.info = None
    field.save()
    rows = [row for found in dataset[1:].values("objects.detections.made") for row in found]
    return dataset, np.stack(rows), info


CUT = {"patches_field": "objects", "alpha": 0.1}
HOW = {**CUT, "encoder": "postcards", "check": 5}


def put(dataset, name, rows, kind=fo.VectorField, **options):
    """Give the labels an attribute, declared or, with None, not."""
    if kind is not None:
        dataset.add_sample_field(f"objects.detections.{name}", kind, **options)
    for sample, at in zip(dataset[1:], range(0, len(rows), 2), strict=True):
        for label, row in zip(sample.objects.detections, rows[at : at + 2], strict=True):
            if row is not None:
                label[name] = row
        sample.save()


def stored(dataset, name="clip_latents"):
    return [row for found in dataset[1:].values(f"objects.detections.{name}") for row in found]


@pytest.mark.parametrize("kind", ["vector", "list", "undeclared"])
def test_embeddings_of_objects(boxed, kind):
    dataset, latents, info = boxed
    rows = list(7.5 * latents)
    if kind == "list":
        rows = [row.tolist() for row in rows]
        options = {"kind": fo.ListField, "subfield": fo.FloatField}
    else:
        options = {"kind": fo.VectorField if kind == "vector" else None}
    rows[3] = None
    put(dataset, "mine", rows, **options)
    path = "objects.detections.mine"
    report = smic.adopt_latents(dataset, path if kind == "vector" else "mine", **HOW)
    assert (report.field, report.adopted) == ("objects.detections.clip_latents", 15)
    assert report.encoder == info["encoder"]
    assert report.cosine == pytest.approx(1, abs=1e-3)
    assert "no embedding in" in next(iter(report.skipped.values()))
    about = dataset.get_field(report.field).info
    assert about["latent_norm"] == pytest.approx(info["latent_norm"], rel=0.1)
    # compute_latents goes on where the embeddings end, and cuts the boxes alike.
    extended = smic.compute_latents(dataset, **CUT)
    assert (extended.computed, extended.kept) == (1, 15)
    np.testing.assert_allclose(stored(dataset), latents, atol=1e-4)
    with pytest.raises(ValueError, match=r"alpha=0\.1, and these would be"):
        smic.compute_latents(dataset, patches_field="objects")
    smic.learn_dictionary(dataset, patches_field="objects", n_atoms=4)
    assert smic.encode(dataset).encoded == 16


def test_embeddings_of_objects_in_place_and_in_parts(boxed):
    dataset, latents, _ = boxed
    report = smic.adopt_latents(dataset, "made", "made", **HOW)
    assert report.adopted == 16
    assert dataset.get_field("objects.detections.made").info["alpha"] == 0.1
    assert smic.compute_latents(dataset, "made", **CUT).kept == 16
    # A view, of images or of patches, takes its own; the rest follows later.
    some = dataset.to_patches("objects").match(fo.ViewField("objects.label") == "low")
    assert smic.adopt_latents(some, "made", **HOW).adopted == 8
    assert smic.adopt_latents(dataset, "made", **HOW).adopted == 8
    np.testing.assert_allclose(stored(dataset), latents, atol=1e-5)


def test_runs_of_the_brain_on_objects(boxed):
    dataset, latents, info = boxed
    by_sample = dict(zip(dataset[1:].values("id"), 5 * latents.reshape(8, 2, -1), strict=True))
    fob.compute_similarity(
        dataset, patches_field="objects", embeddings=by_sample, brain_key="alike"
    )
    fob.compute_similarity(dataset.to_patches("objects"), embeddings=latents, brain_key="patches")
    fob.compute_visualization(
        dataset, patches_field="objects", embeddings="made", method="pca", brain_key="map"
    )
    for key in ("alike", "patches", "map"):
        report = smic.adopt_latents(dataset, key, key, **HOW)
        assert (report.adopted, report.encoder) == (16, info["encoder"]), key
        np.testing.assert_allclose(stored(dataset, key), latents, atol=1e-5)
    with pytest.raises(ValueError, match=r"the objects in 'objects'.*patches_field='objects'"):
        smic.adopt_latents(dataset, "alike")
    with pytest.raises(ValueError, match="has no embedding of any of these 9 samples"):
        smic.adopt_latents(dataset, "patches")
    fob.compute_similarity(dataset, roi_field="objects", embeddings="made", brain_key="mean")
    with pytest.raises(ValueError, match="the mean over its objects in 'objects'"):
        smic.adopt_latents(dataset, "mean")
    whole = np.zeros((9, 4)) + np.arange(1, 10)[:, None]
    fob.compute_similarity(dataset, embeddings=whole, brain_key="whole")
    with pytest.raises(ValueError, match="has no embedding of any of these 16 objects"):
        smic.adopt_latents(dataset, "whole", **HOW)


def test_without_pictures_nothing_is_believed(boxed):
    dataset, _, info = boxed
    field = dataset.get_field("objects.detections.made")
    field.info = info  # the attribute says its encoder itself
    field.save()
    dataset.set_values("filepath", [f"/nowhere/{i}.png" for i in range(9)])
    with pytest.raises(ValueError, match="no picture of these objects could be read"):
        smic.adopt_latents(dataset, "made", **HOW)
    report = smic.adopt_latents(dataset, "made", **CUT)
    assert (report.encoder, report.adopted) == ("unknown", 16)
    assert "no picture of these objects could be read to compare" in report.advice
    # Those of an unknown encoder are replaced as a whole or not at all.
    with pytest.raises(ValueError, match="overwrite those of the whole dataset"):
        smic.adopt_latents(dataset[:3], "made", **CUT, overwrite=True)
    assert smic.adopt_latents(dataset, "made", **CUT, overwrite=True).adopted == 16


def test_objects_that_were_cut_out_otherwise(boxed, caplog):
    dataset, _, _ = boxed
    report = smic.adopt_latents(dataset, "made", **{**HOW, "alpha": 0.6})
    assert 0.3 < report.cosine < 0.995
    assert "another force_square or alpha" in report.advice
    last = dataset.last()
    last.objects.detections[0].clip_latents = None
    last.save()
    caplog.clear()
    smic.compute_latents(dataset, **{**CUT, "alpha": 0.6})
    assert "of other preprocessing" in caplog.text
    caplog.clear()
    smic.compute_latents(dataset, **{**CUT, "alpha": 0.6}, overwrite=True)
    smic.compute_latents(dataset, **{**CUT, "alpha": 0.6})
    assert "of other preprocessing" not in caplog.text  # they were all made anew


def test_objects_whose_encoder_nobody_knows(boxed):
    dataset, _, _ = boxed
    report = smic.adopt_latents(dataset, "made", **CUT)
    assert report.encoder == "unknown"
    assert "encoder='MODEL/PRETRAINED', patches_field='objects'" in report.advice
    smic.learn_dictionary(dataset, patches_field="objects", n_atoms=4)
    assert smic.encode(dataset).encoded == 16
    with pytest.raises(ValueError, match="unknown"):
        smic.regenerate(dataset[:2], steps=1)
    with pytest.raises(ValueError, match="they cannot be mixed"):
        smic.adopt_latents(dataset, "made", **CUT)


def test_what_is_wrong_with_embeddings_of_objects_is_said_and_nothing_changes(boxed, state):
    dataset, latents, _ = boxed
    rng = np.random.default_rng(0)
    put(dataset, "noise", list(rng.normal(size=latents.shape)))
    put(dataset, "short", list(latents[:, :64]))
    put(dataset, "mixed", [row[: 64 + 64 * (i % 2)] for i, row in enumerate(latents)])
    bad = [np.full(4, np.nan), np.zeros(4), np.full(4, np.inf), None] * 4
    put(dataset, "bad", bad)
    put(dataset, "plate", [str(i) for i in range(16)], kind=None)
    put(dataset, "score", [float(i) for i in range(16)], kind=None)
    put(dataset, "words", [["1", "2"]] * 16, kind=None)
    put(dataset, "declared", ["x"] * 16, kind=fo.StringField)
    dataset.add_sample_field("whole", fo.VectorField)
    dataset.set_values("whole", list(rng.normal(size=(9, 8))))
    before = state(dataset)
    for arguments, words in (
        ({"source": "noise"}, "'postcards' did not make 'noise': over 5 objects"),
        ({"source": "short"}, "128 dimensions and these have 64"),
        ({"source": "mixed"}, r"different lengths \[64, 128\].*view of their objects"),
        ({"source": "bad"}, "none of the 16 objects has a usable embedding.*NaN"),
        ({"source": "plate"}, "none of the 16 objects.*holds no list of numbers"),
        ({"source": "score"}, "none of the 16 objects.*holds no list of numbers"),
        ({"source": "words"}, "none of the 16 objects.*holds no list of numbers"),
        ({"source": "declared"}, "'declared' holds StringField values"),
        ({"source": "nothing"}, r"'nothing' is not there.*\['made', 'noise'"),
        ({"source": "whole"}, "field of whole images: leave patches_field out"),
        ({"source": ""}, "'' is not there"),
        ({"source": "$label"}, r"'\$label' is not there"),
        ({"source": "made..x"}, "'made..x' is not there"),
        ({"source": None}, "None is not there"),
        ({"source": "made", "field": "declared"}, "holds StringField values, not vectors"),
        ({"source": "made", "field": "a b"}, "not a valid field name"),
        ({"source": "plate", "field": "plate"}, "none of the 16 objects"),
        ({"source": "made", "patches_field": "whole"}, "holds no detections"),
        ({"source": "made", "patches_field": "gone"}, "is not there"),
        ({"source": "made", "alpha": -1}, "alpha=-1 is no share"),
        ({"source": "made", "alpha": float("nan")}, "alpha=nan is no share"),
        ({"source": "made", "check": -1}, "check=-1 is no number"),
        ({"source": "made", "check": True}, "check=True is no number"),
        ({"source": "made", "check": 0}, "have been normalised"),
        ({"source": "made", "encoder": "photos"}, "is not an encoder"),
        ({"source": "made", "patches_field": None}, "pass patches_field=…"),
        (
            {"source": "objects.detections.made", "patches_field": None, "alpha": None},
            "belongs to the objects in 'objects': pass patches_field='objects'",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            smic.adopt_latents(dataset, **{**HOW, **arguments})
    assert state(dataset) == before
    with pytest.raises(ValueError, match="pass patches_field=…"):
        smic.compute_latents(dataset, force_square=True)
