"""From sample fields to a ``.smic`` file."""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import Archive, read_archive, write_archive
from fiftyone_smic.fiftyone import placeholders, runs
from fiftyone_smic.fiftyone.codes import code_columns, read_codes, write_codes
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.progress import Progress
from fiftyone_smic.fiftyone.regeneration import default_folder, regenerate
from fiftyone_smic.metrics import Rate
from fiftyone_smic.pipelines.folders import file_names
from fiftyone_smic.utils.defaults import KEY, LATENTS_FIELD


def export_archive(
    samples: SampleCollection, key: str, path: str | Path, names: bool = True
) -> Rate:
    """Write the codes of a collection and their dictionary to a ``.smic`` file.

    Args:
        samples: a dataset or view; samples without a code are left out
        key: a dictionary of the dataset
        path: the file to write, replaced atomically
        names: keep the file names of the images, by which samples are matched later

    Returns:
        the rate of the file

    Raises:
        ValueError: for an unknown key, or if no sample has a code
        OSError: if the file cannot be written
    """
    started = time.perf_counter()
    samples = image_samples(samples)
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    _, paths, codes = read_codes(samples, key, int(dictionary.n_atoms_))
    storage = config.storage or {}
    rate = write_archive(
        path,
        dictionary,
        codes,
        encoder=config.encoder,
        latent_norm=config.latent_norm,
        names=_names(paths) if names else None,
        pixels_per_item=storage.get("pixels_per_item"),
    )
    runs.note_seconds(samples, key, "export", time.perf_counter() - started, len(paths))
    return rate


def _names(paths: list[str]) -> list[str]:
    """File names, with as much of their folder as tells them apart."""
    names = [os.path.basename(path) for path in paths]
    if max(Counter(names).values()) == 1:
        return names
    root = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, root) for path in paths]


#: Where the latents of new images go unless the importer is told.


def import_archive(
    path: str | Path,
    name: str | None = None,
    *,
    key: str = KEY,
    draw: bool = True,
    output_dir: str | Path | None = None,
    persistent: bool = False,
    progress: Progress = None,
    **settings: Any,
) -> fo.Dataset:
    """Make a dataset of an archive: its samples' pictures are drawn from their codes.

    Args:
        path: a ``.smic`` file; nothing else of the collection is needed
        name: of the dataset, by default the file's
        key: under which the archive's dictionary is stored
        draw: draw all pictures now. Otherwise the samples have grey placeholders until
            :func:`fiftyone_smic.regenerate` draws some or all of them
        output_dir: an empty or new folder for the pictures, by default one below FiftyOne's
            ``default_dataset_dir``
        persistent: keep the dataset when FiftyOne's database is closed
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done
        settings: ``seed``, ``steps`` and others of :func:`fiftyone_smic.regenerate`

    Raises:
        ArchiveError: if the file is not a sound archive
        ValueError: for an archive without items, a name that is taken, a bad key, or if no
            generator fits
        FileExistsError: if the folder is not empty
        OSError: if the file cannot be read or the folder not be written
    """
    archive = read_archive(path)
    if not archive.codes.shape[0]:
        raise ValueError(f"{path} holds no items, so there is nothing to make a dataset of")
    name = name or Path(path).stem
    if fo.dataset_exists(name):
        raise ValueError(
            f"there is a dataset {name!r}; load it with fiftyone.load_dataset({name!r}), or give "
            "another name"
        )
    dataset = fo.Dataset(name, persistent=persistent)
    try:
        runs.check_free(dataset, key, overwrite=False)
        files = place(dataset, file_names(archive), output_dir)
        ids = dataset.add_samples([fo.Sample(file) for file in files], progress=False)
        install(dataset, ids, archive, key)
        if draw:
            regenerate(dataset, key, output_dir=output_dir, progress=progress, **settings)
    except BaseException:
        dataset.delete()
        raise
    return dataset


@dataclass(frozen=True)
class ImportReport:
    """What ``import_codes`` did.

    Attributes:
        key: the dictionary
        matched: samples that got a code
        unmatched: names in the archive that no sample has
    """

    key: str
    matched: int
    unmatched: list[str]


def import_codes(
    samples: SampleCollection, path: str | Path, key: str = KEY, *, overwrite: bool = False
) -> ImportReport:
    """Give samples the codes that an archive holds under their file names.

    The fidelity is left empty, since an archive does not hold what was coded; encoding the samples
    with the imported dictionary measures it.

    Args:
        samples: a dataset or view of images
        path: a ``.smic`` file with names; a name matches a file path that ends in it
        key: under which the archive's dictionary is stored
        overwrite: replace the dictionary of that key; its codes are dropped with it

    Raises:
        ArchiveError: if the file is not a sound archive
        ValueError: for a key that is taken or is no field name, an archive without names, or names
            that fit no sample or several
        OSError: if the file cannot be read
    """
    started = time.perf_counter()
    runs.check_free(samples, key, overwrite)
    samples = image_samples(samples)
    archive = read_archive(path)
    if archive.names is None:
        raise ValueError(
            f"{path} has no file names to find its samples by; export it with names, or import it "
            "as a new dataset"
        )
    found = _match(archive.names, *samples.values(["id", "filepath"]))
    rows = [i for i, sample_id in enumerate(found) if sample_id is not None]
    if not rows:
        raise ValueError(
            f"no sample has a file name of this archive, whose first is {archive.names[0]!r} "
            f"(the first sample's: {samples.first().filepath!r}); choose the dataset it was made "
            "of, or import it as a new dataset"
        )
    field, wanted = LATENTS_FIELD, archive.encoder
    for vectors in samples.get_field_schema(ftype=fo.VectorField).values():
        if (vectors.info or {}).get("encoder") == wanted:
            field = vectors.name
    ids = [sample_id for sample_id in found if sample_id is not None]
    install(samples._root_dataset, ids, archive, key, rows, latents_field=field)
    runs.note_seconds(samples, key, "import", time.perf_counter() - started, len(ids))
    unmatched = [n for n, sample_id in zip(archive.names, found, strict=True) if sample_id is None]
    return ImportReport(key, len(rows), unmatched)


def _match(names: Sequence[str], ids: list[str], paths: list[str]) -> list[str | None]:
    """For each name the sample whose path ends in it."""
    known = defaultdict(list)
    for sample_id, path in zip(ids, paths, strict=True):
        path = path.replace(os.sep, "/")
        known[path.rsplit("/", 1)[-1]].append((sample_id, path))
    found: list[str | None] = []
    for name in names:
        name = name.replace(os.sep, "/")
        fitting = [
            sample_id
            for sample_id, path in known[name.rsplit("/", 1)[-1]]
            if f"/{path}".endswith(f"/{name}")
        ]
        if len(fitting) > 1:
            raise ValueError(
                f"{len(fitting)} samples are called {name!r}; choose a view in which file names "
                "are different"
            )
        found.append(fitting[0] if fitting else None)
    taken = [sample_id for sample_id in found if sample_id is not None]
    if len(set(taken)) < len(taken):
        raise ValueError("several names in the archive fit one sample; import it as a new dataset")
    return found


def place(dataset: fo.Dataset, names: Sequence[str], output_dir: str | Path | None) -> list[str]:
    """Write placeholders with these names into an empty folder; returns their paths.

    Raises:
        FileExistsError: if there is something in the folder
    """
    folder = Path(output_dir).expanduser() if output_dir else _new_folder(dataset)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; choose a new folder with output_dir")
    paths = [folder.resolve() / name for name in names]
    placeholders.place(paths)
    return [str(path) for path in paths]


def _new_folder(dataset: fo.Dataset) -> Path:
    parent, count = default_folder(dataset), 1
    while (parent / f"imported-{count}").exists():
        count += 1
    return parent / f"imported-{count}"


def install(
    dataset: fo.Dataset,
    ids: list[str],
    archive: Archive,
    key: str,
    rows: Sequence[int] | None = None,
    **about: Any,
) -> None:
    """Store an archive's dictionary and give samples its codes.

    Args:
        dataset: the dataset
        ids: N sample ids
        archive: an archive
        key: a free key
        rows: their N positions in the archive, by default the first N
        about: what else is known, see :class:`fiftyone_smic.fiftyone.runs.SMICRunConfig`
    """
    dictionary = archive.dictionary
    rate, items = archive.rate, archive.codes.shape[0]
    config = runs.SMICRunConfig(
        **{
            "latents_field": LATENTS_FIELD,
            "encoder_source": archive.encoder.split("@")[0],
            "items": items,
            "settings": {"lam": dictionary.lam},
            **about,
        },
        encoder=archive.encoder,
        latent_norm=archive.latent_norm,
        dim=int(dictionary.n_features_in_),
        n_atoms=int(dictionary.n_atoms_),
        digest=runs.digest(dictionary),
    )
    if config.storage is None:
        config.storage = {
            "items": items,
            "original_bytes": None,
            "float32_bytes": 4 * items * int(dictionary.n_features_in_),
            "pixels_per_item": archive.pixels_per_item,
            "payload_bits": int(rate.payload_bits),
            "dictionary_bits": int(rate.dictionary_bits),
            "header_bits": int(rate.header_bits),
            "fidelity": None,
        }
    codes = archive.codes[list(rows) if rows is not None else list(range(len(ids)))]
    runs.save_dictionary(dataset, key, dictionary, config)
    try:
        columns = code_columns(dictionary, codes, None, runs.atom_names(dataset, key))
        write_codes(dataset, key, ids, columns)
    except BaseException:
        dataset.delete_run(key)
        raise
