"""The map of concepts and samples: its settings, and what was chosen on it."""

from __future__ import annotations

from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators import types

from . import items, map_data, memory
from .parts import ACCENT, CLEAR, GREY, choose, row

MODES = {"lasso": "Select: draw a line around", "pan": "Explore: move and zoom"}
PICKS = ("samples", "concepts")
NO_COLOUR = "none"
#: Where the panel's state has them.
SETTINGS = "top.column0.map_settings"
#: Of the plugin's script, which draws it; see ``operators/assets/app.js``.
COMPONENT = "SMICMap"


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str, found: Any) -> None:
    """The map with its settings, or the button that makes it."""
    from fiftyone_smic.fiftyone.visualization import has_map

    if not has_map(ctx.dataset, key):
        panel.md(f"Concepts and {items.noun(ctx, key)}s are not on a map yet.", name="no_map")
        given = {"key": key, "whole": True}
        host.offer(panel, "map_now", "Make the map", "visualize_atoms", given)
        return
    mode = ctx.panel.state.get(f"{SETTINGS}.mode")
    mode = mode if mode in MODES else "lasso"
    colour, chosen = _colour(ctx, key), chosen_atom(ctx, found)
    noun = items.noun(ctx, key)
    picks = {"samples": f"{noun.capitalize()}s", "concepts": "Concepts"}
    settings = row(panel, "map_settings", gap=2)
    choose(host, settings, "mode", MODES, mode, "Mouse", width=230)
    choose(host, settings, "pick", picks, _pick(ctx), "A line selects", width=130)
    labels = {NO_COLOUR: "nothing", **{name: name for name in _colours(ctx, key)}}
    choose(host, settings, "colour", labels, colour or NO_COLOUR, f"Colour {noun}s by", width=190)
    panel.md(
        f"*Click a concept (◆) to see the {noun}s that have it; rest the mouse on anything to see "
        "its picture. Click a name in the legend to hide it, twice to see it alone.*",
        name="map_help",
    )
    view = types.View(
        component=COMPONENT,
        composite_view=True,
        dictionary=key,
        version=map_data.version(ctx.dataset, key, found, colour or "", chosen),
        chosen=chosen,
        layout=_layout(key, mode),
        # Not ``modeBarButtons``: Plotly writes into that list, and the App then hangs.
        config={
            "displayModeBar": True,
            "modeBarButtonsToRemove": ["toImage", "zoomIn2d", "zoomOut2d", "autoScale2d"],
        },
        accent=ACCENT,
        on_data=host.on_map_data,
        on_picture=host.on_map_picture,
        on_atom=host.on_atom,
        on_lasso=host.on_lasso,
    )
    panel.obj("map", view=view)


def _layout(key: str, mode: str) -> dict[str, Any]:
    return {
        **CLEAR,
        "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
        "xaxis": {"visible": False},
        "yaxis": {"visible": False, "scaleanchor": "x"},
        "dragmode": mode,
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 0,
            "yanchor": "top",
            "itemsizing": "constant",
            "bgcolor": "rgba(0,0,0,0)",
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": ACCENT},
        # What the user has zoomed to and switched off stays when the panel is drawn again.
        "uirevision": f"{key} {mode}",
    }


def _colours(ctx: Any, key: str) -> list[str]:
    fields = map_data.colour_fields(ctx.dataset, key)
    return [map_data.BY_CHOSEN, map_data.BY_STRONGEST, *fields]


def _colour(ctx: Any, key: str) -> str | None:
    colour = ctx.panel.state.get(f"{SETTINGS}.colour")
    return colour if colour in _colours(ctx, key) else None


def _pick(ctx: Any) -> str:
    pick = ctx.panel.state.get(f"{SETTINGS}.pick")
    return pick if pick in PICKS else "samples"


def chosen_atom(ctx: Any, found: Any) -> int | None:
    """Return the number of the atom that was clicked last, if there is one."""
    atom = memory.of(ctx).atom
    return atom if atom is not None and atom < len(found.names) else None


def data(ctx: Any, key: str, found: Any) -> list[dict[str, Any]]:
    """Return the traces of the map as its settings are."""
    chosen = chosen_atom(ctx, found)
    return map_data.map_data(ctx.dataset, key, found, _colour(ctx, key), chosen) or []


def lassoed(ctx: Any, key: str, view: SampleCollection) -> Any:
    """Return the part of a view that was encircled on the map, or None."""
    from fiftyone_smic.fiftyone.visualization import samples_on_map

    dots, atoms = ctx.params.get("dots") or [], ctx.params.get("atoms") or []
    if _pick(ctx) == "concepts":
        return samples_on_map(view, key, [], [int(atom) for atom in atoms]) if atoms else None
    return samples_on_map(view, key, [int(dot) for dot in dots], []) if dots else None
