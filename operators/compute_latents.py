"""SMIC: compute latents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import Report, SMICOperator

#: Seconds per image on two CPU cores, rough guesses from the models' sizes; a GPU is far faster.
SECONDS = {
    "postcards": 0.02,
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

    def form(self, ctx: Any, inputs: types.Object) -> None:
        samples = forms.target(ctx, inputs, "Compute latents of")
        if not forms.check_images(inputs, samples):
            return
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
        encoder = ctx.params.get("encoder", "postcards")
        folder = encoder.removeprefix("local-dir:")
        if folder != encoder:
            if not Path(folder).expanduser().is_dir():
                prop.invalid = True
                prop.error_message = f"there is no folder {folder!r}"
        elif encoder != "postcards" and "/" not in encoder:
            prop.invalid = True
            prop.error_message = "an encoder is written MODEL/PRETRAINED, like ViT-L-14/openai"
        field = inputs.str(
            "field",
            default="clip_latents",
            label="Field",
            description="The vector field to write",
        )
        chosen = ctx.params.get("field", "clip_latents") or ""
        valid = chosen.isidentifier() and not chosen.startswith("_")
        if not valid:
            field.invalid = True
            field.error_message = "use letters, digits and underscores, like clip_latents"
        there = samples.exists(chosen).count() if valid and ctx.dataset.has_field(chosen) else 0
        if there:
            inputs.bool(
                "overwrite",
                default=False,
                label=f"Compute the {there} latents that are there again",
                view=types.CheckboxView(),
            )
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs, ctx.params, "batch_size", default=32, least=1, most=4096, label="Batch size"
            )
        todo = len(samples) - (0 if ctx.params.get("overwrite") else there)
        speed = SECONDS.get(encoder, 0.5)
        forms.note(
            inputs,
            "cost",
            f"{todo:,} images to encode, roughly {forms.duration(todo * speed)} on a CPU"
            + ("" if encoder == "postcards" else ", a few per cent of that on a GPU"),
        )

    def work(self, ctx: Any, report: Report) -> str:
        import fiftyone_smic as smic

        done = smic.compute_latents(
            forms.collection(ctx),
            **forms.chosen(ctx, "field", "encoder", "overwrite", "batch_size"),
            progress=report,
        )
        kept = f", {done.kept:,} had one already" if done.kept else ""
        return (
            f"**{done.computed:,} latents** of {done.dim} dimensions in `{done.field}`{kept}, "
            f"by `{done.encoder}` in {forms.duration(done.seconds)}.\n\n"
            + skipped_text(done.skipped)
            + "Next: **SMIC: learn dictionary**."
        )

    def __call__(
        self,
        sample_collection: Any,
        field: str = "clip_latents",
        encoder: str = "postcards",
        batch_size: int = 32,
        overwrite: bool = False,
        delegate: bool = False,
        delegation_target: str | None = None,
    ) -> Any:
        """See :func:`fiftyone_smic.compute_latents`, whose report this returns."""
        import fiftyone_smic as smic

        params = {
            "field": field,
            "encoder": encoder,
            "batch_size": batch_size,
            "overwrite": overwrite,
        }
        return self.call(
            smic.compute_latents, sample_collection, params, delegate, delegation_target
        )


def skipped_text(skipped: dict[str, str]) -> str:
    """Which samples were left out and why, as a paragraph of Markdown."""
    if not skipped:
        return ""
    from fiftyone_smic.fiftyone.reading import named

    return f"{len(skipped):,} skipped: {named(skipped)}\n\n"
