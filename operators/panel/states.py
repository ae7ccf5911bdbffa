"""What the panel shows while something is missing: what it is, and the button that mends it."""

from __future__ import annotations

from typing import Any, NamedTuple

import fiftyone as fo

from ..sources import adoptable, vector_fields


class Offer(NamedTuple):
    """A button: its label, the operator whose form it opens, and that operator's parameters."""

    label: str
    operator: str
    params: dict[str, Any]


class Missing(NamedTuple):
    """What is missing before there is something to show, and what to do about it."""

    why: str
    offers: tuple[Offer, ...] = ()


def missing(dataset: fo.Dataset, key: str | None) -> Missing | None:
    """Return what the user must do next, or None where the tabs can be shown."""
    if not len(dataset):
        return Missing("This dataset has no samples. Add images to it, then refresh the panel.")
    if key is None:
        return _no_dictionary(dataset)
    return _no_codes(dataset, key)


def _no_dictionary(dataset: fo.Dataset) -> Missing:
    compute = Offer("Compute embeddings", "compute_latents", {})
    if vector_fields(dataset):
        return Missing(
            "Embeddings are ready. Next, learn a **dictionary** of the concepts that the images "
            "are made of.",
            (Offer("Learn dictionary", "learn_dictionary", {}),),
        )
    others = adoptable(dataset)
    adopt = (Offer("Adopt embeddings", "adopt_embeddings", {}),) if others else ()
    return Missing(
        "SMIC learns the concepts that this collection is made of, and compresses each image to a "
        "few of them. It starts from **embeddings** of the images."
        + (f" Some are here already: {', '.join(others)}." if others else ""),
        (Offer("Compress this dataset", "compress_dataset", {}), *adopt, compute),
    )


def _no_codes(dataset: fo.Dataset, key: str) -> Missing | None:
    from fiftyone_smic.fiftyone import fields, runs

    schema = dataset.get_field_schema()
    names = [fields.field_name(key, suffix) for suffix in fields.CODE_SUFFIXES]
    gone = [name for name in names if name not in schema]
    latents = runs.load_config(dataset, key).latents_field
    encode = Offer("Encode samples", "encode_samples", {"key": key, "whole": True})
    if 0 < len(gone) < len(names):
        listed = ", ".join(f"`{name}`" for name in gone)
        why = f"Fields of dictionary **{key}** are missing: {listed}. Encode again to write them."
        encode = encode._replace(label="Encode again")
    elif gone or not _any(dataset, fields.field_name(key, fields.ATOMS)):
        why = f"Dictionary **{key}** is ready. Next, encode the images."
    else:
        return None
    if latents not in schema:
        why += (
            f" Their embeddings, `{latents}`, are gone too: compute them first, with the same "
            "model and into the same field."
        )
        return Missing(why, (Offer("Compute embeddings", "compute_latents", {"field": latents}),))
    return Missing(why, (encode,))


def _any(dataset: fo.Dataset, name: str) -> bool:
    """Whether any sample has a value in a field."""
    return bool(len(dataset.exists(name).limit(1)))
