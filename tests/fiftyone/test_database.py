"""The database dies in the middle of a step: what is said, what is left, and how it goes on."""

from __future__ import annotations

import time

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest
from pymongo.errors import ConnectionFailure

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import archives, fields, latent_rows
from tests.support import private_mongod
from tests.support.accidents.looking import of_dataset

lost = pytest.raises(ConnectionError, match="When the database runs again, run this again")


@pytest.fixture
def mortal(monkeypatch):
    """A function that lets the database die before the n-th call of a method.

    It loses what it wrote in the last tenth of a second, unless all is flushed first.
    """
    settings = foo.get_db_conn().client._topology._settings
    monkeypatch.setattr(settings, "_server_selection_timeout", 0.2)  # else 30 seconds a call

    def die_before(owner, name, n=1, flush=False):
        whole, calls = getattr(owner, name), []

        def dying(*arguments, **options):
            calls.append(name)
            if len(calls) == n:
                if flush:
                    foo.get_db_conn().client.admin.command("fsync")
                private_mongod.kill()
            return whole(*arguments, **options)

        monkeypatch.setattr(owner, name, dying)

    yield die_before
    monkeypatch.undo()
    revive()
    database = foo.get_db_conn()
    for name in database.list_collection_names():
        if name.startswith("samples."):  # other tests believe what FiftyOne counts
            database.command("validate", name)


def revive():
    """Start it again, and wait until the driver has seen that it is there."""
    private_mongod.revive()
    deadline = time.monotonic() + 60
    while True:
        try:
            foo.get_db_conn().command("ping")
            return
        except ConnectionFailure:
            if time.monotonic() > deadline:
                raise


def test_computing_latents_goes_on(original, delete, mortal, monkeypatch):
    monkeypatch.setattr(latent_rows, "PART_SECONDS", 0)
    monkeypatch.setattr(latent_rows, "WRITE_EVERY", 8)
    dataset = original[:40].clone()
    delete(dataset.name)
    dataset.delete_sample_field("clip_latents")
    mortal(fo.Dataset, "_bulk_write", 3)
    with lost:
        smic.compute_latents(dataset, batch_size=2, progress=False)
    revive()
    kept = dataset.count("clip_latents")
    report = smic.compute_latents(dataset, progress=False)
    # The last writes before it died may be lost, but none of them in part.
    assert 0 < kept <= 16 and (report.kept, report.computed) == (kept, 40 - kept)
    np.testing.assert_allclose(
        dataset.values("clip_latents"), original[:40].values("clip_latents"), atol=1e-5
    )


def test_encoding_goes_on(encoded, mortal, monkeypatch):
    monkeypatch.setattr(fields, "AT_ONCE", 20)
    wanted = list(zip(*encoded.values(["smic_atoms", "smic_coefficients"]), strict=True))
    latents = np.stack(encoded.values("clip_latents"))
    encoded.add_sample_field("other", fo.VectorField)
    encoded.set_values("other", list(latents[::-1]))
    smic.encode(encoded, latents_field="other", progress=False)
    former = list(zip(*encoded.values(["smic_atoms", "smic_coefficients"]), strict=True))
    mortal(fo.Dataset, "_bulk_write", 3)
    with lost:
        smic.encode(encoded, progress=False)
    revive()
    held = list(zip(*encoded.values(["smic_atoms", "smic_coefficients"]), strict=True))
    assert all(code in (old, new) for code, old, new in zip(held, former, wanted, strict=True))
    assert list(of_dataset(encoded)) == []
    assert smic.encode(encoded, progress=False).encoded == len(wanted)
    assert list(zip(*encoded.values(["smic_atoms", "smic_coefficients"]), strict=True)) == wanted


@pytest.mark.parametrize("method", ["save_run_results", "delete_sample_fields"])
def test_replacing_a_dictionary_goes_on(encoded, mortal, method):
    """Before it has its key, and after that; in a process that lives on."""
    mortal(fo.Dataset, method, flush=True)
    with lost:
        smic.learn_dictionary(encoded, n_atoms=4, overwrite=True, progress=False)
    revive()
    assert smic.list_dictionaries(encoded) == ["smic"]
    if method == "save_run_results":  # nothing is replaced yet
        assert len(smic.rebuilt_latents(encoded)[0]) == len(encoded.values("id"))
    else:
        assert smic.load_dictionary(encoded).n_atoms_ == 4
    assert list(of_dataset(encoded)) == []
    smic.learn_dictionary(encoded, n_atoms=3, overwrite=True, progress=False)
    smic.encode(encoded, progress=False)
    assert encoded.list_runs() == ["smic"] and smic.load_dictionary(encoded).n_atoms_ == 3
    assert [name for name in encoded.get_field_schema() if "__" in name] == []


@pytest.mark.parametrize("step", ["install", "regenerate"])
def test_an_import_goes_on(encoded, tmp_path, delete, mortal, step):
    delete("revived")
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic", progress=False)
    mortal(archives, step, flush=True)
    with pytest.raises(Exception, match="configured timeouts"):
        smic.import_archive(tmp_path / "a.smic", "revived", output_dir=tmp_path / "out")
    revive()
    made = smic.import_archive(
        tmp_path / "a.smic", "revived", output_dir=tmp_path / "out", draw=False
    )
    assert len(made.values("smic_atoms")) == 3 and made.info == {}
    assert [name for name in fo.list_datasets() if name.startswith("smic-temporary-")] == []


def test_what_has_no_progress_says_it_too(encoded, mortal):
    mortal(fo.Dataset, "rename_sample_fields", flush=True)
    with lost:
        smic.fiftyone.rename_dictionary(encoded, "smic", "renamed")
    revive()
    assert smic.list_dictionaries(encoded) == ["renamed"]  # who works on it next finishes it
    assert len(smic.rebuilt_latents(encoded, "renamed")[0]) == len(encoded.values("id"))
