"""Where the fields of a dictionary's key live: on samples, or on the labels of objects.

Code that draws or measures asks for values by id and suffix, and need not know which it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import fiftyone as fo

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.objects import OBJECT, SAMPLE, Objects, find_objects, root_of


class Place(Protocol):
    """The fields of a key, by suffix. Ids are those of samples, or of labels; ``noun`` says which:
    "sample" or "object"."""

    dataset: fo.Dataset
    noun: str

    def path(self, suffix: str) -> str:
        """Return the path of a field."""

    def has(self, suffix: str) -> bool:
        """Return whether there is such a field."""

    def read(self, ids: Sequence[str], suffixes: Sequence[str]) -> dict[str, list[Any]]:
        """Return id -> a value for each suffix; what is no longer there is left out."""

    def write(self, ids: Sequence[str], values: Mapping[str, Sequence[Any]]) -> None:
        """Set fields that exist: suffix -> a value for each id."""

    def declare(self, suffix: str) -> None:
        """Add a field if it is missing."""

    def held(self, suffix: str) -> dict[str, Any]:
        """Return id -> value wherever there is one."""


class OfSamples:
    """The fields of samples.

    Args:
        dataset: The dataset.
        key: A dictionary of whole images.
    """

    def __init__(self, dataset: fo.Dataset, key: str) -> None:
        self.dataset, self.key, self.noun = dataset, key, SAMPLE

    def path(self, suffix: str) -> str:
        return fields.field_name(self.key, suffix)

    def has(self, suffix: str) -> bool:
        return bool(self.dataset.has_sample_field(self.path(suffix)))

    def read(self, ids: Sequence[str], suffixes: Sequence[str]) -> dict[str, list[Any]]:
        return fields.read(self.dataset, ids, [self.path(suffix) for suffix in suffixes])

    def write(self, ids: Sequence[str], values: Mapping[str, Sequence[Any]]) -> None:
        named = {self.path(suffix): column for suffix, column in values.items()}
        fields.write(self.dataset, ids, named)

    def declare(self, suffix: str) -> None:
        fields.declare(self.dataset, self.key, [suffix])

    def held(self, suffix: str) -> dict[str, Any]:
        name = self.path(suffix)
        view = fields.everything(self.dataset).exists(name)
        return dict(zip(*view.values(["id", name]), strict=True))


class OfObjects:
    """The attributes of labels.

    Args:
        dataset: The dataset.
        key: A dictionary of objects.
        patches_field: The field of the objects.
    """

    def __init__(self, dataset: fo.Dataset, key: str, patches_field: str) -> None:
        self.dataset, self.key, self.patches_field = dataset, key, patches_field
        self.noun = OBJECT

    def path(self, suffix: str) -> str:
        root = root_of(self.dataset, self.patches_field)
        return f"{root}.{fields.field_name(self.key, suffix)}"

    def has(self, suffix: str) -> bool:
        return bool(self.dataset.has_field(self.path(suffix)))

    def _objects(self) -> Objects:
        return find_objects(fields.everything(self.dataset), self.patches_field, some=False)

    def read(self, ids: Sequence[str], suffixes: Sequence[str]) -> dict[str, list[Any]]:
        found = self._objects()
        wanted = set(ids)
        columns = [found.values(fields.field_name(self.key, suffix)) for suffix in suffixes]
        return {
            label_id: [column[i] for column in columns]
            for i, label_id in enumerate(found.ids)
            if label_id in wanted
        }

    def write(self, ids: Sequence[str], values: Mapping[str, Sequence[Any]]) -> None:
        found = self._objects()
        place = {label_id: i for i, label_id in enumerate(found.ids)}
        kept = [at for at, label_id in enumerate(ids) if label_id in place]
        rows = [place[ids[at]] for at in kept]
        named = {
            fields.field_name(self.key, suffix): [column[at] for at in kept]
            for suffix, column in values.items()
        }
        found.put(rows, named)

    def declare(self, suffix: str) -> None:
        spec = next(spec for spec in fields.SPECS if spec.suffix == suffix)
        name = fields.field_name(self.key, suffix)
        self._objects().declare(name, spec.type, description=spec.description, **spec.options)

    def held(self, suffix: str) -> dict[str, Any]:
        found = self._objects()
        column = found.values(fields.field_name(self.key, suffix))
        return {i: value for i, value in zip(found.ids, column, strict=True) if value is not None}


def place_of(dataset: fo.Dataset, key: str, patches_field: str | None) -> Place:
    """Return where the fields of a key live.

    Args:
        dataset: The dataset.
        key: A dictionary of the dataset.
        patches_field: The field of the objects that it codes; None for whole images.
    """
    if patches_field is None:
        return OfSamples(dataset, key)
    return OfObjects(dataset, key, patches_field)
