"""SMIC: visualize atoms."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator


class VisualizeAtoms(DictionaryOperator):
    """Put atoms and samples on one map."""

    operator_name = "visualize_atoms"
    label = "SMIC: visualize atoms"
    description = "Put the atoms and the samples on one map"
    icon = "atoms"
    doing = "Making the map"
    action = "Map"
    function = "visualize_atoms"
    parameters = ("key", "brain_key", "seed")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config, measured

        config = load_config(ctx.dataset, key)
        default = config.brain_key or f"{key}_umap"
        prop = inputs.str(
            "brain_key",
            default=default,
            label="Brain key",
            description="Under this name the Embeddings panel shows the samples",
        )
        brain_key = ctx.params.get("brain_key") or default
        if not brain_key.isidentifier():
            forms.wrong(prop, "use letters, digits and underscores, like smic_umap")
        elif brain_key in ctx.dataset.list_brain_runs() and brain_key != config.brain_key:
            forms.wrong(prop, f"{brain_key!r} is in use; choose another")
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs, ctx.params, "seed", default=0, least=0, most=2**31 - 1, label="Seed"
            )
        count = len(samples)
        forms.cost(
            inputs,
            f"{count:,} samples and {config.n_atoms:,} atoms",
            count,
            measured=measured(ctx.dataset, "map"),
            guess=0.005,
            fixed=15,
        )

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return (
            f"**{len(done.atoms):,} atoms and {len(done.points):,} samples** on one map.\n\n"
            + forms.skipped(done.skipped)
            + "Next: the Atoms tab of the **SMIC** panel shows both; the **Embeddings** panel "
            f"shows the samples under `{done.brain_key}`."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]
