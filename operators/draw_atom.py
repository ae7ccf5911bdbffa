"""SMIC: draw concept; the Concepts tab of the panel runs it."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates
from .base import DictionaryOperator, OfThePanel


class DrawAtom(OfThePanel, DictionaryOperator):
    """Draw the picture of one atom."""

    operator_name = "draw_atom"
    label = "SMIC: draw concept"
    description = "See what a concept stands for: the average image, moved towards it alone"
    icon = "regenerate"
    doing = "Drawing the concept"
    action = "Draw"
    function = "draw_atom"
    parameters = ("atom", "generator")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config

        inputs.int("atom", label="Concept", required=True)
        estimates.generator(ctx, inputs, samples, load_config(ctx.dataset, key).encoder)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return f"**Concept {arguments['atom']} is drawn**, see the Concepts tab.\n\nFile: `{done}`"
