"""What the panel shows beyond single samples: atoms, storage, mixes."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

from fiftyone_smic.fiftyone import (
    Recipe,
    atom_statistics,
    describe_atom,
    keep_picture,
    measure_storage,
    mix,
)
from fiftyone_smic.fiftyone.runs import load_config


def test_statistics_of_atoms_are_those_of_the_fields(encoded):
    found = atom_statistics(encoded, labels="terrain")
    counted = encoded.count_values("smic_atoms")
    assert {i: n for i, n in enumerate(found.uses) if n} == counted
    atom = int(np.nanargmax(found.purity))
    rows = zip(*encoded.values(["smic_atoms", "smic_coefficients", "terrain.label"]), strict=True)
    users = [
        label
        for atoms, levels, label in rows
        for a, level in zip(atoms, levels, strict=True)
        if a == atom and level > 0
    ]
    assert found.purity[atom] == users.count(found.labels[atom]) / len(users)
    with pytest.raises(ValueError, match="single labels"):
        atom_statistics(encoded, labels="things")


def test_an_atom_is_described_by_samples_that_use_it(encoded):
    atom = max(encoded.count_values("smic_atoms").items(), key=lambda pair: pair[1])[0]
    found = describe_atom(encoded, "smic", atom)
    users = encoded.match(F("smic_atoms").contains(atom))
    assert found.uses == len(users)
    assert found.exemplars and {i for i, _ in found.exemplars} <= set(users.values("id"))
    for other, _, both in found.companions:
        assert both == len(users.match(F("smic_atoms").contains(other)))
    with pytest.raises(ValueError, match="has atoms 0 to"):
        describe_atom(encoded, "smic", 10_000)


def test_storage_is_measured_and_kept_with_the_run(encoded):
    found = measure_storage(encoded)
    kept = load_config(encoded, "smic").storage
    assert kept["codecs"] == found.codecs
    assert 0 < found.codecs["jpeg"] < kept["original_bytes"]
    bits = [point["bits_per_item"] for point in found.curve]
    quality = [point["explained_variance"] for point in found.curve]
    assert bits == sorted(bits)
    assert quality[0] < quality[-1]


def test_codes_out_of_an_archive_have_a_curve_without_a_point_of_their_own(encoded):
    from operators.panel.storage import curve_data

    curve = [{"lam": 0.002, "bits_per_item": 20.0, "explained_variance": 0.5}]
    storage = load_config(encoded, "smic").storage
    assert [len(trace["x"]) for trace in curve_data(storage, curve)] == [1, 1]
    assert len(curve_data({**storage, "fidelity": None}, curve)) == 1


def test_a_mix_starts_at_its_sample_and_moves_away(encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(fo.config, "default_dataset_dir", str(tmp_path))
    one, two = encoded.limit(2).values("id")
    recipe = Recipe(one, plus=two, text="a city at night", pictures=3)
    paths = mix(encoded, recipe=recipe)
    first, middle, last = (np.asarray(Image.open(path), dtype=float) for path in paths)
    assert np.abs(last - first).mean() > np.abs(middle - first).mean() > 1
    kept = keep_picture(encoded, paths[-1])
    assert keep_picture(encoded, paths[-1]).id == kept.id
    assert encoded.match_tags("smic mix").values("filepath") == [str(paths[-1])]
    with pytest.raises(ValueError, match="nothing to mix"):
        mix(encoded, recipe=Recipe(one))
