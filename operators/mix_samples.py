"""SMIC: mix samples; the Mix tab of the panel runs it."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates, forms
from .base import DictionaryOperator, OfThePanel

PARTS = ("start", "plus", "minus", "text")


class MixSamples(OfThePanel, DictionaryOperator):
    """Draw a strip of pictures from a sample towards a mix."""

    operator_name = "mix_samples"
    label = "SMIC: mix samples"
    description = "See a sample with others, a text or a concept added or subtracted"
    icon = "regenerate"
    doing = "Drawing the mix"
    action = "Mix"
    function = "mix"
    parameters = ("key", "generator")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config

        for name in PARTS:
            inputs.str(name, label=name.capitalize())
        inputs.int("atom", label="Concept to subtract")
        inputs.float("alpha", default=1.0, label="Strength")
        inputs.int("seed", default=0, label="Seed")
        estimates.generator(ctx, inputs, samples, load_config(ctx.dataset, key).encoder)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import Recipe

        recipe = Recipe(**forms.chosen(ctx, *PARTS, "atom", "alpha", "seed"))
        return {**super().arguments(ctx), "recipe": recipe}

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return f"**{len(done)} pictures are drawn**, see the Mix tab.\n\nFolder: `{done[0].parent}`"
