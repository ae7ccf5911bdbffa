"""A run that is interrupted or fails leaves every field as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import (
    delete_dictionary,
    fields,
    installing,
    latent_rows,
    rename_dictionary,
    runs,
    swapping,
)
from fiftyone_smic.fiftyone.pictures import is_whole
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.utils.processes import this_process


class Interrupt:
    """A progress function that presses Ctrl+C once ``at`` is reached."""

    def __init__(self, at):
        self.at = at

    def __call__(self, fraction):
        if fraction >= self.at:
            raise KeyboardInterrupt


def test_computing_latents_goes_on_where_it_stopped(original, caplog, monkeypatch):
    monkeypatch.setattr(latent_rows, "PART_SECONDS", 0)  # one batch in one go
    dataset = original[:40].clone()
    dataset.delete_sample_field("clip_latents")
    try:
        with pytest.raises(KeyboardInterrupt):
            smic.compute_latents(dataset, batch_size=4, progress=Interrupt(0.6))
        kept = dataset.count("clip_latents")
        assert 0 < kept < 40
        assert f"Stopped: {kept} of 40 images are encoded" in caplog.text
        norm = dataset.get_field("clip_latents").info["latent_norm"]
        first = dataset.exists("clip_latents").values("clip_latents")
        report = smic.compute_latents(dataset, batch_size=4)
        assert (report.computed, report.kept) == (40 - kept, kept)
        assert dataset.get_field("clip_latents").info["latent_norm"] == norm
        np.testing.assert_array_equal(dataset[:kept].values("clip_latents"), first)
        np.testing.assert_allclose(
            dataset.values("clip_latents"), original[:40].values("clip_latents"), atol=1e-5
        )
    finally:
        dataset.delete()


def test_latents_are_written_as_they_come(original, monkeypatch):
    """A process that is killed cannot write anything at the end."""
    monkeypatch.setattr(latent_rows, "PART_SECONDS", 0)
    monkeypatch.setattr(latent_rows, "WRITE_EVERY", 8)
    dataset = original[:40].clone()
    dataset.delete_sample_field("clip_latents")
    seen = []

    def look(fraction):
        other = fo.load_dataset(dataset.name)
        seen.append(other.count("clip_latents") if other.has_field("clip_latents") else 0)

    try:
        smic.compute_latents(dataset, batch_size=2, progress=look)
        assert seen[0] == 0 and seen[-1] == 40
        assert len(set(seen)) >= 4
    finally:
        dataset.delete()


def test_stopping_before_anything_is_encoded(postcards, state):
    before = state(postcards)
    with pytest.raises(KeyboardInterrupt):
        smic.compute_latents(postcards, "second", batch_size=16, progress=Interrupt(0.0))
    assert state(postcards) == before


def test_replacing_a_dictionary(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    before = state(dataset)
    with pytest.raises(KeyboardInterrupt):
        smic.learn_dictionary(dataset, overwrite=True, lam=0.01, progress=Interrupt(0.3))
    assert state(dataset) == before
    assert smic.encode(dataset).encoded == len(dataset)


def test_storing_a_dictionary(make_dataset, clustered, state, monkeypatch):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    before = state(dataset)

    def fail(*args, **kwargs):
        raise OSError("database is full")

    monkeypatch.setattr(fo.Dataset, "save_run_results", fail)
    with pytest.raises(OSError, match="database is full"):
        smic.learn_dictionary(dataset, overwrite=True, lam=0.01)
    with pytest.raises(OSError, match="database is full"):
        smic.learn_dictionary(dataset, "second")
    assert state(dataset) == before


#: Where a process dies that stores a dictionary, and whether the key has the new one by then.
DEATHS = {
    "before anything is stored": (fo.Dataset, "save_run_results", False),
    "after codes are written": (installing, "write_codes", False),
    "before the old fields are deleted": (fo.Dataset, "delete_sample_fields", True),
    "before the new fields get their names": (fo.Dataset, "rename_sample_fields", True),
}


@pytest.mark.parametrize("when", DEATHS)
def test_dying_while_a_dictionary_is_replaced(
    make_dataset, clustered, state, monkeypatch, tmp_path, when
):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, "other", n_atoms=5)
    smic.encode(dataset, "other")
    smic.export_archive(dataset, "other", tmp_path / "a.smic")
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    smic.import_codes(dataset, tmp_path / "a.smic", "expected")
    expected = dataset.values("expected_atoms")
    delete_dictionary(dataset, "expected")
    before = state(dataset)
    place, name, swapped = DEATHS[when]
    whole = getattr(place, name)

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    gone = this_process().replace(f"-{os.getpid()}", f"-{process.pid}")

    def die(*arguments, **options):
        if place is installing:
            whole(*arguments, **options)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(place, name, die)
        # Nothing that would tidy up is done any more.
        patch.setattr(swapping, "_remove", lambda *_: None)
        patch.setattr(swapping, "_note", lambda *_: None)
        patch.setattr(swapping, "this_process", lambda: gone)
        with pytest.raises(SystemExit):
            smic.import_codes(dataset, tmp_path / "a.smic", overwrite=True)
    found = fo.load_dataset(dataset.name)
    assert smic.list_dictionaries(found) == ["other", "smic"]
    if swapped:
        assert len(smic.rebuilt_latents(found)[0]) == len(found)
        assert found.values("smic_atoms") == expected
    else:
        smic.learn_dictionary(found, "third")  # whatever is stored next removes what is left
        delete_dictionary(found, "third")
        assert state(found) == before
    assert [name for name in found.get_field_schema() if "__" in name] == []
    assert found.list_runs() == ["other", "smic"]
    assert foo.get_db_conn().runs.count_documents({"_dataset_id": found._doc.id}) == 2


def test_dying_while_a_dictionary_is_renamed(make_dataset, clustered, monkeypatch):
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, "before", n_atoms=4)
    smic.encode(dataset, "before")
    rebuilt = smic.rebuilt_latents(dataset, "before")[1]

    def die(self, *arguments):
        rename_fields(self, *arguments)
        raise SystemExit

    rename_fields = fo.Dataset.rename_sample_fields
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(fo.Dataset, "rename_sample_fields", die)
        patch.setattr(swapping, "_note", lambda *_: None)
        rename_dictionary(dataset, "before", "after")
    assert smic.list_dictionaries(dataset) == ["after"]
    np.testing.assert_array_equal(smic.rebuilt_latents(dataset, "after")[1], rebuilt)
    assert not fields.existing_fields(dataset, "before")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):  # nothing is renamed
        patch.setattr(fo.Dataset, "rename_sample_fields", press)
        patch.setattr(swapping, "_note", lambda *_: None)
        rename_dictionary(dataset, "after", "last")
    np.testing.assert_array_equal(smic.rebuilt_latents(dataset, "last")[1], rebuilt)
    assert dataset.list_runs() == ["last"]


def test_a_process_that_lives_is_left_alone(make_dataset, clustered, monkeypatch):
    dataset = make_dataset(clustered)
    seen = []

    def meanwhile(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(fo.Dataset, "save_run_results", whole)
            smic.learn_dictionary(dataset, "quick", n_atoms=4)
        seen.extend(dataset.list_runs())
        return whole(*arguments, **options)

    whole = fo.Dataset.save_run_results
    monkeypatch.setattr(fo.Dataset, "save_run_results", meanwhile)
    smic.learn_dictionary(dataset, "slow", n_atoms=4)
    assert len(seen) == 2  # the quick one, and what the slow one has begun
    assert smic.list_dictionaries(dataset) == ["quick", "slow"]


@pytest.mark.parametrize("already", [False, True])
def test_writing_codes(make_dataset, clustered, state, monkeypatch, already):
    monkeypatch.setattr(fields, "AT_ONCE", 20)
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    if already:
        smic.encode(dataset[:30])
    before = state(dataset)
    write = fo.Dataset._bulk_write
    sizes = []

    def fail_at_third(self, ops, *args, **kwargs):
        sizes.append(len(ops))
        if len(sizes) == 3:
            raise KeyboardInterrupt
        return write(self, ops, *args, **kwargs)

    monkeypatch.setattr(fo.Dataset, "_bulk_write", fail_at_third)
    with pytest.raises(KeyboardInterrupt):
        smic.encode(dataset)
    assert sizes == [20] * 6  # the parts that were begun were put back
    assert state(dataset) == before


def test_naming_atoms(coded_by_hand, state, monkeypatch):
    monkeypatch.setattr(fields, "AT_ONCE", 20)
    before = state(coded_by_hand)
    write = fo.Dataset._bulk_write
    calls = []

    def fail_at_second(self, ops, *args, **kwargs):
        calls.append(len(ops))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return write(self, ops, *args, **kwargs)

    monkeypatch.setattr(fo.Dataset, "_bulk_write", fail_at_second)
    with pytest.raises(KeyboardInterrupt):
        smic.set_atom_names(coded_by_hand, "smic", {0: "sunset"})
    assert len(calls) == 4
    assert state(coded_by_hand) == before
    assert runs.atom_names(coded_by_hand, "smic")[0] == "concept 0"
    monkeypatch.setattr(fo.Dataset, "_bulk_write", write)
    smic.set_atom_names(coded_by_hand, "smic", {0: "sunset"})
    for atoms, levels, shown in zip(
        *coded_by_hand.values(
            ["smic_atoms", "smic_coefficients", "smic_labels.classifications.label"]
        ),
        strict=True,
    ):
        said = ["sunset" if atom == 0 else f"concept {atom}" for atom in atoms]
        signed = [n if q > 0 else f"not {n}" for n, q in zip(said, levels, strict=True)]
        assert shown == signed


@pytest.fixture
def coded_by_hand(make_dataset, clustered):
    """60 samples with codes."""
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, n_atoms=8, lam=1e-4)
    smic.encode(dataset)
    return dataset


def test_regenerating_keeps_what_it_drew_and_goes_on(encoded, tmp_path):
    view = encoded[:6]
    with pytest.raises(KeyboardInterrupt):
        smic.regenerate(view, output_dir=tmp_path, steps=1, batch_size=2, progress=Interrupt(0.6))
    kept = [path for path in view.values("smic_regenerated") if path is not None]
    assert len(kept) == 4 and all(map(is_whole, kept))
    assert "smic_regenerated" in encoded.app_config.media_fields
    drawn = {path: Path(path).stat().st_mtime_ns for path in kept}
    assert {str(path) for path in tmp_path.rglob("*.*")} == set(kept)
    report = smic.regenerate(view, output_dir=tmp_path, steps=1, batch_size=2)
    assert (report.reused, report.drawn) == (4, 2)
    assert {path: Path(path).stat().st_mtime_ns for path in kept} == drawn
    assert view.count("smic_regenerated") == 6


def test_an_import_that_is_stopped_keeps_what_it_drew(encoded, tmp_path, delete):
    delete("stopped")
    smic.export_archive(encoded[:6], "smic", tmp_path / "a.smic")
    where = {"name": "stopped", "output_dir": tmp_path / "out", "steps": 1, "batch_size": 2}
    with pytest.raises(KeyboardInterrupt):
        smic.import_archive(tmp_path / "a.smic", progress=lambda part: press(), **where)
    made = fo.load_dataset("stopped")
    assert made.count("smic_regenerated") == 2
    paths = made.values("filepath")
    assert [is_placeholder(path) for path in paths] == [False] * 2 + [True] * 4
    report = smic.regenerate(made, output_dir=tmp_path / "out", steps=1)
    assert (report.reused, report.drawn) == (2, 4)


def press(*_):
    raise KeyboardInterrupt


def test_write_restores_only_what_it_began(make_dataset, clustered):
    dataset = make_dataset(clustered[:2])
    fields.declare(dataset, "k", [fields.BITS])
    dataset.set_values("k_bits", [1.0, 2.0])
    ids = dataset.values("id")
    with pytest.raises(ValueError):
        fields.write(dataset, ids, {"k_bits": [3.0, 4.0], "clip_latents": ["no", "vectors"]})
    assert dataset.values("k_bits") == [1.0, 2.0]


def test_indexes_that_a_process_left_half_made_are_mended(make_dataset, clustered):
    dataset = make_dataset(clustered[:2])
    fields.declare(dataset, "k", [fields.BITS, fields.FIDELITY])
    dataset.drop_index("k_bits")  # as if it died before the index was there
    fields.declare(dataset, "k", [fields.BITS, fields.FIDELITY])
    assert {"k_bits", "k_fidelity"} <= set(dataset.list_indexes())
    for group in dataset.app_config.sidebar_groups:
        group.paths = [path for path in group.paths if path != "k_bits"]
    dataset.save()
    fields.declare(dataset, "k", [fields.BITS])
    ours = [g.paths for g in dataset.app_config.sidebar_groups if "k_fidelity" in g.paths]
    assert ours == [["k_fidelity", "k_bits"]]
    dataset._sample_collection.create_index("old_bits", name="old_bits")  # its field is gone
    fields.mend_indexes(dataset, "k", former="old")
    assert "old_bits" not in dataset.list_indexes()
    dataset.delete_sample_field("k_bits")
    dataset._sample_collection.create_index("k_bits", name="k_bits")
    fields.mend_indexes(dataset, "k", former="k")
    assert [name for name in dataset.list_indexes() if name.startswith("k_")] == ["k_fidelity"]
