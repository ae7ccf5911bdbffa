"""SMIC: adopt embeddings."""

from __future__ import annotations

import itertools
from typing import Any

from fiftyone.operators import types

from fiftyone_smic.utils.defaults import LATENTS_FIELD

from . import forms, sources
from .base import SMICOperator
from .compute_latents import cut_inputs, encoder_input
from .layouts import sentence
from .words import amount


class AdoptEmbeddings(SMICOperator):
    """Use embeddings that another tool made."""

    operator_name = "adopt_embeddings"
    label = "SMIC: adopt embeddings"
    description = "Step 1, instead: use embeddings that are here, and say which model made them"
    icon = "latents"
    doing = "Comparing with the model"
    action = "Adopt embeddings of"
    function = "adopt_latents"
    parameters = (
        "source",
        "field",
        "encoder",
        "patches_field",
        "force_square",
        "alpha",
        "check",
        "overwrite",
    )
    submit = "Adopt"
    then = (("Learn a dictionary", "learn_dictionary"),)

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        found = sources.adoptable(ctx.dataset)
        if not found:
            why = (
                "This dataset has no field of vectors or numbers and no similarity run whose model "
                "is not known yet. Run 'SMIC: compute embeddings' instead. (A visualization run "
                "keeps its embeddings only if it was given an embeddings_field.)"
            )
            forms.stop(inputs, "nothing", "Nothing to adopt", why)
            return
        chosen, boxed = sources.chosen_source(ctx)
        labels = {name: about.label for name, about in found.items()}
        prop = forms.dropdown(inputs, "source", labels, chosen, "Embeddings")
        if chosen not in found:
            forms.wrong(prop, f"choose one of {', '.join(found)}")
        root = ctx.dataset._get_label_field_path(boxed)[1] if boxed else ""
        count = int(samples.count(root)) if root else len(samples)
        if ctx.dataset.has_field(chosen):  # of a run of the brain only the run itself knows
            count = forms.values(ctx, samples, chosen.rpartition(".")[2], root)
            if not count:
                forms.wrong(prop, f"none of these has a value in {chosen!r}; choose another")
        forms.takes(inputs, amount(count, forms.noun(boxed)))
        self._encoder(ctx, inputs)
        default = self._free(ctx, chosen, root)
        field = ctx.params.get("field", default) or ""
        prop = inputs.str(
            "field", default=default, label="Field", description="Where SMIC keeps them"
        )
        if not field.isidentifier() or field.startswith("_"):
            forms.wrong(prop, "use letters, digits and underscores, like clip_latents")
        path = f"{root}.{field}" if root else field
        if path != chosen and ctx.dataset.has_field(path):
            forms.checkbox(inputs, "overwrite", f"Overwrite the field {path}")
            if not ctx.params.get("overwrite"):
                forms.wrong(prop, f"{path} already exists; choose another name, or overwrite it")
        if forms.advanced(ctx, inputs):
            if boxed:
                cut_inputs(ctx, inputs, "The boxes were made square", "The boxes were enlarged")
            forms.number(
                inputs,
                ctx.params,
                "check",
                default=8,
                least=0,
                most=1000,
                label="Embeddings to compare",
                description="So many are made again by the model. With 0 the model is believed",
            )
        forms.explain(inputs, "embedding")

    def _free(self, ctx: Any, source: str, root: str) -> str:
        """The name of a field that is not there yet, or that of the source itself."""
        names = (f"{LATENTS_FIELD}{n}" for n in itertools.chain([""], itertools.count(2)))
        paths = ((name, f"{root}.{name}" if root else name) for name in names)
        return next(n for n, path in paths if path == source or not ctx.dataset.has_field(path))

    def _encoder(self, ctx: Any, inputs: types.Object) -> None:
        from fiftyone_smic.models.encoders import problem

        prop = encoder_input(inputs, "encoder", None)
        encoder = ctx.params.get("encoder")
        if encoder and (why := problem(encoder)):
            forms.wrong(prop, why)
        elif not encoder:
            forms.note(
                inputs,
                "unnamed",
                "Without the model, codes can be made, but pictures cannot be drawn and words "
                "cannot be compared. With it, a few images are embedded again to check it",
            )

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import adopt_latents
        from fiftyone_smic.fiftyone.objects import noun

        given = self.arguments(ctx)
        done = adopt_latents(forms.collection(ctx), **given, progress=progress)
        return self.result(done, {"noun": noun(given["patches_field"])})

    def objects(self, ctx: Any, samples: Any) -> str | None:
        return sources.chosen_source(ctx)[1]

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        given["source"], given["patches_field"] = sources.chosen_source(ctx)
        if given["patches_field"] is None:  # what is no longer shown keeps its value
            for name in ("force_square", "alpha"):
                given.pop(name, None)
        return given

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        text = (
            f"**{amount(done.adopted, 'embedding is', 'embeddings are')}** in `{done.field}`, of "
            f"{done.dim} numbers each"
        )
        text += f", made by `{done.encoder}`." if done.encoder != "unknown" else "."
        if done.cosine is not None:
            text += f" Their similarity to what the model makes is {done.cosine:.2f} (1 is exact)."
        advice = f"\n\n{sentence(done.advice)}" if done.advice else ""
        skipped = forms.skipped(done.skipped, arguments["noun"])
        return f"{text}{advice}\n\n{skipped}Next: learn the dictionary."
