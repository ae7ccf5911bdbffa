"""Which embeddings a dataset has, for the forms that ask for some."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import forms

#: Types of FiftyOne's brain runs that can hold an embedding of each sample.
_BRAIN = ("similarity", "visualization")


def vector_fields(dataset: fo.Dataset) -> list[str]:
    """Return the vector fields, those whose model is known first."""
    schema = dataset.get_field_schema()
    names = [name for name, field in schema.items() if isinstance(field, fo.VectorField)]
    return sorted(names, key=lambda name: (not (schema[name].info or {}).get("encoder"), name))


def adoptable(dataset: fo.Dataset) -> dict[str, str]:
    """Return what may hold embeddings that SMIC does not know yet: name -> label."""
    found = {}
    for name, field in dataset.get_field_schema().items():
        numbers = isinstance(field, fo.ListField) and isinstance(field.field, fo.FloatField)
        known = isinstance(field, fo.VectorField) and (field.info or {}).get("encoder")
        if isinstance(field, fo.VectorField) and not known:
            found[name] = f"{name}: a vector field"
        elif numbers or isinstance(field, fo.ArrayField):
            found[name] = f"{name}: a field of numbers"
    for key in dataset.list_brain_runs():
        kind = dataset.get_brain_info(key).config.type
        if kind in _BRAIN:
            found[key] = f"{key}: a {kind} run of FiftyOne's brain"
    return found


def latents_field(ctx: Any, inputs: types.Object) -> str | None:
    """Choose a field of embeddings; None if there is none."""
    schema = ctx.dataset.get_field_schema()
    names = vector_fields(ctx.dataset)
    others = adoptable(ctx.dataset)
    if not names:
        why = "This dataset has no embeddings. Run 'SMIC: compute embeddings' first."
        if others:
            why += f" Or run 'SMIC: adopt embeddings' to use those of {', '.join(others)}."
        forms.stop(inputs, "no_latents", "No embeddings yet", why)
        return None
    chosen = ctx.params.get("latents_field")
    default = chosen if chosen in names else names[0]
    labels = {}
    for name in names:
        encoder = (schema[name].info or {}).get("encoder")
        labels[name] = f"{name} ({encoder or 'model not known: cannot be drawn or named by words'})"
    forms.dropdown(inputs, "latents_field", labels, default, "Embeddings")
    return default
