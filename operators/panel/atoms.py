"""The tab that shows the atoms of a dictionary, which the App calls concepts."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from ..estimates import why_no_drawing
from ..words import TERMS, amount, share
from . import counting, items, map_data, memory
from . import map as concept_map
from .generators import choose_generator, chosen_generator
from .parts import (
    ACCENT,
    NARROW,
    OUTLINED,
    chip,
    choose,
    columns,
    explain,
    picture,
    plot,
    row,
    small,
)

lassoed = concept_map.lassoed

#: Where the panel's state has the new name of a concept, before its number.
RENAME = "top.column1.rename.name"
#: Concepts on one page of the list.
PAGE = 12
#: Size of an exemplar: five of them and the concept's own picture, or the button that draws it,
#: fill a panel of 600 pixels.
EXEMPLAR = 68
ORDERS = {
    "use": "Most common first",
    "rarity": "Rarest first",
    "purity": "Purest first",
    "lift": "Highest lift first",
}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """The map, the concept that was clicked, and all concepts in order."""
    from fiftyone_smic.fiftyone.runs import load_config

    found = counting.counted(host, ctx, panel, key)
    if found is None:
        return
    # Side by side where the panel fills the page.
    chosen = concept_map.chosen_atom(ctx, found)
    top = columns(panel, "top", 1 if chosen is None else 2, width=460)
    concept_map.lay_out(host, ctx, top[0], key, found)
    if chosen is not None:
        _describe(host, ctx, top[1], key, found, chosen)
    choose_generator(host, ctx, panel, load_config(ctx.dataset, key).encoder)
    left, right = columns(panel, "columns", width=420)
    _list(host, ctx, left, key, found)
    noun = items.noun(ctx, key)
    right.md(f"**How many {noun}s have a concept**", name="histogram_title")
    plot(
        right,
        "histogram",
        [{"type": "histogram", "x": found.has.tolist(), "marker": {"color": ACCENT}}],
        {
            "height": 200,
            "margin": {"l": 50, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": f"{noun}s that have a concept"}},
            "yaxis": {"title": {"text": "concepts"}},
            "bargap": 0.05,
        },
    )
    explain(host, panel, "concept", "strength", "purity", "lift")


def map_data_of(ctx: Any, key: str) -> list[dict[str, Any]]:
    """Return what the map of a dictionary is drawn from."""
    return concept_map.data(ctx, key, counting.statistics(ctx, key))


def pointed_at(ctx: Any, key: str) -> dict[str, str]:
    """Return the picture and the name of a dot or an atom of the map."""
    found, dot, atom = counting.statistics(ctx, key), ctx.params.get("dot"), ctx.params.get("atom")
    return map_data.pointed_at(ctx, key, found, dot, atom)


def _describe(host: Any, ctx: Any, panel: types.Object, key: str, found: Any, chosen: int) -> None:
    """The concept that was clicked last."""
    from fiftyone_smic.fiftyone.statistics import describe_atom

    atom = describe_atom(ctx.dataset, key, chosen, most=5, statistics=found)
    text = f"##### {atom.name}\n\nConcept {atom.atom}."
    if atom.has:
        text += f" Strength {atom.weight:.1f}: the mean number in the codes that have it."
    panel.md(text, name="chosen", componentsProps={"container": {"title": TERMS["strength"]}})
    signs = row(panel, "signs")
    noun = items.noun(ctx, key)
    has = amount(atom.has, f"{noun} has it", f"{noun}s have it")
    lacks = amount(atom.lacks, f"{noun} lacks it", f"{noun}s lack it")
    chip(host, signs, "has", has, atom.atom)
    if atom.lacks:
        about = "To lack a concept is more than not to have it: the code subtracts it. "
        chip(host, signs, "lacks", lacks, atom.atom, "lacks", about)
    _pictures(host, ctx, panel, key, atom)
    if atom.companions:
        panel.md(
            f"Often together with it, the strongest association first, with the number of {noun}s "
            "that have both:",
            name="with",
        )
        chips = row(panel, "companions")
        for number, name, both in atom.companions:
            chip(host, chips, f"atom{number}", f"{name} ({both:,})", number)
    rename = row(panel, "rename", gap=2)
    wide = {"item": {"sx": {"width": "240px"}}}
    rename.str(
        f"name{atom.atom}",
        label="New name",
        description="Leave empty to remove the name",
        view=types.FieldView(componentsProps=wide),
    )
    small(rename, "do", "Rename", "edit", host.on_rename, params={"atom": atom.atom})


def _pictures(host: Any, ctx: Any, panel: types.Object, key: str, atom: Any) -> None:
    """The concept's own picture, and the samples that are most typical of it."""
    from fiftyone_smic.fiftyone.mixing import atom_path
    from fiftyone_smic.fiftyone.runs import load_config

    noun = items.noun(ctx, key)
    panel.md(f"**Most typical {noun}s**", name="typical_title")
    line = row(panel, "exemplars")
    encoder = load_config(ctx.dataset, key).encoder
    generator = chosen_generator(ctx, encoder)
    drawn = atom_path(ctx.dataset, key, atom.atom, generator)
    why = "" if generator else why_no_drawing(encoder)
    if drawn.exists():
        picture(line, "drawn", str(drawn), "The concept, drawn", 128, componentsProps=NARROW)
    else:
        line.btn(
            "draw",
            label="Draw this concept",
            icon="brush",
            variant="outlined",
            on_click=host.on_draw_atom,
            params={"atom": atom.atom},
            disabled=bool(why),
            title=why or "Draw the average image, moved towards this concept alone",
            componentsProps=OUTLINED,
        )
    for i, (path, sample) in enumerate(items.files(ctx, key, atom.exemplars)):
        name = f"exemplar{i}"
        picture(line, name, path, f"Typical {noun}", EXEMPLAR, sample, componentsProps=NARROW)
    if atom.opposites:
        panel.md(f"**Most typical {noun}s that lack it**", name="opposites_title")
        others = row(panel, "opposites")
        for i, (path, sample) in enumerate(items.files(ctx, key, atom.opposites)):
            name = f"opposite{i}"
            about = f"Opposite {noun}"
            picture(others, name, path, about, EXEMPLAR, sample, componentsProps=NARROW)


def listed(found: Any, order: str, search: str = "") -> list[int]:
    """Return the atoms whose name or number fits a search, in an order.

    Args:
        found: Statistics.
        order: One of :data:`ORDERS`.
        search: A part of the name, or the number.
    """
    import numpy as np

    # Atoms that no sample has are not rare but useless, so they go last.
    had = np.where(found.has > 0, found.has.astype(float), np.inf)
    first = {"use": -found.has, "rarity": had, "purity": -found.purity, "lift": -found.lift}[order]
    ordered = np.lexsort((-found.has, first)).tolist()  # NaN goes last
    wanted = search.strip().lower()
    return [
        i for i in ordered if not wanted or wanted in found.names[i].lower() or wanted == str(i)
    ]


def _list(host: Any, ctx: Any, panel: types.Object, key: str, found: Any) -> None:
    """The atoms in the order that was chosen, a page at a time."""
    fields, labels = counting.label_choice(ctx, key)
    order = ctx.panel.state.get("columns.column0.order.by")
    if order not in ORDERS or (order in ("purity", "lift") and labels is None):
        order = "use"
    choices = row(panel, "order", gap=2)
    offered = {n: text for n, text in ORDERS.items() if fields or n not in ("purity", "lift")}
    choose(host, choices, "by", offered, order, "Order", width=180)
    if fields:
        choose(host, choices, "labels", {f: f for f in fields}, labels, "Compare with", width=150)
    search = str(ctx.panel.state.get("columns.column0.order.search") or "")
    choices.str(
        "search",
        default=search,
        label="Search",
        view=types.FieldView(componentsProps={"item": {"sx": {"width": "150px"}}}),
        on_change=host.on_choice,
    )
    atoms = listed(found, order, search)
    mark = [order, search, len(atoms)]
    page = memory.of(ctx).list_page or [*mark, 0]
    start = int(page[3]) if page[:3] == mark else 0
    shown = atoms[start : start + PAGE]
    if not atoms:
        panel.md(f"No concept is called like “{search}”.", name="nothing")
    typical = {i: found.typical[i] for i in shown if found.typical[i] is not None}
    pictures = dict(zip(typical, items.files(ctx, key, list(typical.values())), strict=True))
    for i in shown:
        _entry(host, panel, found, i, pictures.get(i))
    if len(atoms) <= PAGE:
        return
    count = amount(len(atoms), "concept")
    panel.md(f"{start + 1:,} to {start + len(shown):,} of {count}", name="where")
    buttons = row(panel, "list_buttons")
    for name, label, icon, first in (
        ("back", "Previous concepts", "chevron_left", start - PAGE),
        ("on", "More concepts", "chevron_right", start + PAGE),
    ):
        if 0 <= first < len(atoms):
            given = {"page": [*mark, first]}
            small(buttons, name, label, icon, host.on_list_page, params=given)


def _entry(
    host: Any, panel: types.Object, found: Any, atom: int, typical: tuple[str, str | None] | None
) -> None:
    """One atom of the list."""
    line = row(panel, f"entry{atom}")
    if typical is not None:
        path, sample = typical
        name = f"Typical of {found.names[atom]}"
        picture(line, "picture", path, name, 40, sample, componentsProps=NARROW)
    line.btn(
        "name",
        label=found.names[atom],
        variant="outlined",
        on_click=host.on_describe,
        params={"atom": atom},
        title="Describe this concept above",
        componentsProps={**NARROW, "button": {"sx": {"padding": "2px 10px"}}},
    )
    has, lacks = int(found.has[atom]), int(found.lacks[atom])
    chip(host, line, "has", f"{has:,} have it", atom)
    if lacks:
        chip(host, line, "lacks", f"{lacks:,} lack it", atom, "lacks")
    if found.labels[atom]:
        said = (
            f"{found.labels[atom]} {share(found.purity[atom])} (dataset: "
            f"{share(found.base[atom])}, lift {found.lift[atom]:.1f})"
        )
        about = f"{TERMS['purity']} {TERMS['lift']}"
        props = {**NARROW, "container": {"title": about}}
        line.md(said, name="label", componentsProps=props)
