"""SMIC: encode samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates, forms
from .base import DictionaryOperator
from .words import amount, one, share, size


class EncodeSamples(DictionaryOperator):
    """Write each sample's code."""

    operator_name = "encode_samples"
    label = "SMIC: encode samples"
    description = "Step 3: compress each image to a code, a few concepts with whole numbers"
    icon = "encode"
    doing = "Encoding samples"
    action = "Encode"
    function = "encode"
    parameters = ("key",)
    then = (
        ("Regenerate samples", "regenerate_samples"),
        ("Name the concepts", "name_atoms"),
        ("Export an archive", "export_archive"),
    )

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.durations import measured
        from fiftyone_smic.fiftyone.runs import load_config

        config = load_config(ctx.dataset, key)
        count = forms.embedded(ctx, inputs, samples, key)
        if not count:
            return
        noun = forms.noun(config.patches_field)
        coded = forms.held(ctx, samples, key, "atoms")
        bits = (config.learned or {}).get("bits_per_item")
        again = amount(coded, f"{noun} has a code, which", f"{noun}s have a code, which")
        estimates.cost(
            inputs,
            f"{amount(count, noun)} with {amount(config.n_atoms, 'concept')}",
            count,
            measured=measured(ctx.dataset, "encode"),
            guess=0.001,
            loading=2,
            more=(f"; about {bits:.0f} bits each" if bits else "")
            + (f"; {again} is written again" if coded else ""),
        )
        forms.explain(inputs, "code")

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        rate, quality, noun = done.rate, done.fidelity, arguments["noun"]
        names = ["atoms", "coefficients", "bits", "fidelity"]
        where = "They are attributes of the labels."
        if noun == "sample":
            names.append("labels")
            where = "They are in the sidebar's group SMIC."
        fields = ", ".join(f"`{done.key}_{name}`" for name in names)
        return (
            f"**{amount(done.encoded, noun)}** got a code. All coded {noun}s take "
            f"**{size(rate.total_bytes)}**, {rate.bits_per_item:.1f} bits an {one(noun)}: "
            f"{rate.payload_bits_per_item:.1f} for its code, the rest for its part of the "
            "dictionary and headers.\n\n"
            f"The codes keep {share(quality.explained_variance)} of the differences between "
            f"{one(noun)}s (explained variance).\n\n"
            + forms.skipped(done.skipped, noun)
            + f"Fields: {fields}. {where}\n\n"
            f"Next: draw the {noun}s again from their codes, or name the concepts."
        )
