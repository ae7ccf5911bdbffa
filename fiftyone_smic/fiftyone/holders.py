"""What holds embeddings that are adopted: samples, or the labels of the objects in them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, latents, object_latents
from fiftyone_smic.fiftyone.latent_rows import stream
from fiftyone_smic.fiftyone.objects import SAMPLE, find_objects, frames_objects, noun, stream_labels
from fiftyone_smic.fiftyone.placeholders import is_placeholder


class Holder(Protocol):
    """Samples, or objects, with what their embeddings are read from and written to.

    Attributes:
        dataset: The dataset that owns them.
        patches_field: The field of the objects; None for samples.
        noun: "sample" or "object".
    """

    dataset: fo.Dataset
    patches_field: str | None
    noun: str

    def __len__(self) -> int:
        """How many there are."""

    def path(self, name: str) -> str:
        """Return where FiftyOne finds a field, or an attribute."""

    def field(self, name: str) -> fo.Field | None:
        """Return what the schema says of a field or attribute; None if it says nothing."""

    def has_undeclared(self, name: str) -> bool:
        """Return whether some have an attribute of which the schema says nothing."""

    def vectors(self) -> list[str]:
        """Return the names of the vector fields or attributes."""

    def hint(self, name: Any) -> str:
        """Return where a field of this name is instead, as a clause, or ""."""

    def rows(self, name: str) -> Iterator[tuple[str, str, Any]]:
        """Yield id, file and value, or None, of each."""

    def any_of(self, ids: Sequence[str]) -> bool:
        """Return whether some ids are of these."""

    def rows_of(self, by_id: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        """Yield id, file and value, or None, of each, where the values are known by id."""

    def pictures(self, ids: Sequence[str], count: int) -> tuple[list[int], list[Any]]:
        """Return the positions of some ids, spread over all, and their pictures."""

    def held(self, name: str) -> int:
        """Count those in the whole dataset that have a value."""

    def describe(self, name: str, info: Mapping[str, Any]) -> None:
        """Add to what a field or attribute says about its latents."""

    def put(
        self,
        name: str,
        ids: list[str],
        rows: np.ndarray,
        info: Mapping[str, Any],
        overwrite: bool,
        report: Callable[[float], None],
    ) -> int:
        """Write latents beside those of the same encoder; returns how many were written.

        Args:
            name: A vector field or attribute; it is added if it is missing.
            ids: N ids.
            rows: (N, d) float32, unit norm.
            info: What is public about them; ``"encoder"`` must be that of what is there.
            overwrite: Replace what is there.
            report: Gets the fraction done.

        Raises:
            ValueError: The field is of another kind or encoder. Nothing is written then.
        """


class Images:
    """The samples of a flat image collection.

    Args:
        samples: What :func:`fiftyone_smic.fiftyone.collections.image_samples` returns.
    """

    patches_field: str | None = None
    noun = SAMPLE

    def __init__(self, samples: SampleCollection) -> None:
        self._samples, self.dataset = samples, samples._root_dataset

    def __len__(self) -> int:
        return len(self._samples)

    def path(self, name: str) -> str:
        return name

    def field(self, name: str) -> fo.Field | None:
        return None if self._within_objects(name) else self.dataset.get_field(name)

    def has_undeclared(self, name: str) -> bool:
        return False  # fields of samples are always declared

    def vectors(self) -> list[str]:
        return _vectors(self.dataset.get_field_schema())

    def hint(self, name: Any) -> str:
        within = self._within_objects(name)
        return (
            f". It belongs to the objects in {within!r}: pass patches_field={within!r}"
            if within
            else ""
        )

    def _within_objects(self, name: Any) -> str | None:
        """The field of the objects that a path leads into."""
        if not isinstance(name, str) or "." not in name:
            return None
        schema = self.dataset.get_field_schema()
        first = name.partition(".")[0]
        return first if first in schema and frames_objects(schema[first]) else None

    def rows(self, name: str) -> Iterator[tuple[str, str, Any]]:
        return stream(self._samples, name)

    def any_of(self, ids: Sequence[str]) -> bool:
        return not set(ids).isdisjoint(self._samples.values("id"))

    def rows_of(self, by_id: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        named = zip(*self._samples.values(["id", "filepath"]), strict=True)
        return ((i, path, by_id.get(i)) for i, path in named)

    def pictures(self, ids: Sequence[str], count: int) -> tuple[list[int], list[Any]]:
        paths = dict(zip(*self._samples.values(["id", "filepath"]), strict=True))
        chosen = _spread([_is_picture(paths[i]) for i in ids], count)
        return chosen, [paths[ids[i]] for i in chosen]

    def held(self, name: str) -> int:
        if self.dataset.get_field(name) is None:
            return 0
        return int(fields.everything(self.dataset).exists(name).count())

    def describe(self, name: str, info: Mapping[str, Any]) -> None:
        latents.describe(self.dataset, name, dict(info))

    def put(
        self,
        name: str,
        ids: list[str],
        rows: np.ndarray,
        info: Mapping[str, Any],
        overwrite: bool,
        report: Callable[[float], None],
    ) -> int:
        existing = self.dataset.get_field(name)
        if latents.check_encoder(self._samples, name, info["encoder"], overwrite):
            self.dataset.clear_sample_field(name)
        if existing is not None and not overwrite:
            kept = set(self._samples.exists(name).values("id"))
            chosen = [i for i, sample_id in enumerate(ids) if sample_id not in kept]
            ids, rows = [ids[i] for i in chosen], rows[chosen]
        latents.declare_latents(self.dataset, name, dict(info))
        return len(fields.put(self.dataset, ids, name, rows, report))


class Crops:
    """The objects in a label field of a flat image collection.

    Args:
        samples: What :func:`fiftyone_smic.fiftyone.objects.images_of` returns.
        patches_field: A field of detections or polylines.
        cut: ``force_square`` and ``alpha``: how they are cut out.

    Raises:
        ValueError: There is no such field, it holds something else, or it is empty.
    """

    def __init__(
        self, samples: SampleCollection, patches_field: str, cut: Mapping[str, Any]
    ) -> None:
        self.patches_field: str | None = patches_field
        self._cut = dict(cut)
        self.noun = noun(patches_field)
        self._objects = find_objects(samples, patches_field)
        self._samples, self.dataset = samples, self._objects.dataset
        self._place = {label_id: i for i, label_id in enumerate(self._objects.ids)}

    def __len__(self) -> int:
        return len(self._objects.ids)

    def path(self, name: str) -> str:
        return self._objects.path(self._attribute(name))

    def _attribute(self, name: str) -> str:
        """An attribute's name; FiftyOne takes its whole path as well."""
        return name.removeprefix(f"{self._objects.root}.")

    def field(self, name: str) -> fo.Field | None:
        return self.dataset.get_field(self.path(name))

    def has_undeclared(self, name: str) -> bool:
        if not self._attribute(name).isidentifier():  # the database gives other names a meaning
            return False
        return any(value is not None for _, _, value in self.rows(name))

    def vectors(self) -> list[str]:
        schema = self.dataset.get_field(self._objects.root)
        schema = schema.field if isinstance(schema, fo.ListField) else schema
        named = schema.get_field_schema().items()
        return [name for name, kind in named if isinstance(kind, fo.VectorField)]

    def hint(self, name: Any) -> str:
        whole = isinstance(name, str) and name in _vectors(self.dataset.get_field_schema())
        return (
            f". {name!r} is a field of whole images: leave patches_field out to adopt it"
            if whole
            else ""
        )

    def rows(self, name: str) -> Iterator[tuple[str, str, Any]]:
        kind = self.field(name)
        for label_id, path, value in stream_labels(
            self._samples, self._objects.root, self.path(name)
        ):
            if label_id in self._place:  # others were added meanwhile
                yield label_id, path, None if value is None else _decoded(kind, value)

    def any_of(self, ids: Sequence[str]) -> bool:
        return not self._place.keys().isdisjoint(ids)

    def rows_of(self, by_id: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
        found = stream_labels(self._samples, self._objects.root, f"{self._objects.root}._id")
        return ((i, path, by_id.get(i)) for i, path, _ in found if i in self._place)

    def pictures(self, ids: Sequence[str], count: int) -> tuple[list[int], list[Any]]:
        paths = dict(zip(*self._samples.values(["id", "filepath"]), strict=True))
        sample_ids = self._objects.sample_ids
        there = {path: _is_picture(path) for path in set(paths.values())}
        chosen = _spread([there[paths[sample_ids[self._place[i]]]] for i in ids], count)
        at = {self._place[ids[i]]: i for i in chosen}
        found = self._objects.crops(list(at), **self._cut)
        pairs = [(at[row], crop) for row, crop, _ in found if crop is not None]
        return [i for i, _ in pairs], [crop for _, crop in pairs]

    def held(self, name: str) -> int:
        path = self._objects.path(name)
        if self.dataset.get_field(path) is None:
            return 0
        return int(fields.everything(self.dataset).count(path))

    def describe(self, name: str, info: Mapping[str, Any]) -> None:
        latents.describe(self.dataset, self._objects.path(name), {**info, **self._cut})

    def put(
        self,
        name: str,
        ids: list[str],
        rows: np.ndarray,
        info: Mapping[str, Any],
        overwrite: bool,
        report: Callable[[float], None],
    ) -> int:
        held = self._objects.values(name)
        object_latents.check(self._objects, name, info["encoder"], self._cut, held, overwrite)
        chosen = [i for i, at in enumerate(ids) if overwrite or held[self._place[at]] is None]
        about = {**info, **self._cut}
        object_latents.declare(self._objects, name, about, clear=overwrite)
        for part in fields.slices(len(chosen)):
            at = chosen[part]
            self._objects.put([self._place[ids[i]] for i in at], {name: list(rows[at])})
            report(min(1.0, part.stop / len(chosen)))
        return len(chosen)


def holder_of(
    samples: SampleCollection, patches_field: str | None, cut: Mapping[str, Any]
) -> Holder:
    """Return the samples of a flat image collection, or the objects in them.

    Args:
        samples: What :func:`fiftyone_smic.fiftyone.objects.images_of` returns.
        patches_field: The field of the objects; None for samples.
        cut: ``force_square`` and ``alpha``: how objects are cut out.

    Raises:
        ValueError: There is no such field, it holds something else, or it is empty.
    """
    return Images(samples) if patches_field is None else Crops(samples, patches_field, cut)


def holds_numbers(field: fo.Field) -> bool:
    """Return whether a field may hold embeddings: vectors, arrays, or lists of numbers."""
    numbers = (fo.FloatField, fo.IntField, type(None))
    listed = isinstance(field, fo.ListField) and isinstance(field.field, numbers)
    return listed or isinstance(field, (fo.VectorField, fo.ArrayField))


def _decoded(kind: fo.Field | None, value: Any) -> Any:
    """What the database holds as what FiftyOne reads; undeclared vectors are stored as declared."""
    if kind is not None:
        return kind.to_python(value)
    if isinstance(value, bytes):
        with suppress(Exception):  # some other bytes, which are no embedding
            return fo.VectorField().to_python(value)
    return value


def _vectors(schema: Mapping[str, fo.Field]) -> list[str]:
    kinds = (fo.VectorField, fo.ArrayField)
    return [name for name, kind in schema.items() if isinstance(kind, kinds)]


def _is_picture(path: str) -> bool:
    return os.path.exists(path) and not is_placeholder(path)


def _spread(usable: Sequence[bool], count: int) -> list[int]:
    """Up to ``count`` positions of what is usable, at equal distances."""
    there = [i for i, good in enumerate(usable) if good]
    count = min(count, len(there))
    return [there[i * len(there) // count] for i in range(count)]
