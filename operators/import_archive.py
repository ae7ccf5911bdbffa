"""SMIC: import archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import forms
from .base import Button, SMICOperator, from_bar

INTO = {
    "new": "A new dataset, its pictures drawn from the codes",
    "here": "Codes for the samples of this dataset that have the same file names",
}


class ImportArchive(SMICOperator):
    """Read an archive."""

    operator_name = "import_archive"
    label = "SMIC: import archive"
    description = "Make a dataset of an archive, or give its codes to samples that are there"
    icon = "import"
    doing = "Drawing pictures"
    action = "Give codes to"
    function = "import_codes"
    parameters = ("path", "key", "overwrite", "into")

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        path = forms.whole_path(
            ctx,
            inputs,
            "path",
            default=None,
            label="Archive",
            about="A .smic file, or a folder or .zip file of an export with labels",
        )
        if path is not None:
            if not path.exists():
                forms.stop(inputs, "nothing", "Nothing there", f"there is no {path}")
            elif path.suffix == ".zip":
                self._new_dataset(ctx, inputs, path)
            elif path.is_dir():
                self._archive(ctx, inputs, path, path / "codes.smic")
            else:
                self._archive(ctx, inputs, path, path)
        return self.shown(inputs)

    def _archive(self, ctx: Any, inputs: types.Object, path: Path, codes: Path) -> None:
        from fiftyone_smic.archive import ArchiveError, archive_info
        from fiftyone_smic.fiftyone.runs import measured

        try:
            info = archive_info(codes)
        except (ArchiveError, OSError) as error:
            forms.stop(inputs, "unreadable", "This file cannot be read", str(error))
            return
        whole = path.is_dir()
        forms.note(
            inputs,
            "found",
            f"{info['items']:,} samples, {info['atoms']:,} atoms, {forms.amount(info['bytes'])}, "
            f"latents of {info['encoder']}"
            + ("" if whole or info["named"] else "; without file names"),
        )
        if whole or forms.radio(ctx, inputs, "into", INTO, "new", "Into") == "new":
            self._new_dataset(ctx, inputs, path, info)
        elif not info["named"]:
            forms.stop(inputs, "nameless", "No file names", "this archive has no file names")
        else:
            samples = forms.target(ctx, inputs, self.action)
            if forms.check_images(inputs, samples):
                forms.new_key(ctx, inputs)
                forms.cost(
                    inputs,
                    f"{len(samples):,} samples",
                    len(samples),
                    measured=measured(ctx.dataset, "import"),
                    guess=0.004,
                    fixed=1,
                )

    def _new_dataset(
        self, ctx: Any, inputs: types.Object, path: Path, info: dict[str, Any] | None = None
    ) -> None:
        prop = inputs.str("name", default=path.stem, label="Name", description="Of the new dataset")
        name = ctx.params.get("name") or path.stem
        if fo.dataset_exists(name):
            forms.wrong(prop, f"there is a dataset {name!r}; give another name")
        forms.checkbox(
            inputs,
            "draw",
            "Draw all pictures now",
            "Otherwise 'SMIC: regenerate samples' draws those you choose",
            default=True,
        )
        if ctx.params.get("draw", True):
            forms.drawing(ctx, inputs)
        if info and ctx.params.get("draw", True):
            forms.drawing_cost(
                ctx, inputs, f"{info['items']:,} pictures", info["items"], info["encoder"]
            )

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import import_archive
        from fiftyone_smic.fiftyone import types as smic_types

        path = Path(ctx.params["path"]).expanduser()
        if ctx.params.get("into", "new") == "here":
            from fiftyone_smic.fiftyone import import_codes

            given = forms.chosen(ctx, "key", "overwrite")
            done = import_codes(forms.collection(ctx), path, **given)
            return self.result(done, {"key": done.key})
        name = ctx.params.get("name") or path.stem
        settings = forms.chosen(ctx, "steps", "guidance", "batch_size", "draw")
        if path.is_file() and path.suffix != ".zip":
            dataset = import_archive(path, name, persistent=True, progress=progress, **settings)
        else:
            given = {
                "dataset_type": smic_types.SMICDataset,
                "name": name,
                "persistent": True,
                "progress": from_bar(progress),
                **settings,
            }
            was_there = fo.dataset_exists(name)
            try:
                if path.is_dir():
                    dataset = fo.Dataset.from_dir(str(path), **given)
                else:
                    dataset = fo.Dataset.from_archive(str(path), cleanup=False, **given)
            except BaseException:
                # Unlike our own import, FiftyOne's leaves what it had made so far.
                if not was_there and fo.dataset_exists(name):
                    fo.delete_dataset(name)
                raise
        return {
            "summary": f"Dataset **{dataset.name}** has **{len(dataset):,} samples**.",
            "buttons": [["Open it", "@voxel51/operators/open_dataset", {"dataset": dataset.name}]],
        }

    def now(self, samples: Any, params: dict[str, Any]) -> Any:
        """Give codes to a collection; for None, make a dataset: :func:`fiftyone_smic.import_codes`
        and :func:`fiftyone_smic.import_archive`."""
        import fiftyone_smic.fiftyone as library

        if samples is None:
            return library.import_archive(**params)
        return library.import_codes(samples, **params)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        missing = len(done.unmatched)
        return f"**{done.matched:,} samples** have codes of dictionary **{done.key}**." + (
            f" {missing:,} names in the archive fit no sample, the first: `{done.unmatched[0]}`."
            if missing
            else ""
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        return [forms.PANEL]
