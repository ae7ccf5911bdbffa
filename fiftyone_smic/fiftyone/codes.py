"""Codes as sample fields: what is written for each sample, and how it is read back."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import all_or_none, fields, objects, runs
from fiftyone_smic.fiftyone.code_columns import MADE_BY, tag
from fiftyone_smic.fiftyone.collections import all_fields
from fiftyone_smic.fiftyone.latent_rows import REPORT_EVERY
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.vectors import unit


class UnreadableCodes(ValueError):
    """Fields hold no codes of their dictionary: encoding the samples again mends it."""


def relabel(
    dataset: fo.Dataset,
    key: str,
    names: Sequence[str],
    report: Callable[[float], None] = lambda fraction: None,
) -> int:
    """Write the names of a key's atoms into the labels of all samples that have a code.

    The database does it itself, so that no label travels.

    Args:
        dataset: The dataset.
        key: A dictionary of the dataset.
        names: K names.
        report: Gets the fraction done.

    Returns:
        How many samples have a code.
    """
    labels, atoms, levels = (
        fields.field_name(key, suffix)
        for suffix in (fields.LABELS, fields.ATOMS, fields.COEFFICIENTS)
    )
    if not dataset.has_sample_field(labels):
        return 0
    ids = coded_samples(fields.everything(dataset), key).values("id")

    def parts() -> Iterator[list[str]]:
        for part in fields.slices(len(ids)):
            yield ids[part]
            report(min(1.0, part.stop / len(ids)))

    lists = f"${labels}.classifications", f"${atoms}", f"${levels}"
    shown, of, level = ({"$ifNull": [each, []]} for each in lists)
    same = [{"$eq": [{"$size": shown}, {"$size": each}]} for each in (of, level)]
    name = {"$arrayElemAt": [{"$literal": list(names)}, {"$arrayElemAt": [of, "$$i"]}]}
    has = {"$gt": [{"$arrayElemAt": [level, "$$i"]}, 0]}
    label = {"label": {"$cond": [has, name, {"$concat": ["not ", name]}]}}
    each = {"$mergeObjects": [{"$arrayElemAt": [shown, "$$i"]}, label]}
    renamed = {"$map": {"input": {"$range": [0, {"$size": shown}]}, "as": "i", "in": each}}
    # Lists that do not fit each other were changed elsewhere: ``settle_codes`` mends them.
    path = f"{labels}.classifications"
    fits = {"$and": [{"$isArray": lists[0]}, *same]}
    update = [{"$set": {path: {"$cond": [fits, renamed, f"${path}"]}}}]
    all_or_none.change(dataset, [labels], parts(), update)
    return len(ids)


def has_code(key: str) -> dict[str, Any]:
    """Return the database's condition for samples that have a code of ``key``.

    Where FiftyOne saves a sample, as ``apply_model`` does, an empty list is dropped. A sample
    without atoms whose bits are known and whose labels are empty has the code of no atoms.
    """
    names = fields.dictionary_fields(key)
    nothing = {
        names[fields.BITS]: {"$ne": None},
        f"{names[fields.LABELS]}.classifications.0": {"$exists": False},
    }
    return {"$or": [{names[fields.ATOMS]: {"$ne": None}}, nothing]}


def objects_of(samples: SampleCollection, key: str) -> str | None:
    """Return the field of the objects that a dictionary codes; None for whole images."""
    if not isinstance(samples, SampleCollection) or key not in runs.list_dictionaries(samples):
        return None
    field: str | None = runs.load_config(samples, key).patches_field
    return field


def images_for(samples: SampleCollection, key: str) -> SampleCollection:
    """Return the flat images to work on with a dictionary, see ``images_of``."""
    return objects.images_of(samples, objects_of(samples, key))


def _coded_objects(
    samples: SampleCollection, patches_field: str, key: str, digest: str | None
) -> fo.DatasetView:
    made_by = fields.field_name(key, fields.MADE_BY)
    root = objects.root_of(samples._root_dataset, patches_field)
    if not samples._root_dataset.has_field(f"{root}.{made_by}"):
        return samples.limit(0)
    maker = fo.ViewField(made_by)
    wanted = maker != None if digest is None else maker == tag(digest)  # noqa: E711
    return samples.filter_labels(patches_field, wanted)


def count_coded(samples: SampleCollection, key: str) -> int:
    """Return how many samples, or objects in them, have a code of a dictionary."""
    found = coded_samples(samples, key)
    patches_field = objects_of(samples, key)
    if patches_field is None:
        return len(found)
    root = objects.root_of(samples._root_dataset, patches_field)
    return int(found.count(root)) if len(found) else 0


def coded_samples(samples: SampleCollection, key: str, digest: str | None = None) -> fo.DatasetView:
    """Return the samples that have a code, among them those whose code has no atoms.

    For a dictionary of objects, samples of which an object has a code, with these labels only.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        digest: Leave out codes of another dictionary than that of this digest.
    """
    patches_field = objects_of(samples, key)
    if patches_field is not None:
        return _coded_objects(objects.images_of(samples, patches_field), patches_field, key, digest)
    samples = all_fields(samples)
    if fields.field_name(key, fields.ATOMS) not in samples.get_field_schema():
        return samples.limit(0)
    wanted = has_code(key)
    if digest is not None:
        made_by = f"{fields.field_name(key, fields.LABELS)}.{MADE_BY}"
        wanted = {"$and": [wanted, {made_by: {"$in": [tag(digest), None]}}]}
    return samples.mongo([{"$match": wanted}])


def read_codes(
    samples: SampleCollection,
    key: str,
    n_atoms: int,
    report: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[str], list[str], csr_matrix]:
    """Read the codes of a collection from its fields.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        n_atoms: K.
        report: Gets the fraction done.

    Returns:
        Ids and file paths of the N samples that have a code, and their (N, K) int16 codes. For a
        dictionary of objects, ids of their labels and the files that they are in.

    Raises:
        ValueError: No sample has a code, or codes are of another dictionary.
    """
    (ids, paths), codes = read_coded(samples, key, n_atoms, ["_id", "filepath"], report)
    return [str(i) for i in ids], paths, codes


def read_coded(
    samples: SampleCollection,
    key: str,
    n_atoms: int,
    beside: Sequence[str | dict[str, Any]] = (),
    report: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[list[Any]], csr_matrix]:
    """Read codes, and what else the database holds of the samples that have one.

    ``samples.values`` looks at every atom of every sample, which takes four times as long.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        n_atoms: K.
        beside: Paths of values as the database names them, or expressions in its language. For a
            dictionary of objects ``_id`` is the id of a label.
        report: Gets the fraction done.

    Returns:
        One list of N values for each of ``beside``, and the (N, K) int16 codes.

    Raises:
        UnreadableCodes: Codes are of another dictionary, or somebody changed them.
        ValueError: No sample has a code.
    """
    config = runs.load_config(samples, key)
    made_by = tag(config.digest)
    root = objects.root_of(samples._root_dataset, config.patches_field)
    what = objects.noun(config.patches_field)
    of_which = f"{what}s in these " if root else ""
    samples = objects.images_of(samples, config.patches_field) if root else all_fields(samples)
    names = fields.dictionary_fields(key, root)
    if not samples._root_dataset.has_field(names[fields.ATOMS]):
        raise ValueError(
            f"no {what} has a code of dictionary {key!r} yet; run "
            f"fiftyone_smic.encode(dataset, key={key!r}) first"
        )
    maker = f"{root}.{fields.field_name(key, fields.MADE_BY)}"
    stages: list[dict[str, Any]] = [{"$match": has_code(key)}]
    if root:
        stages = [{"$unwind": f"${root}"}, {"$match": {maker: {"$ne": None}}}]
    wanted: dict[str, Any] = {
        "atoms": names[fields.ATOMS],
        "levels": names[fields.COEFFICIENTS],
        "by": maker if root else f"{names[fields.LABELS]}.{MADE_BY}",
    }
    own = {"_id": f"{root}._id"} if root else {}
    for i, path in enumerate(beside):
        wanted[f"beside{i}"] = own.get(path, path) if isinstance(path, str) else path
    paths = {n: f"${path}" if isinstance(path, str) else path for n, path in wanted.items()}
    shown = {"_id": False, **paths}
    found = samples._dataset._sample_collection.aggregate(
        samples._pipeline(pipeline=[*stages, {"$project": shown}]),
        allowDiskUse=True,
        # Three or four containers a row: as few at a time as Python's garbage collector, which
        # looks at everything there is and wakes at 700, does not mind.
        batchSize=200,
    )
    columns: list[list[Any]] = [[] for _ in beside]
    atoms, levels, ends = array("i"), array("h"), array("q", [0])
    strangers = uneven = 0
    total = max(1, len(samples))
    for row in found:
        if len(ends) % REPORT_EVERY == 0:
            report(min(1.0, len(ends) / total))
        strangers += row.get("by", made_by) != made_by
        try:
            atoms.extend(row.get("atoms") or ())
            levels.extend(row.get("levels") or ())
        except (TypeError, OverflowError):  # no whole numbers, or too large
            uneven += 1
        uneven += len(atoms) != len(levels)
        ends.append(len(atoms))
        for i, column in enumerate(columns):
            column.append(row.get(f"beside{i}"))
    if len(ends) == 1:
        raise ValueError(
            f"none of the {of_which}{len(samples)} samples has a code of dictionary {key!r}; run "
            f"fiftyone_smic.encode(view, key={key!r}) on them first"
        )
    if strangers:
        raise UnreadableCodes(
            f"{strangers} of {len(ends) - 1} {what}s have codes that another dictionary than "
            f"{key!r} made, so they cannot be decoded with it; encode them again with "
            f"fiftyone_smic.encode(samples, key={key!r})"
        )
    if uneven or (len(atoms) and not 0 <= min(atoms) <= max(atoms) < n_atoms):
        raise UnreadableCodes(
            f"the fields of dictionary {key!r} hold no codes of its {n_atoms} atoms: somebody has "
            f"changed {names[fields.ATOMS]!r} or {names[fields.COEFFICIENTS]!r}; encode the "
            f"{what}s again with fiftyone_smic.encode(samples, key={key!r})"
        )
    codes = csr_matrix(
        (np.array(levels, np.int16), np.array(atoms, np.int32), np.array(ends)),
        shape=(len(ends) - 1, n_atoms),
    )
    codes.sort_indices()
    return columns, codes


def rebuilt_latents(samples: SampleCollection, key: str = KEY) -> tuple[list[str], np.ndarray]:
    """Return the latents that the codes of a collection stand for.

    Args:
        samples: A dataset or view; samples without a code are left out.
        key: A dictionary of the dataset.

    Returns:
        Ids of the N samples that have a code, or of the labels for a dictionary of objects; and
        (N, d) float32 latents of unit norm.

    Raises:
        ValueError: The key is not known, or no sample has a code.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> ids, latents = smic.rebuilt_latents(dataset)
        >>> latents.shape
        (12, 128)
    """
    samples = images_for(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    ids, _, codes = read_codes(samples, key, int(dictionary.n_atoms_))
    return ids, unit(dictionary.inverse_transform(codes))


def write_codes(
    dataset: fo.Dataset,
    key: str,
    ids: list[str],
    columns: Callable[[slice], dict[str, list[Any]]],
    *,
    digest: str | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> list[str]:
    """Set a key's fields; samples whose code changes lose what was drawn from the old one.

    Args:
        dataset: The dataset.
        key: A dictionary of the dataset.
        ids: N sample ids.
        columns: Returns what :func:`code_columns` returns for some of them.
        digest: The digest of the dictionary that made the codes. If the key has another one when
            all is written, the fields get their former values back.
        report: Gets the fraction done.

    Returns:
        Ids of the samples that are written; deleted ones are left out.

    Raises:
        ValueError: The dictionary was deleted or replaced meanwhile.
    """
    names = fields.dictionary_fields(key)
    coded = [names[suffix] for suffix in fields.CODE_SUFFIXES]
    drawn = [names[s] for s in fields.DERIVED_SUFFIXES if dataset.has_sample_field(names[s])]
    new = [name for name in coded if not dataset.has_sample_field(name)]

    def parts() -> Iterator[tuple[Sequence[str], dict[str, list[Any]]]]:
        for part in fields.slices(len(ids)):
            made = columns(part)
            values = {names[suffix]: column for suffix, column in made.items()}
            if drawn:
                values.update(_kept(dataset, key, ids[part], made, drawn))
            yield ids[part], values
            report(min(1.0, part.stop / len(ids)))

    def check() -> None:
        runs.check_current(dataset, key, digest)

    try:
        check()
        fields.declare(dataset, key, fields.CODE_SUFFIXES)
        return fields.write_parts(dataset, len(ids), [*coded, *drawn], parts(), check=check)
    except BaseException:
        gone = new if key in runs.list_dictionaries(dataset) else [*coded, *drawn]
        fields.delete(dataset, gone)
        raise


def _kept(
    dataset: fo.Dataset,
    key: str,
    ids: Sequence[str],
    columns: dict[str, list[Any]],
    drawn: Sequence[str],
) -> dict[str, list[Any]]:
    """What was drawn from codes, None where the code changes."""
    names = fields.dictionary_fields(key)
    held = [names[fields.ATOMS], names[fields.COEFFICIENTS]]
    held = [name for name in held if dataset.has_sample_field(name)]
    former = fields.read(dataset, ids, [*held, *drawn])
    coded = zip(ids, columns[fields.ATOMS], columns[fields.COEFFICIENTS], strict=True)
    same = [
        i in former and [part or [] for part in former[i][: len(held)]] == [atoms, levels]
        for i, atoms, levels in coded
    ]
    return {
        name: [former[i][place] if kept else None for i, kept in zip(ids, same, strict=True)]
        for place, name in enumerate(drawn, start=len(held))
    }
