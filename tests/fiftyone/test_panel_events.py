"""What the panel answers to the events the App sends it."""

from __future__ import annotations

import copy
import threading
import time

import pytest
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_smic.fiftyone import statistics
from operators.panel import _TURNS, SMICPanel


@pytest.fixture
def window(encoded):
    """Send events as a window of the App does: it keeps the panel's state, and says what it was
    told to draw."""
    state = {}

    def send(event, at=None, **params):
        executor = Executor()
        at = copy.deepcopy(state if at is None else at)
        about = {"panel_id": "p", "panel_state": at, "__method__": event}
        request = {"dataset_name": encoded.name, "params": {**about, **params}}
        SMICPanel().execute(ExecutionContext(request, executor=executor))
        told = executor.to_json()["requests"]
        for each in told:
            state.update(each["params"].get("state") or {})
        return [
            each["params"]["output"]
            for each in told
            if each["operator_uri"].endswith("show_panel_output")
        ]

    send.state = state
    return send


def test_events_that_change_nothing_draw_nothing(window, encoded):
    (first,) = window("on_load")
    assert window("on_change_view") == []
    assert window("on_choice", path="tab", value="compare") == []
    (storage,) = window("on_choice", path="tab", value="storage")
    assert storage != first
    assert window("on_choice", path="tab", value="storage") == []
    (again,) = window("on_choice", path="tab", value="compare")
    assert again == first
    encoded.set_field("smic_bits", 7.0).save("smic_bits")
    (refreshed,) = window("refresh")
    assert refreshed != first
    (anew,) = window("on_load")  # a page that was loaded again has drawn nothing
    assert anew == refreshed


def test_a_late_event_of_an_earlier_state_does_not_hide_the_latest(window, encoded):
    window("on_load")
    window("on_choice", path="tab", value="mix")
    earlier = copy.deepcopy(window.state)
    window.state.update(tab="compare", dataset="another")
    (compare,) = window("on_change_dataset")
    (late,) = window("on_change_selected", at=earlier)
    assert late != compare
    assert window("on_change_view") == [compare]


def test_a_panel_that_comes_back_keeps_what_was_chosen(window, encoded):
    window("on_load")
    (storage,) = window("on_choice", path="tab", value="storage")
    assert window("on_change_dataset") == [storage]


def test_of_the_events_that_wait_only_the_last_one_draws(window):
    """They are served in the order in which they came, however the machine mixes its threads."""
    drawn = {}

    def send(i, tab):
        drawn[i] = window("on_choice", path="tab", value=tab)

    window("on_load")
    with _TURNS.turn("another window"):
        threads = []
        for i, tab in enumerate(["storage", "compare", "mix", "storage"]):
            threads.append(threading.Thread(target=send, args=(i, tab)))
            threads[-1].start()
            while len(_TURNS._waiting) < i + 2:
                time.sleep(0.01)
    for thread in threads:
        thread.join()
    assert [len(drawn[i]) for i in range(4)] == [0, 0, 0, 1]
    assert "Measure" in str(drawn[3]) and window.state["tab"] == "storage"


@pytest.mark.parametrize("tab", ["atoms", "curate"])
def test_a_tab_that_counts_for_long_says_how_far_it_is_and_then_shows_it(window, encoded, tab):
    (_,) = window("on_load")
    encoded.set_field("smic_bits", 7.0).save("smic_bits")  # what was counted before is not asked
    with statistics._COUNTING:  # a count of another window is under way
        (waiting,) = window("on_choice", path="tab", value=tab)
        assert "Counting the concepts of 80 samples (1 s)" in str(waiting)
        assert waiting["type"]["properties"]["counting"]["default"] < 1
        timer = waiting["type"]["properties"]["again"]["view"]
        assert timer["name"] == "TimerView"
    (whole,) = window(timer["on_interval"].rpartition("#")[2])
    assert "counting" not in whole["type"]["properties"] and "Typical of" in str(whole)
