"""The sample fields of a dictionary key: one table says what each holds, and how it is written."""

from __future__ import annotations

import keyword
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
from fiftyone.core.collections import SampleCollection
from fiftyone.core.odm.dataset import ActiveFields

from fiftyone_smic.fiftyone import all_or_none
from fiftyone_smic.fiftyone.bulk import set_of_samples
from fiftyone_smic.fiftyone.threads import one_thread

logger = logging.getLogger(__name__)

#: Most characters of a key that fields and their indexes are named after.
LONGEST_KEY = 60
ATOMS = "atoms"
COEFFICIENTS = "coefficients"
BITS = "bits"
FIDELITY = "fidelity"
LABELS = "labels"
REGENERATED = "regenerated"
DRAWN_FIDELITY = "drawn_fidelity"
SEARCH_SCORE = "search_score"
DUPLICATE_OF = "duplicate_of"
SUBSET_PLACE = "subset_place"
OUTLIER_SCORE = "outlier_score"
NOVELTY = "novelty"
LABEL_DOUBT = "label_doubt"
SUGGESTED_LABEL = "suggested_label"
#: Attribute of an object that says which dictionary made its code; images say it in their labels.
MADE_BY = "made_by"

#: A field is part of the code itself, or a picture drawn from it, or what curation found in it. The
#: last two are dropped when the code changes.
CODE, DRAWING, CURATION = "code", "drawing", "curation"
#: Samples in one database request. MongoDB takes 16 MB of ids, which is about 800,000 of them, but
#: the values of all samples of a request are in memory.
AT_ONCE = 10_000


@dataclass(frozen=True)
class FieldSpec:
    """One sample field of every dictionary key; a new field is one more entry of :data:`SPECS`.

    Attributes:
        suffix: The field is called ``<key>_<suffix>``.
        type: FiftyOne's type of the field.
        description: What the App shows beside the field.
        part: :data:`CODE` for what ``encode`` writes, :data:`DRAWING` for what is drawn from a
            code, :data:`CURATION` for what is computed on codes. The last two are dropped as soon
            as the code changes.
        options: Further arguments of ``Dataset.add_sample_field``.
        indexed: Whether the database keeps an index, so that the App can sort and filter by it.
        group: The group of the App's sidebar that shows the field.
        shown: Whether the App shows the field on every sample from the start.
    """

    suffix: str
    type: type[fo.Field]
    description: str
    part: str
    options: Mapping[str, Any] = field(default_factory=dict)
    indexed: bool = False
    group: str = "SMIC"
    shown: bool = True


_WHOLE_NUMBERS = {"subfield": fo.IntField}

#: Every field of a key, in the order in which ``encode`` writes them.
SPECS = (
    FieldSpec(
        ATOMS,
        fo.ListField,
        "SMIC: numbers of the concepts (atoms) this sample is made of",
        CODE,
        options=_WHOLE_NUMBERS,
    ),
    FieldSpec(
        COEFFICIENTS,
        fo.ListField,
        "SMIC: the whole number (coefficient) of each concept",
        CODE,
        options=_WHOLE_NUMBERS,
    ),
    FieldSpec(BITS, fo.FloatField, "SMIC: bits this sample's code takes", CODE, indexed=True),
    FieldSpec(
        FIDELITY,
        fo.FloatField,
        "SMIC: how close the code is to the embedding: a cosine, the mean removed",
        CODE,
        indexed=True,
    ),
    FieldSpec(
        LABELS,
        fo.EmbeddedDocumentField,
        "SMIC: the concepts as labels; the confidence is a concept's share of the code",
        CODE,
        options={"embedded_doc_type": fo.Classifications},
        shown=False,
    ),
    FieldSpec(
        REGENERATED,
        fo.StringField,
        "SMIC: path of the picture drawn again from the code",
        DRAWING,
    ),
    FieldSpec(
        DRAWN_FIDELITY,
        fo.FloatField,
        "SMIC: how close the drawn picture's embedding is to the original's: a cosine, the mean "
        "removed",
        DRAWING,
        indexed=True,
    ),
    FieldSpec(
        SEARCH_SCORE,
        fo.FloatField,
        "SMIC: how near the code is to what was last searched for, a cosine",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        DUPLICATE_OF,
        fo.StringField,
        "SMIC: id of the sample to keep of this sample's group of near duplicates",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        SUBSET_PLACE,
        fo.IntField,
        "SMIC: place in the last subset that was selected, from 0",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        OUTLIER_SCORE,
        fo.FloatField,
        "SMIC: how little the sample fits its collection, in robust standard deviations",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        NOVELTY,
        fo.FloatField,
        "SMIC: squared distance between the embedding and its code, beside a reference",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        LABEL_DOUBT,
        fo.FloatField,
        "SMIC: 1 - the probability of the given label, as other samples' codes suggest it",
        CURATION,
        indexed=True,
    ),
    FieldSpec(
        SUGGESTED_LABEL,
        fo.StringField,
        "SMIC: the most probable label, as other samples' codes suggest it",
        CURATION,
    ),
)

#: What ``encode`` writes for each sample, in this order.
CODE_SUFFIXES = tuple(spec.suffix for spec in SPECS if spec.part == CODE)
#: What ``regenerate`` writes.
DRAWING_SUFFIXES = tuple(spec.suffix for spec in SPECS if spec.part == DRAWING)
#: What is made from a code and is dropped when the code changes.
DERIVED_SUFFIXES = tuple(spec.suffix for spec in SPECS if spec.part != CODE)
#: Every field that belongs to a key and follows it when it is renamed or deleted.
ALL_SUFFIXES = tuple(spec.suffix for spec in SPECS)


def field_name(key: str, suffix: str) -> str:
    """Return the sample field that holds ``suffix`` for the dictionary ``key``."""
    return f"{key}_{suffix}"


def dictionary_fields(key: str, root: str = "") -> dict[str, str]:
    """Return the sample fields of a key, by what they hold.

    Args:
        key: A dictionary's key.
        root: The path of the labels whose attributes these are, such as
            ``"detections.detections"``; by default they are fields of the samples.

    Returns:
        Suffix -> field name, in the order of :data:`SPECS`.

    Example:
        >>> dictionary_fields("smic")["atoms"]
        'smic_atoms'
    """
    before = f"{root}." if root else ""
    return {suffix: before + field_name(key, suffix) for suffix in ALL_SUFFIXES}


def atom_name(atom: int) -> str:
    """Return what an atom without a name of its own is called, in the App's words.

    Example:
        >>> atom_name(7), is_unnamed("concept 7"), is_unnamed("night")
        ('concept 7', True, False)
    """
    return f"concept {atom}"


def is_unnamed(name: str) -> bool:
    """Return whether a name is that of an atom without a name of its own."""
    word, _, number = name.partition(" ")
    return word == "concept" and number.isdigit()


def existing_fields(samples: SampleCollection, key: str) -> list[str]:
    """Return those of a key's fields that the dataset has, attributes of labels among them."""
    own = list(dictionary_fields(key).values())
    of_labels = {*own, field_name(key, MADE_BY)}
    schema = samples._root_dataset.get_field_schema(flat=True)
    below = [path for path in schema if "." in path and path.rpartition(".")[2] in of_labels]
    return [name for name in own if name in schema] + below


def keys_with_codes(dataset: fo.Dataset) -> list[str]:
    """Return the keys whose code fields the dataset has, with or without their dictionary."""
    schema = dataset.get_field_schema()
    keys = [name.removesuffix(f"_{ATOMS}") for name in schema if name.endswith(f"_{ATOMS}")]
    return [key for key in keys if {field_name(key, s) for s in CODE_SUFFIXES} <= set(schema)]


def object_keys(dataset: fo.Dataset) -> list[str]:
    """Return the keys whose codes objects of the dataset have, with or without their dictionary."""
    names = {path.rpartition(".")[2] for path in dataset.get_field_schema(flat=True) if "." in path}
    last = f"_{MADE_BY}"
    return sorted(name.removesuffix(last) for name in names if name.endswith(last))


def object_root(dataset: fo.Dataset, key: str) -> str | None:
    """Return the path of the labels that hold codes of a key; None if no objects do."""
    last = f".{field_name(key, MADE_BY)}"
    schema = dataset.get_field_schema(flat=True)
    return next((path.removesuffix(last) for path in schema if path.endswith(last)), None)


def check_key(key: Any) -> str:
    """Return ``key`` if sample fields can be named after it.

    Raises:
        ValueError: It is no valid field name.
    """
    if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key):
        raise ValueError(
            f"{key!r} cannot be a dictionary key: sample fields are named after it, so it must "
            "start with a letter and hold only letters, digits and underscores, like 'smic'"
        )
    if len(key) > LONGEST_KEY:
        raise ValueError(
            f"a dictionary key of {len(key)} characters is too long for the indexes of the "
            f"database; use one of at most {LONGEST_KEY}"
        )
    if key.startswith("_"):
        raise ValueError(
            f"{key!r} cannot be a dictionary key: FiftyOne reserves fields that start with an "
            f"underscore; use {key.lstrip('_') or 'smic'!r}"
        )
    return key


def declare(dataset: fo.Dataset, key: str, suffixes: Iterable[str]) -> None:
    """Add those fields of a key that are missing, as :data:`SPECS` describes them.

    Args:
        dataset: The dataset.
        key: A dictionary's key.
        suffixes: Which fields.

    Raises:
        ValueError: The dataset has a field of its own of that name, of another type.
    """
    wanted = set(suffixes)
    with one_thread(dataset):
        for spec in SPECS:
            name = field_name(key, spec.suffix)
            if spec.suffix not in wanted:
                continue
            known = dataset.get_field(name)
            new = known is None
            if not new and not isinstance(known, spec.type):
                raise ValueError(
                    f"the dataset has a field {name!r} of its own, of the type "
                    f"{type(known).__name__}, and dictionary {key!r} needs the name; give yours "
                    "another one with dataset.rename_sample_field"
                )
            if new:
                about = {"description": spec.description, **spec.options}
                dataset.add_sample_field(name, spec.type, **about)
                if not spec.shown:
                    _hide(dataset, name)
            groups = dataset.app_config.sidebar_groups
            # A process that dies between the two leaves a field that is in no group.
            if new or (groups and not any(name in group.paths for group in groups)):
                dataset._add_paths_to_sidebar_group([name], spec.group)
    mend_indexes(dataset, key)


def mend_indexes(dataset: fo.Dataset, key: str, former: str | None = None) -> None:
    """Make the indexes that fields of a key lack, as where a process died while it made them.

    Args:
        dataset: The dataset.
        key: A dictionary's key.
        former: The key that the fields had before, or the same if they are deleted; indexes of
            its fields that are gone are dropped.
    """
    there = set(dataset.list_indexes())
    for spec in SPECS:
        name = field_name(key, spec.suffix)
        if spec.indexed and name not in there and dataset.has_sample_field(name):
            dataset.create_index(name)
        old = field_name(former, spec.suffix) if former else ""
        if old in there and not dataset.has_sample_field(old):
            dataset.drop_index(old)


def _hide(dataset: fo.Dataset, name: str) -> None:
    """Switch a field off in the App until the user switches it on."""
    active = dataset.app_config.active_fields
    if active is None:
        # FiftyOne shows label fields where nothing is said. "All but this one" would cover the grid
        # with ids, paths and dates.
        shown = dataset._get_label_fields()
        active = dataset.app_config.active_fields = ActiveFields(
            paths=[other for other in shown if other != name]
        )
    if active.exclude and name not in active.paths:
        active.paths.append(name)


def everything(dataset: fo.Dataset) -> SampleCollection:
    """Return all samples of a dataset, of every group slice."""
    if dataset.media_type == fo.core.media.GROUP:
        return dataset.select_group_slices(_allow_mixed=True)
    return dataset


def slices(n: int) -> Iterator[slice]:
    """Split N items into parts that fit into one database request."""
    for start in range(0, n, AT_ONCE):
        yield slice(start, start + AT_ONCE)


def read(dataset: fo.Dataset, ids: Sequence[str], names: Sequence[str]) -> dict[str, list[Any]]:
    """Read sample fields by id, however many ids there are.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        ids: N sample ids.
        names: P fields.

    Returns:
        Sample id -> its P values; samples that are no longer there are left out.
    """
    samples = everything(dataset)
    found: dict[str, list[Any]] = {}
    for part in slices(len(ids)):
        chosen = samples.select(ids[part])
        for sample_id, *values in zip(*chosen.values(["id", *names]), strict=True):
            found[sample_id] = values
    return found


def write(
    dataset: fo.Dataset,
    ids: Sequence[str],
    values: Mapping[str, Sequence[Any]],
    *,
    check: Callable[[], None] = lambda: None,
) -> list[str]:
    """Set sample fields in bulk, all or none, see :func:`fiftyone_smic.fiftyone.all_or_none.write`.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        ids: N sample ids.
        values: Field name -> N values; the fields exist.
        check: Called when all is written; what it raises is a failure like any other.

    Returns:
        Ids of the samples that are written.
    """
    parts = (
        (ids[part], {name: column[part] for name, column in values.items()})
        for part in slices(len(ids))
    )
    return write_parts(dataset, len(ids), list(values), parts, check=check)


def write_parts(
    dataset: fo.Dataset,
    total: int,
    names: Sequence[str],
    parts: Iterable[tuple[Sequence[str], all_or_none.Columns]],
    *,
    check: Callable[[], None] = lambda: None,
) -> list[str]:
    """Set sample fields all or none, of which the values come a part at a time.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        total: N.
        names: The fields, which exist.
        parts: Ids of some samples, and their values by field.
        check: Called when all is written; what it raises is a failure like any other.

    Returns:
        Ids of the samples that are written.
    """
    _check_there(dataset, names)
    written = all_or_none.write(dataset, names, parts, check)
    _tell_deleted(total - len(written), total)
    return written


def put(
    dataset: fo.Dataset,
    ids: Sequence[str],
    name: str,
    values: Sequence[Any] | np.ndarray,
    report: Callable[[float], None] = lambda fraction: None,
) -> list[str]:
    """Set one sample field in bulk, and keep what is written if the run ends.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        ids: N sample ids.
        name: A field that exists.
        values: N values.
        report: Gets the fraction done.

    Returns:
        Ids of the samples that are written; deleted ones are left out.
    """
    _check_there(dataset, [name])
    written: list[str] = []
    for part in slices(len(ids)):
        there = set(read(dataset, ids[part], []))
        set_of_samples(dataset, *all_or_none.only(ids[part], {name: values[part]}, there))
        written += [i for i in ids[part] if i in there]
        report(min(1.0, part.stop / len(ids)))
    _tell_deleted(len(ids) - len(written), len(ids))
    return written


def delete(dataset: fo.Dataset, names: Iterable[str]) -> None:
    """Delete those of these fields that are there."""
    with one_thread(dataset):
        dataset.delete_sample_fields([name for name in names if dataset.has_sample_field(name)])


def _check_there(dataset: fo.Dataset, names: Sequence[str]) -> None:
    """Raise ``ValueError`` if somebody has deleted the dataset or a field during a long run."""
    document = foo.get_db_conn().datasets.find_one(
        {"_id": dataset._doc.id}, {"sample_fields.name": True}
    )
    if document is None:
        raise ValueError(
            f"dataset {dataset.name!r} was deleted meanwhile, so there is nothing left to write to"
        )
    there = {known["name"] for known in document["sample_fields"]}
    gone = [name for name in names if name.split(".")[0] not in there]
    if gone:
        raise ValueError(
            f"field {gone[0]!r} was deleted meanwhile, so nothing more is written to it; run this "
            "again if it is still wanted"
        )


def _tell_deleted(missing: int, total: int) -> None:
    if missing:
        logger.warning("%d of %d samples were deleted meanwhile and are left out", missing, total)
