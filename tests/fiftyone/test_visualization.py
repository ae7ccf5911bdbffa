"""The map of atoms and samples: it is there until the next one is stored."""

from __future__ import annotations

import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone.core.brain import BrainMethod

import fiftyone_smic as smic
from fiftyone_smic.fiftyone.visualization import load_map, store_map


@pytest.fixture
def mapped(make_dataset, clustered):
    """A dataset with a dictionary, codes and a map, and what the map was made of."""
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset, n_atoms=6, progress=False)
    smic.encode(dataset, progress=False)
    place(dataset, 0.0)
    return dataset


def place(dataset, at, brain_key="places"):
    ids = dataset.values("id")
    n_atoms = smic.load_dictionary(dataset).n_atoms_
    points = np.full((len(ids), 2), at, np.float32)
    store_map(dataset, "smic", brain_key, ids, points, np.full((n_atoms, 2), at))


def where(dataset):
    found = load_map(dataset)
    return found and (set(found.dots.ravel().tolist()), set(found.atoms.ravel().tolist()))


@pytest.mark.parametrize("brain_key", ["places", "others"])
@pytest.mark.parametrize("fails", ["compute", "save"])
def test_a_map_that_fails_leaves_the_one_before(mapped, monkeypatch, brain_key, fails):
    def fail(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if fails == "compute":
            patch.setattr(fob, "compute_visualization", fail)
        else:
            patch.setattr(BrainMethod, "save_run_results", fail)
        with pytest.raises(KeyboardInterrupt):
            place(mapped, 1.0, brain_key)
    mapped.reload()
    assert mapped.list_brain_runs() == ["places"]
    assert where(mapped) == ({0.0}, {0.0})
    place(mapped, 2.0, brain_key)
    mapped.reload()
    assert mapped.list_brain_runs() == [brain_key]
    assert where(mapped) == ({2.0}, {2.0})


def test_samples_deleted_while_the_map_is_made_are_left_out(mapped):
    ids = mapped.values("id")
    points = np.arange(2 * len(ids), dtype=np.float32).reshape(-1, 2)
    n_atoms = smic.load_dictionary(mapped).n_atoms_
    mapped.delete_samples(ids[:3])
    store_map(mapped, "smic", "places", ids, points, np.zeros((n_atoms, 2)))
    found = load_map(mapped)
    assert found.ids.tolist() == ids[3:]
    np.testing.assert_array_equal(found.dots, points[3:])
    mapped.delete_samples(ids[3:])
    with pytest.raises(ValueError, match="deleted while"):
        store_map(mapped, "smic", "places", ids, points, np.zeros((n_atoms, 2)))
