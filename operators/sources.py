"""Which embeddings a dataset has, for the forms that ask for some."""

from __future__ import annotations

from typing import Any, NamedTuple

import fiftyone as fo
import numpy as np
from fiftyone.operators import types

from . import forms


def vector_fields(dataset: fo.Dataset) -> list[str]:
    """Return the vector fields, those whose model is known first."""
    schema = dataset.get_field_schema()
    names = [name for name, field in schema.items() if isinstance(field, fo.VectorField)]
    return sorted(names, key=lambda name: (not (schema[name].info or {}).get("encoder"), name))


def object_fields(dataset: fo.Dataset) -> list[str]:
    """Return the fields of detections and polylines, whose objects can be worked on."""
    from fiftyone_smic.fiftyone.objects import frames_objects

    schema = dataset.get_field_schema()
    return [name for name, field in schema.items() if frames_objects(field)]


def patches_field(ctx: Any, samples: Any) -> str | None:
    """Return the field of the objects that were asked for, or that a patches view shows."""
    from fiftyone_smic.fiftyone.objects import is_patches_of

    known = object_fields(ctx.dataset)
    asked = ctx.params.get("patches_field")
    if asked is not None:
        return asked if asked in known else None
    return next((name for name in known if is_patches_of(samples, name)), None)


def object_latents(dataset: fo.Dataset) -> dict[str, tuple[str, str]]:
    """Return the embeddings of objects: path -> field of the objects and attribute."""
    found = {}
    for name in object_fields(dataset):
        root = dataset._get_label_field_path(name)[1]
        for path, field in dataset.get_field_schema(ftype=fo.VectorField, flat=True).items():
            before, _, attribute = path.rpartition(".")
            if before == root and isinstance(field, fo.VectorField):
                found[path] = (name, attribute)
    return found


class Adoptable(NamedTuple):
    """What may hold embeddings: its label in a form, and the field of the objects they are of."""

    label: str
    patches_field: str | None = None


def adoptable(dataset: fo.Dataset) -> dict[str, Adoptable]:
    """Return what may hold embeddings that SMIC does not know yet, by field, path or brain key."""
    found = {}
    for name, field in dataset.get_field_schema().items():
        if kind := _kind(field):
            found[name] = Adoptable(f"{name}: {kind}")
    for name in object_fields(dataset):
        root = dataset._get_label_field_path(name)[1]
        for attribute, kind in _attributes(dataset, name, root).items():
            label = f"{attribute} of the objects in {name}: {kind}"
            found[f"{root}.{attribute}"] = Adoptable(label, name)
    for key in dataset.list_brain_runs():
        config = dataset.get_brain_info(key).config
        boxed = getattr(config, "patches_field", None)
        if _keeps_embeddings(dataset, config, boxed):
            of = f" on the objects in {boxed}" if boxed else ""
            label = f"{key}: a {config.type} run of FiftyOne's brain{of}"
            found[key] = Adoptable(label, boxed)
    return found


def _keeps_embeddings(dataset: fo.Dataset, config: Any, boxed: str | None) -> bool:
    """Whether embeddings of images or objects can be read back from a run of the brain."""
    if type(config).__module__.startswith("fiftyone_smic") or getattr(config, "roi_field", None):
        return False  # made from codes, and means over the objects of each image
    if config.type == "visualization":
        stored = getattr(config, "embeddings_field", None) or ""
        root = dataset._get_label_field_path(boxed)[1] if boxed else ""
        return dataset.has_field(f"{root}.{stored}" if root else stored)
    return bool(config.type == "similarity")


def _kind(field: fo.Field) -> str:
    """Return what a field of numbers is called whose encoder is not known, or nothing."""
    if isinstance(field, fo.VectorField):
        return "" if (field.info or {}).get("encoder") else "a vector field"
    numbers = isinstance(field, fo.ListField) and isinstance(field.field, fo.FloatField)
    return "a field of numbers" if numbers or isinstance(field, fo.ArrayField) else ""


#: Lists and arrays of numbers that FiftyOne's labels have, which are no embeddings.
_OWN = ("bounding_box", "mask", "points", "confidence")


def _attributes(dataset: fo.Dataset, name: str, root: str) -> dict[str, str]:
    """Return attributes of labels that may hold embeddings, declared or seen on the first one."""
    inner = dataset.get_field(root)
    inner = inner.field if isinstance(inner, fo.ListField) else inner
    declared = inner.get_field_schema()
    kinds = {attribute: _kind(field) for attribute, field in declared.items()}
    for sample in dataset.exists(name).limit(1):
        held = sample[name]
        of_list = getattr(held, "detections", None) or getattr(held, "polylines", None)
        for label in (of_list or [held])[:1]:
            for attribute, value in label.iter_fields():
                if attribute not in declared and isinstance(value, np.ndarray):
                    kinds[attribute] = "arrays"
    return {attribute: kind for attribute, kind in kinds.items() if kind and attribute not in _OWN}


def chosen_source(ctx: Any) -> tuple[str, str | None]:
    """Return which embeddings are to be adopted, and the field of the objects they are of.

    In a view of patches, and with ``patches_field``, those of the objects come first.
    """
    found = adoptable(ctx.dataset)
    source, boxed = ctx.params.get("source"), patches_field(ctx, forms.collection(ctx))
    if source in found:
        return source, found[source].patches_field
    if source:  # an attribute, as the library takes it; what is not there is refused
        return str(source), boxed
    fitting = [name for name, about in found.items() if about.patches_field == boxed]
    first = next(iter(fitting or found), "")
    return first, found[first].patches_field if first else None


def latents_field(ctx: Any, inputs: types.Object) -> str | None:
    """Choose a field of embeddings; None if there is none."""
    of_objects = object_latents(ctx.dataset)
    names = [*vector_fields(ctx.dataset), *of_objects]
    others = adoptable(ctx.dataset)
    if not names:
        why = "This dataset has no embeddings. Run 'SMIC: compute embeddings' first."
        if others:
            why += f" Or run 'SMIC: adopt embeddings' to use those of {', '.join(others)}."
        forms.stop(inputs, "no_latents", "No embeddings yet", why)
        return None
    default = chosen_latents(ctx, names)
    labels = {}
    for name in names:
        encoder = (ctx.dataset.get_field(name).info or {}).get("encoder")
        field, attribute = of_objects.get(name, (None, name))
        what = f"{attribute} of the objects in {field}" if field else name
        labels[name] = f"{what} ({encoder or 'model not known: cannot be drawn or named by words'})"
    forms.dropdown(inputs, "latents_field", labels, default, "Embeddings")
    return default


def chosen_latents(ctx: Any, names: list[str]) -> str:
    """Return which of some embeddings were chosen: by their path, or as the library says it.

    In a view of patches, and with ``patches_field``, those of the objects come first.
    """
    chosen, samples = ctx.params.get("latents_field"), forms.collection(ctx)
    of_objects = object_latents(ctx.dataset)
    field = patches_field(ctx, samples)
    fitting = [path for path, (name, _) in of_objects.items() if name == field]
    for path in fitting:
        if chosen == of_objects[path][1]:
            return path
    if chosen in names:
        return str(chosen)
    return next(iter(fitting), names[0])
