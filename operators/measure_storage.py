"""SMIC: measure storage."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator


class MeasureStorage(DictionaryOperator):
    """Measure image codecs and the rate–fidelity curve."""

    operator_name = "measure_storage"
    label = "SMIC: measure storage"
    description = "What JPEG, WebP and AVIF take, and how fidelity grows with the bits"
    icon = "encode"
    doing = "Learning dictionaries of other sizes"
    action = "Measure"
    function = "measure_storage"
    parameters = ("key", "most_pictures", "most_latents")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import measured
        from fiftyone_smic.fiftyone.storage import FACTORS

        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        forms.number(
            inputs,
            ctx.params,
            "most_latents",
            default=2000,
            least=2,
            most=100_000,
            label="Latents at most",
            description="Each point of the curve is a dictionary learned on these",
        )
        forms.number(
            inputs,
            ctx.params,
            "most_pictures",
            default=300,
            least=1,
            most=100_000,
            label="Pictures at most",
            description="Encoded by each codec at its smallest setting",
        )
        forms.cost(
            inputs,
            f"{len(FACTORS)} dictionaries",
            len(FACTORS) * min(count, ctx.params.get("most_latents") or 2000),
            measured=measured(ctx.dataset, "learn"),
            guess=0.004,
            fixed=5,
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        sizes = ", ".join(
            f"{forms.amount(size)} as {name.upper()}" for name, size in done.codecs.items()
        )
        low, high = done.curve[0], done.curve[-1]
        return (
            f"At their smallest the pictures take {sizes}, measured on {done.pictures:,} of them."
            f"\n\nFrom **{low['bits_per_item']:.0f}** to **{high['bits_per_item']:.0f} bits** per "
            f"sample the codes keep {low['explained_variance']:.0%} to "
            f"{high['explained_variance']:.0%} of the variance.\n\n"
            "Next: the Storage tab of the **SMIC** panel shows both."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
