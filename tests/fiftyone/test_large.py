"""A dataset's latents become a file without lying in memory."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

pytest.importorskip("pyarrow")

from fiftyone_smic.archive import read_archive
from fiftyone_smic.fiftyone import large
from fiftyone_smic.pipelines import ArrayLatents, compress_blocks

SETTINGS = {"n_atoms": 6, "lam": 0.01}


def test_a_dataset_is_compressed_in_the_order_of_its_samples(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "SAMPLES", 16)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(50, 8))
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    samples = [fo.Sample(f"/data/{i // 10}/{i}.jpg", clip_latents=z[i]) for i in range(50)]
    samples[20]["clip_latents"] = None
    dataset = fo.Dataset()
    dataset.add_samples(samples, progress=False)
    try:
        view = dataset.sort_by("filepath", reverse=True)
        done = large.compress_large(view, tmp_path / "x.smic", local=True, **SETTINGS)
        assert done.rate.items == 49
        found = read_archive(tmp_path / "x.smic")
        kept = [i for i in range(50) if i != 20]
        order = sorted(kept, key=lambda i: samples[i].filepath, reverse=True)
        assert found.names == tuple(f"{i // 10}/{i}.jpg" for i in order)
        source = ArrayLatents(z[order].astype(np.float32), found.names)
        compress_blocks(source, tmp_path / "y.smic", encoder=found.encoder, **SETTINGS)
        rebuilt = read_archive(tmp_path / "y.smic").latents()
        assert np.allclose(found.latents(), rebuilt, atol=1e-5)
        with pytest.raises(ValueError, match="no field 'other' of latents"):
            large.compress_large(dataset, tmp_path / "z.smic", latents_field="other", local=True)
    finally:
        dataset.delete()
