"""SMIC: import archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import estimates, forms, sources
from .base import Button, FromBar, SMICOperator
from .words import amount, size

INTO = {
    "new": "A new dataset, its pictures drawn from the codes",
    "here": "Codes for the samples of this dataset that have the same file names",
    "objects": "Codes for the objects of this dataset that they were made of",
}
#: The archive inside a folder or .zip of an export with labels.
CODES = "codes.smic"


class ImportArchive(SMICOperator):
    """Read an archive."""

    operator_name = "import_archive"
    label = "SMIC: import archive"
    description = "Start from a .smic file: make a dataset of it, or give its codes to your samples"
    icon = "import"
    doing = "Reading the archive"
    action = "Give codes to"
    stopped = (
        "**Stopped.** If pictures were drawn already, the new dataset keeps them, and 'SMIC: "
        "regenerate samples' draws the others. Otherwise nothing is left of the import."
    )
    function = "import_codes"
    parameters = ("path", "key", "overwrite", "into", "patches_field")

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        path = forms.whole_path(
            ctx,
            inputs,
            "path",
            default=None,
            label="Archive",
            about="A .smic file, or a folder or .zip file of an export with labels",
        )
        if path is not None:
            if path.exists():
                self._archive(ctx, inputs, path)
            else:
                why = f"There is no file and no folder {str(path)!r}; check the spelling."
                forms.stop(inputs, "nothing", "Nothing is there", why)

    def _archive(self, ctx: Any, inputs: types.Object, path: Path) -> None:
        from fiftyone_smic.archive.errors import ArchiveError
        from fiftyone_smic.fiftyone.durations import measured

        try:
            info = _info(path)
        except (ArchiveError, OSError, ValueError) as error:
            forms.stop(inputs, "unreadable", "This cannot be imported", str(error))
            return
        labelled = path.is_dir() or path.suffix == ".zip"
        forms.note(
            inputs,
            "found",
            f"{amount(info['items'], 'code')} and {amount(info['atoms'], 'concept')} in "
            f"{size(info['bytes'])}, embeddings of {info['encoder']}"
            + ("" if labelled or info["named"] else "; without file names"),
        )
        fields = sources.object_fields(ctx.dataset)
        ways = {name: text for name, text in INTO.items() if fields or name != "objects"}
        way = "new" if labelled else forms.radio(ctx, inputs, "into", ways, "new", "Import as")
        if way == "new":
            self._new_dataset(ctx, inputs, path, info)
        elif not info["named"]:
            why = "This archive has no file names, so its codes cannot be matched to your samples."
            forms.stop(inputs, "nameless", "No file names", why)
        else:
            boxed = None
            if way == "objects":
                asked = ctx.params.get("patches_field")
                boxed = asked if asked in fields else fields[0]
                forms.dropdown(inputs, "patches_field", fields, boxed, "Objects")
            chosen = forms.target(ctx, inputs, self.action)
            samples = forms.images(inputs, chosen, boxed)
            if samples is not None:
                forms.new_key(ctx, inputs)
                count = len(samples)
                if boxed:
                    count = int(samples.count(ctx.dataset._get_label_field_path(boxed)[1]))
                estimates.cost(
                    inputs,
                    amount(count, forms.noun(boxed)),
                    count,
                    measured=measured(ctx.dataset, "import"),
                    guess=0.001,
                    loading=1,
                )

    def _new_dataset(
        self, ctx: Any, inputs: types.Object, path: Path, info: dict[str, Any]
    ) -> None:
        prop = inputs.str(
            "name", default=path.stem, label="Name", description="What to call the new dataset"
        )
        name = ctx.params.get("name") or path.stem
        if fo.dataset_exists(name):
            forms.wrong(prop, f"there is a dataset {name!r}; give another name")
        why = estimates.why_no_drawing(info["encoder"])
        if why:
            said = f"The samples get grey placeholders: pictures cannot be drawn now. {why}"
            forms.note(inputs, "undrawn", said)
            return
        forms.checkbox(
            inputs,
            "draw",
            "Draw all pictures now",
            "Otherwise 'SMIC: regenerate samples' draws those you choose later",
            default=True,
        )
        if ctx.params.get("draw", True):
            estimates.drawing(ctx, inputs)
            what = f"{amount(info['items'], 'picture')} to draw"
            estimates.drawing_cost(ctx, inputs, what, info["items"], info["encoder"])

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import import_archive, import_codes
        from fiftyone_smic.fiftyone import types as smic_types

        if not ctx.params.get("path"):
            raise ValueError("Give the path of the archive to import")
        path = Path(ctx.params["path"]).expanduser()
        if ctx.params.get("into", "new") in ("here", "objects"):
            given = forms.chosen(ctx, "key", "overwrite")
            if ctx.params["into"] == "objects":
                fields = sources.object_fields(ctx.dataset)
                given["patches_field"] = ctx.params.get("patches_field") or next(iter(fields), "")
            done = import_codes(forms.collection(ctx), path, **given)
            noun = forms.noun(given.get("patches_field"))
            return self.result(done, {"key": done.key, "noun": noun})
        name = ctx.params.get("name") or path.stem
        settings = forms.chosen(ctx, "steps", "guidance", "batch_size", "draw")
        if estimates.why_no_drawing(_info(path)["encoder"]):
            settings["draw"] = False
        if path.is_file() and path.suffix != ".zip":
            dataset = import_archive(path, name, persistent=True, progress=progress, **settings)
        else:
            given = {
                "dataset_type": smic_types.SMICDataset,
                "name": name,
                "persistent": True,
                "progress": FromBar(progress) if progress else None,
                **settings,
            }
            was_there = fo.dataset_exists(name)
            try:
                with _unpacked(path) as folder:
                    dataset = fo.Dataset.from_dir(str(folder), **given)
            except BaseException:
                # Unlike our own import, FiftyOne's leaves a dataset without any picture, too.
                if not was_there and fo.dataset_exists(name) and not _drawn(name):
                    fo.delete_dataset(name)
                raise
        count = amount(len(dataset), "sample")
        return {
            "summary": f"Dataset **{dataset.name}** has **{count}**.",
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
        missing, noun = len(done.unmatched), arguments["noun"]
        fit = amount(missing, "name in the archive fits", "names in the archive fit")
        return (
            f"**{amount(done.matched, f'{noun} has', f'{noun}s have')}** a code of dictionary "
            f"**{done.key}**."
        ) + (f" {fit} no {noun}, such as `{done.unmatched[0]}`." if missing else "")

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        return [forms.PANEL]


def _drawn(name: str) -> bool:
    """Whether pictures of a dataset were drawn, which an import that ends early keeps."""
    from fiftyone_smic.fiftyone.fields import REGENERATED, field_name
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    dataset = fo.load_dataset(name)
    fields = [field_name(key, REGENERATED) for key in list_dictionaries(dataset)]
    return any(dataset.has_sample_field(f) and dataset.count(f) > 0 for f in fields)


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """Give the folder of an export, that of a .zip for as long as it is read.

    FiftyOne's own ``from_archive`` leaves its copy beside the .zip, and reads that copy again when
    the .zip is another one by then.
    """
    import tempfile
    import zipfile

    if path.is_dir():
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="smic-import-") as aside:
        with zipfile.ZipFile(path) as zipped:
            inside = _codes_inside(path, zipped)
            zipped.extractall(aside)
        yield Path(aside, inside).parent


def _codes_inside(path: Path, zipped: Any) -> str:
    """Return the name of the archive inside a .zip.

    Raises:
        ValueError: There is none.
    """
    inside = [name for name in zipped.namelist() if name.rsplit("/", 1)[-1] == CODES]
    if not inside:
        raise ValueError(
            f"{path.name} holds no {CODES}; choose a .zip that 'SMIC: export archive' wrote"
        )
    return str(inside[0])


def _info(path: Path) -> dict[str, Any]:
    """Return what an archive says about itself: of a file, or inside a folder or .zip.

    Raises:
        ValueError: The folder or .zip holds no archive.
    """
    import tempfile
    import zipfile

    from fiftyone_smic.archive.info import archive_info

    if path.is_dir():
        if not (path / CODES).is_file():
            raise ValueError(
                f"the folder {str(path)!r} holds no {CODES}; choose a folder that 'SMIC: export "
                "archive' wrote, or a .smic file"
            )
        return archive_info(path / CODES)
    if path.suffix != ".zip":
        return archive_info(path)
    try:
        with zipfile.ZipFile(path) as zipped:
            inside = _codes_inside(path, zipped)
            with tempfile.NamedTemporaryFile(suffix=".smic") as aside:
                aside.write(zipped.read(inside))
                aside.flush()
                return archive_info(aside.name)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path.name} is not a sound .zip file: {error}") from error
