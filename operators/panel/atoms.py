"""The tab that shows the atoms of a dictionary."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from .parts import ACCENT, GREY, NARROW, picture, plot, row

#: Dots of samples on the map: more make the App slow and show nothing more.
MOST_DOTS = 1500
#: Rows of the table.
MOST_ROWS = 12
ORDERS = {"use": "Most used first", "rarity": "Rarest first", "purity": "Purest first"}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """The map of atoms and samples, the atom that was clicked, and all of them in order."""
    samples = ctx.dataset
    found, fields, labels, order = _chosen(ctx, key)
    data = map_data(samples, key, found)
    if data is None:
        panel.md("Atoms and samples have not been put on a map yet.", name="no_map")
        host.offer(panel, "map_now", "Make the map", "visualize_atoms", {"key": key})
    else:
        panel.md("Click an atom to see the samples that use it.", name="map_help")
        plot(
            panel,
            "map",
            data,
            {
                "height": 400,
                "margin": {"l": 10, "r": 10, "t": 10, "b": 10},
                "xaxis": {"visible": False},
                "yaxis": {"visible": False, "scaleanchor": "x"},
                # Otherwise a click starts a selection or a zoom.
                "dragmode": "pan",
            },
            on_click=host.on_atom,
        )
    _describe(host, panel, samples, key, ctx.panel.state.atom, len(found.names))
    _list(host, panel, found, fields, labels, order)
    panel.md("**How many samples use how many of the atoms**", name="histogram_title")
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


def map_data(samples: fo.Dataset, key: str, found: Any) -> list[dict[str, Any]] | None:
    """Plotly data of the map of atoms and samples, or None if there is none."""
    import numpy as np

    from fiftyone_smic.fiftyone.runs import load_config
    from fiftyone_smic.fiftyone.visualization import atom_sizes

    config = load_config(samples, key)
    if not config.atom_points or config.brain_key not in samples.list_brain_runs():
        return None
    results = samples.load_brain_results(config.brain_key)
    step = -(-len(results.points) // MOST_DOTS)
    dots = np.round(results.points[::step].astype(float), 3)
    points = np.array(config.atom_points)
    return [
        {
            "type": "scatter",
            "mode": "markers",
            "name": "samples",
            "x": dots[:, 0].tolist(),
            "y": dots[:, 1].tolist(),
            "marker": {"size": 4, "color": GREY, "opacity": 0.5},
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "name": "atoms",
            "x": points[:, 0].tolist(),
            "y": points[:, 1].tolist(),
            "ids": [str(i) for i in range(len(points))],
            "text": [
                f"{name}: {n} samples" for name, n in zip(found.names, found.uses, strict=True)
            ],
            "hoverinfo": "text",
            "marker": {
                "size": np.round(atom_sizes(found.uses), 1).tolist(),
                "color": ACCENT,
                "opacity": 0.9,
                "symbol": "diamond",
            },
        },
    ]


def _describe(
    host: Any, panel: types.Object, samples: fo.Dataset, key: str, chosen: Any, n_atoms: int
) -> None:
    """The atom that was clicked last."""
    from fiftyone_smic.fiftyone.atoms import describe_atom

    if not str(chosen).isdigit() or int(chosen) >= n_atoms:
        return
    atom = describe_atom(samples, key, int(chosen), most=5)
    panel.md(
        f"**{atom.name}**: atom {atom.atom}, in {atom.uses:,} samples with a mean weight of "
        f"{atom.weight:.1f}. It says most about these:",
        name="chosen",
    )
    line = row(panel, "exemplars")
    for i, (_, path) in enumerate(atom.exemplars):
        picture(line, f"exemplar{i}", path, "Exemplar", "96px", componentsProps=NARROW)
    if atom.companions:
        panel.md("It goes with:", name="with")
        chips = row(panel, "companions")
        for number, name, both in atom.companions:
            chips.btn(
                f"atom{number}",
                label=f"{name} · {both:,}",
                variant="round",
                on_click=host.on_atom,
                params={"id": str(number)},
                title="Show the samples that use this atom",
                componentsProps=NARROW,
            )


def _chosen(ctx: Any, key: str) -> tuple[Any, list[str], str | None, str]:
    """Statistics of the atoms, the label fields there are, and what was chosen of them."""
    from fiftyone_smic.fiftyone.atoms import atom_statistics, label_fields

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

    rank = {"use": -found.uses, "rarity": found.uses, "purity": -found.purity}[order]
    return np.argsort(rank, kind="stable")[:MOST_ROWS].tolist()  # NaN goes last


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
    table = types.TableView(on_click_row=host.on_atom_row)
    for name, label in columns.items():
        table.add_column(name, label=label)
    rows = [
        {
            "name": found.names[i],
            "uses": f"{found.uses[i]:,}",
            "weight": f"{found.weights[i]:.1f}",
            "purity": f"{found.labels[i]} {found.purity[i]:.0%}" if found.labels[i] else "",
        }
        for i in _listed(found, order)
    ]
    panel.list("table", types.Object(), default=rows, view=table)
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
