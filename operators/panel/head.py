"""What stands above every tab's content: which dictionary, and what the grid was narrowed to."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from ..words import amount, one
from . import items, views
from .parts import NARROW, row, small

#: Buttons of the title row: operator, icon and what it does.
ACTIONS = (
    ("export_archive", "download", "Export an archive"),
    ("manage_dictionaries", "tune", "Rename, delete or compare dictionaries"),
    ("remove_data", "delete", "Remove all SMIC data, or a part of it"),
)
SLIM = {"padding": "4px", "boxShadow": "none", "bgcolor": "transparent"}


def choose_key(host: Any, ctx: Any, panel: types.Object, key: str | None) -> None:
    """A list of the dictionaries, where there are several."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    keys = list_dictionaries(ctx.dataset)
    if ctx.panel.state.key not in (None, key):  # it was deleted or renamed
        ctx.panel.state.key = key
    if len(keys) > 1:
        choices = types.DropdownView()
        for name in keys:
            choices.add_choice(name, label=name)
        panel.enum(
            "key", keys, default=key, label="Dictionary", view=choices, on_change=host.on_choice
        )


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """The title row, and what the grid was narrowed to, with the way back."""
    from fiftyone_smic.fiftyone.runs import load_config, stored_rate

    config = load_config(ctx.dataset, key)
    said = f"**{key}** · {amount(config.n_atoms, 'concept')}"
    if config.storage:
        bits = stored_rate(config.storage).bits_per_item
        said += f" · {bits:.1f} bits an {one(items.noun(ctx, key))}"
    line = row(panel, "title", align="center")
    line.md(said, name="what", componentsProps={"item": {"sx": {"flex": 1}}})
    for operator, icon, about in ACTIONS:
        params = {"operator": operator, "with": {"key": key}}
        look = {**NARROW, "button": {"title": about, "aria-label": about, "sx": SLIM}}
        view = types.IconButtonView(
            icon=icon, operator=host.prompt, params=params, componentsProps=look
        )
        line.view(operator, view)
    _say_narrowed(host, ctx, panel)


def _say_narrowed(host: Any, ctx: Any, panel: types.Object) -> None:
    from fiftyone_smic.fiftyone.objects import OBJECT, SAMPLE

    what = views.narrowed(ctx)
    if what is None:
        return
    line = row(panel, "narrowed", gap=2)
    view = views.shown(ctx)
    shown = amount(len(view), OBJECT if view._dataset._is_patches else SAMPLE)
    line.md(f"The grid shows the **{shown}** {what}.", name="what", componentsProps=NARROW)
    small(line, "back", "Back to the view before", "undo", host.on_back)
