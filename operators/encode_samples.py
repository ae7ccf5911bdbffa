"""SMIC: encode samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator


class EncodeSamples(DictionaryOperator):
    """Write each sample's code."""

    operator_name = "encode_samples"
    label = "SMIC: encode samples"
    description = "Write each sample's atoms, bits and fidelity into sample fields"
    icon = "encode"
    doing = "Encoding samples"
    action = "Encode"
    function = "encode"
    parameters = ("key",)
    then = (
        ("Regenerate samples", "regenerate_samples"),
        ("Name the atoms", "name_atoms"),
        ("Export an archive", "export_archive"),
    )

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config, measured

        config = load_config(ctx.dataset, key)
        field = config.latents_field
        count = samples.exists(field).count() if ctx.dataset.has_field(field) else 0
        if not count:
            why = (
                f"None of these samples has a latent in {field!r}. Run 'SMIC: compute latents' on "
                "them first."
            )
            forms.stop(inputs, "no_latents", "No latents here", why)
            return
        coded = forms.held(ctx, samples, key, "atoms")
        bits = (config.learned or {}).get("bits_per_item")
        forms.cost(
            inputs,
            f"{count:,} samples with {config.n_atoms:,} atoms",
            count,
            measured=measured(ctx.dataset, "encode"),
            guess=0.003,
            fixed=1,
            more=(f"; {bits:.0f} bits each when it was learned" if bits else "")
            + (f"; {coded:,} have a code, which is written again" if coded else ""),
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        rate, quality = done.rate, done.fidelity
        return (
            f"**{done.encoded:,} samples** take **{forms.amount(rate.total_bytes)}** in all, "
            f"{rate.bits_per_item:.1f} bits each: {rate.payload_bits_per_item:.1f} for the code, "
            "the rest for the dictionary and headers.\n\n"
            f"The codes keep {quality.explained_variance:.0%} of the variance (centred cosine "
            f"{quality.centred_cosine:.2f}).\n\n"
            + forms.skipped(done.skipped)
            + f"Fields: `{done.key}_atoms`, `{done.key}_coefficients`, `{done.key}_bits`, "
            f"`{done.key}_fidelity`, `{done.key}_labels`.\n\n"
            "Next: draw the samples again from their codes, or give the atoms names."
        )
