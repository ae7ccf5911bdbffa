"""SMIC: regenerate samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator


class RegenerateSamples(DictionaryOperator):
    """Draw samples again from their codes."""

    operator_name = "regenerate_samples"
    label = "SMIC: regenerate samples"
    description = "Draw samples again from nothing but their code"
    icon = "regenerate"
    doing = "Drawing pictures"
    action = "Regenerate"
    stopped = "**Stopped.** The samples are as they were; pictures drawn so far will be reused."
    function = "regenerate"
    parameters = ("key", "output_dir", "seed", "steps", "guidance", "batch_size")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.regeneration import default_folder
        from fiftyone_smic.fiftyone.runs import load_config

        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        forms.whole_path(
            ctx,
            inputs,
            "output_dir",
            default=str(default_folder(ctx.dataset)),
            label="Folder",
            about="Where the pictures go. Those that are there are reused",
            folder=True,
        )
        forms.number(
            inputs,
            ctx.params,
            "seed",
            default=0,
            least=0,
            most=2**31 - 1,
            label="Seed",
            description="Another seed draws other pictures of the same codes",
        )
        forms.drawing(ctx, inputs)
        there = forms.held(ctx, samples, key, "regenerated")
        forms.drawing_cost(
            ctx,
            inputs,
            f"{count:,} samples, {count - there:,} of them without a picture",
            max(1, count - there),
            load_config(ctx.dataset, key).encoder,
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        reused = f", {done.reused:,} were there already" if done.reused else ""
        without = f" {done.without_code:,} samples have no code." if done.without_code else ""
        return (
            f"**{done.drawn:,} pictures drawn**{reused}, in {forms.duration(done.seconds)}, "
            f"by `{done.generator}`.{without}\n\nFolder: `{done.folder}`\n\n"
            "Next: the **SMIC** panel shows them beside the originals; the grid shows them when "
            f"`{done.key}_regenerated` is chosen as media field in its settings."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
