"""SMIC: export archive."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from fiftyone.operators import types

from . import estimates, forms
from .base import PLUGIN, Button, DictionaryOperator, FromBar
from .words import amount, one, size

KINDS = {
    "archive": "The codes only, as one .smic file",
    "dataset": "The codes with all labels and tags, as a folder or .zip",
}


class ExportArchive(DictionaryOperator):
    """Write the codes of a collection to a file."""

    operator_name = "export_archive"
    label = "SMIC: export archive"
    description = "Save the compressed images as one small file, to send or to keep"
    icon = "export"
    doing = "Writing the archive"
    action = "Export"
    function = "export_archive"
    parameters = ("key", "path", "names", "distortion")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone.durations import measured

        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        kind = forms.radio(ctx, inputs, "kind", KINDS, "archive", "What to write")
        path = forms.whole_path(
            ctx,
            inputs,
            "path",
            default=str(self._default(ctx, key)),
            label="File" if kind == "archive" else "Folder or .zip file",
            about="Where to write it",
        )
        if path is not None and path.exists():
            self._taken(ctx, inputs, path, kind)
        if kind == "archive":
            forms.checkbox(
                inputs,
                "names",
                "Keep the file names",
                "Needed to match the codes to your images later",
                default=True,
            )
        self._distortion(ctx, inputs, samples, key, count)
        boxed = forms.objects_of(ctx)
        root = ctx.dataset._get_label_field_path(boxed)[1] if boxed else ""
        without = (int(samples.count(root)) if root else len(samples)) - count
        noun = forms.noun(boxed)
        left_out = amount(without, f"{noun} without a code is", f"{noun}s without a code are")
        estimates.cost(
            inputs,
            amount(count, noun),
            count,
            measured=measured(ctx.dataset, "export" if kind == "archive" else "export dataset"),
            guess=0.0002 if kind == "archive" else 0.001,
            loading=1,
            more=self._size(ctx, key, count) + (f"; {left_out} left out" if without else ""),
        )

    def _distortion(
        self, ctx: Any, inputs: types.Object, samples: Any, key: str, count: int
    ) -> None:
        from fiftyone_smic.fiftyone.codes import coded_samples
        from fiftyone_smic.fiftyone.objects import root_of
        from fiftyone_smic.fiftyone.runs import load_config

        forms.checkbox(
            inputs,
            "distortion",
            "Keep how much detail each code leaves out",
            "About 4 bits each; outliers of the file are then measured, not estimated",
        )
        if not ctx.params.get("distortion"):
            return
        held = load_config(ctx.dataset, key).latents_field
        root = root_of(ctx.dataset, forms.objects_of(ctx))
        missing = count - forms.values(ctx, coded_samples(samples, key), held, root)
        if missing:
            noun = forms.noun(forms.objects_of(ctx))
            why = (
                f"{amount(missing, f'{noun} has', f'{noun}s have')} a code but no embedding in "
                f"{held!r} any more; untick this, or run 'SMIC: compute embeddings' into this field"
            )
            forms.stop(inputs, "no_embeddings", "What codes leave out is not known", why)

    def _taken(self, ctx: Any, inputs: types.Object, path: Path, kind: str) -> None:
        if path.is_dir() and (kind == "archive" or any(path.iterdir())):
            forms.stop(inputs, "taken", "This folder exists", f"{path} is a folder in use")
            return
        forms.checkbox(inputs, "replace", f"Overwrite {path.name}")
        if not ctx.params.get("replace"):
            why = f"{path.name} already exists; choose another name, or overwrite it"
            forms.stop(inputs, "taken", "This file already exists", why)

    def _size(self, ctx: Any, key: str, count: int) -> str:
        """Say how large the file will be: the dictionary is written whole, however few codes."""
        from fiftyone_smic.fiftyone.runs import load_config, stored_rate

        storage = load_config(ctx.dataset, key).storage
        if not storage:
            return ""
        rate = stored_rate(storage)
        each = rate.payload_bits_per_item + (4 if ctx.params.get("distortion") else 0)
        bits = each * count + rate.dictionary_bits + rate.header_bits
        return f"; about {size(bits / 8)}, file names apart"

    def _default(self, ctx: Any, key: str) -> Path:
        """Return a file that is not there yet, so that the form opens with nothing to overwrite."""
        from fiftyone_smic.fiftyone.regeneration import default_folder

        archive = ctx.params.get("kind", "archive") == "archive"
        stem, suffix = (key, ".smic") if archive else (f"{key}-dataset", ".zip")
        folder = default_folder(ctx.dataset)
        numbers = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
        paths = (folder / f"{stem}{number}{suffix}" for number in numbers)
        return next(path for path in paths if not path.exists())

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import export_archive
        from fiftyone_smic.fiftyone import types as smic_types
        from fiftyone_smic.fiftyone.codes import coded_samples

        samples, key = forms.collection(ctx), forms.default_key(ctx)
        distortion = bool(ctx.params.get("distortion"))
        path = Path(ctx.params.get("path") or self._default(ctx, key)).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        if ctx.params.get("kind", "archive") == "archive":
            names = ctx.params.get("names")
            done = export_archive(
                samples,
                key,
                path,
                names=names is None or names,
                distortion=distortion,
                progress=progress,
            )
            noun = forms.noun(forms.objects_of(ctx))
            return self.result(done, {"key": key, "path": path, "noun": noun})
        coded_samples(samples, key).export(
            str(path),
            dataset_type=smic_types.SMICDataset,
            key=key,
            distortion=distortion,
            progress=FromBar(progress) if progress else None,
        )
        return {
            "summary": (
                f"The codes with labels and tags are in `{path}`.\n\nNext: **SMIC: import "
                "archive** makes a dataset of it, as does `fiftyone.Dataset.from_dir(…, "
                "dataset_type=fiftyone_smic.types.SMICDataset)`."
            ),
            "buttons": _download(path),
        }

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        noun = arguments["noun"]
        return (
            f"**{amount(done.items, f'{noun} takes', f'{noun}s take')} "
            f"{size(done.total_bytes)}**: "
            f"{done.bits_per_item:.1f} bits an {one(noun)}, "
            f"{done.payload_bits_per_item:.1f} of them for its code; dictionary, headers and file "
            "names are the rest.\n\n"
            f"File: `{arguments['path']}`\n\n"
            "Next: **SMIC: import archive** makes a dataset of it, on any machine that has the "
            "same models."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        return [tuple(button) for button in _download(arguments["path"])]


def _download(path: Path) -> list[list[Any]]:
    """A button that saves a written file on the computer of the browser."""
    if not path.is_file():
        return []
    return [["Download", f"{PLUGIN}/download_archive", {"path": str(path)}]]
