"""Files of crops: the pictures of objects, for the panel, for ``nearest`` and for image codecs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.code_columns import code_columns
from fiftyone_smic.fiftyone.codes import read_codes, write_codes
from fiftyone_smic.fiftyone.matching import relative_names
from fiftyone_smic.fiftyone.objects import Objects, find_objects, images_of
from fiftyone_smic.fiftyone.pictures import default_folder, is_whole, save_picture, writable
from fiftyone_smic.models.generators.registry import NEAREST

#: Folder of crops, inside that of a dataset's pictures.
FOLDER = "crops"


def crop_files(samples: SampleCollection, key: str, ids: Sequence[str]) -> dict[str, str]:
    """Cut objects out of their images into files, unless that has been done before.

    The objects are cut as they were for their latents.

    Args:
        samples: A dataset or view.
        key: A dictionary of objects.
        ids: Ids of labels.

    Returns:
        Id -> file; objects that cannot be cut out, or are no longer there, are left out.
    """
    dataset = samples._root_dataset
    config = runs.load_config(dataset, key)
    everywhere = fields.everything(dataset)
    chosen = everywhere.select_labels(ids=list(ids), fields=config.patches_field)
    found = find_objects(chosen, config.patches_field, some=False)
    known = dataset.get_field(found.path(config.latents_field))
    info = (known.info if known is not None else None) or {}
    cut: dict[str, Any] = {
        "force_square": bool(info.get("force_square")),
        "alpha": info.get("alpha"),
    }
    folder = writable(default_folder(dataset) / FOLDER)
    paths = [str(folder / name) for name in _names(found, cut)]
    todo = [i for i, path in enumerate(paths) if not is_whole(path)]
    missing = set()
    for i, crop, _why in found.crops(todo, **cut):
        if crop is None:
            missing.add(i)
        else:
            save_picture(crop, Path(paths[i]))
    return {found.ids[i]: path for i, path in enumerate(paths) if i not in missing}


def _names(found: Objects, cut: dict[str, Any]) -> list[str]:
    """Name each file after the label and what is cut, so that a box that moves gets a new one."""
    files = dict(zip(*found.samples.values(["id", "filepath"]), strict=True))
    frames = [found.values(attribute) for attribute in ("bounding_box", "points")]
    named = []
    for i, label_id in enumerate(found.ids):
        said = json.dumps([files[found.sample_ids[i]], [f[i] for f in frames], cut])
        named.append(f"{label_id}-{hashlib.sha256(said.encode()).hexdigest()[:8]}.png")
    return named


def dataset_of_objects(samples: SampleCollection, key: str, name: str) -> fo.Dataset:
    """Make a dataset with one sample for each object that has a code, for an export.

    A sample has the object's label as a classification, its tags and its code. Its file is named
    after the image and the label, and does not exist.

    Args:
        samples: A dataset or view.
        key: A dictionary of objects.
        name: Name of the new dataset.

    Returns:
        A dataset that is not persistent, with the dictionary under the same key.

    Raises:
        ValueError: There are objects without a code.
    """
    config = runs.load_config(samples, key)
    images = images_of(samples, config.patches_field)
    found = find_objects(images, config.patches_field)
    dictionary = runs.load_dictionary(samples, key)
    ids, paths, codes = read_codes(images, key, int(dictionary.n_atoms_))
    without = len(found.ids) - len(ids)
    if without:
        raise ValueError(
            f"{without} of {len(found.ids)} objects in {config.patches_field!r} have no code of "
            f"dictionary {key!r} and would come back without a picture; run "
            f"fiftyone_smic.encode(dataset, {key!r}), or export coded_samples(dataset, {key!r}) of "
            "fiftyone_smic.fiftyone.codes"
        )
    kinds, sure, tags, fidelity = (
        dict(zip(found.ids, found.values(attribute), strict=True))
        for attribute in ("label", "confidence", "tags", fields.field_name(key, fields.FIDELITY))
    )
    dataset = fo.Dataset(name)
    try:
        of_images = zip(ids, relative_names(paths), strict=True)
        made = dataset.add_samples(
            [
                fo.Sample(
                    f"/{image}/{i}.png",
                    tags=tags[i] or [],
                    **{config.patches_field: fo.Classification(label=kinds[i], confidence=sure[i])},
                )
                for i, image in of_images
            ],
            progress=False,
        )
        config.patches_field = config.brain_key = config.atom_points = None
        runs.save_dictionary(dataset, key, dictionary, config)
        names = runs.atom_names(dataset, key)

        def columns(part: slice) -> dict[str, list[Any]]:
            digest = config.digest
            coded = code_columns(dictionary, codes[part], None, names, digest=digest, stored=True)
            return {**coded, fields.FIDELITY: [fidelity[i] for i in ids[part]]}

        write_codes(dataset, key, made, columns, digest=config.digest)
    except BaseException:
        dataset.delete()
        raise
    return dataset


def gallery(samples: SampleCollection, key: str) -> tuple[np.ndarray, list[str]]:
    """Collect the crops of a dataset's objects and their latents, for ``nearest``.

    Returns:
        (N, d) float32 latents of unit norm, and N files.

    Raises:
        ValueError: No object can be cut out.
    """
    from fiftyone_smic.fiftyone.latents import read_latents

    config = runs.load_config(samples, key)
    latents = read_latents(samples, config.latents_field, config.patches_field)
    files = crop_files(samples, key, latents.ids)
    kept = [i for i, label_id in enumerate(latents.ids) if label_id in files]
    if not kept:
        raise ValueError(
            f"the generator {NEAREST!r} answers with objects of the dataset, and none of its "
            f"{len(latents.ids):,} objects in {config.patches_field!r} can be cut out here; check "
            "that the samples' filepaths exist on this machine"
        )
    return latents.values[kept], [files[latents.ids[i]] for i in kept]
