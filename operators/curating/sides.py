"""Two parts of a dataset to compare: tags, saved views, labels, the grid's view, a selection."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone import ViewField as F
from fiftyone.operators import types

from .. import forms
from ..words import amount
from .finder import Finder

#: Labels of one field that are offered, the most common first.
_MOST_LABELS = 30
REST = "rest"
#: The two inputs of a form.
NAMES = ("first", "second")


class OfTwoParts(Finder):
    """A finder whose form itself chooses the samples: two parts of the dataset."""

    def asked(self, ctx: Any, inputs: types.Object, key: str, labels: tuple[str, str]) -> bool:
        """Ask for the two parts; returns whether there are any."""
        if not forms.of_images(ctx, inputs, key) or not forms.coded(ctx, inputs, ctx.dataset, key):
            return False
        return ask(ctx, inputs, labels)


def offered(ctx: Any) -> dict[str, str]:
    """Return what can be compared: name -> label."""
    dataset = ctx.dataset
    found = {}
    if ctx.selected:
        found["selected"] = f"The {amount(len(ctx.selected), 'selected sample')}"
    if ctx.view is not None and ctx.view._stages:
        found["view"] = f"The view in the grid ({amount(len(ctx.view), 'sample')})"
    for tag, count in sorted(dataset.count_sample_tags().items()):
        found[f"tag:{tag}"] = f"Tag {tag} ({count:,})"
    for name in dataset.list_saved_views():
        found[f"saved:{name}"] = f"Saved view {name}"
    for path, counts in _labels(dataset).items():
        for value, count in counts:
            found[f"label:{path}={value}"] = f"{path.removesuffix('.label')}: {value} ({count:,})"
    return found


def _labels(dataset: fo.Dataset) -> dict[str, list[tuple[str, int]]]:
    from fiftyone_smic.fiftyone.statistics import label_fields

    paths = [f"{name}.label" for name in label_fields(dataset)]
    counted = dataset.aggregate([fo.CountValues(path) for path in paths]) if paths else []
    most = {}
    for path, counts in zip(paths, counted, strict=True):
        kinds = [(value, n) for value, n in counts.items() if isinstance(value, str)]
        most[path] = sorted(kinds, key=lambda kind: -kind[1])[:_MOST_LABELS]
    return most


def ask(ctx: Any, inputs: types.Object, labels: tuple[str, str]) -> bool:
    """Choose two parts; returns whether there are any."""
    options = offered(ctx)
    if not options:
        why = (
            "There is nothing to compare yet: tag samples, save a view, add labels, or select "
            "samples in the grid."
        )
        forms.stop(inputs, "no_parts", "No parts here", why)
        return False
    first, second = chosen(ctx, options)
    forms.dropdown(inputs, NAMES[0], options, first, labels[0])
    others = {REST: "All other samples", **options}
    prop = forms.dropdown(inputs, NAMES[1], others, second, labels[1])
    if first == second:
        forms.wrong(prop, "Choose another part: these are the same samples")
        return False
    n = len(view_of(ctx, first))
    m = len(ctx.dataset) - n if second == REST else len(view_of(ctx, second))
    forms.note(inputs, "sizes", f"{amount(n, 'sample')} beside {m:,}")
    return True


def chosen(ctx: Any, options: dict[str, str]) -> tuple[str, str]:
    """Return the two parts that are chosen: train and test where there are such tags."""
    usual = [f"tag:{tag}" for tag in ("train", "test") if f"tag:{tag}" in options]
    given = [ctx.params.get(name) for name in NAMES]
    first = given[0] if given[0] in options else next(iter([*usual, *options]))
    fallback = usual[1] if len(usual) == 2 and first == usual[0] else REST
    return first, given[1] if given[1] in {*options, REST} else fallback


def views(ctx: Any) -> tuple[Any, Any]:
    """Return the views of the two parts that are chosen."""
    first, second = chosen(ctx, offered(ctx))
    one = view_of(ctx, first)
    if second == REST:
        return one, ctx.dataset.exclude(one.values("id"))
    return one, view_of(ctx, second)


def view_of(ctx: Any, part: str) -> Any:
    """Return the samples of a part."""
    kind, _, name = part.partition(":")
    if kind == "selected":
        return ctx.dataset.select(list(ctx.selected))
    if kind == "view":
        return ctx.view
    if kind == "tag":
        return ctx.dataset.match_tags(name)
    if kind == "saved":
        return ctx.dataset.load_saved_view(name)
    path, _, value = name.partition("=")
    return ctx.dataset.match(F(path) == value)


def called(ctx: Any) -> tuple[str, str]:
    """Return what the two parts are called in sentences."""
    first, second = chosen(ctx, offered(ctx))
    return _called(first), "the others" if second == REST else _called(second)


def _called(part: str) -> str:
    kind, _, name = part.partition(":")
    if kind in ("selected", "view"):
        return "the selection" if kind == "selected" else "the view"
    return name.partition("=")[2] if kind == "label" else name
