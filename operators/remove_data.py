"""SMIC: remove all SMIC data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import SMICOperator
from .words import amount, size


class RemoveData(SMICOperator):
    """Remove what this plugin has left in the dataset and on the disk."""

    operator_name = "remove_data"
    label = "SMIC: remove all SMIC data"
    description = "Sweep up: what SMIC has left in this dataset and on the disk, with sizes"
    icon = "manage"
    doing = "Removing"
    function = "remove_all"
    parameters = ("what",)
    submit = "Remove"

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        from fiftyone_smic.fiftyone import remove_all
        from fiftyone_smic.fiftyone.cleanup import DEFAULT, KINDS

        found = remove_all(ctx.dataset, KINDS, dry_run=True).by_kind()
        if not found:
            why = "SMIC has left nothing in this dataset and in its folder."
            forms.stop(inputs, "clean", "Nothing to remove", why)
            return
        for kind, (count, space) in found.items():
            label = f"{KINDS[kind]}: {amount(count, 'item')}, {size(space)}"
            about = (
                "" if kind in DEFAULT else "They may hold the only copy of codes that are removed"
            )
            forms.checkbox(inputs, kind, label, about, default=kind in DEFAULT)
        chosen = _ticked(ctx, found)
        if chosen:
            total = size(sum(found[kind][1] for kind in chosen))
            note = f"This removes {total} and cannot be undone. Your images and labels stay"
            forms.note(inputs, "cost", note)
        else:
            forms.stop(inputs, "none", "Nothing is chosen", "Tick what is to be removed.")

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import remove_all
        from fiftyone_smic.fiftyone.cleanup import KINDS

        what = ctx.params.get("what")
        if what is None:
            what = _ticked(ctx, KINDS)
        return self.result(remove_all(ctx.dataset, what), {})

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        from fiftyone_smic.fiftyone.cleanup import KINDS

        lines = [
            f"- {KINDS[kind]}: {amount(count, 'item')}, {size(space)}"
            for kind, (count, space) in done.by_kind().items()
        ]
        kept = ""
        if done.kept:
            path, why = next(iter(done.kept.items()))
            stay = amount(len(done.kept), "file stays", "files stay")
            kept = f"\n\n{stay}, such as `{path}` ({why})."
        return f"**{size(done.bytes)}** were removed.\n\n" + "\n".join(lines) + kept


def _ticked(ctx: Any, kinds: Iterable[str]) -> list[str]:
    """The kinds whose box is ticked; untouched, it is what the library removes by default."""
    from fiftyone_smic.fiftyone.cleanup import DEFAULT

    return [kind for kind in kinds if ctx.params.get(kind, kind in DEFAULT)]
