"""Writing a :class:`fiftyone_smic.fiftyone.types.SMICDataset`."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.utils.data as foud
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.archives import write_archive_of
from fiftyone_smic.fiftyone.codes import images_for
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.crops import dataset_of_objects
from fiftyone_smic.fiftyone.curated import distortions_of
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.matching import relative_names
from fiftyone_smic.fiftyone.temporary import temporary_dataset
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.files import replace_file

logger = logging.getLogger(__name__)

CODES = "codes.smic"
LABELS = "fiftyone"
ABOUT = "smic.json"
FORMAT = 2
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


class SMICDatasetExporter(foud.BatchDatasetExporter):
    """Write a collection with codes in place of its pictures.

    Labels, tags and info travel along, and so do the files that labels and media fields own, such
    as masks and thumbnails. Of a whole dataset, saved views, workspaces, evaluations and other runs
    travel too. A grouped collection travels with all its slices; slices without codes keep their
    files. With a dictionary of objects the export holds a sample for each object, with its label as
    a classification.

    Args:
        export_dir: The folder.
        key: Key of a dictionary of the dataset.
        fields: Names of the sample fields that travel along, by default all but vectors and the
            fields of dictionaries.
        distortion: Whether to keep each sample's squared distance of its latent to what its code
            rebuilds, in about 4 bits. Curation of the file ``codes.smic`` finds more with it.
    """

    def __init__(
        self, export_dir: str, key: str = KEY, fields: Any = None, distortion: bool = False
    ) -> None:
        super().__init__(export_dir=export_dir)
        self.key = key
        self.fields = fields
        self.distortion = distortion

    def setup(self) -> None:
        os.makedirs(self.export_dir, exist_ok=True)

    def export_samples(self, sample_collection: SampleCollection, progress: Any = None) -> None:
        """Write all of it.

        Raises:
            ValueError: The key or a field is unknown, samples have no code, distortions are asked
                for and not all have the latents that were coded, or samples were added or deleted
                meanwhile.
            OSError: The folder cannot be written.
        """
        self._name = sample_collection._root_dataset.name
        left = None
        if self.distortion:
            left = distortions_of(_flat(images_for(sample_collection, self.key)), self.key)
        if runs.load_config(sample_collection, self.key).patches_field is None:
            self._write(sample_collection, left, progress)
            return
        with temporary_dataset(
            lambda name: dataset_of_objects(sample_collection, self.key, name)
        ) as crops:
            self._write(crops, left, progress)

    def _write(
        self, sample_collection: SampleCollection, left: np.ndarray | None, progress: Any
    ) -> None:
        config = runs.load_config(sample_collection, self.key)
        started = time.perf_counter()
        images = image_samples(sample_collection)
        grouped = sample_collection.media_type == fo.core.media.GROUP
        samples = sample_collection if grouped else images
        chosen = self._fields(samples)
        folder = Path(self.export_dir)

        def ready(coded: list[str]) -> None:
            self._check_all_coded(images, coded)
            # An export that says what it is is whole, and this one is about to be replaced.
            (folder / ABOUT).unlink(missing_ok=True)

        coded, _ = write_archive_of(_flat(samples), self.key, folder / CODES, False, left, ready)
        # A clone has the chosen fields only, and keeps its samples' ids.
        with temporary_dataset(samples.select_fields(chosen).clone) as clone:
            ids, paths = _flat(clone).values(["id", "filepath"])
            wanted = set(coded)
            if [sample_id for sample_id in ids if sample_id in wanted] != coded:
                raise ValueError(
                    "samples were added or deleted while they were exported; export again"
                )
            files = {p for i, p in zip(ids, paths, strict=True) if i not in wanted}
            names = dict(zip(paths, relative_names(paths), strict=True))
            exporter = _Labels(str(folder / LABELS), names, files)
            with exporter:
                exporter.export_samples(clone, progress=progress)
        exporter.tell_missing()
        self._add_what_clones_lack(sample_collection, folder / LABELS)
        about = {
            "format": FORMAT,
            "key": self.key,
            **{name: getattr(config, name) for name in KEPT},
            "without_code": [i for i in ids if i not in wanted],
        }
        replace_file(folder / ABOUT, json.dumps(about, indent=1).encode())
        seconds = time.perf_counter() - started
        note_seconds(images, self.key, "export dataset", seconds, len(paths))

    def _check_all_coded(self, images: SampleCollection, coded: list[str]) -> None:
        missing = len(set(images.values("id")).difference(coded))
        if missing:
            name = fields.field_name(self.key, fields.ATOMS)
            raise ValueError(
                f"{missing} of {len(images)} samples have no code of dictionary {self.key!r} and "
                f"would come back without a picture; run fiftyone_smic.encode(dataset, "
                f"{self.key!r}), or export dataset.exists({name!r})"
            )

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

    def _add_what_clones_lack(self, samples: SampleCollection, folder: Path) -> None:
        """Add the name, and for a whole dataset saved views, workspaces and runs."""
        dataset = samples._root_dataset
        path = str(folder / "metadata.json")
        document = foo.import_document(path)
        document["name"] = self._name
        if samples != dataset:
            foo.export_document(document, path)
            return
        for name in ("saved_views", "workspaces"):
            get = getattr(dataset._doc, f"get_{name}")
            document[name] = [each.to_dict() for each in get()]
        ours = {runs.load_config(dataset, key).brain_key for key in runs.list_dictionaries(dataset)}
        for name, where, load, left_out in (
            ("annotation_runs", "annotations", dataset.load_annotation_results, set()),
            ("brain_methods", "brain", dataset.load_brain_results, ours),
            ("evaluations", "evaluations", dataset.load_evaluation_results, set()),
            ("runs", "runs", dataset.load_run_results, set(runs.list_dictionaries(dataset))),
        ):
            for key, run in getattr(dataset._doc, f"get_{name}")().items():
                # Similarity is made of vectors, which an export leaves out.
                if key in left_out or run.config.get("type") == "similarity":
                    continue
                document[name][key] = run.to_dict()
                results = load(key)
                if results is not None:
                    results.write_json(str(folder / where / f"{key}.json"))
        foo.export_document(document, path)


def _flat(samples: SampleCollection) -> SampleCollection:
    """All samples, of every group slice."""
    if samples.media_type == fo.core.media.GROUP:
        return samples.select_group_slices(_allow_mixed=True)
    return samples


class _Labels(foud.FiftyOneDatasetExporter):
    """FiftyOne's own export, which leaves out the media of samples that have a code.

    Args:
        export_dir: The folder.
        names: File of a sample -> its name in the export.
        files: Files of the samples whose media travel.
    """

    def __init__(self, export_dir: str, names: dict[str, str], files: set[str]) -> None:
        super().__init__(export_dir=export_dir, export_media=True)
        self._names = names
        self._files = files
        self._missing: list[str] = []

    def setup(self) -> None:
        super().setup()
        self._media_exporter = _Media(self._data_dir, self._missing, self._names, self._files)
        self._media_exporter.setup()

    def _get_media_field_exporter(self, field_name: str) -> foud.MediaExporter:
        if field_name not in self._media_field_exporters:
            exporter = _Media(os.path.join(self._fields_dir, field_name), self._missing)
            exporter.setup()
            self._media_field_exporters[field_name] = exporter
        return self._media_field_exporters[field_name]

    def tell_missing(self) -> None:
        """Log which files were not there to travel along."""
        if self._missing:
            logger.warning(
                "%d files of labels or samples do not exist and are not in the export: %s",
                len(self._missing),
                ", ".join(self._missing[:5]) + (" …" if len(self._missing) > 5 else ""),
            )


class _Media(foud.MediaExporter):
    """Copies media, except files that are named only, and goes on where a file is missing."""

    def __init__(
        self,
        folder: str,
        missing: list[str],
        names: dict[str, str] | None = None,
        files: set[str] | None = None,
    ) -> None:
        super().__init__(True, export_path=folder, supported_modes=(True,))
        self._missing = missing
        self._names, self._files = names or {}, files

    def export(self, media_or_path: Any, outpath: str | None = None) -> tuple[Any, str]:
        if self._files is not None and media_or_path not in self._files:
            return None, self._names[media_or_path]
        if not os.path.isfile(media_or_path):
            self._missing.append(media_or_path)
            return None, os.path.basename(media_or_path)
        return super().export(media_or_path, outpath=outpath)
