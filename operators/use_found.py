"""SMIC: use what was found; results and the Curate tab run it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fiftyone.operators import types

from . import findings, forms
from .base import Button, OfThePanel, SMICOperator
from .words import amount

ACTIONS = {
    "tag": "Tag them",
    "save": "Save them as a view",
    "hide": "Leave them out of the grid",
    "delete": "Delete them from the dataset",
}
ABOUT = {
    "tag": "The tag can be filtered by, and removed again",
    "save": "The view keeps these samples under a name",
    "hide": "Nothing is changed: the grid shows the others",
    "delete": "Their labels and codes go too; the image files stay on the disk",
}
DONE = {
    "tag": "**{n}** got the tag **{name}**.",
    "save": "The saved view **{name}** keeps **{n}**.",
    "hide": "The grid shows the others, without **{n}**.",
    "delete": "**{n} deleted** from the dataset; it has **{left}** now. The image files stay.",
}


class UseFound(OfThePanel, SMICOperator):
    """Tag, save, hide or delete the samples that were found."""

    operator_name = "use_found"
    label = "SMIC: use what was found"
    description = "Tag, save, hide or delete the samples of the last result"
    icon = "curate"
    doing = "Working"

    def fill(self, ctx: Any, inputs: types.Object) -> str | None:
        for name in ("found", "quiet"):
            if ctx.params.get(name):
                add = inputs.str if name == "found" else inputs.bool
                add(name, view=types.HiddenView(read_only=False))
        try:
            finding = findings.get(ctx.dataset, ctx.params.get("found") or "")
            samples = self._samples(ctx, finding)
        except ValueError as error:
            forms.stop(inputs, "gone", "Nothing to use", str(error))
            return None
        parts = {"": "All that were found", **finding.outcome.parts}
        if len(parts) > 1:
            part = ctx.params.get("part") or ""
            forms.dropdown(inputs, "part", parts, part if part in parts else "", "Which")
        action = forms.radio(ctx, inputs, "action", ACTIONS, "tag", "What to do", ABOUT)
        count = amount(len(samples), "sample")
        if not len(samples):
            forms.stop(inputs, "none", "Nothing to use", "There are no samples in it.")
        elif action == "delete":
            forms.checkbox(inputs, "sure", f"Yes, delete {count}", "This cannot be undone")
            if not ctx.params.get("sure"):
                why = f"Tick the box to delete {count} of {len(ctx.dataset):,}."
                forms.stop(inputs, "unsure", "This cannot be undone", why)
        else:
            forms.note(inputs, "count", count)
            self._name(ctx, inputs, action)
        return ACTIONS[action].partition(" ")[0]

    def _name(self, ctx: Any, inputs: types.Object, action: str) -> None:
        """Ask for the tag or for the name of the view."""
        if action not in ("tag", "save"):
            return
        what = "Tag" if action == "tag" else "Name of the view"
        prop = inputs.str("name", label=what, required=True)
        name = ctx.params.get("name")
        if name is None:
            return
        if not str(name).strip():
            forms.wrong(prop, f"{what} is empty; type a word, such as: review")
        elif action == "save" and ctx.dataset.has_saved_view(name):
            forms.wrong(prop, f"There is a saved view {name!r}; choose another name")

    def _samples(self, ctx: Any, finding: findings.Finding) -> Any:
        return finding.part(ctx.params.get("part") or None)

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        finding = findings.get(ctx.dataset, ctx.params.get("found") or "")
        action, name = ctx.params.get("action", "tag"), str(ctx.params.get("name") or "").strip()
        samples = self._samples(ctx, finding)
        if action not in ACTIONS:
            raise ValueError(f"there is no action {action!r}; choose one of {', '.join(ACTIONS)}")
        if not len(samples):
            raise ValueError("There are no samples in it, so nothing was changed")
        if action in ("tag", "save") and not name:
            raise ValueError("Give a name first; nothing was changed")
        count = amount(len(samples), "sample")
        n = amount(len(samples), "sample was", "samples were") if action == "delete" else count
        said = {"n": n, "name": name}
        if action == "tag":
            samples.tag_samples(name)
        elif action == "save":
            if ctx.dataset.has_saved_view(name):
                raise ValueError(f"There is a saved view {name!r}; choose another name")
            ctx.dataset.save_view(name, samples)
        elif action == "delete":
            if not ctx.params.get("sure"):
                raise ValueError("Deleting was not confirmed, so nothing was deleted")
            ctx.dataset.delete_samples(samples.values("id"))
            findings.forget(finding.id)  # it speaks of samples that are gone
        said["left"] = amount(len(ctx.dataset), "sample")
        return {"summary": DONE[action].format(**said), "buttons": [list(forms.PANEL)]}

    def finish(self, ctx: Any, done: dict[str, Any]) -> Iterator[Any]:
        if ctx.params.get("action") == "hide":
            finding = findings.get(ctx.dataset, ctx.params["found"])
            yield ctx.ops.set_view(ctx.view.exclude(self._samples(ctx, finding).values("id")))
        elif ctx.params.get("action") == "delete":
            yield ctx.ops.clear_view()
        yield from super().finish(ctx, done)

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        return [forms.PANEL]
