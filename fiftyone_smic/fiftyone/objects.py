"""Objects in images: latents and codes as attributes of the labels that frame them.

What is a sample field of an image is an attribute of the label of an object, under the same name:
the latents of ``detections`` are in ``detections.detections.clip_latents``.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import fiftyone.utils.patches as foup
import numpy as np
from fiftyone.core.collections import SampleCollection
from fiftyone.core.patches import EvaluationPatchesView, PatchesView

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.bulk import set_of_labels
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.models.images import load_image

if TYPE_CHECKING:
    from PIL import Image

logger = logging.getLogger(__name__)

#: What ``encode`` writes for each object. The App shows no labels inside labels.
CODE_SPECS = tuple(
    spec
    for spec in fields.SPECS
    if spec.part == fields.CODE and spec.type is not fo.EmbeddedDocumentField
)

#: What the things are called that a dictionary codes.
SAMPLE, OBJECT = "sample", "object"

_KINDS = (fo.Detection, fo.Detections, fo.Polyline, fo.Polylines)


@dataclass(frozen=True)
class Objects:
    """The objects in a label field of a collection.

    Attributes:
        samples: A flat image collection; a view may leave out samples and labels.
        field: The label field.
        root: The path of one label, such as ``detections.detections``.
        ids: N label ids.
        sample_ids: N ids of the samples that they are in.
    """

    samples: SampleCollection
    field: str
    root: str
    ids: list[str]
    sample_ids: list[str]

    @property
    def dataset(self) -> fo.Dataset:
        """The dataset that owns the labels."""
        return self.samples._root_dataset

    def path(self, attribute: str) -> str:
        """Return the path of an attribute of the labels."""
        return f"{self.root}.{attribute}"

    def has(self, attribute: str) -> bool:
        """Return whether the labels have an attribute."""
        return self.dataset.get_field(self.path(attribute)) is not None

    def values(self, attribute: str) -> list[Any]:
        """Return N values of an attribute, None where a label has none."""
        if not self.has(attribute):
            return [None] * len(self.ids)
        return self._read(self.path(attribute))

    def _read(self, path: str) -> list[Any]:
        """Read a path below the labels; labels that were deleted meanwhile have None."""
        found = _by_label(self.samples, self.root, path)
        return [found.get(label_id) for label_id in self.ids]

    def declare(self, attribute: str, kind: type[fo.Field], **options: Any) -> None:
        """Add an attribute to the dataset's schema if it is missing."""
        if not self.has(attribute):
            self.dataset.add_sample_field(self.path(attribute), kind, **options)

    def put(self, rows: Sequence[int], values: Mapping[str, Sequence[Any]]) -> None:
        """Set attributes of some labels, all of a label at a time.

        Labels that were deleted meanwhile are left out.

        Args:
            rows: N positions of labels.
            values: Attribute -> N values; the attributes are declared.
        """
        for start in range(0, len(rows), fields.AT_ONCE):
            part = slice(start, start + fields.AT_ONCE)
            set_of_labels(
                self.dataset,
                self.root,
                [(self.sample_ids[i], self.ids[i]) for i in rows[part]],
                {name: column[part] for name, column in values.items()},
            )

    def crops(
        self, rows: Sequence[int], *, force_square: bool = False, alpha: float | None = None
    ) -> Iterator[tuple[int, Image.Image | None, str]]:
        """Cut objects out of their images, by FiftyOne's own extractor.

        Args:
            rows: Positions of labels; those of one image should follow each other.
            force_square: Make the boxes square first.
            alpha: Make the boxes larger by this share of their width and height, or smaller.

        Yields:
            The position, the crop or None, and why there is none.
        """
        from PIL import Image

        wanted = self.samples.select(list({self.sample_ids[i] for i in rows}))
        paths = dict(zip(*wanted.values(["id", "filepath"]), strict=True))
        labels = _by_label(wanted, self.root, self.root)
        read: tuple[str, np.ndarray | None, str] = ("", None, "")
        for i in rows:
            path = paths.get(self.sample_ids[i])
            if path is None:
                yield i, None, f"{self.sample_ids[i]}: the sample was deleted"
                continue
            if path != read[0]:
                try:
                    read = (path, np.asarray(load_image(path)), "")
                except Exception as error:  # Pillow raises almost anything on a broken file
                    read = (path, None, f"{Path(path).name}: {type(error).__name__}: {error}")
            if read[1] is None:
                yield i, None, read[2]
                continue
            label = labels.get(self.ids[i])
            if label is None:
                yield i, None, f"{Path(path).name}: the object was deleted"
                continue
            try:
                box = label.to_detection() if isinstance(label, fo.Polyline) else label
                cut = foup.extract_patch(read[1], box, force_square=force_square, alpha=alpha)
            except Exception as error:  # boxes of nan, of no numbers, of lines without points
                yield i, None, f"{Path(path).name}: its box cannot be cut out ({error})"
                continue
            if not cut.size:
                yield i, None, f"{Path(path).name}: its box has no pixels"
                continue
            yield i, Image.fromarray(np.ascontiguousarray(cut)), ""


def _by_label(samples: SampleCollection, root: str, path: str) -> dict[str, Any]:
    """Return label id -> what is at a path below the labels, or the label itself."""
    listed = isinstance(samples._root_dataset.get_field(root), fo.ListField)
    found: dict[str, Any] = {}
    for ids, values in zip(*samples.values([f"{root}.id", path]), strict=True):
        if listed:
            found.update(zip(map(str, ids or ()), values or (), strict=True))
        elif ids is not None:
            found[str(ids)] = values
    return found


def noun(patches_field: str | None) -> str:
    """Return what the things are called that are worked on: "sample" or "object".

    Args:
        patches_field: The field of the objects; None for whole images.
    """
    return SAMPLE if patches_field is None else OBJECT


def how_to_cut(
    patches_field: str | None, force_square: bool, alpha: float | None
) -> dict[str, Any]:
    """Return how objects are cut out of their images, as FiftyOne's extractor takes it.

    Args:
        patches_field: The field of the objects; None for whole images.
        force_square: Make the boxes square first.
        alpha: Make the boxes larger by this share of their width and height, or smaller.

    Raises:
        ValueError: There is nothing to cut out, or a box would have no size.
    """
    if patches_field is None and (force_square or alpha is not None):
        raise ValueError(
            "force_square and alpha say how objects are cut out; pass patches_field=…, the field "
            "of the objects, or leave them out for whole images"
        )
    if alpha is not None:
        number = isinstance(alpha, (int, float)) and not isinstance(alpha, bool)
        if not number or not -1 < alpha < math.inf:
            raise ValueError(
                f"alpha={alpha!r} is no share to enlarge boxes by; pass a number above -1, such "
                "as 0.1 for boxes that are a tenth larger"
            )
    return {"force_square": bool(force_square), "alpha": alpha}


def stream_labels(
    samples: SampleCollection, root: str, path: str
) -> Iterator[tuple[str, str, Any]]:
    """Yield id, file and the stored value, or None, of each label, whatever the schema says.

    Args:
        samples: A flat image collection.
        root: The path of one label.
        path: The path of a value of labels, as the database names it.
    """
    shown = {"_id": False, "id": f"${root}._id", "filepath": True, "value": f"${path}"}
    stages = [{"$unwind": f"${root}"}, {"$project": shown}]
    found = samples._dataset._sample_collection.aggregate(
        samples._pipeline(pipeline=stages), allowDiskUse=True, batchSize=1000
    )
    for row in found:
        yield str(row["id"]), row.get("filepath", ""), row.get("value")


def images_of(samples: SampleCollection, patches_field: str | None) -> SampleCollection:
    """Return the flat image collection whose samples, or the objects in them, to work on.

    A view of the patches of ``patches_field`` stands for their images with these labels only.

    Args:
        samples: A dataset or view.
        patches_field: The field of the objects; None for whole images.

    Raises:
        ValueError: See :func:`fiftyone_smic.fiftyone.collections.image_samples`.
    """
    if (
        patches_field is not None
        and is_patches_of(samples, patches_field)
        and samples._root_dataset.has_field(patches_field)  # not that of a video's frames
    ):
        ids = samples.values(f"{patches_field}.id")
        samples = samples._root_dataset.select_labels(ids=ids, fields=patches_field)
    return image_samples(samples)


def is_patches_of(samples: SampleCollection, patches_field: str) -> bool:
    """Return whether a collection is a view of the patches of a label field."""
    return (
        isinstance(samples, PatchesView)
        and not isinstance(samples, EvaluationPatchesView)
        and samples.patches_field == patches_field
    )


def root_of(dataset: fo.Dataset, patches_field: str | None) -> str:
    """Return the path of one label of a field, ``""`` for whole images.

    Raises:
        ValueError: The field is not there any more.
    """
    if patches_field is None:
        return ""
    if not dataset.has_field(patches_field):
        raise ValueError(
            f"the field {patches_field!r}, whose objects this dictionary codes, is not there any "
            "more, and their codes went with it"
        )
    root: str = dataset._get_label_field_path(patches_field)[1]
    return root


def find_objects(samples: SampleCollection, patches_field: str, *, some: bool = True) -> Objects:
    """Return the objects of a label field.

    Args:
        samples: A flat image collection.
        patches_field: A field of detections or polylines.
        some: Whether there must be any.

    Raises:
        ValueError: There is no such field, it holds something else, or it is empty.
    """
    schema = samples._root_dataset.get_field_schema()
    known = schema.get(patches_field)
    fitting = [name for name, kind in schema.items() if frames_objects(kind)]
    if known is None or not frames_objects(known):
        what = "is not there" if known is None else "holds no detections or polylines"
        raise ValueError(
            f"{patches_field!r} {what}, and the objects to work on are wanted; these fields hold "
            f"some: {fitting}"
        )
    root = samples._root_dataset._get_label_field_path(patches_field)[1]
    sample_ids, label_ids = samples.values(["id", f"{root}.id"])
    pairs = [
        (sample_id, label_id)
        for sample_id, found in zip(sample_ids, label_ids, strict=True)
        for label_id in (found if isinstance(found, list) else [found])
        if label_id is not None
    ]
    if some and not pairs:
        raise ValueError(
            f"none of the {len(sample_ids)} samples has an object in {patches_field!r}; choose "
            "another view or field"
        )
    return Objects(
        samples,
        patches_field,
        root,
        [str(label_id) for _, label_id in pairs],
        [sample_id for sample_id, _ in pairs],
    )


def frames_objects(field: fo.Field) -> bool:
    """Return whether a field holds detections or polylines."""
    return isinstance(field, fo.EmbeddedDocumentField) and issubclass(field.document_type, _KINDS)


def write_codes(
    objects: Objects,
    key: str,
    rows: Sequence[int],
    columns: dict[str, list[Any]],
    made_by: str,
    check: Callable[[], None],
) -> None:
    """Set the code of objects as attributes of their labels, all or none.

    Args:
        objects: The objects.
        key: A dictionary of the dataset.
        rows: N positions.
        columns: What :func:`fiftyone_smic.fiftyone.code_columns.code_columns` returns for them.
        made_by: Which dictionary made the codes.
        check: Called when all is written; what it raises is a failure like any other.
    """
    values = {fields.field_name(key, spec.suffix): columns[spec.suffix] for spec in CODE_SPECS}
    values[fields.field_name(key, fields.MADE_BY)] = [made_by] * len(rows)
    values.update(_drawings(objects, key, rows, columns))
    new = [name for name in values if not objects.has(name)]
    before = {name: objects.values(name) for name in values if name not in new}
    try:
        for spec in CODE_SPECS:
            name = fields.field_name(key, spec.suffix)
            objects.declare(name, spec.type, description=spec.description, **spec.options)
        objects.declare(
            fields.field_name(key, fields.MADE_BY),
            fo.StringField,
            description="SMIC: which dictionary made the code",
        )
        objects.put(rows, values)
        check()
    except BaseException:
        held = {n: [column[i] for i in rows] for n, column in before.items() if objects.has(n)}
        objects.put(rows, held)
        gone = [objects.path(name) for name in new if objects.has(name)]
        if gone:
            objects.dataset.delete_sample_fields(gone)
        raise


def _drawings(
    objects: Objects, key: str, rows: Sequence[int], columns: dict[str, list[Any]]
) -> dict[str, list[Any]]:
    """What was drawn from codes, None where the code changes."""
    names = [fields.field_name(key, suffix) for suffix in fields.DRAWING_SUFFIXES]
    there = [name for name in names if objects.has(name)]
    if not there:
        return {}
    parts = (fields.ATOMS, fields.COEFFICIENTS)
    former = [objects.values(fields.field_name(key, part)) for part in parts]
    same = [
        all((old[i] or []) == columns[part][at] for old, part in zip(former, parts, strict=True))
        for at, i in enumerate(rows)
    ]
    held = {name: objects.values(name) for name in there}
    return {
        name: [column[i] if kept else None for i, kept in zip(rows, same, strict=True)]
        for name, column in held.items()
    }
