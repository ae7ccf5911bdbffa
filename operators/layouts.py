"""What the App shows of a run: a bar, an error, a result with buttons that lead on."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

PLUGIN = "fiftyone_smic"
#: The App gives such a dialog neither a title nor a margin.
ROOM = {"sx": {"px": 3, "pt": 2, "pb": 1, "minWidth": "24rem", "boxSizing": "border-box"}}


def _dialog(outputs: types.Object) -> types.Property:
    return types.Property(outputs, view=types.ObjectView(componentsProps={"gridContainer": ROOM}))


def bar(ctx: Any, title: str, label: str, progress: float, run: str) -> Any:
    """A bar with a button to stop the run."""
    outputs = types.Object()
    outputs.md(f"#### {title}", name="title")
    outputs.float("progress", view=types.ProgressView(label=label))
    stop = {"operator": f"{PLUGIN}/stop_run", "params": {"run": run}}
    outputs.view("stop", types.Button(label="Stop", **stop))
    shown = _dialog(outputs).to_json()
    return ctx.ops.show_output(outputs=shown, results={"progress": progress})


def failure(title: str, error: BaseException) -> types.Property:
    """An error as the App shows it."""
    outputs = types.Object()
    outputs.md(f"#### {title}", name="title")
    what = title.removeprefix("SMIC: ")
    why = str(error) or type(error).__name__
    label = f"{what[:1].upper()}{what[1:]} failed"
    outputs.view("error", types.Error(label=label, description=sentence(why)))
    return _dialog(outputs)


def output(title: str, results: dict[str, Any]) -> types.Property:
    """A result: its title, a text, and buttons that lead on."""
    outputs = types.Object()
    outputs.md(f"#### {title}", name="title")
    outputs.str("summary", view=types.MarkdownView())
    for i, (text, operator, params) in enumerate(results.get("buttons") or []):
        given = {"operator": operator, "params": params}
        outputs.view(f"next{i}", types.Button(label=text, operator=f"{PLUGIN}/go_on", params=given))
    return _dialog(outputs)


def sentence(text: str) -> str:
    """Return a text with a capital letter first and a full stop last."""
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
