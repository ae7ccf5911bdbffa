"""The map of concepts and samples."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection
from fiftyone.operators import types

from .. import forms
from ..words import amount
from . import items
from .parts import ACCENT, GREY, choose, plot, row

#: Colours of the groups of names that most samples have; the other concepts have the accent's.
COLOURS = ("#4c9aff", "#2fb47c", "#e5484d", "#a259ec", "#d9a60f", "#12b5cb", "#e874c3", "#a1887f")
OTHERS, CHOSEN = "other concepts", "chosen"
MODES = {"lasso": "Select: draw a line around", "pan": "Explore: move and zoom"}
#: What a line around a part of the map selects.
PICKS = ("samples", "concepts")
NO_COLOUR = "none"


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str, found: Any) -> None:
    """The map with its settings, or the button that makes it."""
    noun, colour = items.noun(ctx, key), _colour(ctx, key)
    data = map_data(ctx.dataset, key, found, colour, _chosen(ctx, found))
    if data is None:
        panel.md(f"Concepts and {noun}s are not on a map yet.", name="no_map")
        given = {"key": key, "whole": True}
        host.offer(panel, "map_now", "Make the map", "visualize_atoms", given)
        return
    mode = ctx.panel.state.get("map_settings.mode")
    mode = mode if mode in MODES else "lasso"
    settings = row(panel, "map_settings", gap=2)
    choose(host, settings, "mode", MODES, mode, "Mouse", width=230)
    picks = dict(zip(PICKS, (f"{noun.capitalize()}s", "Concepts"), strict=True))
    choose(host, settings, "pick", picks, _pick(ctx), "A line selects", width=130)
    labels = {NO_COLOUR: "no field", **{name: name for name in _label_fields(ctx.dataset, key)}}
    choose(host, settings, "colour", labels, colour or NO_COLOUR, f"Colour {noun}s by", width=170)
    panel.md(
        f"*Click a concept to see the {noun}s that have it. Click a name in the legend to "
        "hide it, twice to see it alone.*",
        name="map_help",
    )
    _draw(host, panel, key, data, mode)


def _label_fields(dataset: fo.Dataset, key: str) -> list[str]:
    from fiftyone_smic.fiftyone.statistics import label_fields

    return label_fields(dataset, key)


def _colour(ctx: Any, key: str) -> str | None:
    field = ctx.panel.state.get("map_settings.colour")
    return field if field in _label_fields(ctx.dataset, key) else None


def _pick(ctx: Any) -> str:
    pick = ctx.panel.state.get("map_settings.pick")
    return pick if pick in PICKS else "samples"


def _chosen(ctx: Any, found: Any) -> int | None:
    atom = str(ctx.panel.state.atom)
    return int(atom) if atom.isdigit() and int(atom) < len(found.names) else None


def _draw(host: Any, panel: types.Object, key: str, data: list[dict[str, Any]], mode: str) -> None:
    plot(
        panel,
        "map",
        data,
        {
            "height": 520,
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
            },
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": GREY, "activecolor": ACCENT},
            # What the user has zoomed to and switched off stays when the panel is drawn again.
            "uirevision": f"{key} {mode}",
        },
        {
            # Not ``modeBarButtons``: Plotly writes into that list, and the App then hangs.
            "displayModeBar": True,
            "modeBarButtonsToRemove": ["toImage", "zoomIn2d", "zoomOut2d", "autoScale2d"],
        },
        on_click=host.on_atom,
        on_selected=host.on_lasso,
    )


def map_data(
    samples: fo.Dataset,
    key: str,
    found: Any,
    colour: str | None = None,
    chosen: int | None = None,
) -> list[dict[str, Any]] | None:
    """Plotly data of the map of atoms and samples.

    Args:
        samples: The dataset.
        key: A dictionary.
        found: Its statistics.
        colour: A label field to colour the samples by.
        chosen: The atom to mark.

    Returns:
        The traces, or None if there is no map.
    """
    import numpy as np

    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.visualization import atom_sizes, load_map

    there = load_map(samples, key)
    if there is None:
        return None
    noun = forms.noun(objects_of(samples, key))
    sizes = np.round(atom_sizes(found.has), 1)
    traces = [
        *_dots(samples, key, there, colour),
        *(
            {
                "name": name,
                "x": there.atoms[group, 0].tolist(),
                "y": there.atoms[group, 1].tolist(),
                "ids": [str(i) for i in group],
                "text": [f"{found.names[i]}: {amount(int(found.has[i]), noun)}" for i in group],
                "hoverinfo": "text",
                "marker": {
                    "size": sizes[group].tolist(),
                    "color": shade,
                    "opacity": 0.9,
                    "symbol": "diamond",
                },
            }
            for name, shade, group in groups(found)
        ),
    ]
    if chosen is not None:
        traces.append(
            {
                "name": CHOSEN,
                "x": [float(there.atoms[chosen, 0])],
                "y": [float(there.atoms[chosen, 1])],
                "hoverinfo": "skip",
                "showlegend": False,
                "marker": {
                    "size": 26,
                    "color": ACCENT,
                    "symbol": "circle-open",
                    "line": {"width": 3},
                },
            }
        )
    return [{"type": "scatter", "mode": "markers", **trace} for trace in traces]


def _about(
    samples: fo.Dataset, key: str, ids: list[str], colour: str | None
) -> dict[str, tuple[str, str | None]]:
    """Id of each sample, or object, that is still there -> its file and its label."""
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.objects import find_objects

    boxed = objects_of(samples, key)
    if boxed is None:
        fields = ["id", "filepath", *([f"{colour}.label"] if colour else [])]
        rows = zip(*samples.select(ids).values(fields), strict=True)
        return {row[0]: (row[1], row[2] if colour else None) for row in rows}
    chosen = samples.select_labels(ids=ids, fields=boxed)
    found = find_objects(chosen, boxed, some=False)
    files = dict(zip(*chosen.values(["id", "filepath"]), strict=True))
    labels = found.values("label")
    return {
        label_id: (files[sample_id], label if colour else None)
        for label_id, sample_id, label in zip(found.ids, found.sample_ids, labels, strict=True)
    }


def _dots(samples: fo.Dataset, key: str, there: Any, colour: str | None) -> list[dict[str, Any]]:
    """Traces of the samples: one in grey, or one for each frequent label of a field."""
    import numpy as np

    from fiftyone_smic.fiftyone.codes import objects_of

    at = np.round(there.dots.astype(float), 3)
    first = np.unique(there.dot_of, return_index=True)[1]
    ids = [str(there.ids[i]) for i in first]
    about = _about(samples, key, ids, colour)
    names = [about.get(i, ("gone", None))[0].replace("\\", "/").rsplit("/", 1)[-1] for i in ids]
    labels = [about.get(i, ("gone", None))[1] for i in ids]
    rest = f"{forms.noun(objects_of(samples, key))}s"
    counts: dict[str | None, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    frequent = sorted((x for x in counts if x is not None), key=lambda x: -counts[x])
    shades = dict(zip(frequent, COLOURS, strict=False))
    parts: dict[str | None, list[int]] = {}
    for i, label in enumerate(labels):
        parts.setdefault(label if label in shades else None, []).append(i)
    return [
        {
            "name": rest if label is None else f"{label} ({counts[label]:,})",
            "x": at[part, 0].tolist(),
            "y": at[part, 1].tolist(),
            # The trace of a lasso's point says nothing of its number on the map; this does.
            "customdata": part,
            "text": [names[i] for i in part],
            "hoverinfo": "text",
            "marker": {
                "size": 4 if label is None else 6,
                "color": GREY if label is None else shades[label],
                "opacity": 0.5 if label is None else 0.8,
            },
        }
        for label, part in sorted(parts.items(), key=lambda item: item[0] is not None)
    ]


def groups(found: Any) -> list[tuple[str, str, list[int]]]:
    """Atoms whose names differ by a number only: their name, a colour, and which they are.

    The largest groups come first; those beyond the colours, and atoms without a name, are one.
    """
    from fiftyone_smic.semantics.names import stem

    together: dict[str, list[int]] = {}
    for i, name in enumerate(found.names):
        together.setdefault(stem(name), []).append(i)
    named = [name for name in together if not name.startswith("atom ")]
    named.sort(key=lambda name: -int(found.has[together[name]].sum()))
    shown = [(name, shade, together[name]) for name, shade in zip(named, COLOURS, strict=False)]
    coloured = {i for _, _, group in shown for i in group}
    rest = [i for i in range(len(found.names)) if i not in coloured]
    return [*shown, *([(OTHERS if shown else "concepts", ACCENT, rest)] if rest else [])]


def lassoed(ctx: Any, key: str, view: SampleCollection) -> Any:
    """Return the part of a view that was encircled on the map, or None."""
    from fiftyone_smic.fiftyone.visualization import samples_on_map

    points = ctx.params.get("data") or []  # drawing the plot again tells of an empty choice
    atoms = [int(point["id"]) for point in points if str(point.get("id") or "").isdigit()]
    if _pick(ctx) == "concepts":
        return samples_on_map(view, key, [], atoms) if atoms else None
    traces = _dot_traces(ctx, key)
    dots = [traces[point["trace"]][point["idx"]] for point in points if point["trace"] in traces]
    return samples_on_map(view, key, dots, []) if dots else None


def _dot_traces(ctx: Any, key: str) -> dict[str, list[int]]:
    """Name of each trace of samples -> the numbers of its dots on the map."""
    from fiftyone_smic.fiftyone.visualization import load_map

    there = load_map(ctx.dataset, key)
    if there is None:
        return {}
    return {
        trace["name"]: trace["customdata"]
        for trace in _dots(ctx.dataset, key, there, _colour(ctx, key))
    }
