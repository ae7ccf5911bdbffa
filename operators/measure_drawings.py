"""SMIC: measure drawings."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates, forms
from .base import DictionaryOperator
from .words import TERMS, about, amount


class MeasureDrawings(DictionaryOperator):
    """Embed drawn pictures again, and compare them with their originals."""

    operator_name = "measure_drawings"
    label = "SMIC: measure drawings"
    description = "See how close drawn pictures come to their originals, to find the worst"
    icon = "regenerate"
    doing = "Embedding drawn pictures"
    action = "Measure the drawings of"
    stopped = "**Stopped.** What was measured stays; the next run goes on where this one stopped."
    function = "measure_drawings"
    parameters = ("key", "batch_size", "overwrite")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config
        from fiftyone_smic.models.encoders import EMBEDDED, describe, problem

        drawn = forms.held(ctx, samples, key, "regenerated")
        if not drawn:
            why = "No picture was drawn from these codes. Run 'SMIC: regenerate samples' first."
            forms.stop(inputs, "undrawn", "No pictures here", why)
            return
        config = load_config(ctx.dataset, key)
        encoder = config.encoder_source or config.encoder
        cannot = problem(encoder)
        if cannot:
            forms.stop(inputs, "no_encoder", "The pictures cannot be embedded", cannot)
            return
        there = forms.held(ctx, samples, key, "drawn_fidelity")
        if there:
            known = amount(there, "measured picture")
            forms.checkbox(inputs, "overwrite", f"Measure the {known} again")
        todo = drawn - (0 if ctx.params.get("overwrite") else there)
        estimates.cost(
            inputs,
            amount(todo, "picture") + " to embed" if todo else "All pictures are measured",
            todo,
            measured=None,
            guess=describe(encoder).seconds,
            loading=2 if encoder.startswith(EMBEDDED) else 15,
        )
        forms.explain(inputs, "drawn fidelity")

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        kept = amount(done.kept, "picture was", "pictures were") + " measured before."
        mean = ""
        if done.measured:
            term = about(TERMS["drawn fidelity"], arguments["noun"])
            mean = f" Their mean fidelity is {done.mean:.2f}. *{term}*"
        return (
            f"**{amount(done.measured, 'picture was', 'pictures were')}** measured, into "
            f"`{done.field}`.{mean} {kept if done.kept else ''}\n\n"
            + forms.skipped(done.skipped, arguments["noun"])
            + "The Compare tab of the **SMIC** panel can show the worst drawing first."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
