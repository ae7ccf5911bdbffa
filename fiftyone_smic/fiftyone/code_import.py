"""Codes of an archive for samples that are there already, found by their names."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import read_archive
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.installing import install
from fiftyone_smic.fiftyone.matching import match
from fiftyone_smic.fiftyone.objects import find_objects, images_of, root_of
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.utils.defaults import KEY, LATENTS_FIELD


@dataclass(frozen=True)
class ImportReport:
    """What :func:`import_codes` did.

    Attributes:
        key: Key of the dictionary.
        matched: Number of samples, or objects, that got a code.
        unmatched: Names in the archive that no sample or object has.
    """

    key: str
    matched: int
    unmatched: list[str]


@connected()
def import_codes(
    samples: SampleCollection,
    path: str | Path,
    key: str = KEY,
    *,
    patches_field: str | None = None,
    overwrite: bool = False,
    prior: Prior | str | Path | None = None,
) -> ImportReport:
    """Give samples the codes that an archive holds under their names.

    A name fits a sample whose path ends in it. Names of Windows, with backslashes, and of macOS, in
    decomposed Unicode, fit too, and so do the bare file names that version 0.1.0 wrote. The
    fidelity is left empty, since an archive does not hold what was coded; encoding the samples with
    the imported dictionary measures it.

    Args:
        samples: A dataset or view of images.
        path: A ``.smic`` file with names.
        key: Key under which the archive's dictionary is stored.
        patches_field: Give the codes to the objects in this field. They are found by the ids of
            their labels, which a clone of a dataset and an export of it by FiftyOne keep.
        overwrite: Replace the dictionary of that key. Its codes, and the pictures drawn from them,
            are dropped with it.
        prior: The prior that the archive was written with, or its file, if it is not one of those
            that this package brings.

    Returns:
        How many samples got a code, and which names fit none.

    Raises:
        ArchiveError: The file is not a sound archive, or its prior is missing.
        ValueError: The key is taken or is no field name, the archive has no names, or its names fit
            no sample or several.
        OSError: The file cannot be read.

    Example:
        >>> import os, tempfile
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import encode, export_archive, learn_dictionary
        >>> from fiftyone_smic.fiftyone import import_codes
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [
        ...         fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8), day=str(i % 2))
        ...         for i in range(40)
        ...     ],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = encode(dataset, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "data.smic")
        ...     _ = export_archive(dataset, "smic", file, progress=False)
        ...     report = import_codes(dataset[:10], file, "again")
        >>> report.matched, len(report.unmatched)
        (10, 30)
        >>> dataset.delete()
    """
    started = time.perf_counter()
    runs.check_free(samples, key, overwrite)
    samples = images_of(samples, patches_field)
    archive = read_archive(path, prior)
    if archive.names is None:
        raise ValueError(
            f"{path} has no file names to find its samples by; export it with names, or import it "
            "as a new dataset"
        )
    if not archive.names:
        raise ValueError(f"{path} holds no items, so there is nothing to give to samples")
    found: list[str | None]
    if patches_field is None:
        found = match(archive.names, *samples.values(["id", "filepath"]))
    else:
        labels = set(find_objects(samples, patches_field).ids)
        last = [re.split(r"[/\\]", name)[-1] for name in archive.names]
        found = [label_id if label_id in labels else None for label_id in last]
    rows = [i for i, sample_id in enumerate(found) if sample_id is not None]
    if not rows and patches_field is not None:
        raise ValueError(
            f"no object in {patches_field!r} has an id of this archive, whose first name is "
            f"{archive.names[0]!r}; choose the dataset whose objects it was made of, or import it "
            "as a new dataset"
        )
    if not rows:
        raise ValueError(
            f"no sample has a file name of this archive, whose first is {archive.names[0]!r} "
            f"(the first sample's: {samples.first().filepath!r}); choose the dataset it was made "
            "of, or import it as a new dataset"
        )
    field, wanted = LATENTS_FIELD, EncoderIdentity.parse(archive.encoder)
    root = root_of(samples._root_dataset, patches_field)
    schema = samples.get_field_schema(ftype=fo.VectorField, flat=True)
    for vector_path, vectors in schema.items():
        stored = (vectors.info or {}).get("encoder")
        before, _, name = vector_path.rpartition(".")
        if before == root and stored and wanted.known and wanted.matches(stored):
            field = name
    ids = [sample_id for sample_id in found if sample_id is not None]
    install(
        samples._root_dataset,
        ids,
        archive,
        key,
        rows,
        overwrite=overwrite,
        latents_field=field,
        patches_field=patches_field,
    )
    note_seconds(samples, key, "import", time.perf_counter() - started, len(ids))
    unmatched = [n for n, sample_id in zip(archive.names, found, strict=True) if sample_id is None]
    return ImportReport(key, len(rows), unmatched)
