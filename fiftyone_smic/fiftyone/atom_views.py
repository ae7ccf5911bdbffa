"""Views of the samples whose code has, or lacks, an atom.

An atom is a direction, and a code adds it with a positive coefficient or subtracts it with a
negative one. "Night" added and "night" subtracted are opposites, so they are never counted or
shown together unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import fiftyone as fo
from fiftyone import ViewExpression as E
from fiftyone import ViewField as F
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.codes import objects_of
from fiftyone_smic.fiftyone.objects import images_of, root_of
from fiftyone_smic.utils.defaults import KEY

#: ``"has"``: the coefficient is positive. ``"lacks"``: it is negative. ``"either"``: it is not 0.
Sign = Literal["has", "lacks", "either"]
SIGNS: tuple[Sign, ...] = ("has", "lacks", "either")


def match_atom(
    samples: SampleCollection, atom: int | Sequence[int], key: str = KEY, *, sign: Sign = "has"
) -> fo.DatasetView:
    """Select the samples whose code has an atom, or lacks it.

    The view narrows what it is given: filters and the order of a view stay. For a dictionary of
    objects it holds the samples of which an object has the atom, with these objects only;
    ``view.to_patches(field)`` shows each by itself.

    Args:
        samples: A dataset or view.
        atom: An atom's number, counted from 0, or several numbers of which any counts.
        key: A dictionary of the dataset.
        sign: ``"has"`` for positive coefficients, ``"lacks"`` for negative ones, ``"either"`` for
            both.

    Returns:
        A view of ``samples``. The stage that it adds is a few hundred bytes long for any number of
        samples.

    Raises:
        ValueError: The samples have no codes of ``key``, or ``sign`` is none of the three.

    Example:
        >>> import fiftyone as fo
        >>> from fiftyone_smic.fiftyone import match_atom
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [
        ...         fo.Sample("/data/a.jpg", smic_atoms=[0, 3], smic_coefficients=[2, -1]),
        ...         fo.Sample("/data/b.jpg", smic_atoms=[3], smic_coefficients=[1]),
        ...     ],
        ...     progress=False,
        ... )
        >>> match_atom(dataset, 3).values("filepath"), len(match_atom(dataset, 3, sign="lacks"))
        (['/data/b.jpg'], 1)
        >>> dataset.delete()
    """
    if sign not in SIGNS:
        raise ValueError(f"sign must be one of {', '.join(map(repr, SIGNS))}, not {sign!r}")
    patches_field = objects_of(samples, key)
    if patches_field is not None:
        return _match_objects(images_of(samples, patches_field), patches_field, atom, key, sign)
    names = fields.dictionary_fields(key)
    missing = {names[s] for s in (fields.ATOMS, fields.COEFFICIENTS)} - {
        *samples.get_field_schema()
    }
    if missing:
        raise ValueError(
            f"the samples have no field {min(missing)!r}; write the codes first with "
            f"fiftyone_smic.encode(dataset, key={key!r})"
        )
    atoms = [atom] if isinstance(atom, int) else [int(number) for number in atom]
    stage: dict[str, Any] = {names[fields.ATOMS]: {"$in": atoms}}
    if sign != "either":
        operator = "$gt" if sign == "has" else "$lt"
        each = [_coefficient_is(operator, names, number) for number in atoms]
        stage["$expr"] = each[0] if len(each) == 1 else {"$or": each}
    return samples.match(stage)


def _match_objects(
    samples: SampleCollection,
    patches_field: str,
    atom: int | Sequence[int],
    key: str,
    sign: Sign,
) -> fo.DatasetView:
    """Select objects as :func:`match_atom` selects samples."""
    root = root_of(samples._root_dataset, patches_field)
    atoms, levels = (fields.field_name(key, s) for s in (fields.ATOMS, fields.COEFFICIENTS))
    if not samples._root_dataset.has_field(f"{root}.{atoms}"):
        raise ValueError(
            f"the objects in {patches_field!r} have no codes of {key!r}; write them first with "
            f"fiftyone_smic.encode(dataset, key={key!r})"
        )
    held = F(atoms).if_else(F(atoms), [])
    found = None
    for number in [atom] if isinstance(atom, int) else atom:
        one = held.contains(int(number))
        if sign != "either":
            place = E({"$indexOfArray": [F(atoms), int(number)]})
            level = E({"$arrayElemAt": [F(levels), place]})
            one = one.if_else(level > 0 if sign == "has" else level < 0, False)
        found = one if found is None else found | one
    return samples.filter_labels(patches_field, False if found is None else found)


def _coefficient_is(operator: str, names: dict[str, str], atom: int) -> dict[str, Any]:
    """Return a MongoDB expression that is true if an atom's coefficient is above or below 0."""
    atoms, levels = f"${names[fields.ATOMS]}", f"${names[fields.COEFFICIENTS]}"
    place: dict[str, Any] = {"$indexOfArray": [atoms, atom]}
    # MongoDB returns place -1 for a missing atom, and -1 would read the last element of the list.
    return {
        "$and": [
            {"$in": [atom, atoms]},
            {operator: [{"$arrayElemAt": [levels, place]}, 0]},
        ]
    }
