"""The tab that finds, chooses, cleans and compares."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from .. import findings
from ..search_samples import why_no_texts
from ..words import amount, share
from . import counting, outcomes
from .parts import NARROW, OUTLINED, bar, chip, columns, explain, picture, row, small

#: Concepts of the overview.
LARGEST = 8
#: Where the panel's state has what was typed.
TEXT = "cards.column0.find.ask.text"

#: Card -> its title, what it is for, and its buttons: operator, label, icon, help.
CARDS: dict[str, tuple[str, str, tuple[tuple[str, str, str, str], ...]]] = {
    "find": (
        "Find",
        "What do you look for? A text, pictures like the selected ones, or concepts.",
        (
            (
                "search_samples",
                "By concepts",
                "filter_alt",
                "Join concepts by & (and), | (or) and ! (not)",
            ),
        ),
    ),
    "choose": (
        "Choose",
        "Which samples stand for all? To label first, to test on, or to show.",
        (("select_subset", "Choose a subset", "checklist", "Representative, diverse, balanced"),),
    ),
    "clean": (
        "Clean",
        "What should go, or be looked at again?",
        (
            ("find_near_duplicates", "Near duplicates", "content_copy", "And the one to keep"),
            ("find_outliers", "Outliers", "scatter_plot", "Samples that do not belong here"),
            ("find_label_issues", "Label issues", "rule", "Labels that look wrong"),
            ("find_leaks", "Leaks", "compare_arrows", "Near duplicates across train and test"),
        ),
    ),
    "compare": (
        "Compare",
        "How do two parts differ, and which concepts go with labels or errors?",
        (
            ("compare_parts", "Two parts", "compare", "Tags, views, labels or a selection"),
            ("explain_labels", "Labels", "label", "Which concepts go with which label"),
            ("find_weak_slices", "Weak slices", "trending_down", "Where a model errs most"),
            ("find_novel", "What is new", "new_releases", "What a known part does not prepare for"),
        ),
    ),
}
#: Cards that stand one below the other in each column.
ORDER = (("find", "choose"), ("clean", "compare"))
FRAME = {
    "item": {
        "sx": {
            "width": "100%",
            "boxSizing": "border-box",
            "border": 1,
            "borderColor": "divider",
            "borderRadius": "8px",
            "p": 2,
        }
    }
}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """What the collection is made of, and a card for each of the four things to do."""
    from fiftyone_smic.fiftyone.runs import check_of_images, load_config

    check_of_images(load_config(ctx.dataset, key), key)  # the panel shows what it says
    found = counting.counted(host, ctx, panel, key)
    if found is None:
        return
    _overview(host, panel, found)
    for column, names in zip(columns(panel, "cards"), ORDER, strict=True):
        for name in names:
            _card(host, ctx, column, name, key)
    explain(host, panel, "concept", "code", "near", "q")


def _overview(host: Any, panel: types.Object, found: Any) -> None:
    """The largest concepts, with a picture and a bar each."""
    concepts = amount(len(found.names), "concept")
    unused = int((found.has == 0).sum())
    verb = "is" if unused == 1 else "are"
    alone = f" {unused:,} of them {verb} in no sample." if unused else ""
    panel.md(
        f"**{amount(found.items, 'sample')}, {concepts}.**{alone} The largest concepts, "
        "and in how many samples each is; a click shows these samples.",
        name="overview_title",
    )
    largest = sorted(range(len(found.names)), key=lambda i: -found.has[i])[:LARGEST]
    largest = [i for i in largest if found.has[i]]
    half = -(-len(largest) // 2)
    sides = columns(panel, "overview", width=260)
    for column, atoms in zip(sides, (largest[:half], largest[half:]), strict=True):
        for atom in atoms:
            line = row(column, f"atom{atom}", align="center")
            if found.typical[atom] is not None:
                sample, path = found.typical[atom]
                about = f"Typical of {found.names[atom]}"
                picture(line, "picture", path, about, 40, sample, componentsProps=NARROW)
            part = found.has[atom] / max(1, found.items)
            bar(line, "bar", part, 90)
            line.md(share(part), name="share", componentsProps={"item": {"sx": {"width": "44px"}}})
            chip(host, line, "name", found.names[atom], atom)


def _card(host: Any, ctx: Any, column: types.Object, name: str, key: str) -> None:
    title, about, buttons = CARDS[name]
    card = types.Object()
    column.define_property(
        name, card, view=types.GridView(orientation="vertical", gap=1, componentsProps=FRAME)
    )
    card.md(f"##### {title}\n\n{about}", name="title")
    if name == "find":
        _ask(host, ctx, card, key)
    line = row(card, "buttons")
    for operator, label, icon, help_text in buttons:
        given = {"key": key, "quiet": True}
        if operator == "search_samples":
            given["by"] = "concepts"
        host.offer(
            line,
            operator,
            label,
            operator,
            given,
            icon=icon,
            title=help_text,
            variant="outlined",
            componentsProps=OUTLINED,
        )
    if name == "find":
        _like(host, ctx, line)
    finding = findings.of_card(ctx.dataset, key, name)
    if finding is not None:
        outcomes.lay_out(host, ctx, card, finding)


def _ask(host: Any, ctx: Any, card: types.Object, key: str) -> None:
    """The line to type a text into."""
    why = why_no_texts(ctx.dataset, key)
    if why:
        card.md(f"*{why}*", name="why_not")
        return
    line = row(card, "ask", align="bottom")
    line.str(
        "text",
        default=ctx.panel.state.get(TEXT),  # what was typed, see the panel's tabs
        label="Search the whole dataset",
        view=types.FieldView(componentsProps={"item": {"sx": {"width": "230px"}}}),
    )
    line.btn(
        "search",
        label="Search",
        icon="search",
        variant="contained",
        on_click=host.on_search,
        componentsProps=NARROW,
    )


def _like(host: Any, ctx: Any, line: types.Object) -> None:
    """A button that searches for pictures like those that are selected."""
    n = len(ctx.selected)
    label = f"Like the {amount(n, 'selected sample')}" if n else "Like the selected samples"
    small(
        line,
        "like",
        label,
        "image_search",
        host.on_like,
        disabled=not n,
        title="Select samples in the grid first" if not n else "Find the most similar samples",
    )


def typed(ctx: Any) -> str:
    """Return the text that was typed."""
    return str(ctx.panel.state.get(TEXT) or "").strip()
