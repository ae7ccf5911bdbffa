"""What a click in the panel does to the grid's view, and what it shows of broken datasets."""

from __future__ import annotations

import json

import fiftyone as fo
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import match_atom
from tests.support.window import Window


@pytest.fixture
def coded(make_dataset, clustered):
    dataset = make_dataset(clustered)
    labels = [fo.Classification(label="night" if i % 3 else "day") for i in range(60)]
    dataset.set_values("time", labels)
    smic.learn_dictionary(dataset, lam=0.001)
    smic.encode(dataset)
    return dataset


def often(dataset):
    """An atom that several samples have and several others lack, if there is one."""
    atoms = range(dataset.get_run_info("smic").config.n_atoms)
    return max(atoms, key=lambda a: min(len(match_atom(dataset, a)), 30))


def test_an_atom_narrows_filters_order_and_selection_and_leads_back(coded):
    atom = often(coded)
    window = Window(coded)
    window.view = coded.sort_by("filepath", reverse=True)._serialize()
    window.filters = {"time.label": {"values": ["night"], "exclude": False, "isMatching": True}}
    night = coded.match(F("time.label") == "night").sort_by("filepath", reverse=True)
    expected = match_atom(night, atom).values("filepath")
    window.selected = match_atom(night, atom).limit(1).values("id")
    selected = list(window.selected)
    assert 0 < len(expected) < len(night)

    window.send("on_atom", id=str(atom))
    assert window.paths == expected
    assert window.selected == selected
    assert window.sent < 10_000
    window.send("on_change_view")  # the App tells of the new view
    assert "Back to the view before" in window.text()
    window.send("on_back")
    assert window.paths == night.values("filepath")
    assert window.selected == selected
    window.send("on_change_view")
    assert "Back to the view before" not in window.text()


def test_a_saved_view_is_narrowed_with_its_filters_and_comes_back(coded):
    atom = often(coded)
    coded.save_view("first-half", coded[:30])
    window = Window(coded)
    window.view_name = "first-half"
    window.send("on_atom", id=str(atom))
    assert window.paths == match_atom(coded[:30], atom).values("filepath")
    window.send("on_back")
    assert window.view_name == "first-half"
    window.filters = {"time.label": {"values": ["day"], "exclude": False, "isMatching": True}}
    window.send("on_atom", id=str(atom))
    day = coded[:30].match(F("time.label") == "day")
    assert window.paths == match_atom(day, atom).values("filepath")


def test_lacking_is_shown_apart(coded):
    atoms = range(coded.get_run_info("smic").config.n_atoms)
    atom = max(atoms, key=lambda a: len(match_atom(coded, a, sign="lacks")))
    window = Window(coded)
    window.send("on_atom", id=str(atom), sign="lacks")
    assert window.paths == match_atom(coded, atom, sign="lacks").values("filepath")
    assert not set(window.paths) & set(match_atom(coded, atom).values("filepath"))


def test_a_view_that_the_user_changed_has_no_way_back(coded):
    window = Window(coded)
    window.send("on_atom", id=str(often(coded)))
    window.view = coded[:3]._serialize()
    window.send("refresh")
    assert "Back to the view before" not in window.text()


@pytest.mark.parametrize("tab", ["compare", "storage", "atoms", "mix"])
def test_broken_datasets_have_a_state_that_says_what_to_do(coded, tab):
    window = Window(coded)
    window.send("on_choice", path="tab", value=tab)
    coded.delete_sample_fields(["smic_bits"])
    window.send("refresh")
    assert "Encode again" in window.text() and "smic_bits" in window.text()
    coded.delete_sample_field("clip_latents")
    window.send("refresh")
    assert "compute them first" in window.text()
    coded.delete_samples(coded.values("id"))
    window.send("refresh")
    assert "has no samples" in window.text()
    coded.delete_run("smic")
    window.send("refresh")
    assert "has no samples" in window.text()


def test_a_renamed_field_is_missing(coded):
    window = Window(coded)
    coded.rename_sample_field("smic_atoms", "mine")
    window.send("refresh")
    assert "smic_atoms" in window.text() and "Encode again" in window.text()


def test_a_field_that_somebody_cleared_is_written_again(coded):
    """The App's own operators clear a field of some samples, and leave it declared."""
    window = Window(coded)
    window.send("on_choice", path="tab", value="atoms")
    atom = often(coded)
    coded.limit(3).clear_sample_field("smic_coefficients")
    window.send("on_atom", id=str(atom))  # of the map that is still shown
    assert "somebody has changed" in window.text() and "Encode again" in window.text()
    assert "Encode 3 samples of this page" in Window(coded).text()


def test_compare_pages_sorts_and_jumps(coded):
    window = Window(coded)
    window.send("on_choice", path="paging.order", value="bits")
    window.state["paging"] = {"order": "bits", "size": "8"}
    window.send("refresh")
    assert "Samples 1 to 8 of 60" in window.text()
    worst = coded.sort_by("smic_bits", reverse=True).first().filepath.rsplit("/", 1)[-1]
    assert worst in window.text()
    page = next(button for button in buttons(window.layout) if button["view"].get("label") == "Go")
    window.state["buttons"] = {"number": 8}
    window.send("on_jump", **page["view"]["params"])
    assert "Samples 57 to 60 of 60" in window.text()


def buttons(layout):
    """Every property of a layout, at any depth."""
    found = []
    for value in (layout or {}).values() if isinstance(layout, dict) else layout or []:
        if isinstance(value, dict) and isinstance(value.get("view"), dict):
            found.append(value)
        if isinstance(value, (dict, list)):
            found += buttons(value)
    return found


def test_a_button_of_the_storage_tab_takes_the_whole_dataset(coded):
    window = Window(coded)
    window.selected = coded.limit(2).values("id")
    window.send("on_choice", path="tab", value="storage")
    measure = next(b for b in buttons(window.layout) if "Measure" in str(b["view"].get("label")))
    assert "60 samples" in measure["view"]["label"]
    assert measure["view"]["params"]["with"] == {"key": "smic", "whole": True}


def test_the_curate_tab_shows_what_was_found_and_leads_back(coded):
    from operators.find_near_duplicates import FindNearDuplicates

    window = Window(coded)
    window.send("on_choice", path="tab", value="curate")
    for said in ("60 samples", "Find", "Choose", "Clean", "Compare", "do not say which model"):
        assert said in window.text()
    request = {"dataset_name": coded.name, "params": {"threshold": 0.99}}
    found = FindNearDuplicates().execute(ExecutionContext(request))["buttons"][0][2]["found"]
    window.send("refresh")
    assert "can go: each is that near" in window.text()
    window.send("on_found", found=found, part="keep", what="that are kept")
    window.send("on_change_view")
    groups = smic.find_near_duplicates(coded, threshold=0.99)
    assert sorted(window.paths) == sorted(groups.views["keep"].values("filepath"))
    assert "that are kept" in window.text()
    window.send("on_groups", found=found)
    window.send("on_change_view")
    coded.reload()
    assert coded.count("smic_duplicate_of") == len(groups.view)
    assert "Back to the view before" in window.text()
    window.send("on_back")
    window.send("on_back")
    assert len(window.paths) == 60
    told = window.send("on_found", found="gone", what="")
    assert any("no longer there" in json.dumps(each["params"]) for each in told)
