"""SMIC: map concepts."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import estimates, forms
from .base import DictionaryOperator
from .words import amount


class VisualizeAtoms(DictionaryOperator):
    """Put atoms and samples on one map."""

    operator_name = "visualize_atoms"
    label = "SMIC: map concepts"
    description = "See the concepts and the samples on one map, alike ones close together"
    icon = "atoms"
    doing = "Laying out the map"
    action = "Map"
    function = "visualize_atoms"
    parameters = ("key", "brain_key", "seed")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.durations import measured
        from fiftyone_smic.fiftyone.runs import load_config

        config = load_config(ctx.dataset, key)
        noun = forms.noun(config.patches_field)
        default = config.brain_key or f"{key}_umap"
        prop = inputs.str(
            "brain_key",
            default=default,
            label="Name of the map",
            description=f"The brain key under which the Embeddings panel shows the {noun}s",
        )
        brain_key = ctx.params.get("brain_key") or default
        if not brain_key.isidentifier():
            forms.wrong(prop, "use letters, digits and underscores, like smic_umap")
        elif brain_key in ctx.dataset.list_brain_runs() and brain_key != config.brain_key:
            forms.wrong(prop, f"{brain_key!r} is in use; choose another name")
        if forms.advanced(ctx, inputs):
            forms.seed(ctx, inputs, "Another seed lays the same map out in another way")
        boxed = config.patches_field
        count = len(samples)
        if boxed is not None:
            count = int(samples.count(ctx.dataset._get_label_field_path(boxed)[1]))
        estimates.cost(
            inputs,
            f"{forms.items(ctx, count)} and {amount(config.n_atoms, 'concept')}",
            count,
            measured=measured(ctx.dataset, "map"),
            guess=0.002,
            loading=15,
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return (
            f"**{amount(len(done.atoms), 'concept')} and {amount(len(done.points), done.noun)}** "
            "are on one map.\n\n"
            + forms.skipped(done.skipped, done.noun)
            + "The Concepts tab of the **SMIC** panel shows both; the **Embeddings** panel shows "
            f"the {done.noun}s under `{done.brain_key}`."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
