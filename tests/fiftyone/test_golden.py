"""What version 0.1.0 stored in a database or exported is read for good."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import runs

FOLDER = Path(__file__).parents[1] / "data" / "format6"


@pytest.fixture
def restored(delete):
    """The dataset of version 0.1.0: its run as it was stored, its codes as they were written."""
    about = json.loads((FOLDER / "run-samples.json").read_text(encoding="utf-8"))
    dataset = fo.Dataset("restored-from-0.1.0", overwrite=True)
    delete(dataset.name)
    dataset.add_samples([fo.Sample(f"/nowhere/{name}") for name in about["file"]])
    for name, values in about.items():
        if name == "smic_labels":
            values = [
                fo.Classifications(
                    classifications=[fo.Classification(label=label) for label in labels]
                )
                for labels in values
            ]
        if name != "file":
            dataset.set_values(name, values)
    config = runs.SMICRunConfig.from_dict(json.loads((FOLDER / "run.json").read_text("utf-8")))
    with np.load(FOLDER / "run.npz", allow_pickle=False) as npz:
        arrays = {name: npz[name] for name in npz.files}
    dataset.register_run("smic", config)
    dataset.save_run_results("smic", runs.SMICRunResults(dataset, config, "smic", arrays=arrays))
    return dataset


def test_a_stored_run_loads_to_the_same_dictionary(restored):
    config = runs.load_config(restored, "smic")
    results = runs.load_results(restored, "smic")
    assert results.digest == config.digest  # as version 0.1.0 computed it
    dictionary = smic.load_dictionary(restored)
    archive = smic.read_archive(FOLDER / "export" / "codes.smic")
    np.testing.assert_array_equal(dictionary.atoms_, archive.dictionary.atoms_)
    np.testing.assert_array_equal(dictionary.mean_, archive.dictionary.mean_)
    assert runs.atom_names(restored, "smic")[:2] == ["car", "forest"]


def test_codes_of_the_stored_run_are_read_and_rebuilt(restored):
    ids, latents = smic.rebuilt_latents(restored)
    dictionary = smic.load_dictionary(restored)
    assert len(ids) == 20
    columns = restored.values(["smic_atoms", "smic_coefficients"])
    for latent, atoms, levels in zip(latents, *columns, strict=True):
        rebuilt = dictionary.mean_ + np.array(levels) @ dictionary.atoms_[np.array(atoms, int)]
        np.testing.assert_allclose(latent, rebuilt / np.linalg.norm(rebuilt), atol=1e-6)


def test_a_dataset_export_is_imported(restored, delete, tmp_path):
    dataset = fo.Dataset.from_dir(
        str(FOLDER / "export"),
        dataset_type=smic.types.SMICDataset,
        name="golden-export",
        draw=False,
        output_dir=tmp_path / "pictures",
        progress=False,
    )
    delete(dataset.name)
    assert len(dataset) == 20
    codes = [sorted(row) for row in dataset.values("smic_atoms")]
    assert codes == [sorted(row) for row in restored.values("smic_atoms")]
    assert runs.atom_names(dataset, "smic") == runs.atom_names(restored, "smic")
    assert all(re.search(r"\.png$", path) for path in dataset.values("filepath"))
