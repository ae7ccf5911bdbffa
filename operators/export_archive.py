"""SMIC: export archive."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import DictionaryOperator, from_bar

KINDS = {
    "archive": "The codes only, as one .smic file",
    "dataset": "The codes with all labels and tags, as a folder or .zip",
}


class ExportArchive(DictionaryOperator):
    """Write the codes of a collection to a file."""

    operator_name = "export_archive"
    label = "SMIC: export archive"
    description = "Write the codes to one small file, from which the samples can be drawn again"
    icon = "export"
    doing = "Writing the archive"
    action = "Export"
    function = "export_archive"
    parameters = ("key", "path", "names")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import load_config, measured, stored_rate

        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        kind = forms.radio(ctx, inputs, "kind", KINDS, "archive", "What")
        path = forms.whole_path(
            ctx,
            inputs,
            "path",
            default=str(self._default(ctx, key)),
            label="File" if kind == "archive" else "Folder or .zip file",
            about="Where to write it",
        )
        if path is not None and path.exists():
            if path.is_dir() and (kind == "archive" or any(path.iterdir())):
                forms.stop(inputs, "taken", "This folder is there", f"{path} is a folder in use")
            elif not ctx.params.get("replace"):
                forms.checkbox(inputs, "replace", f"Replace {path.name}, which is there")
                forms.stop(inputs, "taken", "This file is there", "choose another, or replace it")
            else:
                forms.checkbox(inputs, "replace", f"Replace {path.name}, which is there")
        if kind == "archive":
            forms.checkbox(
                inputs,
                "names",
                "Keep the file names",
                "By them the codes can be given back to samples of another dataset",
                default=True,
            )
        storage = load_config(ctx.dataset, key).storage
        each = stored_rate(storage).bits_per_item if storage else None
        size = f"; the codes take {forms.amount(each * count / 8)}" if each else ""
        without = len(samples) - count
        forms.cost(
            inputs,
            f"{count:,} samples",
            count,
            measured=measured(ctx.dataset, "export" if kind == "archive" else "export dataset"),
            guess=0.0002 if kind == "archive" else 0.001,
            fixed=1,
            more=size + (f"; {without:,} samples without a code are left out" if without else ""),
        )

    def _default(self, ctx: Any, key: str) -> Path:
        from fiftyone_smic.fiftyone.regeneration import default_folder

        name = key if ctx.params.get("kind", "archive") == "archive" else f"{key}-dataset"
        suffix = ".smic" if ctx.params.get("kind", "archive") == "archive" else ".zip"
        return default_folder(ctx.dataset) / f"{name}{suffix}"

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import export_archive, fields
        from fiftyone_smic.fiftyone import types as smic_types

        samples, key = forms.collection(ctx), forms.default_key(ctx)
        path = Path(ctx.params.get("path") or self._default(ctx, key)).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        if ctx.params.get("kind", "archive") == "archive":
            names = ctx.params.get("names")
            done = export_archive(samples, key, path, names=names is None or names)
            return self.result(done, {"key": key, "path": path})
        samples.exists(fields.field_name(key, fields.ATOMS)).export(
            str(path), dataset_type=smic_types.SMICDataset, key=key, progress=from_bar(progress)
        )
        return {
            "summary": (
                f"The codes with labels and tags are in `{path}`.\n\nNext: **SMIC: import "
                "archive** makes a dataset of it, as does `fiftyone.Dataset.from_dir(…, "
                "dataset_type=fiftyone_smic.types.SMICDataset)`."
            ),
            "buttons": [],
        }

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return (
            f"**{done.items:,} samples** in **{forms.amount(done.total_bytes)}**: "
            f"{done.bits_per_item:.1f} bits each, {done.payload_bits_per_item:.1f} of them for the "
            "code; dictionary, headers and file names are the rest.\n\n"
            f"File: `{arguments['path']}`\n\n"
            "Next: **SMIC: import archive** makes a dataset of it, on any machine that has the "
            "same models."
        )
