"""Splits of a collection: which sample lies in which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fiftyone.core.collections import SampleCollection


def split_of_each(
    samples: SampleCollection, splits: Iterable[str] | Mapping[str, SampleCollection | str]
) -> dict[str, str]:
    """Return sample id -> split.

    Args:
        samples: The collection; samples of no split are left out.
        splits: Tags, or split -> a view or tag.

    Raises:
        ValueError: There is one split only, one is empty, or a sample lies in two.
    """
    if not isinstance(splits, (Mapping, Iterable)):
        raise ValueError(f"splits are a field, a list of tags or a dict of views, not {splits!r}")
    named = splits if isinstance(splits, Mapping) else {name: name for name in splits}
    for name, part in named.items():
        if not isinstance(part, (str, SampleCollection)):
            raise ValueError(
                f"split {name!r} must be a view or a tag, not a {type(part).__name__}; ids become "
                "a view with dataset.select(ids)"
            )
    if len(named) < 2:
        raise ValueError(
            f"there is {len(named)} split and a leak lies between two; give a field, or a dict "
            'such as {"train": view, "test": view}'
        )
    there = set(samples.values("id"))
    where: dict[str, str] = {}
    for name, part in named.items():
        view = samples.match_tags(part) if isinstance(part, str) else part
        ids = [i for i in view.values("id") if i in there]
        if not ids:
            raise ValueError(
                f"split {name!r} has no samples of this view; "
                + (f"none has the tag {part!r}" if isinstance(part, str) else "choose another view")
            )
        twice = [i for i in ids if i in where]
        if twice:
            raise ValueError(
                f"{len(twice)} samples lie in {where[twice[0]]!r} and in {name!r} (the first: "
                f"{twice[0]}); put each into one split"
            )
        where.update(dict.fromkeys(ids, name))
    return where
