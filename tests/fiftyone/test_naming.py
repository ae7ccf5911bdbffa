"""Names of atoms: found, given by hand, kept, shown; and the rate of a dictionary chosen."""

from __future__ import annotations

import logging

import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import atom_names, collections, load_dictionary
from fiftyone_smic.semantics.names import stem


def labels_of(dataset):
    return dataset.values("smic_labels.classifications.label")


def users(dataset, atom):
    """Ids of the samples that have ``atom`` with a positive coefficient."""
    rows = zip(*dataset.values(["id", "smic_atoms", "smic_coefficients"]), strict=True)
    return {
        i
        for i, atoms, levels in rows
        if (atom, True) in zip(atoms, [q > 0 for q in levels], strict=True)
    }


def test_names_say_what_the_samples_show(encoded):
    report = smic.name_atoms(encoded)
    assert report.names == atom_names(encoded, "smic")
    assert len(set(report.names)) == load_dictionary(encoded).n_atoms_
    right = chance = 0.0
    for choice in ("terrain", "weather", "season"):
        shares = encoded.count_values(f"{choice}.label")
        for atom, name in enumerate(report.names):
            value = name.split(" (")[0]
            held = encoded.select(users(encoded, atom)).values(f"{choice}.label")
            if value in shares:
                right += held.count(value)
                chance += len(held) * shares[value] / len(encoded)
    assert right > 1.8 * chance > 0


def test_an_atom_that_nothing_fits_stays_without_a_name(encoded):
    report = smic.name_atoms(encoded)
    unnamed = np.array([name == f"concept {i}" for i, name in enumerate(report.names)])
    assert 0 < unnamed.sum() < len(unnamed)
    assert (unnamed == (report.cosines <= report.needed)).all()
    every = smic.name_atoms(encoded, weak=True).names
    assert not any(name == f"concept {i}" for i, name in enumerate(every))
    both = zip(report.names, every, unnamed, strict=True)
    assert all(stem(name) == stem(other) for name, other, no in both if not no)


def test_names_are_in_the_labels_and_last(encoded):
    before = encoded.values("smic_labels.classifications.confidence")
    smic.name_atoms(encoded)
    names = atom_names(encoded, "smic")
    columns = encoded.values(["smic_atoms", "smic_coefficients"])
    said = [
        [names[a] if q > 0 else f"not {names[a]}" for a, q in zip(atoms, levels, strict=True)]
        for atoms, levels in zip(*columns, strict=True)
    ]
    assert labels_of(encoded) == said
    assert encoded.values("smic_labels.classifications.confidence") == before
    smic.encode(encoded[:9])
    assert labels_of(encoded) == said
    encoded.rename_run("smic", "scenes")
    assert atom_names(encoded, "scenes") == names


def test_names_given_by_hand_stay(encoded):
    smic.set_atom_names(encoded, "smic", {0: "my atom", 2: " "})
    assert atom_names(encoded, "smic")[:3] == ["my atom", "concept 1", "concept 2"]
    assert "my atom" in encoded.distinct("smic_labels.classifications.label")
    report = smic.name_atoms(encoded, vocabulary=["my atom", "sea", "desert"])
    assert report.kept == 1
    assert np.isnan(report.cosines[0]) and np.isfinite(report.cosines[1:]).all()
    names = atom_names(encoded, "smic")
    assert names[0] == "my atom" and names.count("my atom") == 1
    named = {name.split(" (")[0] for name in names[1:] if not name.startswith("concept ")}
    assert named and named <= {"my atom", "sea", "desert"}
    smic.name_atoms(encoded, vocabulary=["sea", "desert"], overwrite=True)
    assert "my atom" not in atom_names(encoded, "smic")
    smic.set_atom_names(encoded, "smic", {0: None})
    assert atom_names(encoded, "smic")[0] == "concept 0"


def test_names_after_the_datasets_own_labels(encoded, make_dataset, clustered):
    names = smic.name_atoms(encoded, labels="terrain", weak=True).names
    assert {name.split(" (")[0] for name in names} <= set(encoded.distinct("terrain.label"))
    # Latents of an encoder nobody knows, and tags that say which cluster a sample is of.
    dataset = make_dataset(clustered)
    smic.learn_dictionary(dataset)
    smic.encode(dataset)
    with pytest.raises(ValueError, match="name atoms after labels"):
        smic.name_atoms(dataset)
    dictionary = load_dictionary(dataset)
    codes = dictionary.transform(clustered)
    for sample, row in zip(dataset, codes.toarray(), strict=True):
        sample.tags = [f"uses {i}" for i in np.flatnonzero(row > 0)]
        sample.save()
    names = smic.name_atoms(dataset, labels="tags").names
    assert names[0] == "uses 0"


def test_a_vocabulary_in_a_file(encoded, tmp_path):
    (tmp_path / "words.txt").write_text("sea\n\n desert \nsea\n")
    report = smic.name_atoms(encoded, vocabulary=tmp_path / "words.txt", weak=True)
    assert report.candidates == 2
    assert {name.split(" (")[0] for name in report.names} == {"sea", "desert"}


def test_names_that_cannot_be(encoded, state, tmp_path):
    before = state(encoded)
    for arguments, says in (
        ({"vocabulary": ["one"]}, "at least two texts"),
        ({"labels": "nothing"}, "cannot be named after 'nothing'"),
        ({"labels": "clip_latents"}, "cannot be named after 'clip_latents'"),
        ({"labels": "tags"}, "'tags' has 0 values"),
        ({"labels": "tags", "vocabulary": ["a", "b"]}, "not both"),
    ):
        with pytest.raises(ValueError, match=says):
            smic.name_atoms(encoded, **arguments)
    with pytest.raises(OSError):
        smic.name_atoms(encoded, vocabulary=tmp_path / "nowhere.txt")
    with pytest.raises(ValueError, match="no atom 9999"):
        smic.set_atom_names(encoded, "smic", {9999: "x"})
    assert state(encoded) == before
    assert atom_names(encoded, "smic")[0] == "concept 0"


def test_the_demonstration_says_so_once(postcards, caplog, monkeypatch):
    monkeypatch.setattr(collections, "_told", set())
    with caplog.at_level(logging.WARNING, logger="fiftyone_smic"):
        smic.compute_latents(postcards[:2], "second")
        smic.compute_latents(postcards[:2], "second", overwrite=True)
    said = [r.message for r in caplog.records if "know nothing of photographs" in r.message]
    assert len(said) == 1


def test_a_dictionary_of_so_many_bits(make_dataset, clustered):
    dataset = make_dataset(np.repeat(clustered, 3, axis=0))
    smic.learn_dictionary(dataset, bits_per_item=20)
    config = dataset.get_run_info("smic").config
    assert config.settings["bits_per_item"] == 20
    rate = smic.encode(dataset).rate
    assert rate.bits_per_item == pytest.approx(20, rel=0.1)
    assert config.learned["bits_per_item"] == pytest.approx(20, rel=0.05)


def test_a_dictionary_of_so_much_fidelity(postcards):
    seen = []
    smic.learn_dictionary(postcards, explained_variance=0.4, max_iter=4, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == 1
    assert smic.encode(postcards).fidelity.explained_variance == pytest.approx(0.4, rel=0.06)


def test_a_target_that_cannot_be_met(make_dataset, clustered, state):
    dataset = make_dataset(clustered)
    before = state(dataset)
    with pytest.raises(ValueError, match="give either bits_per_item or explained_variance"):
        smic.learn_dictionary(dataset, bits_per_item=9, explained_variance=0.5)
    with pytest.raises(ValueError, match="cannot be met: the nearest is"):
        smic.learn_dictionary(dataset, bits_per_item=0.01, max_iter=1)
    assert state(dataset) == before
