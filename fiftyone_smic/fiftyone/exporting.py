"""From sample fields to a ``.smic`` file."""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import write_archive
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import read_codes
from fiftyone_smic.fiftyone.reading import image_samples
from fiftyone_smic.metrics import Rate


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
