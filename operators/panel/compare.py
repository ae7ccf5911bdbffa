"""The tab that shows samples beside the pictures drawn again from their codes."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from .parts import NARROW, OUTLINED, chip, picture, row

#: Samples on one page.
PAGE = 4
#: Atoms listed for one of them.
MOST_ATOMS = 6
SIZE = "144px"
#: Holds the place of a picture that has not been drawn.
SQUARE: dict[str, Any] = {"item": {"sx": {"width": SIZE}}}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """A page of the selected samples, or else of the view."""
    from fiftyone_smic.fiftyone.collections import image_samples
    from fiftyone_smic.fiftyone.runs import atom_names

    samples, selected = image_samples(ctx.view), list(ctx.selected)
    of = samples.select(selected, ordered=True) if selected else samples
    if not len(of):  # what was selected is not in the view any more
        of, selected = samples, []
    total, what = len(of), of.limit(1).values("id")[0]
    start = _start(ctx, what, total)
    last = min(start + PAGE, total)
    rows = _read(of[start:last], key)
    names = atom_names(ctx.dataset, key)
    panel.md(
        f"**Samples {start + 1:,} to {last:,} of {total:,}**{' selected' if selected else ''}, and "
        "what their codes draw. Click an atom to see the samples that use it.",
        name="heading",
    )
    lines = panel.v_stack("compare", gap=2)
    for i, sample in enumerate(rows):
        line = row(lines, f"row{i}", gap=2)
        picture(line, "original", sample["filepath"], "Original", SIZE, componentsProps=NARROW)
        if sample["regenerated"]:
            picture(
                line,
                "regenerated",
                sample["regenerated"],
                "Regenerated",
                SIZE,
                componentsProps=NARROW,
            )
        else:
            line.md("*not drawn yet*", name="pending", componentsProps=SQUARE)
        _describe(host, line, sample, names)
    coded = [sample for sample in rows if sample["atoms"] is not None]
    if len(coded) < len(rows):
        missing = [sample["id"] for sample in rows if sample["atoms"] is None]
        host.offer(
            panel,
            "encode",
            f"Encode {len(missing)} of them",
            "encode_samples",
            {"key": key, "sample_ids": missing},
        )
    buttons = row(panel, "buttons")
    if coded:
        undrawn = sum(sample["regenerated"] is None for sample in coded)
        host.offer(
            buttons,
            "regenerate",
            {0: "Draw with other settings", 1: "Draw the missing one"}.get(
                undrawn, f"Draw the {undrawn} missing"
            ),
            "regenerate_samples",
            {"key": key, "sample_ids": [sample["id"] for sample in coded]},
            icon="brush",
            variant="contained" if undrawn else "outlined",
            componentsProps=NARROW if undrawn else OUTLINED,
        )
    _button(buttons, "refresh", "Refresh", "refresh", host.refresh)
    for name, label, icon, first in (
        ("back", "Previous", "chevron_left", start - PAGE),
        ("on", "Next", "chevron_right", start + PAGE),
    ):
        if 0 <= first < total:
            page = [what, total, first]
            _button(buttons, name, label, icon, host.on_page, params={"page": page})


def _button(
    buttons: types.Object, name: str, label: str, icon: str, on_click: Any, **more: Any
) -> None:
    buttons.btn(
        name,
        label=label,
        icon=icon,
        variant="outlined",
        on_click=on_click,
        componentsProps=OUTLINED,
        **more,
    )


def _start(ctx: Any, what: str, total: int) -> int:
    """Where the page starts that was turned to last: of other samples, it is the first page."""
    page = ctx.panel.state.page or [what, total, 0]
    return int(page[2]) if page[:2] == [what, total] else 0


def _read(samples: fo.core.collections.SampleCollection, key: str) -> list[dict[str, Any]]:
    """What the fields say of each sample; None where there is nothing."""
    from fiftyone_smic.fiftyone import fields

    schema = samples.get_field_schema()
    parts = fields.dictionary_fields(key)
    share = f"{parts.pop(fields.LABELS)}.classifications.confidence"
    there = {suffix: name for suffix, name in parts.items() if name in schema}
    columns = samples.values(["id", "filepath", share, *there.values()])
    names = ["id", "filepath", "shares", *there]
    return [
        {**dict.fromkeys(parts), **dict(zip(names, values, strict=True))}
        for values in zip(*columns, strict=True)
    ]


def _describe(host: Any, line: types.Object, sample: dict[str, Any], names: list[str]) -> None:
    """A sample's name, numbers and atoms."""
    about = types.Object()
    beside = {"item": {"sx": {"width": "auto", "flex": 1, "minWidth": "220px"}}}
    line.define_property(
        "about",
        about,
        view=types.GridView(orientation="vertical", gap=1, componentsProps=beside),
    )
    name = sample["filepath"].replace("\\", "/").rsplit("/", 1)[-1]
    if sample["atoms"] is None:
        about.md(f"`{name}`\n\nno code yet", name="text")
        return
    text = f"`{name}`  \n**{sample['bits']:.0f} bits**"
    if sample["fidelity"] is not None:  # codes out of an archive: what was coded is not known
        text += f" · fidelity **{sample['fidelity']:.2f}**"
    if not sample["atoms"]:
        text += "\n\nno atoms: it is what the collection has in common"
    about.md(text, name="text")
    chips = row(about, "chips")
    listed = zip(
        sample["atoms"][:MOST_ATOMS], sample["coefficients"], sample["shares"], strict=False
    )
    for place, (atom, level, share) in enumerate(listed):
        label = f"{level:+d} {names[atom]} · {share:.0%}"
        chip(host, chips, f"atom{place}", label, atom, level > 0)
    if len(sample["atoms"]) > MOST_ATOMS:
        more = len(sample["atoms"]) - MOST_ATOMS
        about.md(f"and {more} more", name="more")
