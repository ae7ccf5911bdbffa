"""Pictures, labels and figures that were made from a code follow the code when it changes."""

from __future__ import annotations

import re
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.code_columns import MADE_OF, code_columns, code_digests
from fiftyone_smic.fiftyone.codes import coded_samples, read_coded
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.utils.defaults import KEY

#: The file name of a picture that was drawn again ends in the digest of its code.
_PICTURE = re.compile(r"-([0-9a-f]{8})\.png$")


def fill_empty(dataset: fo.Dataset, key: str) -> None:
    """Write the empty lists of codes without atoms, which FiftyOne drops when it saves a sample.

    Args:
        dataset: The dataset.
        key: A key whose code fields it has, with or without a dictionary.
    """
    names = fields.dictionary_fields(key)
    everywhere = coded_samples(fields.everything(dataset), key)
    ids = everywhere.mongo([{"$match": {names[fields.ATOMS]: None}}]).values("id")
    if ids:
        nothing: list[list[int]] = [[] for _ in ids]
        fields.write(dataset, ids, {names[s]: nothing for s in (fields.ATOMS, fields.COEFFICIENTS)})


@connected()
def settle_codes(samples: SampleCollection, key: str = KEY) -> int:
    """Update what was made from codes after codes were changed elsewhere.

    ``encode`` and ``import_codes`` call this. ``apply_model`` and a program that sets the fields of
    a code do not. This clears the drawn picture of a changed code, and measures bits, labels and
    fidelity that belong to another code again or empties them.

    Args:
        samples: A dataset or view; all samples of the dataset are checked.
        key: A dictionary of the dataset.

    Returns:
        The number of samples that had something that belonged to another code.

    Raises:
        ValueError: The key is not known, or the fields hold no codes of it.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import encode, learn_dictionary, settle_codes
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = encode(dataset, progress=False)
        >>> settle_codes(dataset)
        0
        >>> sample = dataset.first()
        >>> sample["smic_atoms"], sample["smic_coefficients"] = [0], [4]
        >>> sample.save()
        >>> settle_codes(dataset)
        1
        >>> dataset.delete()
    """
    dataset = samples._root_dataset
    if fields.field_name(key, fields.ATOMS) not in fields.existing_fields(dataset, key):
        return 0
    names = fields.dictionary_fields(key)
    config = runs.load_config(dataset, key)
    labels, drawn = names[fields.LABELS], names[fields.REGENERATED]
    # Of the labels, which are many, only their number is read.
    listed = {"$size": {"$ifNull": [f"${labels}.classifications", []]}}
    beside: list[str | dict[str, Any]] = ["_id", f"{labels}.{MADE_OF}", listed, drawn]
    runs.check_of_images(config, key)
    fill_empty(dataset, key)
    # A view may filter the labels, and codes of another dictionary are not judged by this one.
    everywhere = coded_samples(fields.everything(dataset), key, config.digest)
    if not everywhere:
        return 0
    (ids, made_of, shown, pictures), codes = read_coded(
        everywhere, key, int(config.n_atoms), beside
    )
    digests = code_digests(codes)
    sizes = np.diff(codes.indptr)
    changed = [
        i
        for i, was in enumerate(made_of)
        if (was is not None and was != digests[i]) or shown[i] != sizes[i]
    ]
    stale = [
        i
        for i, path in enumerate(pictures)
        if (found := _PICTURE.search(path or "")) and found[1] != digests[i]
    ]
    if changed:
        dictionary = runs.load_dictionary(dataset, key)
        columns = code_columns(
            dictionary,
            codes[changed],
            None,
            runs.atom_names(dataset, key),
            digest=config.digest,
            stored=True,
        )
        values = {names[suffix]: column for suffix, column in columns.items()}
        fields.write(dataset, [str(ids[i]) for i in changed], values)
    if stale:
        held = [names[s] for s in fields.DRAWING_SUFFIXES if dataset.has_sample_field(names[s])]
        fields.write(
            dataset, [str(ids[i]) for i in stale], {name: [None] * len(stale) for name in held}
        )
    return len({*changed, *stale})
