"""A window of the App that shows the panel, without a browser."""

from __future__ import annotations

import copy
import json

import fiftyone as fo
from fiftyone.operators.executor import ExecutionContext, Executor

from operators.panel import SMICPanel


class Window:
    """A window of the App: it keeps the panel's state and the grid's view, as it is told to."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.state = {}
        self.view = []
        self.filters = {}
        self.view_name = None
        self.selected = []
        self.layout = None
        self.answer = None
        self.sent = 0
        self.send("on_load")

    def send(self, event, **params):
        executor = Executor()
        about = {"panel_id": "p", "panel_state": copy.deepcopy(self.state), "__method__": event}
        request = {
            "dataset_name": self.dataset.name,
            "params": {**about, **params},
            "view": self.view,
            "filters": self.filters,
            "view_name": self.view_name,
            "selected": self.selected,
        }
        self.answer = SMICPanel().execute(ExecutionContext(request, executor=executor))
        told = executor.to_json()["requests"]
        others = [t for t in told if not t["operator_uri"].endswith("show_panel_output")]
        self.sent = len(json.dumps(others))
        for each in told:
            name, given = each["operator_uri"].rsplit("/", 1)[-1], each["params"] or {}
            self.state.update(given.get("state") or {})
            if name == "set_view" and "view" in given:  # the App forgets the sidebar's filters
                self.view, self.filters, self.view_name = given["view"], {}, None
                self.selected = []
            elif name == "set_view":
                self.view_name, self.filters, self.view, self.selected = given["name"], {}, [], []
            elif name == "set_selected_samples":
                self.selected = [sample["id"] for sample in given["samples"]]
            elif name == "show_panel_output":
                self.layout = given["output"]
        if any(each["operator_uri"].endswith("set_view") for each in told):
            kept = self.answer, self.sent
            self.send("on_change_view")
            self.answer, self.sent = kept
        return told

    @property
    def paths(self):
        view = fo.DatasetView._build(self.dataset, self.view)
        return view.values("filepath")

    def text(self):
        return json.dumps(self.layout, ensure_ascii=False)
