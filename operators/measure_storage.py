"""SMIC: measure storage."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_smic.utils.defaults import CURVE_FACTORS

from . import estimates, forms
from .base import DictionaryOperator
from .words import amount, one, share, size


class MeasureStorage(DictionaryOperator):
    """Measure image codecs and the rate–distortion curve."""

    operator_name = "measure_storage"
    label = "SMIC: measure storage"
    description = "See what JPEG, WebP and AVIF take, and how detail grows with the bits"
    icon = "encode"
    doing = "Learning dictionaries of other sizes"
    action = "Measure"
    function = "measure_storage"
    parameters = ("key", "most_pictures", "most_latents")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.durations import measured

        count = forms.coded(ctx, inputs, samples, key)
        if not count or not forms.embedded(ctx, inputs, samples, key):
            return
        forms.number(
            inputs,
            ctx.params,
            "most_latents",
            default=2000,
            least=2,
            most=100_000,
            label="Most embeddings to learn from",
            description="Each point of the curve is a dictionary learned from at most this many",
        )
        forms.number(
            inputs,
            ctx.params,
            "most_pictures",
            default=300,
            least=1,
            most=100_000,
            label="Most pictures to compress",
            description="Each image codec compresses at most this many, at its smallest size",
        )
        learned = min(count, ctx.params.get("most_latents") or 2000)
        estimates.cost(
            inputs,
            f"{amount(len(CURVE_FACTORS), 'dictionary', 'dictionaries')} learned from "
            f"{forms.items(ctx, learned)} each",
            len(CURVE_FACTORS) * learned,
            measured=measured(ctx.dataset, "learn"),
            guess=0.004,
            loading=5,
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        sizes = ", ".join(f"{size(n)} as {name.upper()}" for name, n in done.codecs.items())
        thing = one(arguments["noun"])
        low, high = done.curve[0], done.curve[-1]
        return (
            f"At their smallest the pictures take {sizes}, measured on "
            f"{amount(done.pictures, 'picture')}.\n\n"
            f"From **{low['bits_per_item']:.0f}** to **{high['bits_per_item']:.0f} bits** an "
            f"{thing} the codes keep {share(low['explained_variance'])} to "
            f"{share(high['explained_variance'])} of the differences between {thing}s.\n\n"
            "The Storage tab of the **SMIC** panel shows both."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
