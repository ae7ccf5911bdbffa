"""Whole datasets out of FiftyOne and back: every file, view, workspace and colour."""

from __future__ import annotations

import shutil
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.archive import read_archive
from fiftyone_smic.curation import outliers
from fiftyone_smic.fiftyone import atom_names
from fiftyone_smic.fiftyone.placeholders import is_placeholder

GOLDEN = Path(__file__).parents[1] / "data" / "format6"
KIND = smic.types.SMICDataset


def out(samples, folder, **options):
    samples.export(str(folder), dataset_type=KIND, progress=False, **options)


def back(folder, name, **options):
    options = {"draw": False, "progress": False, **options}
    if str(folder).endswith(".zip"):
        made = fo.Dataset.from_archive(
            str(folder), dataset_type=KIND, name=name, cleanup=False, **options
        )
        shutil.rmtree(str(folder)[:-4])
    else:
        made = fo.Dataset.from_dir(str(folder), dataset_type=KIND, name=name, **options)
        shutil.rmtree(folder)
    return made


def picture(path, value, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", size, value).save(path)
    return str(path)


@pytest.fixture
def owning(encoded, tmp_path):
    """A dataset whose labels and fields own files, some of the same name, and one that is gone."""
    own = tmp_path / "own"
    for i, sample in enumerate(encoded[:4]):
        sample["mask"] = fo.Segmentation(mask_path=picture(own / f"{i % 2}" / "mask.png", 10 + i))
        sample["heat"] = fo.Heatmap(map_path=picture(own / "heat" / f"{i}.png", 20 + i))
        sample["boxes"] = fo.Detections(
            detections=[
                fo.Detection(
                    label="x",
                    bounding_box=[0, 0, 1, 1],
                    mask_path=picture(own / "boxes" / f"{i}-{j}.png", 30 + 3 * i + j),
                )
                for j in range(3)
            ]
        )
        sample["thumbnail"] = picture(own / "thumbs" / f"{i}.png", 60 + i)
        sample.save()
    encoded.app_config.media_fields.append("thumbnail")
    encoded.app_config.grid_media_field = "thumbnail"
    encoded.save()
    return encoded


def owned(dataset):
    """The content of every file that labels and fields own."""
    columns = dataset.values(
        ["mask.mask_path", "heat.map_path", "boxes.detections.mask_path", "thumbnail"]
    )
    return [
        [[content(p) for p in v] if isinstance(v, list) else content(v) for v in column]
        for column in columns
    ]


def content(path):
    return path and Path(path).read_bytes()


@pytest.mark.parametrize("target", ["folder", "out.zip"])
def test_every_file_travels(owning, tmp_path, delete, target):
    before = owned(owning)
    assert sum(value is not None for value in before[0]) == 4
    out(owning, tmp_path / target)
    shutil.rmtree(tmp_path / "own")
    delete("back")
    made = back(tmp_path / target, "back", output_dir=tmp_path / "pictures")
    assert owned(made) == before
    assert made.app_config.grid_media_field == "thumbnail"
    assert sorted(made.app_config.media_fields) == ["filepath", "thumbnail"]
    assert all(map(is_placeholder, made.values("filepath")))
    # A part of the dataset has the files of its part.
    out(made[1:3], tmp_path / "part")
    delete("part")
    part = back(tmp_path / "part", "part", output_dir=tmp_path / "p2")
    assert owned(part) == [column[1:3] for column in before]


def test_what_codes_leave_out_travels_where_it_is_asked_for(encoded, tmp_path, delete):
    """The labels come back as without it, and the file of codes has the distortions."""
    out(encoded, tmp_path / "plain")
    out(encoded, tmp_path / "more", distortion=True)
    assert read_archive(tmp_path / "plain" / "codes.smic").distortion is None
    archive = read_archive(tmp_path / "more" / "codes.smic")
    rebuilt = archive.dictionary.inverse_transform(archive.codes)
    true = np.square(np.array(encoded.values("clip_latents")) - rebuilt).sum(axis=1)
    np.testing.assert_allclose(archive.distortion, true, rtol=0.05, atol=1e-6)
    assert outliers(archive).measured
    delete("back")
    made = back(tmp_path / "more", "back", output_dir=tmp_path / "pictures")
    assert made.values("smic_atoms") == encoded.values("smic_atoms")
    encoded.set_values("clip_latents", {encoded.first().id: None}, key_field="id")
    with pytest.raises(ValueError, match="export without distortions"):
        out(encoded, tmp_path / "none", distortion=True)


def test_a_file_that_is_gone_is_named_and_the_others_travel(owning, tmp_path, delete, caplog):
    Path(owning.first().heat.map_path).unlink()
    before = [None if i == 0 else content(p) for i, p in enumerate(owning.values("heat.map_path"))]
    out(owning, tmp_path / "out")
    assert "1 files" in caplog.text and "0.png" in caplog.text
    delete("back")
    made = back(tmp_path / "out", "back", output_dir=tmp_path / "pictures")
    paths = made.values("heat.map_path")
    assert [None if i == 0 else content(p) for i, p in enumerate(paths)] == before


def test_what_the_app_and_people_added_comes_back(encoded, tmp_path, delete):
    from fiftyone.core.odm.workspace import default_workspace_factory

    encoded.save_view("sea", encoded.match(F("terrain.label") == "sea"), description="wet")
    encoded.save_workspace("mine", default_workspace_factory(), description="my panels")
    encoded.app_config.color_scheme = fo.ColorScheme(color_pool=["#112233", "#445566"])
    groups = fo.DatasetAppConfig.default_sidebar_groups(encoded)
    groups.insert(0, fo.SidebarGroupDocument(name="where", paths=["terrain", "weather"]))
    encoded.app_config.sidebar_groups = groups
    encoded.tags = ["for the paper"]
    encoded.info = {"author": "me", "nested": {"a": [1, 2]}}
    encoded.description = "postcards"
    encoded.classes = {"terrain": ["sea", "forest"]}
    encoded.default_mask_targets = {1: "water"}
    encoded.mask_targets = {"mask": {2: "sky"}}
    encoded.skeletons = {"pose": fo.KeypointSkeleton(labels=["a", "b"], edges=[[0, 1]])}
    encoded.save()
    encoded.evaluate_classifications("terrain", gt_field="terrain", eval_key="eval", progress=False)
    out(encoded, tmp_path / "out")
    delete("back")
    made = back(tmp_path / "out", "back", output_dir=tmp_path / "pictures")
    assert made.list_saved_views() == ["sea"]
    assert made.get_saved_view_info("sea")["description"] == "wet"
    assert made.load_saved_view("sea").values("id") == encoded.load_saved_view("sea").values("id")
    assert made.list_workspaces() == ["mine"]
    assert made.load_workspace("mine") == encoded.load_workspace("mine")
    assert made.app_config.color_scheme.color_pool == ["#112233", "#445566"]
    assert made.app_config.sidebar_groups[0].name == "where"
    assert made.app_config.sidebar_groups[0].paths == ["terrain", "weather"]
    for name in ("tags", "info", "description", "classes", "default_mask_targets", "mask_targets"):
        assert getattr(made, name) == getattr(encoded, name), name
    assert made.skeletons["pose"].edges == [[0, 1]]
    assert made.list_evaluations() == ["eval"]
    assert made.load_evaluation_results("eval").metrics()["accuracy"] == 1.0
    assert smic.list_dictionaries(made) == ["smic"]


def test_pictures_of_slices_without_codes_travel_whole(original, tmp_path, delete):
    dataset = fo.Dataset()
    delete(dataset.name)
    dataset.add_group_field("group", default="left")
    samples = []
    for i, (path, latent) in enumerate(
        zip(*original[:12].values(["filepath", "clip_latents"]), strict=True)
    ):
        group = fo.Group()
        other = picture(tmp_path / "depth" / str(i % 3) / "depth.png", i % 3)
        samples += [
            fo.Sample(path, group=group.element("left"), clip_latents=latent),
            fo.Sample(other, group=group.element("depth"), note=f"depth {i}"),
        ]
    dataset.add_samples(samples, progress=False)
    smic.learn_dictionary(dataset, n_atoms=6, progress=False)
    smic.encode(dataset, progress=False)
    depths = list(map(content, dataset.select_group_slices("depth").values("filepath")))
    dataset.save_view("all", dataset.limit(3))
    out(dataset, tmp_path / "out")
    assert read_archive(tmp_path / "out" / "codes.smic").codes.shape[0] == 12
    shutil.rmtree(tmp_path / "depth")
    delete("groups")
    made = back(tmp_path / "out", "groups", output_dir=tmp_path / "pictures")
    assert made.media_type == "group" and sorted(made.group_slices) == ["depth", "left"]
    assert made.default_group_slice == "left" and made.list_saved_views() == ["all"]
    left, depth = made.select_group_slices("left"), made.select_group_slices("depth")
    assert left.values("smic_atoms") == dataset.select_group_slices("left").values("smic_atoms")
    assert all(map(is_placeholder, left.values("filepath")))
    assert list(map(content, depth.values("filepath"))) == depths
    assert depth.values("note") == [f"depth {i}" for i in range(12)]
    assert depth.values("smic_atoms") == [None] * 12
    groups = [[e[slice].id for e in made.iter_groups()] for slice in ("left", "depth")]
    assert groups == [[e[slice].id for e in dataset.iter_groups()] for slice in ("left", "depth")]


def test_a_second_import_says_what_works(encoded, tmp_path, delete):
    out(encoded[:5], tmp_path / "a")
    out(encoded[5:9], tmp_path / "b")
    delete("twice")
    where = {"dataset_type": KIND, "draw": False, "progress": False}
    made = fo.Dataset.from_dir(str(tmp_path / "a"), name="twice", **where)
    before = made.values(["id", "smic_atoms"])
    with pytest.raises(ValueError, match=r"5 of the 5 samples.*another name"):
        made.add_dir(str(tmp_path / "a"), **where)
    with pytest.raises(ValueError, match=r"pass key=.* or overwrite=True"):
        made.add_dir(str(tmp_path / "b"), **where)
    assert made.values(["id", "smic_atoms"]) == before
    made.add_dir(str(tmp_path / "b"), key="other", **where)
    assert made.values("other_atoms") == [None] * 5 + encoded[5:9].values("smic_atoms")
    assert made.values("smic_atoms") == before[1] + [None] * 4
    out(encoded[9:12], tmp_path / "c")
    made.add_dir(str(tmp_path / "c"), overwrite=True, **where)
    assert made.values("smic_atoms") == [None] * 9 + encoded[9:12].values("smic_atoms")


def test_an_export_of_version_0_1_0_has_its_codes_for_good(tmp_path, delete):
    shutil.copytree(GOLDEN / "export", tmp_path / "export")
    expected = read_archive(GOLDEN / "export" / "codes.smic").codes.toarray()
    delete("golden")
    made = back(tmp_path / "export", "golden", output_dir=tmp_path / "pictures")
    found = np.zeros_like(expected)
    for row, atoms, levels in zip(
        found, *made.values(["smic_atoms", "smic_coefficients"]), strict=True
    ):
        row[atoms] = levels
    np.testing.assert_array_equal(found, expected)
    names = [Path(path).name for path in made.values("filepath")]
    assert names == [f"postcard-0-{i:06d}-128.png" for i in range(20)]
    assert atom_names(made, "smic")[:2] == ["car", "forest"]
    assert made.first().tags == ["golden"] and made.first().terrain.label == "forest"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "damaged"),
        ("[]", "damaged"),
        ('{"key": "smic"}', "does not say"),
        (None, "format 9"),
    ],
)
def test_a_description_that_cannot_be_read_is_said_to_be(encoded, tmp_path, text, says):
    out(encoded[:3], tmp_path / "a")
    about = tmp_path / "a" / "smic.json"
    about.write_text(text or about.read_text().replace('"format": 2', '"format": 9'))
    dataset = fo.Dataset()
    try:
        with pytest.raises(smic.ArchiveError, match=says):
            dataset.add_dir(str(tmp_path / "a"), dataset_type=KIND, draw=False)
        assert len(dataset) == 0
    finally:
        dataset.delete()


def test_a_dataset_with_a_prior_of_ones_own_comes_back(make_dataset, clustered, tmp_path, delete):
    """The archive names its prior; what reads it takes the prior's file."""
    from fiftyone_smic.archive import write_archive
    from fiftyone_smic.dictionary import Prior, SemanticDictionary

    prior = Prior.build(clustered)
    file = tmp_path / "mine.prior.npz"
    prior.save(file)
    fitted = SemanticDictionary(6, prior=prior, random_state=0).fit(clustered)
    codes = fitted.transform(clustered)
    names = [f"{i:03d}.png" for i in range(len(clustered))]
    archive = tmp_path / "a.smic"
    write_archive(archive, fitted, codes, encoder="mine", names=names)
    delete("prior")
    with pytest.raises(smic.ArchiveError, match="prior"):
        smic.import_archive(archive, "prior", draw=False)
    made = smic.import_archive(archive, "prior", draw=False, prior=file)
    dataset = make_dataset(clustered, suffix="png")
    with pytest.raises(smic.ArchiveError, match="prior"):
        smic.import_codes(dataset, archive)
    assert smic.import_codes(dataset, archive, prior=prior).matched == len(clustered)
    assert dataset.values("smic_atoms") == made.values("smic_atoms")
    out(made, tmp_path / "out")
    with pytest.raises(smic.ArchiveError, match="prior"):
        fo.Dataset().add_dir(str(tmp_path / "out"), dataset_type=KIND, draw=False)
    delete("prior-back")
    again = back(tmp_path / "out", "prior-back", prior=file)
    assert again.values("smic_atoms") == made.values("smic_atoms")


def test_misspelt_arguments_are_refused(encoded, tmp_path):
    smic.export_archive(encoded[:2], "smic", tmp_path / "a.smic")
    with pytest.raises(TypeError, match="step"):
        smic.import_archive(tmp_path / "a.smic", "x", draw=False, step=1)
    assert not fo.dataset_exists("x")


def test_an_export_that_fails_or_was_stopped(encoded, tmp_path, delete):
    out(encoded[:5], tmp_path / "a")
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    encoded.delete_samples(encoded[:1])
    encoded.add_sample(fo.Sample(encoded.first().filepath))  # without a code
    with pytest.raises(ValueError, match="1 of 80 samples have no code"):
        out(encoded, tmp_path / "a")
    assert {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()} == before
    (tmp_path / "a" / "smic.json").unlink()  # which is written last
    with pytest.raises(FileNotFoundError, match=r"no export or one that was stopped.*smic\.json"):
        back(tmp_path / "a", "stopped-export")
    delete("stopped-export")
