"""SMIC: learn dictionary."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import SMICOperator

PRESETS = {
    0.005: "Smallest: few atoms per image",
    0.002: "Balanced",
    0.0005: "Finest: more bits, closer to the original",
}
CONTROLS = {
    "preset": "A preset",
    "bits_per_item": "Target bits per image",
    "explained_variance": "Target fidelity",
    "lam": "λ",
}
#: What each control is unless it is set.
DEFAULTS = {"preset": 0.002, "bits_per_item": 100, "explained_variance": 0.5, "lam": 0.002}
#: Fits that a target usually takes.
FITS = 4


class LearnDictionary(SMICOperator):
    """Learn the atoms a collection is made of."""

    operator_name = "learn_dictionary"
    label = "SMIC: learn dictionary"
    description = "Find the atoms of meaning this collection is made of"
    icon = "dictionary"
    doing = "Learning the dictionary"
    action = "Learn from"
    function = "learn_dictionary"
    parameters = (
        "key",
        "latents_field",
        "n_atoms",
        "lam",
        "bits_per_item",
        "explained_variance",
        "seed",
        "overwrite",
    )
    then = (("Encode samples", "encode_samples"),)

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        from fiftyone_smic.fiftyone.runs import measured

        field = forms.latents_field(ctx, inputs)
        if field is None:
            return
        forms.new_key(ctx, inputs)
        targeted = self._rate(ctx, inputs)
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
            why = (
                f"{count} of these samples has a latent in {field!r} and a dictionary needs at "
                "least 2. Run 'SMIC: compute latents', or choose a larger view."
            )
            forms.stop(inputs, "too_few", "Too few samples", why)
            return
        without = len(samples) - count
        forms.cost(
            inputs,
            f"{count:,} samples",
            count * (FITS if targeted else 1),
            measured=measured(ctx.dataset, "learn"),
            guess=0.004,
            fixed=3,
            more=("; a target takes several trials" if targeted else "")
            + (f"; {without:,} samples without a latent are left out" if without else ""),
        )

    def _rate(self, ctx: Any, inputs: types.Object) -> bool:
        """Ask what the dictionary is to keep; returns whether it is a target."""
        control = forms.radio(ctx, inputs, "control", CONTROLS, self._control(ctx), "Rate control")
        if control == "preset":
            forms.radio(ctx, inputs, "preset", PRESETS, 0.002, "Preset")
        elif control == "bits_per_item":
            forms.number(
                inputs,
                ctx.params,
                "bits_per_item",
                default=DEFAULTS["bits_per_item"],
                least=1,
                most=10_000,
                whole=False,
                label="Bits per image",
                description="Of the whole archive without file names, dictionary included",
            )
        elif control == "explained_variance":
            forms.number(
                inputs,
                ctx.params,
                "explained_variance",
                default=DEFAULTS["explained_variance"],
                least=0.01,
                most=0.99,
                whole=False,
                label="Explained variance",
                description="Share of the latents' variance that the codes keep, 0.01 to 0.99",
            )
        else:
            forms.number(
                inputs,
                ctx.params,
                "lam",
                default=DEFAULTS["lam"],
                least=1e-6,
                most=1,
                whole=False,
                label="λ",
                description="Squared distance that one bit is worth; larger means fewer bits",
            )
        return control in ("bits_per_item", "explained_variance")

    def _control(self, ctx: Any) -> str:
        """What was asked for by a caller who sets the value only."""
        names = ("bits_per_item", "explained_variance", "lam")
        return next((n for n in names if ctx.params.get(n) is not None), "preset")

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        control = ctx.params.get("control")
        if control is None:
            return given
        # Inputs that are no longer shown keep their values.
        for name in ("lam", "bits_per_item", "explained_variance"):
            if name != control:
                given.pop(name, None)
        if control == "preset":
            given["lam"] = ctx.params.get("preset", DEFAULTS["preset"])
        elif control not in given:
            given[control] = DEFAULTS[control]
        return given

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return (
            f"Dictionary **{arguments.get('key', 'smic')}** has **{done.n_atoms_:,} atoms** in "
            f"{done.n_features_in_} dimensions (λ = {done.lam:.2g}) and is stored with the "
            "dataset.\n\nNext: write the code of each sample."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return super().buttons(done, {"key": "smic", **arguments})
