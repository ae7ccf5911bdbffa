"""SMIC: visualize atoms."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .base import Report, SMICOperator
from .compute_latents import skipped_text


class VisualizeAtoms(SMICOperator):
    """Put atoms and samples on one map."""

    operator_name = "visualize_atoms"
    label = "SMIC: visualize atoms"
    description = "Put the atoms and the samples on one map"
    icon = "atoms"
    doing = "Making the map"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        samples = forms.target(ctx, inputs, "Map")
        if not forms.check_images(inputs, samples):
            return
        key = forms.dictionary_key(ctx, inputs)
        if key is None:
            return
        from fiftyone_smic.fiftyone.runs import load_config

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
            prop.invalid = True
            prop.error_message = "use letters, digits and underscores, like smic_umap"
        elif brain_key in ctx.dataset.list_brain_runs() and brain_key != config.brain_key:
            prop.invalid = True
            prop.error_message = f"{brain_key!r} is in use; choose another"
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs, ctx.params, "seed", default=0, least=0, most=2**31 - 1, label="Seed"
            )
        count = len(samples)
        forms.note(
            inputs,
            "cost",
            f"{count:,} samples and {config.n_atoms:,} atoms, roughly "
            f"{forms.duration(20 + 0.005 * count)}",
        )

    def work(self, ctx: Any, report: Report) -> str:
        import fiftyone_smic as smic

        done = smic.visualize_atoms(
            forms.collection(ctx), **forms.chosen(ctx, "key", "brain_key", "seed"), progress=report
        )
        return (
            f"**{len(done.atoms):,} atoms and {len(done.points):,} samples** on one map.\n\n"
            + skipped_text(done.skipped)
            + "Next: the Atoms tab of the **SMIC** panel shows both; the **Embeddings** panel "
            f"shows the samples under `{done.brain_key}`."
        )

    def __call__(
        self,
        sample_collection: Any,
        key: str = "smic",
        brain_key: str | None = None,
        seed: int = 0,
        delegate: bool = False,
        delegation_target: str | None = None,
    ) -> Any:
        """See :func:`fiftyone_smic.visualize_atoms`, whose result this returns."""
        import fiftyone_smic as smic

        params = {"key": key, "brain_key": brain_key, "seed": seed}
        return self.call(
            smic.visualize_atoms, sample_collection, params, delegate, delegation_target
        )
