"""Datasets for the tests: drawn postcards with real latents, and random latents without files."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic


@pytest.fixture(scope="session")
def original(tmp_path_factory):
    """80 postcards with latents of the embedded encoder."""
    dataset = smic.load_postcards(
        80, name="original", directory=tmp_path_factory.mktemp("postcards"), progress=False
    )
    smic.compute_latents(dataset)
    yield dataset
    dataset.delete()


@pytest.fixture
def postcards(original):
    """A copy of the postcards that a test may change."""
    dataset = original.clone()
    yield dataset
    dataset.delete()


@pytest.fixture(scope="session")
def original_encoded(original):
    """The postcards with a dictionary and codes."""
    dataset = original.clone()
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    yield dataset
    dataset.delete()


@pytest.fixture
def encoded(original_encoded):
    """A copy of the postcards with a dictionary and codes that a test may change."""
    dataset = original_encoded.clone()
    yield dataset
    dataset.delete()


@pytest.fixture
def delete():
    """Datasets to delete, by name, when the test is over."""
    names = []
    yield names.append
    for name in names:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


@pytest.fixture
def make_dataset():
    """Make datasets of images that exist by name only, with given latents."""
    made = []

    def make(latents, suffix="jpg", field="clip_latents"):
        dataset = fo.Dataset()
        made.append(dataset)
        dataset.add_samples([fo.Sample(f"/nowhere/{i:03d}.{suffix}") for i in range(len(latents))])
        if field:
            dataset.add_sample_field(field, fo.VectorField)
            dataset.set_values(field, list(latents))
        return dataset

    yield make
    for dataset in made:
        dataset.delete()


@pytest.fixture(scope="session")
def clustered():
    """60 x 16 float32 unit latents around 5 directions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16))
    rows = centres[rng.integers(5, size=60)] + 0.1 * rng.normal(size=(60, 16)) + 2
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def state():
    """What a dataset holds, to compare before and after something that must not change it."""

    def snapshot(dataset):
        dataset.reload()
        names = sorted(dataset.get_field_schema())
        skip = ("last_modified_at",)
        return (
            names,
            dataset.list_runs(),
            dataset.list_brain_runs(),
            list(dataset.app_config.media_fields),
            [str(dataset.values(n)) for n in names if n not in skip],
        )

    return snapshot
