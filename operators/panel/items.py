"""What the panel pages through: samples, or the objects in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import fiftyone as fo

from .. import forms
from . import views


def objects_of(ctx: Any, key: str) -> str | None:
    """Return the field of the objects that a dictionary codes; None for whole images."""
    from fiftyone_smic.fiftyone.codes import objects_of

    return objects_of(ctx.dataset, key)


def noun(ctx: Any, key: str) -> str:
    """Return what a dictionary codes, in one word."""
    return forms.noun(objects_of(ctx, key))


def shown_as(view: fo.DatasetView, patches_field: str | None) -> fo.DatasetView:
    """Return a view as the grid is to show it: of objects, each by itself."""
    return view if patches_field is None else view.to_patches(patches_field)


def selectable(ctx: Any, key: str) -> bool:
    """Return whether the grid shows what the dictionary codes: whole images, or each object."""
    from fiftyone_smic.fiftyone.objects import is_patches_of

    patches_field = objects_of(ctx, key)
    return patches_field is None or is_patches_of(views.shown(ctx), patches_field)


def files(ctx: Any, key: str, found: Sequence[tuple[str, str]]) -> list[tuple[str, str | None]]:
    """Return where the pictures of items are, and which sample a click on each opens.

    Args:
        ctx: The panel's context.
        key: A dictionary.
        found: Ids and the files that hold the items.

    Returns:
        File and id; objects that cannot be cut out have ``""`` for a file. Where the grid shows
        whole images, the App opens the image of an object.
    """
    patches_field = objects_of(ctx, key)
    if patches_field is None:
        return [(path, item) for item, path in found]
    from fiftyone_smic.fiftyone.crops import crop_files
    from fiftyone_smic.fiftyone.objects import find_objects

    ids = [item for item, _ in found]
    cut = crop_files(ctx.dataset, key, ids) if found else {}
    opens: dict[str, str] = dict(zip(ids, ids, strict=True))
    if found and not selectable(ctx, key):
        images = ctx.dataset.select_labels(ids=ids, fields=patches_field)
        there = find_objects(images, patches_field, some=False)
        opens = dict(zip(there.ids, there.sample_ids, strict=True))
    return [(cut.get(item, ""), opens.get(item)) for item in ids]


def chosen_objects(
    ctx: Any, key: str, patches_field: str, suffix: str | None, largest_first: bool
) -> tuple[list[str], str]:
    """Return ids of the objects to page through, in order, and what to say of them."""
    from fiftyone_smic.fiftyone.fields import field_name
    from fiftyone_smic.fiftyone.objects import find_objects, images_of

    found = find_objects(images_of(views.shown(ctx), patches_field), patches_field)
    current = ctx.current_sample
    wanted = {current} if current else set(ctx.selected)
    # In a view of patches a sample's id is its label's.
    pairs = list(zip(found.ids, found.sample_ids, strict=True))
    rows = [i for i, pair in enumerate(pairs) if wanted.intersection(pair)]
    said = (" opened" if current else " selected") if rows else ""
    rows = rows or list(range(len(pairs)))
    if suffix is not None:
        values = found.values(field_name(key, suffix))
        with_value = [i for i in rows if values[i] is not None and not math.isnan(values[i])]
        if with_value:
            without = len(rows) - len(with_value)
            said += f" ({without:,} without a value left out)" if without else ""
            rows = sorted(with_value, key=lambda i: values[i], reverse=largest_first)
    return [found.ids[i] for i in rows], said


def whole_code(row: dict[str, Any]) -> dict[str, Any]:
    """Return what is known of an item, without atoms where somebody cleared the coefficients."""
    return {**row, "atoms": None} if row["coefficients"] is None else row


def read_objects(ctx: Any, key: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the labels of objects say, as the Compare tab reads samples."""
    from fiftyone_smic.fiftyone import fields
    from fiftyone_smic.fiftyone.objects import find_objects

    patches_field = objects_of(ctx, key)
    images = ctx.dataset.select_labels(ids=list(ids), fields=patches_field)
    found = find_objects(images, str(patches_field))
    paths = dict(zip(*images.values(["id", "filepath"]), strict=True))
    place = {label_id: i for i, label_id in enumerate(found.ids)}
    rows = [place[label_id] for label_id in ids if label_id in place]
    parts = {s: n for s, n in fields.dictionary_fields(key).items() if s != fields.LABELS}
    columns = {suffix: found.values(name) for suffix, name in parts.items()}
    kinds = found.values("label")
    of = [(found.ids[i], paths[found.sample_ids[i]]) for i in rows]
    return [
        whole_code(
            {
                **{suffix: column[i] for suffix, column in columns.items()},
                "id": found.ids[i],
                "opens": opens,
                "filepath": file,
                "name": f"{path.rsplit('/', 1)[-1]}: {kinds[i] or 'object'}",
                "shares": None,
            }
        )
        for i, (file, opens), (_, path) in zip(rows, files(ctx, key, of), of, strict=True)
    ]
