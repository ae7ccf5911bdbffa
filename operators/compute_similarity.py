"""SMIC: search with the App."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator
from .words import amount


class ComputeSimilarity(DictionaryOperator):
    """Let FiftyOne's own search, sorting and duplicates use the codes."""

    operator_name = "compute_similarity"
    label = "SMIC: search with the App"
    description = "Search with the App itself, by text and image, on codes instead of embeddings"
    icon = "curate"
    doing = "Loading models"
    function = "compute_similarity"
    parameters = ("key", "brain_key")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        default = f"{key}_similarity"
        about = "The App lists it under this name when it sorts by similarity"
        prop = inputs.str("brain_key", default=default, label="Name", description=about)
        name = ctx.params.get("brain_key", default)
        if not str(name or "").isidentifier():
            forms.wrong(prop, "Use letters, digits and underscores, starting with a letter")
        elif name in ctx.dataset.list_brain_runs():
            known = ctx.dataset.get_brain_info(name).config
            if type(known).__name__ != "SMICSimilarityConfig":
                forms.wrong(prop, f"{name} is another run of FiftyOne's brain; choose another name")
        forms.takes(inputs, f"all {forms.items(ctx, count)} with a code. Nothing is stored")

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import compute_similarity
        from fiftyone_smic.utils.progress import stage

        stage(progress, self.doing)
        arguments = self.arguments(ctx)
        return self.result(compute_similarity(ctx.dataset, **arguments), arguments)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        name = arguments.get("brain_key") or f"{arguments['key']}_similarity"
        texts = (
            "Type a text there, or select samples first."
            if done.config.supports_prompts
            else "Select samples first; this model reads no texts."
        )
        return (
            f"**{amount(done.total_index_size, 'sample')}** can be searched by their codes: the "
            f"App's *Sort by similarity* (the magnifying glass over the grid) has `{name}`. {texts}"
            "\n\n`sort_by_similarity`, `find_unique`, `compute_near_duplicates`, "
            "`compute_leaky_splits` and `compute_uniqueness` take it too, also when the embeddings "
            "are deleted."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
