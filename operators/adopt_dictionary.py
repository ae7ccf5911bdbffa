"""SMIC: adopt dictionary."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import forms
from .base import SMICOperator
from .words import amount

ANY = "search all datasets"


class AdoptDictionary(SMICOperator):
    """Take over the dictionary of codes that a clone holds."""

    operator_name = "adopt_dictionary"
    label = "SMIC: adopt dictionary"
    description = "Supply a cloned view with the dictionary that its codes were made with"
    icon = "manage"
    doing = "Looking for the dictionary"
    function = "adopt_dictionary"
    parameters = ("key", "from_dataset")
    submit = "Adopt"

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        keys = orphans(ctx.dataset)
        if not keys:
            why = (
                "All codes of this dataset have their dictionary. A clone of a view has codes "
                "without one; this takes it over from the dataset that was cloned."
            )
            forms.stop(inputs, "nothing", "Nothing to adopt", why)
            return
        key = ctx.params.get("key") or keys[0]
        prop = forms.dropdown(inputs, "key", keys, keys[0], "Codes of")
        if key not in keys:
            forms.wrong(prop, f"choose one of {', '.join(keys)}")
        others = [name for name in fo.list_datasets() if name != ctx.dataset.name]
        choices = {ANY: "Search all datasets", **{name: name for name in others}}
        forms.dropdown(inputs, "from_dataset", choices, ANY, "Take it from")

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        given.setdefault("key", next(iter(orphans(ctx.dataset)), "smic"))
        if given.get("from_dataset") == ANY:
            del given["from_dataset"]
        return given

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import adopt_dictionary

        given = self.arguments(ctx)
        return self.result(adopt_dictionary(ctx.dataset, **given), given)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return (
            f"Dictionary **{arguments['key']}** with **{amount(done.n_atoms_, 'concept')}** is "
            "stored with this dataset now, and its codes can be drawn, named and exported."
        )

    def buttons(self, done: Any, arguments: dict[str, Any]) -> Any:
        return [forms.PANEL]


def orphans(dataset: fo.Dataset) -> list[str]:
    """Return the keys whose codes are here and whose dictionary is not."""
    from fiftyone_smic.fiftyone.fields import keys_with_codes, object_keys
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    known = list_dictionaries(dataset)
    found = [*keys_with_codes(dataset), *object_keys(dataset)]
    return [key for key in found if key not in known]
