"""SMIC: compute latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import SMICOperator

#: Seconds per image on two CPU cores, rough guesses from the models' sizes; a GPU is far faster.
SECONDS = {
    "postcards": 0.005,
    "ViT-B-32/laion2b_s34b_b79k": 0.1,
    "ViT-L-14/openai": 0.8,
    "ViT-H-14/laion2b_s32b_b79k": 2.5,
}


class ComputeLatents(SMICOperator):
    """Encode images into a vector field."""

    operator_name = "compute_latents"
    label = "SMIC: compute latents"
    description = "Encode the images with a CLIP model, the first step"
    icon = "latents"
    doing = "Encoding images"
    action = "Compute latents of"
    function = "compute_latents"
    parameters = ("field", "encoder", "overwrite", "batch_size")
    then = (("Learn a dictionary", "learn_dictionary"),)

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        encoder = self._encoder(ctx, inputs)
        field = inputs.str(
            "field",
            default="clip_latents",
            label="Field",
            description="The vector field to write",
        )
        chosen = ctx.params.get("field", "clip_latents") or ""
        valid = chosen.isidentifier() and not chosen.startswith("_")
        if not valid:
            forms.wrong(field, "use letters, digits and underscores, like clip_latents")
        known = ctx.dataset.get_field(chosen) if valid else None
        there = samples.exists(chosen).count() if known is not None else 0
        if there:
            forms.checkbox(
                inputs, "overwrite", f"Compute the {there:,} latents that are there again"
            )
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs, ctx.params, "batch_size", default=32, least=1, most=4096, label="Batch size"
            )
        todo = len(samples) - (0 if ctx.params.get("overwrite") else there)
        info = (known.info if known is not None else None) or {}
        forms.cost(
            inputs,
            f"{todo:,} images to encode",
            todo,
            measured=info.get("seconds") if info.get("source") == encoder else None,
            guess=SECONDS.get(encoder, 0.5),
            fixed=10,
            more="" if encoder == "postcards" else "; a GPU takes a few per cent of that",
        )

    def _encoder(self, ctx: Any, inputs: types.Object) -> str:
        choices = types.AutocompleteView(allow_user_input=True)
        for name, label in forms.ENCODERS.items():
            choices.add_choice(name, label=label)
        prop = inputs.str(
            "encoder",
            default="postcards",
            label="Encoder",
            description=(
                "Choose one, or type MODEL/PRETRAINED of open_clip or local-dir:/path. Big models "
                "are downloaded once"
            ),
            view=choices,
        )
        encoder = ctx.params.get("encoder") or "postcards"
        folder = encoder.removeprefix("local-dir:")
        if folder != encoder:
            if not Path(folder).expanduser().is_dir():
                forms.wrong(prop, f"there is no folder {folder!r}")
        elif encoder != "postcards" and "/" not in encoder:
            forms.wrong(prop, "an encoder is written MODEL/PRETRAINED, like ViT-L-14/openai")
        return encoder

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        kept = f", {done.kept:,} had one already" if done.kept else ""
        return (
            f"**{done.computed:,} latents** of {done.dim} dimensions in `{done.field}`{kept}, "
            f"by `{done.encoder}` in {forms.duration(done.seconds)}.\n\n"
            + forms.skipped(done.skipped)
            + "Next: learn the dictionary of atoms that the images are made of."
        )
