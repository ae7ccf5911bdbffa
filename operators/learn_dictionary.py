"""SMIC: learn dictionary."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates, forms, sources
from .base import SMICOperator
from .words import about, amount, one

#: λ -> what it is called. The bits are those of photographs embedded by ViT-B-32.
PRESETS = {
    0.005: "Small archive (about 10 bits an image)",
    0.002: "Balanced (about 20 bits an image)",
    0.0005: "Much detail (about 70 bits an image)",
}
#: What the bits go to first -> what it is called.
KEEP = {
    "everything": "Everything that differs between images",
    "words": "What words can say: searches by text find more",
}
CONTROLS = {
    "preset": "A level of detail",
    "bits_per_item": "A number of bits an image",
    "explained_variance": "A share of the differences between images",
    "lam": "λ, for experts",
}
#: What each control is unless it is set.
DEFAULTS = {"preset": 0.002, "bits_per_item": 100, "explained_variance": 0.5, "lam": 0.002}
#: Fits that a target usually takes.
FITS = 4


class LearnDictionary(SMICOperator):
    """Learn the atoms a collection is made of."""

    operator_name = "learn_dictionary"
    label = "SMIC: learn dictionary"
    description = "Step 2: find the concepts that this collection is made of"
    icon = "dictionary"
    doing = "Learning the dictionary"
    action = "Learn from"
    function = "learn_dictionary"
    parameters = (
        "key",
        "latents_field",
        "patches_field",
        "n_atoms",
        "lam",
        "keep",
        "bits_per_item",
        "explained_variance",
        "seed",
        "overwrite",
    )
    then = (("Encode samples", "encode_samples"),)

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        from fiftyone_smic.fiftyone.durations import measured

        field = sources.latents_field(ctx, inputs)
        if field is None:
            return
        forms.new_key(ctx, inputs)
        boxed, attribute = sources.object_latents(ctx.dataset).get(field, (None, field))
        noun = forms.noun(boxed)
        targeted = detail(ctx, inputs, noun)
        if has_words(ctx, field):
            keep = {name: about(text, noun) for name, text in KEEP.items()}
            forms.radio(ctx, inputs, "keep", keep, "everything", "What to keep first")
        root = ctx.dataset._get_label_field_path(boxed)[1] if boxed else ""
        count = forms.values(ctx, samples, attribute, root)
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs,
                ctx.params,
                "n_atoms",
                default=None,
                least=1,
                most=1 << 16,
                label="Concepts to start from",
                description="Leave empty to choose automatically",
            )
            forms.seed(ctx, inputs, "Another seed starts from other concepts")
        if count < 2:
            why = (
                f"{amount(count, f'{noun} has', f'{noun}s have')} an embedding in {field!r}, and a "
                "dictionary needs at least 2. Run 'SMIC: compute embeddings', or choose a larger "
                "view."
            )
            forms.stop(inputs, "too_few", f"Too few {noun}s", why)
            return
        without = (int(samples.count(root)) if root else len(samples)) - count
        left_out = amount(
            without, f"{noun} without an embedding is", f"{noun}s without an embedding are"
        )
        estimates.cost(
            inputs,
            amount(count, noun),
            count * (FITS if targeted else 1),
            measured=measured(ctx.dataset, "learn"),
            guess=0.001,
            loading=5,
            more=("; this choice takes several trials" if targeted else "")
            + (f"; {left_out} left out" if without else ""),
        )
        expert = ("λ",) if ctx.params.get("control", _control(ctx)) == "lam" else ()
        forms.explain(inputs, "key", "concept", "detail", *expert)

    def objects(self, ctx: Any, samples: Any) -> str | None:
        of_objects = sources.object_latents(ctx.dataset)
        names = [*sources.vector_fields(ctx.dataset), *of_objects]
        chosen = sources.chosen_latents(ctx, names) if names else ""
        return of_objects.get(chosen, (None, ""))[0]

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = with_detail(ctx, super().arguments(ctx))
        of_objects = sources.object_latents(ctx.dataset)
        names = [*sources.vector_fields(ctx.dataset), *of_objects]
        if names and sources.chosen_latents(ctx, names) in of_objects:
            boxed, attribute = of_objects[sources.chosen_latents(ctx, names)]
            given.update(patches_field=boxed, latents_field=attribute)
        if names and not has_words(ctx, sources.chosen_latents(ctx, names)):
            given.pop("keep", None)  # what is no longer shown keeps its value
        return given

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        if not done.n_atoms_:
            return (
                f"Dictionary **{arguments.get('key', 'smic')}** has no concepts: none saves so few "
                f"{arguments['noun']}s more than it costs, so all codes would be alike.\n\nLearn "
                "it again with more detail, or from more of them."
            )
        return (
            f"Dictionary **{arguments.get('key', 'smic')}** is ready: it has "
            f"**{amount(done.n_atoms_, 'concept')}** and is stored with the dataset.\n\nNext: "
            f"encode the {one(arguments['noun'])}s."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return super().buttons(done, {"key": "smic", **arguments})


def has_words(ctx: Any, field: str) -> bool:
    """Whether the model that made the embeddings is known, so that words can be embedded too."""
    from fiftyone_smic.models.identity import EncoderIdentity

    info = ctx.dataset.get_field(field).info or {}
    return EncoderIdentity.parse(info.get("encoder", "")).known


def detail(ctx: Any, inputs: types.Object, noun: str) -> bool:
    """Ask how much detail the dictionary of samples, or objects, is to keep; returns whether it is
    a target."""
    controls = {name: about(text, noun) for name, text in CONTROLS.items()}
    control = forms.radio(
        ctx, inputs, "control", controls, _control(ctx), "How much detail to keep"
    )
    if control == "preset":
        presets = {lam: about(text, noun) for lam, text in PRESETS.items()}
        forms.radio(ctx, inputs, "preset", presets, DEFAULTS["preset"], "Detail")
    elif control == "bits_per_item":
        forms.number(
            inputs,
            ctx.params,
            "bits_per_item",
            default=DEFAULTS["bits_per_item"],
            least=1,
            most=10_000,
            whole=False,
            label=f"Bits an {one(noun)}",
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
            label="Share to keep",
            description="0.5 keeps half of the variance of the embeddings",
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
            description="Higher: smaller archive, less detail",
        )
    return control in ("bits_per_item", "explained_variance")


def _control(ctx: Any) -> str:
    """What was asked for by a caller who sets the value only."""
    names = ("bits_per_item", "explained_variance", "lam")
    return next((n for n in names if ctx.params.get(n) is not None), "preset")


def with_detail(ctx: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with what the choice of :func:`detail` means."""
    control = ctx.params.get("control")
    if control is None:
        return given
    # Inputs that are no longer shown keep their values.
    given = {
        name: value for name, value in given.items() if name not in DEFAULTS or name == control
    }
    if control == "preset":
        given["lam"] = ctx.params.get("preset", DEFAULTS["preset"])
    elif control not in given:
        given[control] = DEFAULTS[control]
    return given
