"""What the panel shows beyond single samples: atoms, storage, mixes."""

from __future__ import annotations

import os
import re
from collections import Counter

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from fiftyone_smic.fiftyone import (
    Recipe,
    atom_statistics,
    describe_atom,
    draw_atom,
    keep_picture,
    match_atom,
    measure_storage,
    mix,
    set_atom_names,
    visualization,
)
from fiftyone_smic.fiftyone.runs import load_config, load_dictionary
from fiftyone_smic.fiftyone.visualization import load_map, samples_on_map, store_map
from operators.panel.parts import media_url
from tests.support.window import Window


def test_statistics_of_atoms_are_those_of_the_fields(encoded):
    found = atom_statistics(encoded, labels="terrain")
    rows = list(
        zip(*encoded.values(["smic_atoms", "smic_coefficients", "terrain.label"]), strict=True)
    )
    signs = Counter(
        (atom, level > 0)
        for atoms, levels, _ in rows
        for atom, level in zip(atoms, levels, strict=True)
    )
    for atom in range(len(found.names)):
        assert (found.has[atom], found.lacks[atom]) == (signs[atom, True], signs[atom, False])
    assert found.lacks.any()
    atom = int(np.nanargmax(found.purity))
    users = [
        label
        for atoms, levels, label in rows
        for a, level in zip(atoms, levels, strict=True)
        if a == atom and level > 0
    ]
    assert found.purity[atom] == users.count(found.labels[atom]) / len(users)
    everywhere = [label for _, _, label in rows]
    base = everywhere.count(found.labels[atom]) / len(everywhere)
    assert found.lift[atom] == pytest.approx(found.purity[atom] / base)
    with pytest.raises(ValueError, match="single labels"):
        atom_statistics(encoded, labels="things")


def test_statistics_of_a_dataset_follow_its_changes(encoded):
    first = encoded.first()
    atom = first.smic_atoms[0]
    before = atom_statistics(encoded, labels="terrain")
    described = describe_atom(encoded, "smic", atom)
    set_atom_names(encoded, "smic", {atom: "renamed"})
    assert atom_statistics(encoded, labels="terrain").names[atom] == "renamed"
    assert describe_atom(encoded, "smic", atom).name == "renamed"
    encoded.set_values("terrain.label", ["moon"] * len(encoded))
    assert np.nanmin(atom_statistics(encoded, labels="terrain").purity) == 1
    encoded.delete_samples(first)
    assert atom_statistics(encoded, labels="terrain").uses[atom] == before.uses[atom] - 1
    after = describe_atom(encoded, "smic", atom)
    assert after.has + after.lacks == described.has + described.lacks - 1
    encoded.delete_sample_fields(["smic_atoms"])
    with pytest.raises(ValueError, match="no sample has a code"):
        atom_statistics(encoded, labels="terrain")


def test_an_atom_that_nothing_uses_is_described_and_listed_last(encoded):
    from operators.panel.atoms import ORDERS, listed

    unused = 1
    rows = encoded.values(["smic_atoms", "smic_coefficients"])
    kept = [[a != unused for a in atoms] for atoms in rows[0]]
    for name, column in zip(["smic_atoms", "smic_coefficients"], rows, strict=True):
        encoded.set_values(
            name,
            [
                [v for v, keep in zip(*pair, strict=True) if keep]
                for pair in zip(column, kept, strict=True)
            ],
        )
    found = describe_atom(encoded, "smic", unused)
    assert (found.has, found.lacks, found.exemplars, found.companions) == (0, 0, [], [])
    statistics = atom_statistics(encoded, labels="terrain")
    had = statistics.has > 0
    for order in ORDERS:
        ordered = listed(statistics, order)
        assert sorted(ordered) == list(range(len(had)))
        assert had[ordered[: had.sum()]].all() and unused in ordered[had.sum() :]
    rarest = listed(statistics, "rarity")[0]
    assert statistics.has[rarest] == statistics.has[had].min()


def test_atoms_are_found_by_a_part_of_their_name_or_their_number(encoded):
    from operators.panel.atoms import listed

    set_atom_names(encoded, "smic", {0: "Snowy forest", 3: "forest"})
    found = atom_statistics(encoded)
    assert sorted(listed(found, "use", " FOREST ")) == [0, 3]
    assert listed(found, "use", "3") == [3]
    assert listed(found, "use", "no such name") == []


def test_dots_of_a_thinned_map_stand_for_the_samples_around_them(encoded, monkeypatch):
    points = np.random.default_rng(0).normal(size=(len(encoded), 2))
    n_atoms = load_config(encoded, "smic").n_atoms
    store_map(encoded, "smic", "places", encoded.values("id"), points, np.zeros((n_atoms, 2)))
    whole = load_map(encoded)
    assert np.allclose(whole.dots, points)
    monkeypatch.setattr(visualization, "CELLS", 8)
    thinned = load_map(encoded)
    assert len(thinned.dots) < len(points)
    apart = np.abs(points - thinned.dots[thinned.dot_of])
    assert apart.max() <= np.ptp(points, axis=0).max() / 8
    chosen = [0, 3]
    view = samples_on_map(encoded, "smic", chosen, [])
    inside = np.isin(thinned.dot_of, chosen)
    assert set(view.values("id")) == {
        i for i, there in zip(encoded.values("id"), inside, strict=True) if there
    }


def test_atoms_chosen_on_the_map_stand_for_the_samples_that_have_any_of_them(encoded):
    ids, n_atoms = encoded.values("id"), load_config(encoded, "smic").n_atoms
    assert samples_on_map(encoded, "smic", [0], []) is None  # there is no map yet
    store_map(encoded, "smic", "places", ids, np.eye(len(ids), 2), np.zeros((n_atoms, 2)))
    using = [
        i
        for i, *code in zip(*encoded.values(["id", "smic_atoms", "smic_coefficients"]), strict=True)
        if any(atom in (0, 2) and level > 0 for atom, level in zip(*code, strict=True))
    ]
    assert samples_on_map(encoded, "smic", [], [0, 2]).values("id") == using
    assert samples_on_map(encoded, "smic", [], []) is None


def test_atoms_of_one_name_are_one_group_of_the_map(encoded):
    from operators.panel.map_data import OTHERS, map_data

    n_atoms = load_config(encoded, "smic").n_atoms
    store_map(
        encoded, "smic", "places", encoded.values("id"), np.eye(len(encoded), 2), np.eye(n_atoms, 2)
    )
    set_atom_names(encoded, "smic", {0: "night", 2: "night (2)", 1: "snow"})
    traces = {t["name"]: t for t in map_data(encoded, "smic", atom_statistics(encoded))}
    assert traces.keys() == {"samples", "night", "snow", OTHERS}
    assert traces["night"]["ids"] == ["0", "2"]
    atoms = [i for name, trace in traces.items() if name != "samples" for i in trace["ids"]]
    assert sorted(map(int, atoms)) == list(range(n_atoms))


def test_the_map_is_coloured_by_labels_numbers_and_concepts(encoded):
    from operators.panel.map_data import BY_CHOSEN, BY_STRONGEST, colour_fields, map_data

    n, found = len(encoded), atom_statistics(encoded)
    store_map(
        encoded, "smic", "places", encoded.values("id"), np.eye(n, 2), np.eye(len(found.names), 2)
    )

    def dots(colour, chosen=None):
        traces = map_data(encoded, "smic", found, colour, chosen)
        return {trace["name"]: trace for trace in traces if "customdata" in trace}

    offered = colour_fields(encoded, "smic")
    assert {"time", "things", "tags", "smic_bits", "smic_fidelity"} <= set(offered)
    assert not {"clip_latents", "smic_atoms", "smic_labels", "filepath"} & set(offered)
    times = encoded.values("time.label")
    shown = {name: [times[i] for i in trace["customdata"]] for name, trace in dots("time").items()}
    assert shown == {f"{t} ({times.count(t)})": [t] * times.count(t) for t in set(times)}
    (bits,) = dots("smic_bits").values()
    values = encoded.values("smic_bits")
    assert bits["marker"]["color"] == [values[i] for i in bits["customdata"]]
    atom = int(np.argmax(found.lacks))
    name = found.names[atom]
    by_chosen = {name: len(trace["x"]) for name, trace in dots(BY_CHOSEN, atom).items()}
    rest = n - found.has[atom] - found.lacks[atom]
    said = {f"lacks {name} ({found.lacks[atom]})": found.lacks[atom], "samples": rest}
    said |= {f"has {name} ({found.has[atom]})": found.has[atom]} if found.has[atom] else {}
    assert by_chosen == said
    assert sum(len(trace["x"]) for trace in dots(BY_STRONGEST).values()) == n


def test_the_map_and_its_pictures_travel_beside_the_layout(encoded):
    n, n_atoms = len(encoded), load_config(encoded, "smic").n_atoms
    points = np.random.default_rng(0).normal(size=(n, 2))
    store_map(encoded, "smic", "places", encoded.values("id"), points, np.eye(n_atoms, 2))
    window = Window(encoded)
    window.send("on_choice", path="tab", value="atoms")

    def version():
        return re.search(r'"version": "(\w+)"', window.text())[1]

    before = version()
    window.send("on_atom", id="0")
    assert version() == before and '"chosen": 0' in window.text()
    window.send("on_map_data", key="smic")
    assert sum(len(trace["x"]) for trace in window.answer["traces"]) == n + n_atoms
    window.send("on_map_picture", key="smic", dot=5)
    path = encoded.values("filepath")[5]
    assert window.answer == {"text": os.path.basename(path), "url": media_url(path)}
    found = atom_statistics(encoded)
    window.send("on_map_picture", key="smic", atom=0)
    assert window.answer["url"] == media_url(found.typical[0][1])
    window.send("on_map_picture", key="smic", dot=n)  # of a map that is not there any more
    assert window.answer == {}
    window.send("on_choice", path="top.column0.map_settings.colour", value="time")
    coloured = version()
    assert coloured != before
    set_atom_names(encoded, "smic", {0: "renamed"})
    window.send("refresh")
    assert version() != coloured


def test_an_atom_is_drawn_from_the_mean_and_itself(encoded, tmp_path, monkeypatch):
    monkeypatch.setattr(fo.config, "default_dataset_dir", str(tmp_path))
    atoms = load_dictionary(encoded).atoms_
    one, other = np.unravel_index(np.argmin(atoms @ atoms.T), (len(atoms), len(atoms)))
    drawn = [
        np.asarray(Image.open(draw_atom(encoded, atom=int(i))), dtype=float) for i in (one, other)
    ]
    assert np.abs(drawn[0] - drawn[1]).mean() > 5
    with pytest.raises(ValueError, match="has atoms 0 to"):
        draw_atom(encoded, atom=len(atoms))


def test_an_atom_is_described_by_samples_that_use_it(encoded):
    atom = max(encoded.count_values("smic_atoms").items(), key=lambda pair: pair[1])[0]
    found = describe_atom(encoded, "smic", atom)
    users = match_atom(encoded, atom)
    others = match_atom(encoded, atom, sign="lacks")
    assert (found.has, found.lacks) == (len(users), len(others))
    assert found.exemplars and {i for i, _ in found.exemplars} <= set(users.values("id"))
    assert {i for i, _ in found.opposites} <= set(others.values("id"))
    assert describe_atom(encoded, "smic", atom, statistics=atom_statistics(encoded)) == found
    for other, _, both in found.companions:
        assert both == len(match_atom(users, other))
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
