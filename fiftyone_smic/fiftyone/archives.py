"""From sample fields to a ``.smic`` file, and back to samples."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import read_archive, write_archive
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.fiftyone import placeholders, runs
from fiftyone_smic.fiftyone.codes import images_for, read_codes
from fiftyone_smic.fiftyone.curated import distortions_of
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.fields import REGENERATED, field_name
from fiftyone_smic.fiftyone.installing import install
from fiftyone_smic.fiftyone.matching import relative_names
from fiftyone_smic.fiftyone.pictures import folder_of
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.fiftyone.regeneration import regenerate
from fiftyone_smic.fiftyone.temporary import (
    OWN_FILES,
    finish,
    publish,
    remove_abandoned_datasets,
    temporary_name,
    unfinished,
)
from fiftyone_smic.metrics import Rate
from fiftyone_smic.pipelines.picture_names import file_names
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.processes import in_hand
from fiftyone_smic.utils.progress import Portion, stage

logger = logging.getLogger(__name__)


@connected()
def export_archive(
    samples: SampleCollection,
    key: str,
    path: str | Path,
    names: bool = True,
    *,
    distortion: bool = False,
    progress: Progress = None,
) -> Rate:
    """Write the codes of a collection and their dictionary to a ``.smic`` file.

    A sample's name in the file is its path relative to the folder that all exported samples share,
    as the command line names the files of a folder. An object's name is that of its image, a slash
    and the id of its label.

    Args:
        samples: A dataset or view. Samples without a code are left out.
        key: Key of a dictionary of the dataset.
        path: The file to write. It appears whole or not at all; a file of that name is replaced.
        names: Whether to keep the names, by which ``import_codes`` finds the samples.
        distortion: Whether to keep each sample's squared distance of its latent to what its code
            rebuilds, in about 4 bits. Curation of the file finds more with it.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        Where the bits of the file go.

    Raises:
        ValueError: The key is unknown, no sample has a code, or distortions are asked for and not
            all samples with a code have the latents that were coded.
        OSError: The file cannot be written.

    Example:
        >>> import fiftyone as fo, numpy as np, tempfile, os
        >>> from fiftyone_smic.fiftyone import encode, export_archive, learn_dictionary
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = encode(dataset, progress=False)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "data.smic")
        ...     rate = export_archive(dataset, "smic", file, progress=False)
        >>> rate.items
        40
        >>> dataset.delete()
    """
    started = time.perf_counter()
    samples = images_for(samples, key)
    with reporting(progress, len(samples)) as report:
        left = distortions_of(samples, key) if distortion else None
        ids, rate = write_archive_of(samples, key, path, names, left, report=report)
        report(1.0)
    note_seconds(samples, key, "export", time.perf_counter() - started, len(ids))
    return rate


def write_archive_of(
    samples: SampleCollection,
    key: str,
    path: str | Path,
    names: bool,
    distortion: np.ndarray | None = None,
    ready: Callable[[list[str]], None] = lambda ids: None,
    report: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[str], Rate]:
    """Write the codes of a flat collection, and return the ids of its items in their order.

    ``ready`` gets these ids before anything is written, and may refuse them.
    """
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    stage(report, "Reading the codes")
    reading = Portion(report, 0.0, 0.7)
    ids, paths, codes = read_codes(samples, key, int(dictionary.n_atoms_), reading)
    stage(report, "Writing the file")
    storage = config.storage or {}
    if config.patches_field is not None:
        of_images = relative_names(paths)
        paths = [f"/{name}/{label_id}" for name, label_id in zip(of_images, ids, strict=True)]
    ready(ids)
    rate = write_archive(
        path,
        dictionary,
        codes,
        encoder=config.encoder,
        latent_norm=config.latent_norm,
        names=relative_names(paths) if names else None,
        pixels_per_item=storage.get("pixels_per_item"),
        distortion=distortion,
    )
    return ids, rate


@connected()
def import_archive(
    path: str | Path,
    name: str | None = None,
    *,
    key: str = KEY,
    draw: bool = True,
    output_dir: str | Path | None = None,
    persistent: bool = False,
    prior: Prior | str | Path | None = None,
    generator: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    progress: Progress = None,
) -> fo.Dataset:
    """Make a dataset of an archive: its samples' pictures are drawn from their codes.

    An import that is stopped or fails while it draws keeps the dataset and the pictures drawn so
    far; :func:`fiftyone_smic.regenerate` draws the others. One that fails before leaves nothing.
    One whose process was killed goes on when it is started again, as one does whose database was
    stopped.

    Args:
        path: A ``.smic`` file. Nothing else of the collection is needed.
        name: Name of the dataset, by default the file's.
        key: Key under which the archive's dictionary is stored.
        draw: Draw all pictures now. Otherwise the samples have grey placeholders, which say that
            they are not drawn yet, until :func:`fiftyone_smic.regenerate` draws some or all.
        output_dir: An empty or new folder for the pictures, by default one below FiftyOne's
            ``default_dataset_dir``.
        persistent: Keep the dataset when FiftyOne's database is closed.
        prior: The prior that the archive was written with, or its file, if it is not one of those
            that this package brings.
        generator: As for :func:`fiftyone_smic.regenerate`.
        seed: Seed of the noise.
        steps: Denoising steps, by default the generator's own.
        guidance: Guidance scale, by default the generator's own.
        batch_size: Number of pictures drawn at a time.
        device: A torch device, by default the best there is.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The new dataset.

    Raises:
        ArchiveError: The file is not a sound archive, or its prior is missing.
        ValueError: The archive has no items, the name is taken, the key is no field name, or no
            generator fits.
        FileExistsError: The folder is not empty.
        OSError: The file cannot be read, or the folder not be written.

    Example:
        >>> import os, tempfile
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import encode, export_archive, learn_dictionary
        >>> from fiftyone_smic.fiftyone import import_archive
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
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = os.path.join(folder.name, "data.smic")
        >>> _ = export_archive(dataset, "smic", file, progress=False)
        >>> where = os.path.join(folder.name, "pictures")
        >>> made = import_archive(file, "from-data", draw=False, output_dir=where)
        >>> made.values("smic_atoms") == dataset.values("smic_atoms")
        True
        >>> made.delete(), dataset.delete(), folder.cleanup()
        (None, None, None)
    """
    archive = read_archive(path, prior)
    if not archive.codes.shape[0]:
        raise ValueError(f"{path} holds no items, so there is nothing to make a dataset of")
    name = name or Path(path).stem
    made = unfinished(name, path)
    if made is None and fo.dataset_exists(name):
        raise ValueError(
            f"there is a dataset {name!r}; load it with fiftyone.load_dataset({name!r}), or give "
            "another name"
        )
    remove_abandoned_datasets()
    # It has its name when it has all codes: then a run that was killed goes on with the drawing.
    temporary = temporary_name()
    with in_hand(temporary), in_hand(name):
        dataset = made or fo.Dataset(temporary)
        files: list[str] = made.values("filepath") if made else []
        try:
            if made is None:
                runs.check_free(dataset, key, overwrite=False)
                folder = empty_folder(name, output_dir)
                files = [str(folder / file) for file in file_names(archive)]
                dataset.info[OWN_FILES] = dataset.name
                dataset.save()
                ids = dataset.add_samples([fo.Sample(file) for file in files], progress=False)
                placeholders.place(files)
                install(dataset, ids, archive, key)
                publish(dataset, name, persistent, path)
            if draw:
                regenerate(
                    dataset,
                    key,
                    output_dir=output_dir,
                    generator=generator,
                    seed=seed,
                    steps=steps,
                    guidance=guidance,
                    batch_size=batch_size,
                    device=device,
                    progress=progress,
                )
        except BaseException:
            if not keep_drawn(dataset, key):
                dataset.delete()
                placeholders.remove(files)
            else:
                finish(dataset)
            raise
    finish(dataset)
    return dataset


def keep_drawn(dataset: fo.Dataset, key: str) -> bool:
    """Say what an import that ends early leaves, and whether there are pictures worth keeping."""
    name = field_name(key, REGENERATED)
    drawn = dataset.count(name) if dataset.has_sample_field(name) else 0
    if drawn:
        logger.warning(
            "The import ended early. Dataset %r keeps the %d of %d pictures drawn so far; "
            "fiftyone_smic.regenerate(dataset, %r) draws the others",
            dataset.name,
            drawn,
            len(dataset),
            key,
        )
    return bool(drawn)


def empty_folder(name: str, output_dir: str | Path | None) -> Path:
    """Return the absolute path of the folder for a dataset's pictures, which is empty or new.

    Args:
        name: The dataset's name, which the default folder has.
        output_dir: The folder; None takes a new one below the dataset's own folder.

    Raises:
        FileExistsError: There is something in the folder.
    """
    folder = Path(output_dir).expanduser() if output_dir else _new_folder(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is not empty; choose a new folder with output_dir")
    return folder.resolve()


def _new_folder(name: str) -> Path:
    parent, count = folder_of(name), 1
    while (parent / f"imported-{count}").exists():
        count += 1
    return parent / f"imported-{count}"
