"""The tab that shows samples beside the pictures drawn again from their codes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators import types

from ..estimates import has_gallery, why_no_drawing
from ..words import TERMS, amount, share
from . import items, memory, views
from .parts import ACCENT, NARROW, OUTLINED, chip, choose, explain, picture, plot, row, small

#: Samples on one page.
PAGES = {"4": "4 a page", "8": "8 a page", "16": "16 a page", "32": "32 a page"}
#: Concepts listed for each, and the sides of its pictures in CSS pixels.
MOST_ATOMS, SIZE = 6, 144
#: The same for one that was opened, which has the panel for itself.
ALL_ATOMS, LARGE = 1000, 360
#: What the ids of a page are those of.
ID_OF = {"sample": "sample", "object": "label"}
#: A sample beside another where the panel is wide, below it where not.
BESIDE = {"item": {"sx": {"flex": 1, "minWidth": "min(100%, 520px)", "width": "auto"}}}
#: Order -> its label, the field it sorts by, and whether the largest comes first.
ORDERS: dict[str, tuple[str, str | None, bool]] = {
    "grid": ("As in the grid", None, False),
    "code": ("Worst code first", "fidelity", False),
    "drawing": ("Worst drawing first", "drawn_fidelity", False),
    "bits": ("Most bits first", "bits", True),
}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """A page of the selected samples, or else of the view."""
    from fiftyone_smic.fiftyone.runs import atom_names

    held = _paths(ctx, key)
    offered = {
        name: label
        for name, (label, suffix, _) in ORDERS.items()
        if suffix is None or ctx.dataset.has_field(held[suffix])
    }
    order = ctx.panel.state.get("paging.order")
    order = order if order in offered else "grid"
    of, what = _of(ctx, key, order)
    total, size = len(of), _page_size(ctx)
    start = _start(ctx, what, total)
    last = min(start + size, total)
    page = of[start:last]
    rows = items.read_objects(ctx, key, page) if isinstance(page, list) else _read(page, key)
    names = atom_names(ctx.dataset, key)
    noun = items.noun(ctx, key)
    which = (
        f"{noun.capitalize()}s {start + 1:,} to {last:,} of {total:,}"
        if last > start + 1
        else (f"{noun.capitalize()} {start + 1:,} of {total:,}")
    )
    alone = bool(ctx.current_sample) and total == 1
    heading = f"**{which}**{what[1]}, and what their codes draw. "
    if alone:
        heading = f"**The {noun} that is open**, and what its code draws. "
    else:
        opened = f"the {noun}" if items.selectable(ctx, key) else "its image"
        heading += f"A click on a picture opens {opened}. "
    heading += f"A click on a concept shows the {noun}s that have it."
    panel.md(heading, name="heading")
    if not alone:
        paging = row(panel, "paging", gap=2)
        choose(host, paging, "order", offered, order, "Order", width=180)
        choose(host, paging, "size", PAGES, str(size), "Page size", width=130)
    lines = row(panel, "compare", gap=2)
    for i, sample in enumerate(rows):
        _line(host, lines, i, sample, names, alone)
    coded = [sample for sample in rows if sample["atoms"] is not None]
    if len(coded) < len(rows):
        ids = [sample["id"] for sample in rows if sample["atoms"] is None]
        label = f"Encode {amount(len(ids), noun)} of this page"
        given = {"key": key, f"{ID_OF[noun]}_ids": ids}
        host.offer(panel, "encode", label, "encode_samples", given)
    _buttons(host, ctx, panel, key, coded, (what[0], total, start, size))
    _drawn_histogram(panel, ctx, key)
    explain(host, panel, "concept", "code", "bits", "fidelity", "drawn fidelity")


def _paths(ctx: Any, key: str) -> dict[str, str]:
    """Where the fields of a key are, by what they hold."""
    from fiftyone_smic.fiftyone.fields import dictionary_fields
    from fiftyone_smic.fiftyone.objects import root_of

    return dictionary_fields(key, root_of(ctx.dataset, items.objects_of(ctx, key)))


def _of(ctx: Any, key: str, order: str) -> tuple[Any, tuple[str, str]]:
    """The samples, or ids of objects, to page through; a text that differs for others, and what to
    say of them."""
    from fiftyone_smic.fiftyone.collections import image_samples

    boxed = items.objects_of(ctx, key)
    if boxed is not None:
        ids, said = items.chosen_objects(ctx, key, boxed, *ORDERS[order][1:])
        return ids, (f"{order} {ids[0]}", said)
    current = ctx.current_sample
    if current:
        return ctx.dataset.select(current), (current, " opened")
    samples, selected = image_samples(views.shown(ctx)), list(ctx.selected)
    of = samples.select(selected, ordered=True) if selected else samples
    if not len(of):  # what was selected is not in the view any more
        of, selected = samples, []
    _, suffix, reverse = ORDERS[order]
    said = " selected" if selected else ""
    if suffix is not None:
        name = f"{key}_{suffix}"
        with_value = of.exists(name)
        without = len(of) - len(with_value)
        if len(with_value):
            of = with_value.sort_by(name, reverse=reverse)
            said += f" ({without:,} without a value left out)" if without else ""
    return of, (f"{order} {of.limit(1).values('id')[0]}", said)


def _page_size(ctx: Any) -> int:
    size = str(ctx.panel.state.get("paging.size"))
    return int(size) if size in PAGES else int(next(iter(PAGES)))


def _start(ctx: Any, what: tuple[str, str], total: int) -> int:
    """Where the page starts that was turned to last: of other samples, it is the first page."""
    page = memory.of(ctx).page or [what[0], total, 0]
    return min(int(page[2]), total - 1) if page[:2] == [what[0], total] else 0


def jump(ctx: Any) -> None:
    """Turn to the page with the number that was typed."""
    what, total, size = ctx.params["what"], ctx.params["total"], ctx.params["size"]
    number = ctx.panel.state.get("buttons.number")
    if isinstance(number, (int, float)):
        pages = -(-total // size)
        memory.of(ctx).page = [what, total, (max(1, min(int(number), pages)) - 1) * size]


def _line(
    host: Any,
    lines: types.Object,
    i: int,
    sample: dict[str, Any],
    names: list[str],
    alone: bool,
) -> None:
    from fiftyone_smic.fiftyone.placeholders import is_placeholder

    size = LARGE if alone else SIZE
    square = {"item": {"sx": {"width": f"{size}px"}}}  # the place of a picture that is not there
    line = row(lines, f"row{i}", gap=2, componentsProps=BESIDE)
    opens = sample.get("opens", sample["id"])
    if not sample["filepath"]:
        line.md("*it cannot be cut out*", name="no_original", componentsProps=square)
    elif is_placeholder(sample["filepath"]):
        line.md(
            "*no original: only the code came with the archive*",
            name="no_original",
            componentsProps=square,
        )
    else:
        picture(
            line,
            "original",
            sample["filepath"],
            "Original",
            size,
            opens,
            componentsProps=NARROW,
        )
    if sample["regenerated"]:
        picture(
            line,
            "regenerated",
            sample["regenerated"],
            "Regenerated",
            size,
            opens,
            componentsProps=NARROW,
        )
    else:
        line.md("*not drawn yet*", name="pending", componentsProps=square)
    _describe(host, line, sample, names, ALL_ATOMS if alone else MOST_ATOMS)


def _buttons(
    host: Any,
    ctx: Any,
    panel: types.Object,
    key: str,
    coded: list[dict[str, Any]],
    page: tuple[str, int, int, int],
) -> None:
    from fiftyone_smic.fiftyone.runs import load_config
    from fiftyone_smic.models.identity import EncoderIdentity

    what, total, start, size = page
    buttons = row(panel, "buttons")
    if coded:
        undrawn = sum(sample["regenerated"] is None for sample in coded)
        noun = items.noun(ctx, key)
        count = amount(undrawn or len(coded), noun)
        why = why_no_drawing(load_config(ctx.dataset, key).encoder)
        nearest = has_gallery(ctx.dataset)
        # Of a known encoder, the form takes the folder of a generator of one's own.
        unknown = not EncoderIdentity.parse(load_config(ctx.dataset, key).encoder).known
        title = why or "Draw the pictures again from their codes"
        if why and nearest:
            title = f"Show the most similar picture of this dataset beside each {noun}"
            why += (
                " The most similar pictures of this dataset can be shown instead."
                if undrawn == len(coded)
                else " Unless a generator of your own drew them, the pictures on the right are the "
                "most similar others of this dataset."
            )
        host.offer(
            buttons,
            "regenerate",
            f"Draw {count} of this page" if undrawn else f"Draw {count} with other settings",
            "regenerate_samples",
            {
                "key": key,
                f"{ID_OF[noun]}_ids": [
                    s["id"] for s in coded if not undrawn or s["regenerated"] is None
                ],
            },
            icon="brush",
            disabled=unknown and not nearest,
            title=title,
            variant="contained" if undrawn else "outlined",
            componentsProps=NARROW if undrawn else OUTLINED,
        )
        if any(s["regenerated"] and s["drawn_fidelity"] is None for s in coded):
            host.offer(
                buttons,
                "measure",
                "Measure drawings",
                "measure_drawings",
                {"key": key, "whole": True},
                icon="straighten",
                title=TERMS["drawn fidelity"],
                variant="outlined",
                componentsProps=OUTLINED,
            )
        if why:
            panel.md(f"*{why}*", name="why_not")
    small(buttons, "refresh", "Refresh", "refresh", host.refresh)
    for name, label, icon, first in (
        ("back", "Previous", "chevron_left", start - size),
        ("on", "Next", "chevron_right", start + size),
    ):
        if 0 <= first < total or (name == "back" and start > 0):
            turned = [what, total, max(0, first)]
            small(buttons, name, label, icon, host.on_page, params={"page": turned})
    pages = -(-total // size)
    if pages > 2:
        wide = {"item": {"sx": {"width": "110px"}}}
        buttons.int(
            "number",
            default=start // size + 1,
            label=f"Page (of {pages:,})",
            view=types.FieldView(componentsProps=wide),
        )
        given = {"what": what, "total": total, "size": size}
        small(buttons, "jump", "Go", "arrow_forward", host.on_jump, params=given)


def _read(samples: SampleCollection, key: str) -> list[dict[str, Any]]:
    """What the fields say of each sample; None where there is nothing."""
    from fiftyone_smic.fiftyone import fields

    schema = samples.get_field_schema()
    parts = fields.dictionary_fields(key)
    share = f"{parts.pop(fields.LABELS)}.classifications.confidence"
    there = {suffix: name for suffix, name in parts.items() if name in schema}
    found = samples.values(["id", "filepath", share, *there.values()])
    names = ["id", "filepath", "shares", *there]
    return [
        items.whole_code({**dict.fromkeys(parts), **dict(zip(names, values, strict=True))})
        for values in zip(*found, strict=True)
    ]


def _describe(
    host: Any, line: types.Object, sample: dict[str, Any], names: list[str], most: int
) -> None:
    """A sample's name, numbers and concepts, at most so many."""
    about = types.Object()
    beside = {"item": {"sx": {"width": "auto", "flex": 1, "minWidth": "220px"}}}
    line.define_property(
        "about",
        about,
        view=types.GridView(orientation="vertical", gap=1, componentsProps=beside),
    )
    name = sample.get("name") or sample["filepath"].replace("\\", "/").rsplit("/", 1)[-1]
    if sample["atoms"] is None:
        about.md(f"`{name}`\n\nno code yet", name="text")
        return
    numbers = []
    if sample["bits"] is not None:
        numbers.append(f"**{sample['bits']:.0f} bits**")
    if sample["fidelity"] is not None:  # codes out of an archive: what was coded is not known
        numbers.append(f"code fidelity **{sample['fidelity']:.2f}**")
    if sample.get("drawn_fidelity") is not None:
        numbers.append(f"drawing fidelity **{sample['drawn_fidelity']:.2f}**")
    text = f"`{name}`  \n{' · '.join(numbers)}"
    if not sample["atoms"]:
        text += "\n\nno concepts: it is what the collection has in common"
    hint = f"{TERMS['bits']} {TERMS['fidelity']}"
    about.md(text, name="text", componentsProps={"container": {"title": hint}})
    chips = row(about, "chips")
    listed = zip(
        sample["atoms"][:most],
        sample["coefficients"],
        sample["shares"] or [None] * len(sample["atoms"]),
        strict=False,
    )
    for place, (atom, level, part) in enumerate(listed):
        sign = "has" if level > 0 else "lacks"
        label = names[atom] if level > 0 else f"not {names[atom]}"
        said = f"{label}: strength {abs(level)}"
        said += f", {share(part)} of the code. " if part is not None else ". "
        chip(host, chips, f"atom{place}", label, atom, sign, said)
    if len(sample["atoms"]) > most:
        more = len(sample["atoms"]) - most
        about.md(f"and {more} more", name="more")


def _drawn_histogram(panel: types.Object, ctx: Any, key: str) -> None:
    """How well the drawn pictures of the dataset have the meaning of their originals."""
    name = _paths(ctx, key)["drawn_fidelity"]
    if not ctx.dataset.has_field(name) or not ctx.dataset.count(name):
        return
    counts, edges, _ = ctx.dataset.histogram_values(name, bins=20)
    panel.md(
        f"**Fidelity of the drawn pictures.** *{TERMS['drawn fidelity']}*",
        name="drawn_title",
    )
    middle = [(low + high) / 2 for low, high in pairwise(edges)]
    plot(
        panel,
        "drawn_fidelity",
        [{"type": "bar", "x": middle, "y": list(counts), "marker": {"color": ACCENT}}],
        {
            "height": 180,
            "margin": {"l": 50, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "fidelity of the drawn picture"}},
            "yaxis": {"title": {"text": f"{items.noun(ctx, key)}s"}},
            "bargap": 0.05,
        },
    )
