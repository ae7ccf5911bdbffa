"""SMIC: compute latents."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import SMICOperator


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
        from fiftyone_smic.models.encoders import EMBEDDED, EncoderIdentity, describe

        encoder = self._encoder(ctx, inputs, samples)
        identity = EncoderIdentity.parse(encoder)
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
            measured=info.get("seconds") if identity.matches(info.get("encoder", "")) else None,
            guess=describe(encoder).seconds,
            fixed=10,
            more="" if encoder == EMBEDDED else "; a GPU takes a few per cent of that",
        )

    def _encoder(self, ctx: Any, inputs: types.Object, samples: Any) -> str:
        from fiftyone_smic.fiftyone.latents import suitable_encoder
        from fiftyone_smic.models.encoders import ENCODERS, problem

        choices = types.AutocompleteView(allow_user_input=True)
        for name, about in ENCODERS.items():
            choices.add_choice(name, label=f"{about.label} ({about.licence})")
        default = suitable_encoder(samples, ctx.params.get("field") or "clip_latents")
        prop = inputs.str(
            "encoder",
            default=default,
            label="Encoder",
            description=(
                "Choose one, or type MODEL/PRETRAINED of open_clip, local-dir:/path, or zoo:NAME. "
                "Big models are downloaded once"
            ),
            view=choices,
        )
        encoder = ctx.params.get("encoder") or default
        if why := problem(encoder):
            forms.wrong(prop, why)
        return encoder

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        kept = f", {done.kept:,} had one already" if done.kept else ""
        return (
            f"**{done.computed:,} latents** of {done.dim} dimensions in `{done.field}`{kept}, "
            f"by `{done.encoder}` in {forms.duration(done.seconds)}.\n\n"
            + forms.skipped(done.skipped)
            + "Next: learn the dictionary of atoms that the images are made of."
        )
