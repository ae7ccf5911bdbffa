"""The pictures of a dataset, for the generator ``nearest`` to answer with."""

from __future__ import annotations

import os

import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import crops, placeholders, runs
from fiftyone_smic.fiftyone.codes import rebuilt_latents
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.models.generators.registry import NEAREST
from fiftyone_smic.models.identity import EncoderIdentity


def dataset_gallery(samples: SampleCollection, key: str) -> tuple[np.ndarray, list[str]]:
    """Collect the pictures of a dataset and their latents.

    The latents are those that the dictionary was learned from. Where the dataset has them no more,
    as after an import, the codes stand for them.

    Args:
        samples: A dataset, or a view of one. All of the dataset's images count.
        key: Key of a dictionary of the dataset.

    Returns:
        (N, d) float32 latents of unit norm and N files. Placeholders and files that are missing are
        left out.

    Raises:
        ValueError: The key is unknown, or no sample has a latent and a picture of its own.
    """
    whole = image_samples(samples._root_dataset)
    config = runs.load_config(whole, key)
    if config.patches_field is not None:
        return crops.gallery(whole, key)
    ids, latents = [], np.zeros((0, config.dim), np.float32)
    if whole.has_field(config.latents_field):
        found = read_latents(whole, config.latents_field)
        same = EncoderIdentity.parse(found.encoder).matches(config.encoder)
        if same and found.values.shape[1] == config.dim:
            ids, latents = found.ids, found.values
    if not ids:
        ids, latents = rebuilt_latents(whole, key)
    files = dict(zip(*whole.values(["id", "filepath"]), strict=True))
    kept = [i for i, sample in enumerate(ids) if _is_picture(files[sample])]
    if not kept:
        raise ValueError(
            f"the generator {NEAREST!r} answers with pictures of the dataset, and none of its "
            f"{len(files):,} samples has a picture of its own here"
        )
    return latents[kept], [files[ids[i]] for i in kept]


def _is_picture(path: str) -> bool:
    return os.path.isfile(path) and not placeholders.is_placeholder(path)
