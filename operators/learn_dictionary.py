"""SMIC: learn dictionary."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import Report, SMICOperator

LAMBDAS = {
    0.005: "Smallest: few atoms per image",
    0.002: "Balanced",
    0.0005: "Finest: more bits, closer to the original",
}
#: Seconds per sample and 512 dimensions on one core.
SECONDS = 0.001


class LearnDictionary(SMICOperator):
    """Learn the atoms a collection is made of."""

    operator_name = "learn_dictionary"
    label = "SMIC: learn dictionary"
    description = "Find the atoms of meaning this collection is made of"
    icon = "dictionary"
    doing = "Learning the dictionary"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        samples = forms.target(ctx, inputs, "Learn from")
        if not forms.check_images(inputs, samples):
            return
        field = forms.latents_field(ctx, inputs)
        if field is None:
            return
        forms.new_key(ctx, inputs)
        rate = types.RadioGroup()
        for lam, label in LAMBDAS.items():
            rate.add_choice(lam, label=label)
        if ctx.params.get("advanced"):
            forms.number(
                inputs,
                ctx.params,
                "lam",
                default=0.002,
                least=1e-6,
                most=1,
                whole=False,
                label="λ",
                description="Squared distance that one bit is worth; larger means fewer bits",
            )
        else:
            inputs.enum("lam", list(LAMBDAS), default=0.002, label="Rate", view=rate)
        count = samples.exists(field).count()
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs,
                ctx.params,
                "n_atoms",
                default=None,
                least=1,
                most=1 << 16,
                label="Atoms",
                description="How many to start with; empty: follows the number of samples",
            )
            forms.number(
                inputs, ctx.params, "seed", default=0, least=0, most=2**31 - 1, label="Seed"
            )
        if count < 2:
            forms.stop(
                inputs,
                "too_few",
                "Too few samples",
                f"{count} of these samples has a latent in {field!r} and a dictionary needs at "
                "least 2. Run 'SMIC: compute latents', or choose a larger view.",
            )
            return
        atoms = ctx.params.get("n_atoms") or max(1, round(count**0.7))
        without = len(samples) - count
        forms.note(
            inputs,
            "cost",
            f"{count:,} samples, starting from {atoms:,} atoms, roughly "
            f"{forms.duration(3 + count * SECONDS)} on a CPU"
            + (f"; {without:,} samples without a latent are left out" if without else ""),
        )

    def work(self, ctx: Any, report: Report) -> str:
        import fiftyone_smic as smic

        params = forms.chosen(ctx, "key", "latents_field", "n_atoms", "lam", "seed", "overwrite")
        dictionary = smic.learn_dictionary(forms.collection(ctx), **params, progress=report)
        key = params.get("key", "smic")
        return (
            f"Dictionary **{key}** has **{dictionary.n_atoms_:,} atoms** in "
            f"{dictionary.n_features_in_} dimensions and is stored with the dataset.\n\n"
            "Next: **SMIC: encode samples** writes the code of each sample."
        )

    def __call__(
        self,
        sample_collection: Any,
        key: str = "smic",
        latents_field: str = "clip_latents",
        n_atoms: int | None = None,
        lam: float = 0.002,
        seed: int = 0,
        overwrite: bool = False,
        delegate: bool = False,
        delegation_target: str | None = None,
    ) -> Any:
        """See :func:`fiftyone_smic.learn_dictionary`; ``n_atoms=None`` means "auto"."""
        import fiftyone_smic as smic

        params = {
            "key": key,
            "latents_field": latents_field,
            "lam": lam,
            "seed": seed,
            "overwrite": overwrite,
        }
        if n_atoms is not None:
            params["n_atoms"] = n_atoms
        return self.call(
            smic.learn_dictionary, sample_collection, params, delegate, delegation_target
        )
