"""Dictionaries of cloned datasets: a clone of a view has the codes, but not the dictionary."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.code_columns import MADE_BY, tag
from fiftyone_smic.fiftyone.codes import coded_samples
from fiftyone_smic.fiftyone.encoding import measure_collection
from fiftyone_smic.fiftyone.objects import root_of
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.utils.defaults import KEY


@connected()
def adopt_dictionary(
    dataset: SampleCollection,
    key: str = KEY,
    from_dataset: SampleCollection | str | None = None,
) -> SemanticDictionary:
    """Take over the dictionary of codes that a cloned dataset holds.

    A clone of a view has the samples' codes but not the dictionary they were made with, and so does
    a dataset whose dictionary was being renamed when the process died. The codes say which
    dictionary that was; the one with the same digest is copied, from its dataset and its key.

    Args:
        dataset: A dataset with the code fields of ``key`` and no dictionary of that key.
        key: The key.
        from_dataset: The dataset that has the dictionary, or its name; by default all datasets of
            the database are searched.

    Returns:
        The dictionary.

    Raises:
        ValueError: There are no such codes, or no dictionary that made them.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> clone = dataset[:5].clone()
        >>> dictionary = smic.adopt_dictionary(clone)
        >>> smic.list_dictionaries(clone)
        ['smic']
        >>> clone.delete()
    """
    target = dataset._root_dataset
    if key in runs.list_dictionaries(target):
        raise ValueError(
            f"dataset {target.name!r} has a dictionary {key!r} already; there is nothing to adopt"
        )
    made_by = makers(target, key)
    if not made_by:
        raise ValueError(
            f"dataset {target.name!r} has no codes of a dictionary {key!r}, so there is none to "
            "adopt; learn one with fiftyone_smic.learn_dictionary"
        )
    if len(made_by) > 1:
        raise ValueError(
            f"the codes of {key!r} are of {len(made_by)} dictionaries; remove those of all but one "
            "first"
        )
    origin, origin_key = _origin(target, key, next(iter(made_by)), from_dataset)
    config = runs.load_config(origin, origin_key)
    dictionary = runs.load_dictionary(origin, origin_key)
    config.brain_key = config.atom_points = config.storage = None
    root = fields.object_root(target, key)
    if root != (root_of(target, config.patches_field) or None):
        raise ValueError(
            f"the codes of {key!r} are of {root or 'whole images'!r} and the dictionary is of "
            f"{config.patches_field or 'whole images'!r}; name the dataset they were cloned from"
        )
    if root is None:  # objects say which dictionary made their codes
        check_made_by(target, key, dictionary, config.digest)
    runs.save_dictionary(target, key, dictionary, config)
    storage = measure_collection(target, key)
    runs.update_config(target, key, digest=config.digest, storage=storage)
    return dictionary


def _origin(
    target: fo.Dataset, key: str, made_by: str | None, named_dataset: SampleCollection | str | None
) -> tuple[fo.Dataset, str]:
    """Return the dataset that has the dictionary, and its key there."""
    if named_dataset is not None:
        found = fo.load_dataset(named_dataset) if isinstance(named_dataset, str) else named_dataset
        origin = found._root_dataset
        for other in runs.list_dictionaries(origin):
            digest = runs.load_config(origin, other).digest
            if other == key if made_by is None else tag(digest) == made_by:
                return origin, other
        raise ValueError(
            f"dataset {origin.name!r} does not have the dictionary that made the codes of {key!r}"
        )
    if made_by is None:
        raise ValueError(
            f"the codes of {key!r} were written by an early version and do not say which "
            "dictionary made them; name the dataset that they were cloned from with from_dataset"
        )
    database = foo.get_db_conn()
    for run in database.runs.find({"config.digest": {"$regex": f"^{made_by}"}}, {"key": True}):
        for document in database.datasets.find({f"runs.{run['key']}": run["_id"]}, {"name": True}):
            return fo.load_dataset(document["name"]), run["key"]
    raise ValueError(
        f"no dataset of this database has the dictionary that made the codes of {key!r}; import "
        "its archive, or remove the codes and learn a dictionary"
    )


def makers(dataset: fo.Dataset, key: str) -> set[str | None]:
    """Return the dictionaries that made the codes of a key, as :func:`tag` says them.

    Args:
        dataset: The dataset.
        key: A key, with or without its dictionary.

    Returns:
        Tags; None stands for codes that do not say it.
    """
    root = fields.object_root(dataset, key)
    if root is not None:
        name = f"{root}.{fields.field_name(key, fields.MADE_BY)}"
        return set(fields.everything(dataset).distinct(name))
    made_by = f"{fields.field_name(key, fields.LABELS)}.{MADE_BY}"
    stages = [{"$group": {"_id": f"${made_by}"}}]
    coded = coded_samples(fields.everything(dataset), key)
    found = dataset._sample_collection.aggregate(coded._pipeline(pipeline=stages))
    return {row["_id"] for row in found}


def check_made_by(
    dataset: fo.Dataset, key: str, dictionary: SemanticDictionary, digest: str
) -> None:
    """Raise ``ValueError`` unless a dictionary can have made the codes of a key.

    Codes of early versions do not say which dictionary made them, but how many bits they take.
    """
    names = fields.dictionary_fields(key)
    wanted = [names[s] for s in (fields.ATOMS, fields.COEFFICIENTS, fields.BITS)]
    coded = coded_samples(fields.everything(dataset), key, digest)
    atoms, levels, bits = coded.values(wanted)
    rows = np.repeat(np.arange(len(atoms)), [len(row or ()) for row in atoms])
    columns = np.array([atom for row in atoms for atom in row or ()], np.int64)
    values = np.array([level for row in levels for level in row or ()], np.int64)
    n_atoms = int(dictionary.n_atoms_)
    fits = len(columns) == len(values) and columns.max(initial=-1) < n_atoms
    if fits:
        codes = csr_matrix((values, (rows, columns)), shape=(len(atoms), n_atoms))
        fits = np.allclose(dictionary.code_bits(codes), np.array(bits, float), rtol=1e-3)
    if not fits:
        raise ValueError(
            f"another dictionary made the codes of {key!r}: their bits are not those that this "
            "one gives them; name the dataset that they were cloned from"
        )
