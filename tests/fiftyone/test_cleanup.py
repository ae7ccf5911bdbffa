"""Removing what the plugin has left, and nothing of anybody else."""

from __future__ import annotations

import os
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone.cleanup import KINDS
from fiftyone_smic.fiftyone.mixing import Recipe, atom_path, draw_atom, keep_picture, mix
from fiftyone_smic.fiftyone.pictures import default_folder
from fiftyone_smic.fiftyone.visualization import load_map, store_map


@pytest.fixture
def full(encoded, tmp_path):
    """A dataset with everything, and things of somebody else."""
    folder = default_folder(encoded)
    smic.regenerate(encoded[:2], steps=1, progress=False)
    smic.regenerate(encoded[2:4], output_dir=tmp_path / "own", steps=1, progress=False)
    (tmp_path / "own" / "mine.txt").write_text("mine")
    draw_atom(encoded, "smic", atom=0, progress=False)
    ids = encoded.values("id")
    strip = mix(
        encoded, "smic", recipe=Recipe(start=ids[0], plus=ids[1], pictures=2), progress=False
    )
    keep_picture(encoded, strip[1])
    n_atoms = smic.load_dictionary(encoded).n_atoms_
    points = np.random.default_rng(0).normal(size=(len(ids), 2)).astype(np.float32)
    store_map(encoded, "smic", "smic_umap", ids, points, np.zeros((n_atoms, 2)))
    smic.export_archive(encoded, "smic", folder / "smic.smic")
    (folder / "crops").mkdir()
    (folder / "crops" / "1-abc.png").write_bytes(b"123")
    (folder / ".smic-left").write_bytes(b"12345")
    encoded.add_sample_field("own_vectors", fo.VectorField)
    encoded.add_sample_field("smic_other", fo.StringField)
    yield encoded, strip
    smic.remove_all(encoded, KINDS)


def disk(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_dry_run_lists_everything_with_its_bytes_and_touches_nothing(full, state, tmp_path):
    dataset, strip = full
    before, folder = state(dataset), default_folder(dataset)
    on_disk = disk(folder), disk(tmp_path)
    found = smic.remove_all(dataset, KINDS, dry_run=True)
    assert found.dry_run and state(dataset) == before
    assert (disk(folder), disk(tmp_path)) == on_disk
    kinds = found.by_kind()
    assert list(kinds) == list(KINDS)
    assert {kind: count for kind, (count, _) in kinds.items()} == {
        "latents": 1,
        "dictionaries": 1,
        "maps": 1,
        "drawings": 5,
        "mixes": 1,
        "crops": 1,
        "temporary": 1,
        "exports": 1,
    }
    assert kinds["temporary"][1] == 5
    assert kinds["exports"][1] == (folder / "smic.smic").stat().st_size
    # 80 latents of 128 float32, and what the database adds.
    assert 80 * 128 * 4 < kinds["latents"][1] < 80 * 128 * 10
    assert kinds["dictionaries"][1] > 1000 and kinds["maps"][1] > 100
    files = [r for r in found.remnants if os.path.isabs(r.name)]
    own = disk(tmp_path / "own") - 4
    assert sum(r.bytes for r in files) == disk(folder) - strip[1].stat().st_size + own
    assert found.kept == {str(strip[1]): "a sample's media"}
    assert found.bytes == sum(r.bytes for r in found.remnants)


def test_all_of_it_goes_and_nothing_else(full, tmp_path):
    dataset, strip = full
    originals = dataset.values("filepath")
    done = smic.remove_all(dataset, KINDS)
    assert not done.dry_run and len(done.remnants) == 12
    assert dataset.list_runs() == [] and dataset.list_brain_runs() == []
    schema = dataset.get_field_schema()
    assert [name for name in schema if name.startswith("smic")] == ["smic_other"]
    assert "clip_latents" not in schema and "own_vectors" in schema
    assert dataset.app_config.media_fields == ["filepath"]
    groups = dataset.app_config.sidebar_groups or []
    assert "SMIC" not in [group.name for group in groups]
    assert all(Path(path).is_file() for path in originals)
    left = [path for path in default_folder(dataset).rglob("*") if path.is_file()]
    assert left == [strip[1]]
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["mine.txt"]
    assert smic.remove_all(dataset, KINDS).remnants == []


def test_exports_stay_unless_they_are_named(full):
    dataset, _ = full
    archive = default_folder(dataset) / "smic.smic"
    done = smic.remove_all(dataset)
    assert set(done.by_kind()) == set(KINDS) - {"exports"}
    assert smic.import_codes(dataset, archive).matched == 80  # it is all that is left
    smic.remove_all(dataset, ["exports"])
    assert not archive.exists() and smic.list_dictionaries(dataset) == ["smic"]


def test_a_choice_of_it(full):
    dataset, _ = full
    smic.remove_all(dataset, ["drawings", "maps"])
    assert smic.list_dictionaries(dataset) == ["smic"] and load_map(dataset) is None
    assert dataset.count("smic_atoms") > 0 and dataset.has_sample_field("clip_latents")
    assert not dataset.has_sample_field("smic_regenerated")
    assert not atom_path(dataset, "smic", 0).exists()
    assert (default_folder(dataset) / "smic.smic").exists()


def test_pictures_of_an_imported_dataset_are_its_media_and_stay(encoded, tmp_path, delete):
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic")
    delete("imported")
    made = smic.import_archive(tmp_path / "a.smic", "imported", steps=1, progress=False)
    done = smic.remove_all(made, KINDS)
    assert all(Path(path).is_file() for path in made.values("filepath"))
    assert len(done.kept) == 3 and done.by_kind()["drawings"][0] == 3


def test_bad_choices(encoded):
    with pytest.raises(ValueError, match="no kind 'picture'; there are latents"):
        smic.remove_all(encoded, ["picture"])
    with pytest.raises(ValueError, match="whole dataset"):
        smic.remove_all(encoded[:2])
