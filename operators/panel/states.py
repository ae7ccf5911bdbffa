"""What the panel shows while something is missing: what it is, and the button that mends it."""

from __future__ import annotations

from typing import Any, NamedTuple

import fiftyone as fo

from fiftyone_smic.fiftyone.collections import is_empty

from ..sources import adoptable, object_latents, vector_fields


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
    if is_empty(dataset):
        return Missing("This dataset has no samples. Add images to it, then refresh the panel.")
    if key is None:
        return _no_dictionary(dataset)
    return _no_codes(dataset, key)


def _no_dictionary(dataset: fo.Dataset) -> Missing:
    compute = Offer("Compute embeddings", "compute_latents", {})
    if vector_fields(dataset) or object_latents(dataset):
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
    from fiftyone_smic.fiftyone.objects import CODE_SPECS, root_of

    config = runs.load_config(dataset, key)
    boxed = config.patches_field
    if boxed is not None and not dataset.has_field(boxed):
        return Missing(
            f"Dictionary **{key}** codes the objects in `{boxed}`, and this field is not there any "
            "more. Add it again, or delete the dictionary.",
            (Offer("Manage dictionaries", "manage_dictionaries", {}),),
        )
    root = root_of(dataset, boxed)
    suffixes = [spec.suffix for spec in CODE_SPECS] if root else fields.CODE_SUFFIXES
    held = fields.dictionary_fields(key, root)
    names = [held[suffix] for suffix in suffixes]
    gone = [name for name in names if not dataset.has_field(name)]
    latents = f"{root}.{config.latents_field}" if root else config.latents_field
    encode = Offer("Encode samples", "encode_samples", {"key": key, "whole": True})
    if 0 < len(gone) < len(names):
        listed = ", ".join(f"`{name}`" for name in gone)
        why = f"Fields of dictionary **{key}** are missing: {listed}. Encode again to write them."
        encode = encode._replace(label="Encode again")
    elif gone or not _any(dataset, names[0]):
        why = f"Dictionary **{key}** is ready. Next, encode the {'objects' if root else 'images'}."
    else:
        return None
    if not dataset.has_field(latents):
        why += (
            f" Their embeddings, `{latents}`, are gone too: compute them first, with the same "
            "model and into the same field."
        )
        given = {"field": config.latents_field, **({"patches_field": boxed} if boxed else {})}
        return Missing(why, (Offer("Compute embeddings", "compute_latents", given),))
    return Missing(why, (encode,))


def _any(dataset: fo.Dataset, name: str) -> bool:
    """Whether any sample has a value in a field, or any label in an attribute."""
    if "." in name:
        return bool(dataset.count(name))
    return bool(len(dataset.exists(name).limit(1)))
