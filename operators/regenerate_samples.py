"""SMIC: regenerate samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_smic.models.generators.registry import NEAREST

from . import estimates, forms
from .base import PLUGIN, Button, DictionaryOperator
from .words import amount, duration


class RegenerateSamples(DictionaryOperator):
    """Draw samples again from their codes."""

    operator_name = "regenerate_samples"
    label = "SMIC: regenerate samples"
    description = "Step 4: draw samples again from nothing but their codes"
    icon = "regenerate"
    doing = "Drawing pictures"
    action = "Regenerate"
    stopped = "**Stopped.** Pictures drawn so far stay on the disk, and the next run uses them."
    function = "regenerate"
    parameters = ("key", "output_dir", "generator", "seed", "steps", "guidance", "batch_size")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.regeneration import default_folder
        from fiftyone_smic.fiftyone.runs import load_config

        count = forms.coded(ctx, inputs, samples, key)
        encoder = load_config(ctx.dataset, key).encoder
        if not count:
            return
        generator = estimates.generator(ctx, inputs, samples, encoder)
        if not generator:
            return
        forms.whole_path(
            ctx,
            inputs,
            "output_dir",
            default=str(default_folder(ctx.dataset)),
            label="Folder",
            about="Where the pictures are saved. Pictures of the same codes there are used again",
            folder=True,
        )
        forms.seed(ctx, inputs, "Another seed draws other pictures of the same codes")
        estimates.drawing(ctx, inputs)
        without = count - forms.held(ctx, samples, key, "regenerated")
        todo = f"{without:,} without a picture"
        if not without:
            todo = "none without a picture; with other settings"
        what = f"{forms.items(ctx, count)}, {todo}"
        estimates.drawing_cost(ctx, inputs, what, without or count, encoder, generator)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        reused = f", and {amount(done.reused, 'picture was', 'pictures were')} there already"
        noun = arguments["noun"]
        without = amount(done.without_code, f"{noun} has", f"{noun}s have")
        without = f" {without} no code and could not be drawn." if done.without_code else ""
        grid = (
            f" The grid shows them when `{done.key}_regenerated` is chosen as media field in its "
            "settings; samples without a picture then show an error, so open the view of the "
            "drawn ones first."
            if noun == "sample"
            else ""
        )
        did = "found" if done.generator == NEAREST else "drawn"
        return (
            f"**{amount(done.drawn, 'picture was', 'pictures were')} {did}** in "
            f"{duration(done.seconds)} by `{done.generator}`{reused if done.reused else ''}."
            f"{without}\n\nFolder: `{done.folder}`\n\n"
            f"The **SMIC** panel shows them beside the originals.{grid}"
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        drawn = (f"Show the drawn {arguments['noun']}s", f"{PLUGIN}/show_drawn", {"key": done.key})
        return [forms.PANEL, drawn]
