"""Bad input: a message that says what to do, and a dataset that is as it was."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic


def every_function(samples):
    """The five functions, as calls on ``samples``."""
    return {
        "compute_latents": lambda: smic.compute_latents(samples),
        "learn_dictionary": lambda: smic.learn_dictionary(samples),
        "encode": lambda: smic.encode(samples),
        "regenerate": lambda: smic.regenerate(samples),
        "visualize_atoms": lambda: smic.visualize_atoms(samples),
    }


NAMES = sorted(every_function(None))


@pytest.mark.parametrize("name", NAMES)
def test_empty_view(make_dataset, clustered, name):
    dataset = make_dataset(clustered)
    with pytest.raises(ValueError, match="no samples here; choose another view"):
        every_function(dataset.match({"_id": None}))[name]()


@pytest.mark.parametrize("name", NAMES)
def test_video(make_dataset, clustered, name):
    dataset = make_dataset(clustered[:3], suffix="mp4")
    with pytest.raises(ValueError, match=r"holds videos .*to_frames"):
        every_function(dataset)[name]()


@pytest.mark.parametrize("name", NAMES)
def test_point_clouds(make_dataset, clustered, name):
    dataset = make_dataset(clustered[:3], suffix="pcd")
    with pytest.raises(ValueError, match="SMIC works on images; choose"):
        every_function(dataset)[name]()


@pytest.mark.parametrize("name", NAMES)
def test_patches(postcards, name):
    postcards.add_sample_field("boxes", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    sample = postcards.first()
    sample["boxes"] = fo.Detections(detections=[fo.Detection(label="x", bounding_box=[0, 0, 1, 1])])
    sample.save()
    with pytest.raises(ValueError, match="work on the whole dataset instead"):
        every_function(postcards.to_patches("boxes"))[name]()


def test_a_grouped_dataset_stands_for_its_active_slice(make_dataset, clustered):
    dataset = make_dataset([])
    dataset.delete_sample_field("clip_latents")
    dataset.add_group_field("group", default="left")
    samples = []
    for i, row in enumerate(clustered):
        group = fo.Group()
        for side in ("left", "right"):
            samples.append(fo.Sample(f"/nowhere/{side}{i}.jpg", group=group.element(side)))
            if side == "left":
                samples[-1]["clip_latents"] = row
    dataset.add_samples(samples)
    smic.learn_dictionary(dataset)
    assert smic.encode(dataset).encoded == len(clustered)
    left, right = (dataset.select_group_slices(side) for side in ("left", "right"))
    assert None not in left.values("smic_atoms")
    assert set(right.values("smic_atoms")) == {None}
    dataset.group_slice = "right"
    with pytest.raises(ValueError, match="none of the 60 samples has a usable latent"):
        smic.encode(dataset)


def test_a_group_slice_of_point_clouds(make_dataset):
    dataset = make_dataset([], field=None)
    dataset.add_group_field("group", default="lidar")
    group = fo.Group()
    dataset.add_samples(
        [
            fo.Sample("/nowhere/a.pcd", group=group.element("lidar")),
            fo.Sample("/nowhere/a.jpg", group=group.element("camera")),
        ]
    )
    with pytest.raises(ValueError, match="select_group_slices"):
        smic.compute_latents(dataset)


def test_not_a_dataset():
    with pytest.raises(ValueError, match="expected a FiftyOne dataset or view, got list"):
        smic.compute_latents([])


@pytest.mark.parametrize("name", ["encode", "regenerate", "visualize_atoms"])
def test_unknown_dictionary(make_dataset, clustered, name):
    with pytest.raises(ValueError, match=r"no dictionary 'smic' \(it has none yet\); learn one"):
        every_function(make_dataset(clustered))[name]()


def test_missing_latents_field(make_dataset, clustered, state):
    dataset = make_dataset(clustered, field="other")
    before = state(dataset)
    with pytest.raises(ValueError, match=r"compute latents first .*vector fields \['other'\]"):
        smic.learn_dictionary(dataset)
    assert state(dataset) == before


def test_latents_field_of_another_kind(make_dataset, clustered):
    dataset = make_dataset(clustered, field=None)
    dataset.add_sample_field("clip_latents", fo.StringField)
    with pytest.raises(ValueError, match="holds StringField values, not vectors"):
        smic.compute_latents(dataset)


@pytest.mark.parametrize("field", ["two words", "_hidden", "", "a.b"])
def test_latents_field_with_a_bad_name(make_dataset, clustered, field):
    with pytest.raises(ValueError, match="not a valid field name"):
        smic.compute_latents(make_dataset(clustered), field)


def test_wrong_dimension(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    dataset.add_sample_field("short", fo.VectorField)
    dataset.set_values("short", list(clustered[:, :9]))
    before = state(dataset)
    with pytest.raises(ValueError, match=r"codes latents of 16 dimensions .* these have 9"):
        smic.encode(dataset, latents_field="short")
    assert state(dataset) == before


def test_mixed_dimensions(make_dataset, clustered):
    dataset = make_dataset([*clustered[:10], *clustered[:10, :5]])
    with pytest.raises(ValueError, match=r"different lengths \[5, 16\]"):
        smic.learn_dictionary(dataset)


def test_latents_of_another_encoder(postcards):
    smic.learn_dictionary(postcards)
    field = postcards.get_field("clip_latents")
    field.info = {**field.info, "encoder": "ViT-B-32/openai"}
    field.save()
    with pytest.raises(ValueError, match="compute latents with the same encoder"):
        smic.encode(postcards)
    with pytest.raises(ValueError, match="holds latents of encoder 'ViT-B-32/openai'"):
        smic.compute_latents(postcards)
    with pytest.raises(ValueError, match="75 samples outside this view"):
        smic.compute_latents(postcards[:5], overwrite=True)


def test_rows_that_cannot_be_used_are_skipped_and_named(make_dataset, clustered):
    rows = list(clustered.copy())
    rows[3] = np.full(16, np.nan, np.float32)
    rows[5] = None
    rows[7] = np.zeros(16, np.float32)
    rows[9] = rows[9] * np.inf
    dataset = make_dataset(rows)
    smic.learn_dictionary(dataset)
    report = smic.encode(dataset)
    assert report.encoded == 56
    assert sorted(report.skipped.values()) == [
        "003.jpg: its latent has NaN or infinite entries",
        "005.jpg: no latent in 'clip_latents'",
        "007.jpg: its latent is all zero",
        "009.jpg: its latent has NaN or infinite entries",
    ]
    atoms = dataset.values("smic_atoms")
    assert [i for i, a in enumerate(atoms) if a is None] == [3, 5, 7, 9]


def test_no_usable_row(make_dataset):
    dataset = make_dataset([None, None])
    with pytest.raises(ValueError, match="none of the 2 samples has a usable latent"):
        smic.learn_dictionary(dataset)


def test_one_sample(make_dataset, clustered, state):
    dataset = make_dataset(clustered[:1])
    before = state(dataset)
    with pytest.raises(ValueError, match="choose a larger view"):
        smic.learn_dictionary(dataset)
    assert state(dataset) == before


def test_one_sample_can_be_encoded(make_dataset, clustered):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    assert smic.encode(dataset[:1]).encoded == 1
    assert dataset.count("smic_bits") == 1


def test_all_identical_samples(make_dataset, clustered):
    dataset = make_dataset(np.repeat(clustered[:1], 20, axis=0))
    smic.learn_dictionary(dataset)
    report = smic.encode(dataset)
    assert report.encoded == 20
    rebuilt = smic.fiftyone.load_dictionary(dataset).mean_
    assert rebuilt @ clustered[0] == pytest.approx(np.linalg.norm(rebuilt), abs=0.02)


def test_more_atoms_than_samples(make_dataset, clustered):
    dataset = make_dataset(clustered[:10])
    with pytest.warns(UserWarning, match="atoms"):
        dictionary = smic.learn_dictionary(dataset, n_atoms=500)
    assert dictionary.n_atoms_ <= 10
    assert smic.encode(dataset).encoded == 10


def test_key_that_exists(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    before = state(dataset)
    with pytest.raises(ValueError, match="choose another key, or pass overwrite=True"):
        smic.learn_dictionary(dataset)
    assert state(dataset) == before


@pytest.mark.parametrize("key", ["two words", "1st", "a.b", "", None, "_smic", "class", "a$"])
def test_key_that_is_no_field_name(make_dataset, clustered, key, state):
    dataset = make_dataset(clustered)
    before = state(dataset)
    with pytest.raises(ValueError, match="cannot be a dictionary key"):
        smic.learn_dictionary(dataset, key)
    assert state(dataset) == before


def test_key_whose_fields_are_the_users_own(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    dataset.add_sample_field("mine_labels", fo.StringField)
    before = state(dataset)
    with pytest.raises(ValueError, match=r"fields of its own named \['mine_labels'\]"):
        smic.learn_dictionary(dataset, "mine")
    assert state(dataset) == before


def test_key_of_another_run(make_dataset, clustered):
    dataset = make_dataset(clustered)
    dataset.register_run("other", dataset.init_run(method="something"))
    with pytest.raises(ValueError, match="key of another custom run"):
        smic.learn_dictionary(dataset, "other", overwrite=True)
    assert dataset.list_runs() == ["other"]


def test_unwritable_folder(make_dataset, clustered, tmp_path, state):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    (tmp_path / "file").write_text("in the way")
    before = state(dataset)
    with pytest.raises(OSError, match="choose another folder with output_dir"):
        smic.regenerate(dataset, output_dir=tmp_path / "file" / "below")
    assert state(dataset) == before


def test_images_that_cannot_be_read(postcards, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    broken = fo.Sample(str(tmp_path / "broken.png"))
    missing = fo.Sample(str(tmp_path / "missing.png"))
    postcards.add_samples([broken, missing])
    report = smic.compute_latents(postcards)
    assert (report.computed, report.kept, set(report.skipped)) == (0, 80, {broken.id, missing.id})
    assert "broken.png" in report.skipped[broken.id]


def test_no_image_can_be_read(make_dataset, clustered, state):
    dataset = make_dataset(clustered, field=None)
    before = state(dataset)
    with pytest.raises(ValueError, match=r"none of the 60 images could be read \(000.jpg"):
        smic.compute_latents(dataset)
    assert state(dataset) == before


@pytest.fixture(scope="module")
def odd(original_encoded):
    """Coded postcards with labels and evaluations of every kind; no test changes them."""
    dataset = original_encoded.clone()
    n = len(dataset)
    label = [("a", "b")[i % 2] for i in range(n)]
    dataset.set_values("truth", [fo.Classification(label=each) for each in label])
    dataset.set_values(
        "boxes",
        [
            fo.Detections(detections=[fo.Detection(label=each, bounding_box=[0, 0, 1, 1])])
            for each in label
        ],
    )
    dataset.set_values("depth", [fo.Regression(value=float(i)) for i in range(n)])
    dataset.set_values("guess", [fo.Regression(value=float(i + (i % 4 == 0))) for i in range(n)])
    dataset.evaluate_regressions("guess", gt_field="depth", eval_key="regression")
    dataset.set_values("doubt", [float("nan") if i == 3 else float(i % 2) for i in range(n)])
    yield dataset
    dataset.delete()


def test_a_sample_that_a_view_holds_twice_counts_once(odd, tmp_path):
    twice = odd.concat(odd[:50])
    assert len(twice) == len(odd) + 50
    for of in (twice, twice.select_fields("truth")):
        once = smic.find_near_duplicates(odd, threshold=0.99)
        found = smic.find_near_duplicates(of, threshold=0.99)
        assert found.result.pairs.tolist() == once.result.pairs.tolist()
        assert found.ids == once.ids
    assert smic.export_archive(twice, "smic", tmp_path / "x.smic").items == len(odd)
    both = {"train": odd[:40], "test": odd[40:]}
    assert len(smic.find_leaks(twice, both).ids) == len(odd)
    assert len(smic.rebuilt_latents(twice)[0]) == len(odd)


def test_preselected_samples_may_be_given_in_any_way(odd):
    first = odd[:3]
    ids = first.values("id")
    wanted = smic.select_subset(odd, 5, preselected=first).view.values("id")
    assert not set(wanted) & set(ids)
    for given in (iter(ids), list(first), [s._id for s in first], set(ids), tuple(ids)):
        assert smic.select_subset(odd, 5, preselected=given).view.values("id") == wanted
    assert len(smic.select_subset(odd, len(odd) - 1, preselected=ids[0]).view) == len(odd) - 1


@pytest.mark.parametrize(
    "field, what",
    [
        (None, "given by its name"),
        (["truth"], "given by its name"),
        ("boxes", "does not hold one label"),
        ("boxes.detections.label", "does not hold one label"),
        ("tags", "does not hold one label"),
        ("depth", "does not hold one label"),
        ("clip_latents", "does not hold one label"),
        ("nothing", "no such field"),
    ],
)
def test_fields_that_are_no_labels(odd, field, what):
    for find in (smic.find_label_issues, smic.explain_labels):
        with pytest.raises(ValueError, match=what):
            find(odd, field)


def test_what_does_not_say_where_a_model_errs(odd):
    for errors, what in (
        ("regression", "kind 'regression', which does not say"),
        ("doubt", "1 of 80 samples were not evaluated"),
        ("truth", "does not say where the model errs"),
        (None, "key of an evaluation"),
    ):
        with pytest.raises(ValueError, match=what):
            smic.find_weak_slices(odd, errors)
    certain = odd.match(fo.ViewField("doubt") >= 0)
    assert smic.find_weak_slices(certain, "doubt").result.errors == 39


def test_splits_that_are_no_views(odd):
    ids = odd.values("id")
    for splits, what in (
        ({"train": ids[:40], "test": ids[40:]}, "'train' must be a view or a tag, not a list"),
        ({"train": odd[:40], "test": None}, "'test' must be a view or a tag, not a NoneType"),
        (5, "splits are a field, a list of tags or a dict"),
    ):
        with pytest.raises(ValueError, match=what):
            smic.find_leaks(odd, splits)


def test_searches_for_what_is_no_query(odd):
    torch = pytest.importorskip("torch")
    latent = odd.first().clip_latents
    wanted = smic.search(odd, latent, k=3).view.values("id")
    for query in (torch.tensor(latent), torch.tensor(latent, requires_grad=True), latent.tolist()):
        assert smic.search(odd, query, k=3).view.values("id") == wanted
    for query, what in (
        (None, "a search is for a text"),
        (5, "a search is for a text"),
        (np.zeros(len(latent)), "all zero"),
        (np.full(len(latent), np.nan), "NaN"),
    ):
        with pytest.raises(ValueError, match=what):
            smic.search(odd, query, k=3)
    with pytest.raises(ValueError, match="k must be a whole number"):
        smic.search(odd, latent, k="2")


def test_codes_of_which_somebody_moved_a_part(encoded):
    first, second = [s for s in encoded if s.smic_atoms and len(s.smic_atoms) > 1][:2]
    encoded.set_values(
        "smic_coefficients",
        {
            first.id: [*first.smic_coefficients, 1],
            second.id: second.smic_coefficients[:-1],
        },
        key_field="id",
    )
    with pytest.raises(ValueError, match="somebody has changed"):
        smic.rebuilt_latents(encoded)


def test_latents_of_any_length_are_scaled(make_dataset, clustered):
    for scale in (1e30, 1e-30):
        dataset = make_dataset(clustered * np.float32(scale))
        smic.learn_dictionary(dataset, n_atoms=6)
        report = smic.encode(dataset)
        assert report.fidelity.explained_variance > 0.8


def test_embeddings_of_another_tool_verify_what_codes_say(make_dataset, clustered, tmp_path):
    dataset = make_dataset(np.vstack([clustered, clustered[:1] + 0.001]))
    smic.learn_dictionary(dataset, n_atoms=6)
    smic.encode(dataset)
    found = smic.find_near_duplicates(dataset, threshold=0.999)
    assert found.result.verified and [0, 60] in found.result.pairs.tolist()
    assert smic.find_outliers(dataset).result.measured
    smic.export_archive(dataset, "smic", tmp_path / "x.smic", distortion=True)
    assert smic.read_archive(tmp_path / "x.smic").distortion.shape == (61,)
    # Other vectors of the same length in the same field are not what was coded.
    dataset.set_values("clip_latents", [*clustered[::-1], clustered[5]])
    assert not smic.find_near_duplicates(dataset, threshold=0.999).result.verified
    with pytest.raises(ValueError, match="distortions need the latents"):
        smic.export_archive(dataset, "smic", tmp_path / "y.smic", distortion=True)


def test_an_archive_of_no_items_gives_no_codes(encoded, tmp_path):
    dictionary = smic.load_dictionary(encoded)
    codes = dictionary.transform(np.zeros((0, dictionary.n_features_in_)))
    smic.write_archive(tmp_path / "x.smic", dictionary, codes, encoder="me/1", names=[])
    with pytest.raises(ValueError, match="holds no items"):
        smic.import_codes(encoded, tmp_path / "x.smic", "other")
    assert smic.list_dictionaries(encoded) == ["smic"]
