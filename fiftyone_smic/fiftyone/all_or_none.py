"""Writing fields of many samples, a part at a time, and all or none."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import bson
import fiftyone as fo
import numpy as np
from bson import ObjectId
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany, UpdateOne

from fiftyone_smic.fiftyone.bulk import set_of_samples

#: Field -> its values, one for each of some samples.
Columns = Mapping[str, Sequence[Any] | np.ndarray]
#: Bytes of former values that are kept in memory; more of them go to a temporary file.
IN_MEMORY = 64 << 20


class Former:
    """What fields held before they are written, as the database has it.

    Args:
        dataset: The dataset.
        names: Its fields, none of them below another one.
    """

    def __init__(self, dataset: fo.Dataset, names: Sequence[str]) -> None:
        self._dataset, self._names = dataset, list(names)
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed with this object)
        self._sizes: list[int] = []
        raw = CodecOptions(document_class=RawBSONDocument)
        self._collection = dataset._sample_collection.with_options(codec_options=raw)

    def keep(self, ids: Sequence[str]) -> set[str]:
        """Keep the values of some samples; returns the ids of those that are still there."""
        wanted = {"_id": {"$in": [ObjectId(i) for i in ids]}}
        found = list(self._collection.find(wanted, dict.fromkeys(self._names, True)))
        packed = zlib.compress(b"".join(row.raw for row in found), 1)
        self._file.write(packed)
        self._sizes.append(len(packed))
        return {str(row["_id"]) for row in found}

    def restore(self) -> None:
        """Write everything back; fields that somebody has deleted meanwhile stay deleted."""
        there = [name for name in self._names if self._dataset.has_field(name)]
        self._file.seek(0)
        for size in self._sizes:
            ops = []
            rows = bson.decode_all(zlib.decompress(self._file.read(size)))
            for row in rows:
                held = {name: row[name] for name in there if name in row}
                gone = {name: "" for name in self._names if name not in held}
                change = {"$set": held} if held else {}
                ops.append(
                    UpdateOne({"_id": row["_id"]}, {**change, **({"$unset": gone} if gone else {})})
                )
            if ops:
                self._dataset._bulk_write(ops, ids=[row["_id"] for row in rows])


def write(
    dataset: fo.Dataset,
    names: Sequence[str],
    parts: Iterable[tuple[Sequence[str], Columns]],
    check: Callable[[], None],
) -> list[str]:
    """Set fields in parts, all or none.

    If it is interrupted or fails, every field gets its former values back before the exception
    goes on. If the process is killed, some samples have all of the new values and the others all of
    the old ones. Samples that somebody else deletes meanwhile are left out.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        names: The fields, which exist.
        parts: Ids of some samples, and their values by field.
        check: Called when all is written; what it raises is a failure like any other.

    Returns:
        Ids of the samples that are written.
    """
    former = Former(dataset, names)
    written: list[str] = []
    try:
        for ids, columns in parts:
            there = former.keep(ids)
            written += [i for i in ids if i in there]
            set_of_samples(dataset, *only(ids, columns, there))
        check()
    except BaseException:
        former.restore()
        raise
    return written


def only(ids: Sequence[str], columns: Columns, there: set[str]) -> tuple[Sequence[str], Columns]:
    """Leave out samples that are not there."""
    if all(i in there for i in ids):
        return ids, columns
    kept = [place for place, i in enumerate(ids) if i in there]
    return [ids[i] for i in kept], {n: [c[i] for i in kept] for n, c in columns.items()}


def change(
    dataset: fo.Dataset,
    names: Sequence[str],
    parts: Iterable[Sequence[str]],
    update: list[dict[str, Any]],
) -> None:
    """Let the database compute fields of samples from their other fields, all or none.

    Args:
        dataset: The dataset that owns the samples, of any group slice.
        names: The fields that change.
        parts: Ids of some samples.
        update: The stages of an update, in the database's language.
    """
    former = Former(dataset, names)
    stages = [*update, {"$set": {"last_modified_at": "$$NOW"}}]
    try:
        for ids in parts:
            former.keep(ids)
            which = {"_id": {"$in": [ObjectId(i) for i in ids]}}
            dataset._bulk_write([UpdateMany(which, stages)], ids=list(ids))
    except BaseException:
        former.restore()
        raise
