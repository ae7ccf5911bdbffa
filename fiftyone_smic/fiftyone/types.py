"""``SMICDataset``: a FiftyOne dataset on disk whose pictures are a ``.smic`` file.

A folder (or, by FiftyOne's own doing, a ``.zip``) with three parts:

- ``codes.smic``: the dictionary and the samples' codes, in the samples' order
- ``fiftyone/``: everything else in FiftyOne's own serialisation, as ``FiftyOneDataset`` writes it
- ``smic.json``: what the dataset knows of the dictionary beyond the archive, such as atoms' names
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.types as fot
import fiftyone.utils.data as foud
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import ArchiveError, read_archive
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.archives import export_archive, install, place
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.regeneration import regenerate
from fiftyone_smic.pipelines.folders import safe_names
from fiftyone_smic.utils.defaults import KEY

CODES = "codes.smic"
LABELS = "fiftyone"
ABOUT = "smic.json"
#: What :data:`ABOUT` keeps of the run's config; the archive holds the rest.
KEPT = (
    "latents_field",
    "encoder_source",
    "items",
    "settings",
    "storage",
    "learned",
    "names",
    "own_names",
)


class SMICDataset(fot.Dataset):
    """The type to give to ``dataset.export`` and ``fiftyone.Dataset.from_dir``."""

    def get_dataset_exporter_cls(self) -> type[SMICDatasetExporter]:
        return SMICDatasetExporter

    def get_dataset_importer_cls(self) -> type[SMICDatasetImporter]:
        return SMICDatasetImporter


class SMICDatasetExporter(foud.BatchDatasetExporter):
    """Write a collection with codes in place of its pictures.

    Args:
        export_dir: the folder
        key: a dictionary of the dataset
        fields: names of the sample fields that travel along, by default all but vectors and the
            fields of dictionaries
    """

    def __init__(self, export_dir: str, key: str = KEY, fields: Any = None) -> None:
        super().__init__(export_dir=export_dir)
        self.key = key
        self.fields = fields

    def setup(self) -> None:
        os.makedirs(self.export_dir, exist_ok=True)

    def export_samples(self, sample_collection: SampleCollection, progress: Any = None) -> None:
        """Write all of it.

        Raises:
            ValueError: for an unknown key, unknown fields, or samples without a code
        """
        started = time.perf_counter()
        samples = image_samples(sample_collection)
        config = runs.load_config(samples, self.key)
        chosen = self._fields(samples)
        coded = fields.field_name(self.key, fields.ATOMS)
        there = samples.exists(coded).count() if samples.has_field(coded) else 0
        missing = len(samples) - there
        if missing:
            raise ValueError(
                f"{missing} of {len(samples)} samples have no code of dictionary {self.key!r} and "
                f"would come back without a picture; run fiftyone_smic.encode(dataset, "
                f"{self.key!r}), or export dataset.exists({coded!r})"
            )
        folder = Path(self.export_dir)
        export_archive(samples, self.key, folder / CODES, names=False)
        paths = samples.values("filepath")
        root = os.path.commonpath([os.path.dirname(path) for path in paths])
        # A clone has the chosen fields only, is no longer grouped, and keeps its samples' ids.
        clone = samples.select_fields(chosen).clone()
        try:
            exporter = foud.FiftyOneDatasetExporter(
                str(folder / LABELS), export_media=False, rel_dir=root
            )
            with exporter:
                exporter.export_samples(clone, progress=progress)
        finally:
            clone.delete()
        self._add_saved_views(sample_collection, folder / LABELS / "metadata.json")
        about = {"key": self.key, **{name: getattr(config, name) for name in KEPT}}
        (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
        seconds = time.perf_counter() - started
        runs.note_seconds(samples, self.key, "export dataset", seconds, len(paths))

    def _fields(self, samples: SampleCollection) -> list[str]:
        schema = samples.get_field_schema()
        if self.fields is not None:
            unknown = [name for name in self.fields if name.split(".")[0] not in schema]
            if unknown:
                raise ValueError(f"there are no fields {unknown}; there are {sorted(schema)}")
            return list(self.fields)
        left_out = {
            name
            for key in runs.list_dictionaries(samples)
            for name in fields.existing_fields(samples, key)
        }
        vectors = (fo.VectorField, fo.ArrayField)
        return [
            name
            for name, field in schema.items()
            if name not in left_out and not isinstance(field, vectors)
        ]

    def _add_saved_views(self, samples: SampleCollection, metadata: Path) -> None:
        """FiftyOne leaves them out unless the collection is the dataset itself."""
        if samples != samples._root_dataset or not samples.has_saved_views:
            return
        document = foo.import_document(str(metadata))
        document["saved_views"] = [view.to_dict() for view in samples._doc.get_saved_views()]
        foo.export_document(document, str(metadata))


class SMICDatasetImporter(foud.BatchDatasetImporter):
    """Read what :class:`SMICDatasetExporter` wrote; the pictures are drawn from the codes.

    Args:
        dataset_dir: the folder
        draw: draw all pictures now; otherwise samples have grey placeholders until
            :func:`fiftyone_smic.regenerate` draws them
        output_dir: an empty or new folder for the pictures, by default one below FiftyOne's
            ``default_dataset_dir``
        generator, steps, guidance, batch_size, device: see :func:`fiftyone_smic.regenerate`
        shuffle, seed, max_samples: which samples, and in which order
    """

    def __init__(
        self,
        dataset_dir: str,
        draw: bool = True,
        output_dir: str | Path | None = None,
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
        self.draw = draw
        self.output_dir = output_dir
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
        """Read all of it; returns the ids of the samples.

        Raises:
            ArchiveError: if the codes are damaged or do not belong to the samples
            ValueError: if the dataset has a dictionary of that key, or no generator fits
            OSError: if a part is missing, or pictures cannot be written
        """
        folder = Path(self.dataset_dir)
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        key = about.pop("key")
        runs.check_free(dataset, key, overwrite=False)
        archive = read_archive(folder / CODES)
        documents, _ = foo.import_collection(str(folder / LABELS / "samples.json"), key="samples")
        order = {str(document["_id"]): row for row, document in enumerate(documents)}
        if len(order) != archive.codes.shape[0]:
            raise ArchiveError(
                f"{folder} has {len(order)} samples and codes for {archive.codes.shape[0]}: its "
                "parts do not belong together"
            )
        importer = foud.FiftyOneDatasetImporter(
            str(folder / LABELS),
            rel_dir="/",
            shuffle=self.shuffle,
            seed=self.seed,
            max_samples=self.max_samples,
        )
        with importer:
            reading = False if self.draw else progress
            ids = [str(i) for i in importer.import_samples(dataset, tags=tags, progress=reading)]
        view = dataset.select(ids, ordered=True)
        names = safe_names([path.lstrip("/") for path in view.values("filepath")])
        view.set_values("filepath", place(dataset, names, self.output_dir))
        kept = {name: about[name] for name in KEPT}
        install(dataset, ids, archive, key, [order[i] for i in ids], **kept)
        if self.draw:
            settings = {"seed": self.seed or 0, **self.settings}
            with fo.ProgressBar(total=len(ids), progress=progress) as bar:
                regenerate(
                    dataset.select(ids),
                    key,
                    output_dir=self.output_dir,
                    progress=lambda part: bar.set_iteration(round(part * len(ids))),
                    **settings,
                )
        return ids
