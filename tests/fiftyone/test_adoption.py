"""Embeddings and dictionaries that are there already are taken over, or refused with a reason."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.adoption import zoo_encoder


@pytest.fixture
def bare(original, delete):
    """16 postcards without latents, and the latents they had."""
    dataset = original[:16].clone()
    delete(dataset.name)
    latents = np.stack(dataset.values("clip_latents"))
    info = dict(dataset.get_field("clip_latents").info)
    dataset.delete_sample_field("clip_latents")
    return dataset, latents, info


@pytest.mark.parametrize("kind", ["vector", "array", "list"])
@pytest.mark.parametrize("length", [1.0, 7.5])
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
