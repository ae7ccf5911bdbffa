"""SMIC: compute embeddings."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from fiftyone_smic.utils.defaults import LATENTS_FIELD

from . import estimates, forms, sources
from .base import SMICOperator
from .words import about, amount, duration, one

ABOUT = (
    "The model that looks at the images. Choose one, or type MODEL/PRETRAINED of open_clip, "
    "local-dir:/path, or zoo:NAME. Big models are downloaded once"
)
#: The choice of whole images instead of objects.
WHOLE = "whole images"


def choose_encoder(ctx: Any, inputs: types.Object, samples: Any, field: str) -> str:
    """Ask which model makes the embeddings of a field; returns what is chosen now."""
    from fiftyone_smic.fiftyone.latents import suitable_encoder
    from fiftyone_smic.models.encoders import describe, problem

    default = suitable_encoder(samples, field)
    prop = encoder_input(inputs, "encoder", default)
    encoder = ctx.params.get("encoder") or default
    if why := problem(encoder):
        forms.wrong(prop, why)
    elif notice := describe(encoder).notice:
        forms.note(inputs, "demonstration", notice)
    return encoder


def encoder_input(inputs: types.Object, name: str, default: str | None) -> types.Property:
    """A list of the known models, in which any other can be typed."""
    from fiftyone_smic.models.encoders import ENCODERS

    choices = types.AutocompleteView(allow_user_input=True)
    for encoder, known in ENCODERS.items():
        choices.add_choice(encoder, label=f"{known.label} ({known.licence})")
    return inputs.str(name, default=default, label="Model", description=ABOUT, view=choices)


def cut_inputs(ctx: Any, inputs: types.Object, square: str, enlarged: str) -> None:
    """Ask how objects are cut out, or were; the texts are the labels of the two inputs."""
    forms.checkbox(inputs, "force_square", square)
    forms.number(
        inputs,
        ctx.params,
        "alpha",
        default=None,
        least=-0.9,
        most=10,
        whole=False,
        label=enlarged,
        description="By this share of their width and height; below 0 it makes them smaller",
    )


class ComputeLatents(SMICOperator):
    """Encode images into a vector field."""

    operator_name = "compute_latents"
    label = "SMIC: compute embeddings"
    description = "Step 1: embed the images with a CLIP model"
    icon = "latents"
    doing = "Embedding images"
    action = "Compute embeddings of"
    function = "compute_latents"
    parameters = (
        "field",
        "encoder",
        "patches_field",
        "force_square",
        "alpha",
        "overwrite",
        "batch_size",
    )
    stopped = (
        "**Stopped.** Embeddings that were written stay; the next run goes on where this stopped."
    )
    then = (("Learn a dictionary", "learn_dictionary"),)

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        from fiftyone_smic.models.encoders import EMBEDDED, EncoderIdentity, describe

        boxed = self._what(ctx, inputs)
        chosen = ctx.params.get("field", LATENTS_FIELD) or ""
        encoder = choose_encoder(ctx, inputs, samples, chosen or LATENTS_FIELD)
        field = inputs.str(
            "field",
            default=LATENTS_FIELD,
            label="Field",
            description="The attribute of the labels to write the embeddings to"
            if boxed
            else "The sample field to write the embeddings to",
        )
        root = ctx.dataset._get_label_field_path(boxed)[1] if boxed else ""
        path = f"{root}.{chosen}" if root else chosen
        wrong = self._wrong_field(ctx, chosen, path)
        if wrong:
            forms.wrong(field, wrong)
        known = ctx.dataset.get_field(path) if not wrong else None
        there = forms.values(ctx, samples, chosen, root) if known is not None else 0
        if there:
            existing = amount(there, "existing embedding")
            forms.checkbox(inputs, "overwrite", f"Recompute the {existing}")
        if forms.advanced(ctx, inputs):
            if boxed:
                cut_inputs(ctx, inputs, "Make the boxes square first", "Enlarge the boxes")
            forms.number(
                inputs,
                ctx.params,
                "batch_size",
                default=32,
                least=1,
                most=4096,
                label="Batch size",
                description="Images embedded at a time. Lower it if memory runs out",
            )
        every = int(samples.count(root)) if root else len(samples)
        todo = every - (0 if ctx.params.get("overwrite") else there)
        noun = one(forms.noun(boxed))
        info = (known.info if known is not None else None) or {}
        same = EncoderIdentity.parse(encoder).matches(info.get("encoder", ""))
        what = amount(todo, noun) + " to embed" if todo else f"All {noun}s have an embedding"
        estimates.cost(
            inputs,
            what,
            todo,
            measured=info.get("seconds") if same else None,
            guess=describe(encoder).seconds,
            loading=2 if encoder == EMBEDDED else 15,
            more="" if encoder == EMBEDDED or not todo else "; a GPU takes a few per cent of it",
        )
        forms.explain(inputs, "embedding")

    def objects(self, ctx: Any, samples: Any) -> str | None:
        return sources.patches_field(ctx, samples)

    def _what(self, ctx: Any, inputs: types.Object) -> str | None:
        """Ask whether to embed whole images or objects; returns the field of the objects."""
        boxed = sources.patches_field(ctx, forms.collection(ctx))
        known = sources.object_fields(ctx.dataset)
        if known:
            choices = {WHOLE: "Whole images", **{name: f"The objects in {name}" for name in known}}
            forms.dropdown(inputs, "patches_field", choices, boxed or WHOLE, "What to embed")
        return boxed

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        given["patches_field"] = sources.patches_field(ctx, forms.collection(ctx))
        if given["patches_field"] is None:  # what is no longer shown keeps its value
            for name in ("patches_field", "force_square", "alpha"):
                given.pop(name, None)
        return given

    def _wrong_field(self, ctx: Any, name: str, path: str) -> str:
        """Return why a field cannot hold embeddings, or nothing."""
        if not name.isidentifier() or name.startswith("_"):
            return "use letters, digits and underscores, like clip_latents"
        field = ctx.dataset.get_field(path)
        if field is not None and not isinstance(field, fo.VectorField):
            kind = type(field).__name__
            return f"{name!r} holds values of type {kind}, not embeddings; choose another field"
        return ""

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        kept = ""
        if done.kept:
            kept = f" {amount(done.kept, arguments['noun'])} had one already."
        return (
            f"**{amount(done.computed, 'embedding was', 'embeddings were')}** computed into "
            f"`{done.field}`, of {done.dim} numbers each, by `{done.encoder}` in "
            f"{duration(done.seconds)}.{kept}\n\n"
            + forms.skipped(done.skipped, arguments["noun"])
            + about(
                "Next: learn the dictionary of concepts that the images are made of.",
                arguments["noun"],
            )
        )
