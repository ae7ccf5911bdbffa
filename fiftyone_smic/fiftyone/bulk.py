"""Writing several fields at a time: each sample, or label, gets all of its values or none.

FiftyOne's ``set_values`` writes one field after the other, so a process that is killed in between
would leave codes whose coefficients belong to other atoms.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo
import numpy as np
from bson import ObjectId
from pymongo import UpdateOne


def set_of_samples(
    dataset: fo.Dataset, ids: Sequence[str], values: Mapping[str, Sequence[Any] | np.ndarray]
) -> None:
    """Set fields of samples; one database operation writes all values of a sample.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        ids: N sample ids, as many as one request may hold.
        values: Field name -> N values; the fields exist, and none is a path into another. A field
            of embedded documents takes what the database holds too.

    Raises:
        ValueError: A value does not fit its field. Nothing is written then.
    """
    rows = _stored(dataset, {name: name for name in values}, values)
    _write(
        dataset,
        ids,
        [UpdateOne({"_id": ObjectId(i)}, {"$set": row}) for i, row in zip(ids, rows, strict=True)],
    )


def set_of_labels(
    dataset: fo.Dataset,
    root: str,
    ids: Sequence[tuple[str, str]],
    values: Mapping[str, Sequence[Any]],
) -> None:
    """Set attributes of labels; one database operation writes all values of a label.

    Args:
        dataset: The dataset that owns the labels.
        root: The path of one label, such as ``detections.detections``.
        ids: N pairs of the id of a sample and the id of a label in it.
        values: Attribute -> N values; the attributes are declared.

    Raises:
        ValueError: A value does not fit its attribute. Nothing is written then.
    """
    listed = isinstance(dataset.get_field(root), fo.ListField)
    before = f"{root}.$[label]" if listed else root
    paths = {f"{root}.{name}": f"{before}.{name}" for name in values}
    rows = _stored(dataset, paths, {f"{root}.{name}": column for name, column in values.items()})
    operations: list[UpdateOne] = []
    for (sample, label), row in zip(ids, rows, strict=True):
        wanted = {"_id": ObjectId(sample)}
        if listed:
            chosen: list[Mapping[str, Any]] = [{"label._id": ObjectId(label)}]
            operations.append(UpdateOne(wanted, {"$set": row}, array_filters=chosen))
        else:
            wanted[f"{root}._id"] = ObjectId(label)
            operations.append(UpdateOne(wanted, {"$set": row}))
    _write(dataset, [sample for sample, _ in ids], operations)


def _stored(
    dataset: fo.Dataset,
    paths: Mapping[str, str],
    values: Mapping[str, Sequence[Any] | np.ndarray],
) -> list[dict[str, Any]]:
    """Return for each row what the database stores, by the path that it is stored at."""
    now = datetime.datetime.now(datetime.timezone.utc)
    columns = []
    for path, column in values.items():
        field = dataset.get_field(path)
        try:
            columns.append([_as_stored(field, value) for value in column])
        except Exception as error:  # mongoengine's errors are no ValueErrors
            raise ValueError(f"a value does not fit field {path!r}: {error}") from error
    names = [paths[path] for path in values]
    return [
        {**dict(zip(names, row, strict=True)), "last_modified_at": now}
        for row in zip(*columns, strict=True)
    ]


def _as_stored(field: Any, value: Any) -> Any:
    embedded = isinstance(field, fo.EmbeddedDocumentField)
    if value is None or (embedded and isinstance(value, dict)):
        return value
    field.validate(value)
    return field.to_mongo(value)


def _write(dataset: fo.Dataset, ids: Sequence[str], operations: list[UpdateOne]) -> None:
    if operations:
        dataset._bulk_write(operations, ids=list(ids))
