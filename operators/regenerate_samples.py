"""SMIC: regenerate samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import Report, SMICOperator

#: Seconds per picture on two CPU cores: the built-in generator, and Stable Diffusion's size.
SECONDS = {"postcards": 0.5, "other": 120.0}


class RegenerateSamples(SMICOperator):
    """Draw samples again from their codes."""

    operator_name = "regenerate_samples"
    label = "SMIC: regenerate samples"
    description = "Draw samples again from nothing but their code"
    icon = "regenerate"
    doing = "Drawing pictures"

    def form(self, ctx: Any, inputs: types.Object) -> None:
        samples = forms.target(ctx, inputs, "Regenerate")
        if not forms.check_images(inputs, samples):
            return
        key = forms.dictionary_key(ctx, inputs)
        if key is None:
            return
        coded = samples.exists(f"{key}_atoms") if ctx.dataset.has_field(f"{key}_atoms") else None
        count = 0 if coded is None else coded.count()
        if coded is None or not count:
            forms.stop(
                inputs,
                "no_codes",
                "No codes here",
                f"None of these samples has a code of {key!r}. Run 'SMIC: encode samples' first.",
            )
            return
        from fiftyone_smic.fiftyone.regeneration import default_folder
        from fiftyone_smic.fiftyone.runs import load_config

        folder = inputs.str(
            "output_dir",
            default=str(default_folder(ctx.dataset)),
            label="Folder",
            description="Where the pictures go. Those that are there are reused",
        )
        path = Path(ctx.params.get("output_dir") or default_folder(ctx.dataset)).expanduser()
        if not path.is_absolute():
            folder.invalid = True
            folder.error_message = "give the whole path of the folder, starting with /"
        elif path.exists() and not path.is_dir():
            folder.invalid = True
            folder.error_message = f"{path} is a file; choose a folder"
        forms.number(
            inputs,
            ctx.params,
            "seed",
            default=0,
            least=0,
            most=2**31 - 1,
            label="Seed",
            description="Another seed draws other pictures of the same codes",
        )
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs,
                ctx.params,
                "steps",
                default=None,
                least=1,
                most=1000,
                label="Steps",
                description="Denoising steps; empty: the generator's own",
            )
            forms.number(
                inputs,
                ctx.params,
                "guidance",
                default=None,
                least=1,
                most=50,
                whole=False,
                label="Guidance",
                description="How closely to follow the code; empty: the generator's own",
            )
            forms.number(
                inputs, ctx.params, "batch_size", default=8, least=1, most=256, label="Batch size"
            )
        name = f"{key}_regenerated"
        missing = count - (coded.exists(name).count() if ctx.dataset.has_field(name) else 0)
        encoder = load_config(ctx.dataset, key).encoder
        kind = "postcards" if encoder.startswith("postcards") else "other"
        steps = (ctx.params.get("steps") or 20) / 20
        forms.note(
            inputs,
            "cost",
            f"{count:,} samples, {missing:,} of them without a picture, roughly "
            f"{forms.duration(max(1, missing) * SECONDS[kind] * steps)} on a CPU",
        )
        if kind == "postcards":
            inputs.view(
                "demonstration",
                types.Notice(
                    label="The built-in generator is a demonstration: it can only draw postcards"
                ),
            )

    def work(self, ctx: Any, report: Report) -> str:
        import fiftyone_smic as smic

        done = smic.regenerate(
            forms.collection(ctx),
            **forms.chosen(ctx, "key", "output_dir", "seed", "steps", "guidance", "batch_size"),
            progress=report,
        )
        reused = f", {done.reused:,} were there already" if done.reused else ""
        without = f" {done.without_code:,} samples have no code." if done.without_code else ""
        return (
            f"**{done.drawn:,} pictures drawn**{reused}, in {forms.duration(done.seconds)}, "
            f"by `{done.generator}`.{without}\n\nFolder: `{done.folder}`\n\n"
            "Next: the **SMIC** panel shows them beside the originals; the grid shows them when "
            f"`{done.key}_regenerated` is chosen as media field in its settings."
        )

    def __call__(
        self,
        sample_collection: Any,
        key: str = "smic",
        output_dir: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        batch_size: int = 8,
        delegate: bool = False,
        delegation_target: str | None = None,
    ) -> Any:
        """See :func:`fiftyone_smic.regenerate`, whose report this returns."""
        import fiftyone_smic as smic

        params = {
            "key": key,
            "output_dir": output_dir,
            "seed": seed,
            "steps": steps,
            "guidance": guidance,
            "batch_size": batch_size,
        }
        return self.call(smic.regenerate, sample_collection, params, delegate, delegation_target)
