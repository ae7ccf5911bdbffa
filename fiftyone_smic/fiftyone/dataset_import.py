"""Reading a :class:`fiftyone_smic.fiftyone.types.SMICDataset`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.utils.data as foud
from bson import ObjectId
from pymongo.errors import PyMongoError

from fiftyone_smic.archive import ArchiveError, read_archive
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.fiftyone import fields, placeholders, runs
from fiftyone_smic.fiftyone.archives import empty_folder, keep_drawn
from fiftyone_smic.fiftyone.cleanup import mend_app_config
from fiftyone_smic.fiftyone.collections import count, is_empty, listed
from fiftyone_smic.fiftyone.dataset_export import ABOUT, CODES, FORMAT, KEPT, LABELS
from fiftyone_smic.fiftyone.installing import install
from fiftyone_smic.fiftyone.regeneration import regenerate
from fiftyone_smic.pipelines.picture_names import safe_names
from fiftyone_smic.utils.progress import stage


class SMICDatasetImporter(foud.BatchDatasetImporter):
    """Read what :class:`SMICDatasetExporter` wrote; the pictures are drawn from the codes.

    Files that travelled along are copied beside the pictures, so that nothing of the dataset
    depends on the folder that was read.

    Args:
        dataset_dir: The folder.
        key: Key under which the dictionary is stored, by default the one it was exported with.
        overwrite: Replace a dictionary of that key, whose codes are dropped.
        draw: Draw all pictures now. Otherwise samples have grey placeholders until
            :func:`fiftyone_smic.regenerate` draws them.
        output_dir: An empty or new folder for the pictures, by default one below FiftyOne's
            ``default_dataset_dir``.
        prior: The prior that the archive was written with, or its file, if it is not one of those
            that this package brings.
        generator, steps, guidance, batch_size, device: See :func:`fiftyone_smic.regenerate`.
        shuffle, seed, max_samples: Which samples, and in which order.
    """

    def __init__(
        self,
        dataset_dir: str,
        key: str | None = None,
        overwrite: bool = False,
        draw: bool = True,
        output_dir: str | Path | None = None,
        prior: Prior | str | Path | None = None,
        generator: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        batch_size: int = 8,
        device: str | None = None,
        shuffle: bool = False,
        seed: int | None = None,
        max_samples: int | None = None,
    ) -> None:
        super().__init__(
            dataset_dir=dataset_dir, shuffle=shuffle, seed=seed, max_samples=max_samples
        )
        self.key = key
        self.overwrite = overwrite
        self.draw = draw
        self.output_dir = output_dir
        self.prior = prior
        self.settings: dict[str, Any] = {
            "generator": generator,
            "steps": steps,
            "guidance": guidance,
            "batch_size": batch_size,
            "device": device,
        }

    def setup(self) -> None:
        pass

    def import_samples(
        self, dataset: fo.Dataset, tags: list[str] | None = None, progress: Any = None
    ) -> list[str]:
        """Read all of it.

        Returns:
            The ids of the samples.

        Raises:
            ArchiveError: The codes are damaged or do not belong to the samples, or the archive's
                prior is missing.
            ValueError: The dataset has these samples or a dictionary of that key already, or no
                generator fits.
            OSError: A part is missing, or pictures cannot be written.
        """
        source = Path(self.dataset_dir)
        about = _read_about(source)
        key = self.key or about["key"]
        archive = read_archive(source / CODES, self.prior)
        documents, every = _read_samples(source / LABELS / "samples.json")
        without = set(about["without_code"])
        row_of = {i: row for row, i in enumerate(i for i in every if i not in without)}
        if len(row_of) != archive.codes.shape[0]:
            raise ArchiveError(
                f"{source} has {len(row_of)} samples and codes for {archive.codes.shape[0]}: its "
                "parts do not belong together"
            )
        atoms = archive.dictionary.n_atoms_
        if about["names"] is not None and len(about["names"]) != atoms:
            raise ArchiveError(
                f"{source} has {atoms} atoms and names of {len(about['names'])}: its parts do not "
                "belong together"
            )
        self._check_new(dataset, every, key)
        folder = empty_folder(dataset.name, self.output_dir)
        media = _free_name(folder, documents)
        importer = foud.FiftyOneDatasetImporter(
            str(source / LABELS),
            rel_dir=str(media),
            shuffle=self.shuffle,
            seed=self.seed,
            max_samples=self.max_samples,
        )
        files: list[str] = []
        try:
            with _naming_damage(source / LABELS), importer:
                reading = False if self.draw else progress
                ids = [
                    str(i) for i in importer.import_samples(dataset, tags=tags, progress=reading)
                ]
                # FiftyOne has taken over whatever metadata.json says.
                dataset._doc.validate()
                dataset.reload()
                if hasattr(dataset, "set_label_schemas"):
                    dataset.set_label_schemas(dataset.label_schemas)
                mend_app_config(dataset)
            coded = [i for i in ids if i in row_of]
            held = fields.read(dataset, coded, ["filepath"])
            root = media / "data" if about["format"] > 1 else media
            wanted = [os.path.relpath(held[i][0], root).replace("\\", "/") for i in coded]
            files = [str(folder / name) for name in safe_names(wanted)]
            placeholders.place(files)
            fields.write(dataset, coded, {"filepath": files})
            for name in ("fields", "data"):
                if (source / LABELS / name).is_dir():
                    shutil.copytree(source / LABELS / name, media / name, dirs_exist_ok=True)
            kept = {name: about[name] for name in KEPT}
            rows = [row_of[i] for i in coded]
            install(dataset, coded, archive, key, rows, overwrite=self.overwrite, **kept)
            if self.draw:
                self._draw(dataset, key, coded, progress)
        except BaseException:
            if not keep_drawn(dataset, key):
                placeholders.remove(files)
                shutil.rmtree(media, ignore_errors=True)
            raise
        return ids

    def _check_new(self, dataset: fo.Dataset, ids: list[str], key: str) -> None:
        """Refuse before anything is written what could not be finished."""
        there = 0 if is_empty(dataset) else len(fields.read(dataset, ids, ["id"]))
        if there:
            raise ValueError(
                f"{there} of the {len(ids)} samples of {self.dataset_dir} are in dataset "
                f"{dataset.name!r} already; import them into a dataset of another name with "
                "fiftyone.Dataset.from_dir(…, name='…')"
            )
        if key in runs.list_dictionaries(dataset) and not self.overwrite:
            raise ValueError(
                f"dataset {dataset.name!r} has a dictionary {key!r} already; pass key='…' to "
                "import under another key, or overwrite=True to replace it, which drops its codes"
            )
        runs.check_free(dataset, key, self.overwrite)

    def _draw(self, dataset: fo.Dataset, key: str, ids: list[str], progress: Any) -> None:
        stage(progress, "Drawing pictures")
        every = fields.everything(dataset)
        with fo.ProgressBar(total=len(ids), progress=progress) as bar:
            regenerate(
                every if len(ids) == count(every) else listed(every, ids, ordered=False),
                key,
                output_dir=self.output_dir,
                seed=self.seed or 0,
                progress=lambda part: bar.set_iteration(round(part * len(ids))),
                **self.settings,
            )


#: What the entries of :data:`ABOUT` can be, of which nothing else makes sure.
_KINDS: dict[str, Any] = {
    "format": int,
    "key": str,
    "latents_field": str,
    "encoder_source": (str, type(None)),
    "items": int,
    "settings": dict,
    "storage": (dict, type(None)),
    "learned": (dict, type(None)),
    "names": (list, type(None)),
    "own_names": list,
    "without_code": list,
}


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Say which file is damaged, where FiftyOne only says what it stumbled over."""
    try:
        yield
    except (ArchiveError, OSError, PyMongoError):
        raise
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
        raise ArchiveError(f"{path} is damaged and cannot be read ({found})") from error


def _read_samples(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """The documents of the samples of an export, and their ids."""
    with _naming_damage(path):
        documents, _ = foo.import_collection(str(path), key="samples")
        documents = list(documents)
        for document in documents:
            if not isinstance(document["filepath"], str):
                raise TypeError("a sample has no file path")
            if not isinstance(document["_id"], ObjectId):
                raise TypeError(f"{str(document['_id'])[:40]!r} is no id of a sample")
        return documents, [str(document["_id"]) for document in documents]


def _integer(digits: str) -> int:
    if abs(value := int(digits)) >= 1 << 63:
        raise ValueError(f"{digits[:20]}… is too large for the database")
    return value


def _document(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON that the database can hold."""
    for name, value in pairs:
        if name.startswith("$") or {".", "\0"} & set(name):
            raise ValueError(f"{name!r} is no name of an entry")
        for text in (name, value):
            if isinstance(text, str):
                text.encode()  # half of a pair of surrogates is no text
    return dict(pairs)


def _read_about(folder: Path) -> dict[str, Any]:
    """What ``smic.json`` says.

    Raises:
        OSError: It is missing.
        ArchiveError: It is not what an export writes, or of a newer version.
    """
    path = folder / ABOUT
    try:
        about = json.loads(
            path.read_text(encoding="utf-8"), parse_int=_integer, object_pairs_hook=_document
        )
        about.setdefault("format", 1)
        about.setdefault("without_code", [])
        missing = {"key", *KEPT}.difference(about)
    except FileNotFoundError as error:
        why = "this file is missing, so the folder is no export or one that was stopped; export it"
        raise FileNotFoundError(error.errno, f"{why} again", str(path)) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from error
    if missing:
        raise ArchiveError(f"{path} is damaged: it does not say {', '.join(sorted(missing))}")
    for name, kinds in _KINDS.items():
        if not isinstance(about[name], kinds):
            raise ArchiveError(f"{path} is damaged: it says {name} is {about[name]!r}")
    for name, kinds in (("without_code", str), ("names", (str, type(None))), ("own_names", int)):
        if not all(isinstance(entry, kinds) for entry in about[name] or ()):
            raise ArchiveError(f"{path} is damaged: not all of {name} can be right")
    if about["format"] not in (1, FORMAT):
        raise ArchiveError(
            f"{path} has format {about['format']!r} and this version reads up to {FORMAT}; "
            "install a newer fiftyone_smic"
        )
    return about


def _free_name(folder: Path, documents: Iterable[dict[str, Any]]) -> Path:
    """A folder beside the pictures that no picture's name can be in."""
    taken = {str(document.get("filepath", "")).replace("\\", "/") for document in documents}
    tops = {part for path in taken for part in path.removeprefix("data/").split("/")[:1]}
    name = "media"
    while name in tops:
        name += "_"
    return folder / name
