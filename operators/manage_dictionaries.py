"""SMIC: manage dictionaries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fiftyone.operators import types

from . import forms
from .base import SMICOperator
from .words import TERMS, about, amount, share

ACTIONS = {
    "describe": "Describe all",
    "compare": "Compare two",
    "rename": "Rename one",
    "delete": "Delete one, with its fields",
}
SUBMIT = {"describe": "Describe", "compare": "Compare", "rename": "Rename", "delete": "Delete"}


class ManageDictionaries(SMICOperator):
    """Look after a dataset's dictionaries."""

    operator_name = "manage_dictionaries"
    label = "SMIC: manage dictionaries"
    description = "See, compare, rename or delete the dictionaries of this dataset"
    icon = "manage"
    doing = "Looking"
    function = "describe_dictionary"
    parameters = ("key", "what", "other", "new_key")

    def fill(self, ctx: Any, inputs: types.Object) -> str:
        action = forms.radio(ctx, inputs, "what", ACTIONS, "describe", "What to do")
        key = forms.dictionary_key(ctx, inputs)
        if key is not None:
            getattr(self, f"_ask_{action}")(ctx, inputs, key)
        return SUBMIT[action]

    def _ask_describe(self, ctx: Any, inputs: types.Object, key: str) -> None:
        inputs.md(_table([_description(ctx, key)]), name="about")

    def _ask_compare(self, ctx: Any, inputs: types.Object, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import list_dictionaries

        others = [other for other in list_dictionaries(ctx.dataset) if other != key]
        if not others:
            why = "There is no second dictionary to compare with."
            forms.stop(inputs, "alone", "Only one", why)
            return
        prop = forms.dropdown(inputs, "other", others, others[0], "With")
        if ctx.params.get("other", others[0]) not in others:
            forms.wrong(prop, f"choose one of {', '.join(others)}")

    def _ask_rename(self, ctx: Any, inputs: types.Object, key: str) -> None:
        from fiftyone_smic.fiftyone.runs import check_free

        prop = inputs.str(
            "new_key", label="New name", description="Its fields are renamed too", required=True
        )
        if ctx.params.get("new_key") is None:  # nobody has typed yet
            return
        try:
            check_free(ctx.dataset, ctx.params["new_key"], overwrite=False)
        except ValueError as error:
            forms.wrong(prop, str(error))

    def _ask_delete(self, ctx: Any, inputs: types.Object, key: str) -> None:
        about = _description(ctx, key)
        drawn = amount(about.drawn, "drawn picture stays", "drawn pictures stay")
        forms.note(
            inputs,
            "cost",
            f"This removes dictionary {key!r}, its {amount(about.n_atoms, 'concept')} and "
            f"{amount(about.coded, 'code')} in {amount(len(about.fields), 'field')}. It cannot be "
            f"undone. {drawn} on the disk; 'SMIC: remove all SMIC data' removes pictures too",
        )

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone import management
        from fiftyone_smic.fiftyone.runs import list_dictionaries

        key, what = forms.default_key(ctx), ctx.params.get("what", "describe")
        if what == "compare":
            others = [other for other in list_dictionaries(ctx.dataset) if other != key]
            other = ctx.params.get("other") or next(iter(others), key)
            done = management.compare_dictionaries(ctx.dataset, key, other)
            text = _table([done.one, done.other])
            if done.likeness is not None:
                text += (
                    f"\n\n{done.shared:,} of the {amount(done.one.n_atoms, 'concept')} of "
                    f"**{key}** are in **{other}** too. On average the nearest one has a "
                    f"similarity of {done.likeness:.2f} (1 is the same concept)."
                )
        elif what == "rename":
            management.rename_dictionary(ctx.dataset, key, ctx.params.get("new_key"))
            text = f"**{key}** is now called **{ctx.params['new_key']}**, and so are its fields."
        elif what == "delete":
            gone = management.delete_dictionary(ctx.dataset, key)
            text = f"Dictionary **{key}** is deleted" + (
                f", with {', '.join(f'`{name}`' for name in gone)}." if gone else "."
            )
        else:
            keys = list_dictionaries(ctx.dataset)
            text = _table([management.describe_dictionary(ctx.dataset, key) for key in keys])
        return {"summary": text, "buttons": []}

    def now(self, samples: Any, params: dict[str, Any]) -> Any:
        """Do ``params["what"]`` by a function of :mod:`fiftyone_smic.fiftyone.management`, which
        gets the other parameters; "describe" without a key describes all."""
        from fiftyone_smic.fiftyone import management
        from fiftyone_smic.fiftyone.runs import list_dictionaries

        params = dict(params)
        what = params.pop("what", "describe")
        if what == "describe" and "key" not in params:
            keys = list_dictionaries(samples)
            return [management.describe_dictionary(samples, key) for key in keys]
        functions: dict[str, Callable[..., Any]] = {
            "describe": management.describe_dictionary,
            "compare": management.compare_dictionaries,
            "rename": management.rename_dictionary,
            "delete": management.delete_dictionary,
        }
        return functions[what](samples, **params)


def _description(ctx: Any, key: str) -> Any:
    from fiftyone_smic.fiftyone.management import describe_dictionary

    return describe_dictionary(ctx.dataset, key)


def _table(descriptions: list[Any]) -> str:
    """Descriptions side by side, as Markdown."""

    def rows(d: Any) -> dict[str, str]:
        bits, kept = d.bits_per_item, d.explained_variance
        noun = forms.noun(d.patches_field)
        return {
            "Concepts": f"{d.n_atoms:,}" + (f", {d.named:,} with a name" if d.named else ""),
            "Bits each": "not known" if bits is None else f"{bits:.1f}",
            "Variance kept": "not known" if kept is None else share(kept),
            "λ": f"{d.lam:.2g}",
            "Learned from": f"{amount(d.items, noun)}, {d.created:%Y-%m-%d %H:%M} UTC",
            "Embeddings": f"{d.latents_field}, {amount(d.dim, 'number')} each"
            + (f", of the objects in {d.patches_field}" if d.patches_field else ""),
            "Model": d.encoder,
            "With a code": amount(d.coded, noun),
            "With a drawn picture": amount(d.drawn, noun),
        }

    columns = [rows(d) for d in descriptions]
    noun = forms.noun(descriptions[0].patches_field)
    terms = about(f"{TERMS['variance']} {TERMS['λ']}", noun)
    lines = ["| | " + " | ".join(f"**{d.key}**" for d in descriptions) + " |"]
    lines.append("|---" * (len(columns) + 1) + "|")
    for name in columns[0]:
        lines.append(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")
    return "\n".join([*lines, "", f"*{terms}*"])
