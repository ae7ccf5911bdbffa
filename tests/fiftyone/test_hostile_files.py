"""Damaged and foreign files beside archives are refused by the errors that are documented."""

from __future__ import annotations

import io
import json
import random
import zipfile

import numpy as np
import pytest

from fiftyone_smic.dictionary import Prior
from fiftyone_smic.models.generators.declaration import read_declaration
from fiftyone_smic.utils.arrays import read_arrays
from tests.benchmarks import fuzz_files


def test_changed_files_are_read_or_refused(tmp_path):
    files = list(fuzz_files.everything(tmp_path))
    rng = random.Random(0)
    for i in range(50 * len(files)):
        read = files[i % len(files)]
        fuzz_files.check(read, read.mutated(rng))  # raises what no documentation names


def test_an_entry_that_is_no_array_is_named():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("mean.npy", b"not an array")
    with pytest.raises(ValueError, match="mean is no array"):
        read_arrays(io.BytesIO(out.getvalue()))
    alone = io.BytesIO()
    np.save(alone, np.zeros(3))
    with pytest.raises(ValueError):
        read_arrays(io.BytesIO(alone.getvalue()))


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "p.npz", mean=np.array([{"a": 1}], object))
    with pytest.raises(ValueError, match="is not a prior"):
        Prior.load(tmp_path / "p.npz")


@pytest.mark.parametrize(
    "entry",
    [
        {"scheduler": ["DDIMScheduler"]},
        {"guidance": 10**400},
        {"negative": [1e39]},
        {"ip_adapter": "x" * 5000 + ".safetensors"},
        {"notice": "\ud800"},
    ],
)
def test_odd_values_of_a_declaration_are_named(tmp_path, entry):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "X"}))
    (tmp_path / "smic.json").write_text(json.dumps({"encoder": "ViT-L-14/openai", **entry}))
    with pytest.raises(ValueError, match="is wrong"):
        read_declaration(tmp_path)
