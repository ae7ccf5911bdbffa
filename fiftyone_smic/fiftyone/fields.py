"""The sample fields of a dictionary key: their names, their types, and how they are written."""

from __future__ import annotations

import keyword
from collections.abc import Mapping, Sequence
from typing import Any

import fiftyone as fo

ATOMS = "atoms"
COEFFICIENTS = "coefficients"
BITS = "bits"
FIDELITY = "fidelity"
LABELS = "labels"
REGENERATED = "regenerated"

#: What ``encode`` writes for each sample, in this order.
CODE_SUFFIXES = (ATOMS, COEFFICIENTS, BITS, FIDELITY, LABELS)
#: Every field that belongs to a key and follows it when it is renamed or deleted.
ALL_SUFFIXES = (*CODE_SUFFIXES, REGENERATED)

DESCRIPTIONS = {
    ATOMS: "SMIC: the dictionary atoms this sample is made of",
    COEFFICIENTS: "SMIC: the integer coefficient of each atom",
    BITS: "SMIC: bits this sample's code takes",
    FIDELITY: "SMIC: cosine between the latent and its rebuilt version, the mean removed",
    LABELS: "SMIC: the atoms as labels; the confidence is an atom's share of the code",
    REGENERATED: "SMIC: path of the picture drawn again from the code",
}


def field_name(key: str, suffix: str) -> str:
    """The sample field that holds ``suffix`` for the dictionary ``key``."""
    return f"{key}_{suffix}"


def dictionary_fields(key: str) -> dict[str, str]:
    """The sample fields of a key, by what they hold: ``{"atoms": "<key>_atoms", …}``."""
    return {suffix: field_name(key, suffix) for suffix in ALL_SUFFIXES}


def atom_name(atom: int) -> str:
    """What an atom without a name of its own is called."""
    return f"atom {atom}"


def existing_fields(samples: fo.core.collections.SampleCollection, key: str) -> list[str]:
    """Those of a key's fields that the dataset has."""
    schema = samples._root_dataset.get_field_schema()
    return [name for name in dictionary_fields(key).values() if name in schema]


def check_key(key: Any) -> str:
    """Return ``key`` if sample fields can be named after it.

    Raises:
        ValueError: if it is no valid field name
    """
    if not isinstance(key, str) or not key.isidentifier() or keyword.iskeyword(key):
        raise ValueError(
            f"{key!r} cannot be a dictionary key: sample fields are named after it, so it must "
            "start with a letter and hold only letters, digits and underscores, like 'smic'"
        )
    if key.startswith("_"):
        raise ValueError(
            f"{key!r} cannot be a dictionary key: FiftyOne reserves fields that start with an "
            f"underscore; use {key.lstrip('_') or 'smic'!r}"
        )
    return key


def declare(dataset: fo.Dataset, key: str, suffixes: Sequence[str]) -> None:
    """Add those fields of a key that are missing, with their types and descriptions."""
    for suffix in suffixes:
        name = field_name(key, suffix)
        if dataset.has_sample_field(name):
            continue
        described: dict[str, Any] = {"description": DESCRIPTIONS[suffix]}
        if suffix in (ATOMS, COEFFICIENTS):
            dataset.add_sample_field(name, fo.ListField, subfield=fo.IntField, **described)
        elif suffix in (BITS, FIDELITY):
            dataset.add_sample_field(name, fo.FloatField, **described)
        elif suffix == LABELS:
            dataset.add_sample_field(
                name,
                fo.EmbeddedDocumentField,
                embedded_doc_type=fo.Classifications,
                **described,
            )
        else:
            dataset.add_sample_field(name, fo.StringField, **described)


def everything(dataset: fo.Dataset) -> fo.core.collections.SampleCollection:
    """All samples of a dataset, of every group slice."""
    if dataset.media_type == fo.core.media.GROUP:
        return dataset.select_group_slices(_allow_mixed=True)
    return dataset


def read(dataset: fo.Dataset, ids: Sequence[str], names: Sequence[str]) -> list[list[Any]]:
    """Values of sample fields in the order of ``ids``: one list of N per name."""
    found, *columns = everything(dataset).select(ids).values(["id", *names])
    place = {sample_id: i for i, sample_id in enumerate(found)}
    order = [place[sample_id] for sample_id in ids]
    return [[column[i] for i in order] for column in columns]


def write(dataset: fo.Dataset, ids: Sequence[str], values: Mapping[str, Sequence[Any]]) -> None:
    """Set sample fields in bulk, all or none.

    If writing is interrupted or fails, every field gets its former values back before the
    exception goes on.

    Args:
        dataset: the dataset that owns the samples
        ids: N sample ids
        values: field name -> N values; the fields exist
    """
    before = dict(zip(values, read(dataset, ids, list(values)), strict=True))
    started: list[str] = []
    try:
        for name, column in values.items():
            started.append(name)
            dataset.set_values(name, dict(zip(ids, column, strict=True)), key_field="id")
    except BaseException:
        for name in started:
            dataset.set_values(name, dict(zip(ids, before[name], strict=True)), key_field="id")
        raise
