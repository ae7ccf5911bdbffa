"""The tab that shows the atoms of a dictionary."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from .parts import ACCENT, GREY, NARROW, OUTLINED, chip, picture, plot, row, table

#: Colours of the groups of names that most samples use; the other atoms have the accent's.
COLOURS = ("#4c9aff", "#2fb47c", "#e5484d", "#a259ec", "#d9a60f", "#12b5cb", "#e874c3", "#a1887f")
SAMPLES, OTHERS = "samples", "other atoms"
#: Rows of the table.
MOST_ROWS = 12
#: Seconds from opening the panel to :func:`read_ahead`.
SOON = 2
#: Size of an exemplar: five of them and the atom's own picture, or the button that draws it, fill a
#: panel of 600 pixels.
EXEMPLAR = "72px"
ORDERS = {"use": "Most used first", "rarity": "Rarest first", "purity": "Purest first"}


def read_ahead(ctx: Any, key: str) -> None:
    """Count what the tab will show, once the panel is there: 100,000 samples take a second."""

    def read() -> None:
        with suppress(Exception):  # the tab says what is wrong, if it is opened
            _chosen(ctx, key)

    timer = threading.Timer(SOON, read)
    timer.daemon = True
    timer.start()


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """The map of atoms and samples, the atom that was clicked, and all of them in order."""
    samples = ctx.dataset
    found, fields, labels, order = _chosen(ctx, key)
    data = map_data(samples, key, found)
    if data is None:
        panel.md("Atoms and samples have not been put on a map yet.", name="no_map")
        host.offer(panel, "map_now", "Make the map", "visualize_atoms", {"key": key})
    else:
        panel.md(
            "Click an atom to see the samples that use it, or draw a line around dots to see the "
            "samples there. Around atoms only, with the dots switched off in the legend, it shows "
            "the samples that use any of them.",
            name="map_help",
        )
        _draw_map(host, panel, key, data)
    _describe(host, panel, samples, key, ctx.panel.state.atom, found)
    _list(host, panel, found, fields, labels, order)
    panel.md("**How often atoms are used**", name="histogram_title")
    plot(
        panel,
        "histogram",
        [{"type": "histogram", "x": found.uses.tolist(), "marker": {"color": ACCENT}}],
        {
            "height": 200,
            "margin": {"l": 50, "r": 10, "t": 10, "b": 45},
            "xaxis": {"title": {"text": "samples that use an atom"}},
            "yaxis": {"title": {"text": "atoms"}},
            "bargap": 0.05,
        },
    )


def _draw_map(host: Any, panel: types.Object, key: str, data: list[dict[str, Any]]) -> None:
    plot(
        panel,
        "map",
        data,
        {
            "height": 460,
            "margin": {"l": 10, "r": 10, "t": 30, "b": 10},
            "xaxis": {"visible": False},
            "yaxis": {"visible": False, "scaleanchor": "x"},
            "dragmode": "lasso",
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
            "uirevision": key,
        },
        {
            # Not ``modeBarButtons``: Plotly writes into that list, and the App then hangs.
            "displayModeBar": True,
            "modeBarButtonsToRemove": ["toImage", "zoomIn2d", "zoomOut2d", "autoScale2d"],
        },
        on_click=host.on_atom,
        on_selected=host.on_lasso,
    )


def map_data(samples: fo.Dataset, key: str, found: Any) -> list[dict[str, Any]] | None:
    """Plotly data of the map of atoms and samples, or None if there is none."""
    import numpy as np

    from fiftyone_smic.fiftyone.visualization import atom_sizes, load_map

    there = load_map(samples, key)
    if there is None:
        return None
    sizes = np.round(atom_sizes(found.uses), 1)
    traces = [
        {
            "name": SAMPLES,
            "x": np.round(there.dots[:, 0].astype(float), 3).tolist(),
            "y": np.round(there.dots[:, 1].astype(float), 3).tolist(),
            "marker": {"size": 4, "color": GREY, "opacity": 0.5},
            "hoverinfo": "skip",
        },
        *(
            {
                "name": name,
                "x": there.atoms[group, 0].tolist(),
                "y": there.atoms[group, 1].tolist(),
                "ids": [str(i) for i in group],
                "text": [f"{found.names[i]}: {found.uses[i]:,} samples" for i in group],
                "hoverinfo": "text",
                "marker": {
                    "size": sizes[group].tolist(),
                    "color": colour,
                    "opacity": 0.9,
                    "symbol": "diamond",
                },
            }
            for name, colour, group in _groups(found)
        ),
    ]
    return [{"type": "scatter", "mode": "markers", **trace} for trace in traces]


def _groups(found: Any) -> list[tuple[str, str, list[int]]]:
    """Atoms whose names differ by a number only: their name, a colour, and which they are.

    The largest groups come first; those beyond the colours, and atoms without a name, are one.
    """
    from fiftyone_smic.semantics.names import stem

    groups: dict[str, list[int]] = {}
    for i, name in enumerate(found.names):
        groups.setdefault(stem(name), []).append(i)
    named = [name for name in groups if not name.startswith("atom ")]
    named.sort(key=lambda name: -int(found.uses[groups[name]].sum()))
    shown = [(name, colour, groups[name]) for name, colour in zip(named, COLOURS, strict=False)]
    coloured = {i for _, _, group in shown for i in group}
    rest = [i for i in range(len(found.names)) if i not in coloured]
    return [*shown, *([(OTHERS if shown else "atoms", ACCENT, rest)] if rest else [])]


def lassoed(ctx: Any, key: str) -> Any:
    """The view of what was encircled on the map, or None."""
    from fiftyone_smic.fiftyone.visualization import samples_on_map

    points = ctx.params.get("data") or []  # drawing the plot again tells of an empty choice
    dots = [point["idx"] for point in points if point["trace"] == SAMPLES]
    atoms = [int(point["id"]) for point in points if point["trace"] != SAMPLES]
    return samples_on_map(ctx.dataset, key, dots, atoms)


def _describe(
    host: Any, panel: types.Object, samples: fo.Dataset, key: str, chosen: Any, found: Any
) -> None:
    """The atom that was clicked last."""
    from fiftyone_smic.fiftyone.mixing import atom_path
    from fiftyone_smic.fiftyone.statistics import describe_atom

    if not str(chosen).isdigit() or int(chosen) >= len(found.names):
        return
    atom = describe_atom(samples, key, int(chosen), most=5, statistics=found)
    panel.md(
        f"**{atom.name}**: atom {atom.atom}, in {atom.uses:,} samples with a mean weight of "
        f"{atom.weight:.1f}. Drawn on its own, and the samples it says most about:",
        name="chosen",
    )
    line = row(panel, "exemplars")
    drawn = atom_path(samples, key, atom.atom)
    if drawn.exists():
        picture(line, "drawn", str(drawn), "The atom, drawn", "128px", componentsProps=NARROW)
    else:
        line.btn(
            "draw",
            label="Draw this atom",
            icon="brush",
            variant="outlined",
            on_click=host.on_draw_atom,
            params={"atom": atom.atom},
            title="Draw the mean of the collection with this atom alone",
            componentsProps=OUTLINED,
        )
    for i, (_, path) in enumerate(atom.exemplars):
        picture(line, f"exemplar{i}", path, "Exemplar", EXEMPLAR, componentsProps=NARROW)
    if atom.companions:
        panel.md("It goes with:", name="with")
        chips = row(panel, "companions")
        for number, name, both in atom.companions:
            chip(host, chips, f"atom{number}", f"{name} · {both:,}", number)


def _chosen(ctx: Any, key: str) -> tuple[Any, list[str], str | None, str]:
    """Statistics of the atoms, the label fields there are, and what was chosen of them."""
    from fiftyone_smic.fiftyone.statistics import atom_statistics, label_fields

    fields = label_fields(ctx.dataset)
    labels = ctx.panel.state.get("order.labels")
    labels = labels if labels in fields else next(iter(fields), None)
    order = ctx.panel.state.get("order.by")
    if order not in ORDERS or (order == "purity" and labels is None):
        order = "use"
    return atom_statistics(ctx.dataset, key, labels=labels), fields, labels, order


def _listed(found: Any, order: str) -> list[int]:
    """The atoms of the table."""
    import numpy as np

    # Atoms that nothing uses are not rare but useless, so they go last.
    used = np.where(found.uses > 0, found.uses.astype(float), np.inf)
    first = {"use": -found.uses, "rarity": used, "purity": -found.purity}[order]
    return np.lexsort((-found.uses, first))[:MOST_ROWS].tolist()  # NaN goes last


def atom_of_row(ctx: Any, key: str, row: int) -> int | None:
    """The atom in a row of the table, which is counted from 0; its head is -1."""
    found, _, _, order = _chosen(ctx, key)
    listed = _listed(found, order)
    return listed[row] if 0 <= row < len(listed) else None


def _list(
    host: Any,
    panel: types.Object,
    found: Any,
    fields: list[str],
    labels: str | None,
    order: str,
) -> None:
    """The atoms in the order that was chosen."""
    choices = row(panel, "order", gap=2)
    offered = {name: text for name, text in ORDERS.items() if name != "purity" or fields}
    _choose(host, choices, "by", offered, order, "Order")
    if fields:
        _choose(host, choices, "labels", {f: f for f in fields}, labels, "Purity against")
    columns = {"name": "Atom", "uses": "Samples", "weight": "Mean weight"}
    if fields:
        columns["purity"] = f"Purest in {labels}"
    rows = [
        {
            "name": found.names[i],
            "uses": f"{found.uses[i]:,}",
            "weight": f"{found.weights[i]:.1f}",
            "purity": f"{found.labels[i]} {found.purity[i]:.0%}" if found.labels[i] else "",
        }
        for i in _listed(found, order)
    ]
    table(panel, columns, rows, on_click_row=host.on_atom_row)
    if len(found.names) > MOST_ROWS:
        panel.md(f"and {len(found.names) - MOST_ROWS:,} more", name="more")


def _choose(
    host: Any,
    panel: types.Object,
    name: str,
    options: dict[str, str],
    default: str | None,
    label: str,
) -> None:
    view = types.DropdownView(componentsProps={"item": {"sx": {"width": "240px"}}})
    for value, text in options.items():
        view.add_choice(value, label=text)
    panel.enum(
        name, list(options), default=default, label=label, view=view, on_change=host.on_choice
    )
