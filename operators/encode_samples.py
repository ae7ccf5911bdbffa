"""SMIC: encode samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import Report, SMICOperator
from .compute_latents import skipped_text


class EncodeSamples(SMICOperator):
    """Write each sample's code."""

    operator_name = "encode_samples"
    label = "SMIC: encode samples"
    description = "Write each sample's atoms, bits and fidelity into sample fields"
    icon = "encode"
    doing = "Encoding samples"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        samples = forms.target(ctx, inputs, "Encode")
        if not forms.check_images(inputs, samples):
            return
        key = forms.dictionary_key(ctx, inputs)
        if key is None:
            return
        from fiftyone_smic.fiftyone.runs import load_config

        config = load_config(ctx.dataset, key)
        field = config.latents_field
        count = samples.exists(field).count() if ctx.dataset.has_field(field) else 0
        if not count:
            forms.stop(
                inputs,
                "no_latents",
                "No latents here",
                f"None of these samples has a latent in {field!r}. Run 'SMIC: compute latents' "
                "on them first.",
            )
            return
        coded = (
            samples.exists(f"{key}_atoms").count() if ctx.dataset.has_field(f"{key}_atoms") else 0
        )
        forms.note(
            inputs,
            "cost",
            f"{count:,} samples with {config.n_atoms:,} atoms, roughly "
            f"{forms.duration(1 + count / 2000)}"
            + (f"; {coded:,} of them have a code, which is written again" if coded else ""),
        )

    def work(self, ctx: Any, report: Report) -> str:
        import fiftyone_smic as smic

        done = smic.encode(forms.collection(ctx), **forms.chosen(ctx, "key"), progress=report)
        rate, quality = done.rate, done.fidelity
        return (
            f"**{done.encoded:,} samples** take **{forms.amount(rate.total_bytes)}** in all, "
            f"{rate.bits_per_item:.1f} bits each: {rate.payload_bits_per_item:.1f} for the code, "
            "the rest for the dictionary and headers.\n\n"
            f"The codes keep {quality.explained_variance:.0%} of the variance (centred cosine "
            f"{quality.centred_cosine:.2f}).\n\n"
            + skipped_text(done.skipped)
            + f"Fields: `{done.key}_atoms`, `{done.key}_coefficients`, `{done.key}_bits`, "
            f"`{done.key}_fidelity`, `{done.key}_labels`.\n\n"
            "Next: **SMIC: regenerate samples** draws them again, the **SMIC** panel compares."
        )

    def __call__(
        self,
        sample_collection: Any,
        key: str = "smic",
        delegate: bool = False,
        delegation_target: str | None = None,
    ) -> Any:
        """See :func:`fiftyone_smic.encode`, whose report this returns."""
        import fiftyone_smic as smic

        return self.call(smic.encode, sample_collection, {"key": key}, delegate, delegation_target)
