"""SMIC: compress this dataset."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_smic.utils.defaults import LATENTS_FIELD

from . import estimates, forms
from .base import PLUGIN, Button, SMICOperator
from .compute_latents import choose_encoder
from .layouts import sentence
from .learn_dictionary import DEFAULTS, KEEP, PRESETS
from .words import amount, duration, share, size


class CompressDataset(SMICOperator):
    """Go the whole way in one run."""

    operator_name = "compress_dataset"
    label = "SMIC: compress this dataset"
    description = "Start here: embeddings, concepts, codes, names and map in one run"
    icon = "encode"
    doing = "Compressing"
    action = "Compress"
    function = "compress_dataset"
    parameters = ("key", "encoder", "lam", "keep", "names", "map")
    stopped = "**Stopped.** What was done stays; the next run goes on where this one stopped."
    submit = "Compress"

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        from fiftyone_smic.models.encoders import describe

        forms.radio(ctx, inputs, "lam", PRESETS, DEFAULTS["lam"], "How much detail to keep")
        forms.radio(ctx, inputs, "keep", KEEP, "everything", "What to keep first")
        field = LATENTS_FIELD
        encoder = choose_encoder(ctx, inputs, samples, field)
        about = "To search and filter by words"
        forms.checkbox(inputs, "names", "Name the concepts", about, default=True)
        forms.checkbox(
            inputs, "map", "Lay out the map", "To see alike images together", default=True
        )
        there = samples.exists(field).count() if ctx.dataset.has_field(field) else 0
        todo = len(samples) - there
        # Learning and encoding take about 3 ms an image, and the map another 2 ms.
        others = 0.005 if ctx.params.get("map", True) else 0.003
        each = others + describe(encoder).seconds * todo / max(1, len(samples))
        estimates.cost(
            inputs,
            f"{amount(len(samples), 'image')}, {todo:,} to embed",
            len(samples),
            measured=None,
            guess=each,
            loading=25,
        )
        forms.explain(inputs, "embedding", "concept", "code")

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        rate, quality = done.codes.rate, done.codes.fidelity
        text = (
            f"**{amount(done.codes.encoded, 'image')}** are compressed to "
            f"**{size(rate.total_bytes)}** in {duration(done.seconds)}: {rate.bits_per_item:.1f} "
            f"bits an image, {rate.payload_bits_per_item:.1f} of them for its code; the "
            f"dictionary of {amount(done.atoms, 'concept')} and headers are the rest. The codes "
            f"keep {share(quality.explained_variance)} of the differences between images.\n\n"
        )
        for step, why in done.left_out.items():
            text += f"The {step} could not be made. {sentence(why)}\n\n"
        return (
            text
            + forms.skipped(done.latents.skipped, arguments["noun"])
            + "The **SMIC** panel shows it all."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        given = {"key": done.key}
        return [
            forms.PANEL,
            ("Regenerate samples", f"{PLUGIN}/regenerate_samples", given),
            ("Export an archive", f"{PLUGIN}/export_archive", given),
        ]
