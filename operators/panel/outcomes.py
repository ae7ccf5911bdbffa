"""What was found, as the panel's cards show it: sentences, pictures, bars, and what to do next."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from ..findings import Cause, Finding, Share, Strip
from ..words import amount, share
from .parts import ACCENT, GREY, NARROW, bar, chip, picture, plot, row, small

#: Size of a picture.
SIZE = 72
#: Numbers of parts that get a button each.
PARTS = 4
#: Strips of no more pictures stand side by side.
FEW = 3


def lay_out(host: Any, ctx: Any, card: types.Object, finding: Finding) -> None:
    """Show a finding below the buttons of its card."""
    found = types.Object()
    card.define_property("found", found, view=types.GridView(orientation="vertical", gap=1))
    outcome = finding.outcome
    found.md(outcome.text, name="text")
    if outcome.curve:
        _curve(found, outcome.curve)
    paths = _paths(ctx, finding)
    small_ones = len(outcome.strips) > 1 and all(len(s.ids) <= FEW for s in outcome.strips)
    strips = row(found, "strips", gap=2) if small_ones else found
    for i, strip in enumerate(outcome.strips):
        inside = _beside(strips, f"strip{i}") if small_ones else found
        _strip(inside, f"strip{i}", strip, paths)
    for i, cause in enumerate(outcome.causes):
        _cause(host, found, f"cause{i}", cause, finding)
    _actions(host, ctx, found, finding)


def _paths(ctx: Any, finding: Finding) -> dict[str, str]:
    """Return the picture of each sample that is shown and still there.

    Of a sample that came out of an archive this is the picture drawn again, if there is one.
    """
    from fiftyone_smic.fiftyone import fields
    from fiftyone_smic.fiftyone.placeholders import is_placeholder

    ids = list(dict.fromkeys(i for strip in finding.outcome.strips for i in strip.ids))
    if not ids:
        return {}
    drawn = fields.field_name(finding.key, fields.REGENERATED)
    names = ["id", "filepath", *([drawn] if ctx.dataset.has_sample_field(drawn) else [])]
    columns = ctx.dataset.select(ids).values(names)
    found = {}
    for sample, path, *others in zip(*columns, strict=True):
        found[sample] = others[0] if others and others[0] and is_placeholder(path) else path
    return found


def _beside(panel: types.Object, name: str) -> types.Object:
    """Return a place beside others in a :func:`row`."""
    cell = types.Object()
    panel.define_property(
        name, cell, view=types.GridView(orientation="vertical", componentsProps=NARROW)
    )
    return cell


def _strip(panel: types.Object, name: str, strip: Strip, paths: dict[str, str]) -> None:
    """Pictures in a row, with a title and what stands below each."""
    shown = [place for place, sample in enumerate(strip.ids) if sample in paths]
    if not shown:
        return
    if strip.title:
        panel.md(f"**{strip.title}**", name=f"{name}_title")
    line = row(panel, name)
    for place in shown:
        sample = strip.ids[place]
        caption = strip.captions[place] if strip.captions else ""
        cell = types.Object()
        narrow = {"item": {"sx": {"width": "auto", "maxWidth": f"{SIZE + 24}px"}}}
        line.define_property(
            f"cell{place}",
            cell,
            view=types.GridView(orientation="vertical", componentsProps=narrow),
        )
        alt = f"Found: {caption}" if caption else "Found"
        picture(cell, "picture", paths[sample], alt, SIZE, sample)
        if caption:
            below = {"item": {"sx": {"maxWidth": f"{SIZE + 24}px", "fontSize": "0.85rem"}}}
            cell.md(caption, name="caption", componentsProps=below)


def _cause(host: Any, panel: types.Object, name: str, cause: Cause, finding: Finding) -> None:
    """A sentence, its concepts and its bars; a click narrows the grid."""
    panel.md(cause.sentence, name=f"{name}_sentence")
    for i, each in enumerate(cause.shares):
        line = row(panel, f"{name}_share{i}", align="center")
        bar(line, "bar", each.share, 160, colour=ACCENT if i == 0 else GREY)
        text = f"{share(each.share)} {each.label}"
        if each.part is None or each.part not in finding.report.views:
            line.md(text, name="label", componentsProps=NARROW)
        else:
            _share_button(host, line, text, each, finding)
        if i == 0:
            for place, (atom, sign, label) in enumerate(cause.atoms):
                chip(host, line, f"atom{place}", label, atom, sign)


def _share_button(host: Any, line: types.Object, text: str, each: Share, finding: Finding) -> None:
    """What a bar stands for, as a button that shows its samples."""
    if each.part is not None:
        line.btn(
            "label",
            label=text,
            variant="outlined",
            on_click=host.on_found,
            params={"found": finding.id, "part": each.part, "what": each.what},
            title=f"Show the {amount(len(finding.part(each.part)), 'sample')}",
            componentsProps={**NARROW, "button": {"sx": {"padding": "1px 10px"}}},
        )


def _curve(panel: types.Object, curve: tuple[float, ...]) -> None:
    """How coverage grows with the number chosen."""
    plot(
        panel,
        "curve",
        [
            {
                "type": "scatter",
                "mode": "lines",
                "x": list(range(1, len(curve) + 1)),
                "y": list(curve),
                "line": {"color": ACCENT},
                "hovertemplate": "%{x} chosen cover %{y:.0%}<extra></extra>",
            }
        ],
        {
            "height": 150,
            "margin": {"l": 50, "r": 10, "t": 10, "b": 40},
            "xaxis": {"title": {"text": "chosen"}},
            "yaxis": {"title": {"text": "coverage"}, "tickformat": ".0%"},
        },
    )


def _actions(host: Any, ctx: Any, panel: types.Object, finding: Finding) -> None:
    """Buttons: show in the grid, and what to do with what is found."""
    n = len(finding.report.view)
    if not n:
        return
    given = {"found": finding.id}
    line = row(panel, "actions")
    label = f"Show {amount(n, 'sample')}"
    small(line, "show", label, "grid_view", host.on_found, params={**given, "what": finding.title})
    if finding.operator == "find_near_duplicates":
        small(line, "groups", "Show groups", "auto_awesome_motion", host.on_groups, params=given)
        keep = {**given, "part": "remove", "action": "delete", "quiet": True}
        _use(host, line, "keep_one", "Keep one of each", "filter_1", "use_found", keep)
    for name, text in list(finding.outcome.parts.items())[:PARTS]:
        count = len(finding.part(name))
        if count and count < n:
            what = f"{finding.title}: {text[:1].lower()}{text[1:]}"
            shown = {**given, "part": name, "what": what}
            small(line, f"part_{len(name)}_{count}_{_safe(name)}", f"{text} ({count:,})",
                  "grid_view", host.on_found, params=shown)  # fmt: skip
    use = {**given, "quiet": True}
    _use(host, line, "tag", "Tag", "sell", "use_found", {**use, "action": "tag"})
    _use(host, line, "save", "Save view", "bookmark", "use_found", {**use, "action": "save"})
    _use(host, line, "more", "Hide or delete", "delete", "use_found", {**use, "action": "hide"})
    export = {**given, "key": finding.key}
    _use(host, line, "export", "Export", "save_alt", "export_archive", export)


def _safe(name: str) -> str:
    """Return a name as a property can be called."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _use(
    host: Any,
    line: types.Object,
    name: str,
    label: str,
    icon: str,
    operator: str,
    params: dict[str, Any],
) -> None:
    """A small button that opens a form."""
    small(line, name, label, icon, host.prompt, params={"operator": operator, "with": params})
