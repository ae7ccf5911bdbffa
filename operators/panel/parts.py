"""What the tabs share."""

from __future__ import annotations

from typing import Any, NamedTuple
from urllib.parse import quote

import fiftyone as fo
from fiftyone.operators import types

ACCENT = "#ff6d04"
PALE = "#ffb682"
GREY = "#8b96a5"
#: Plots without a ground; their letters and lines have the colours of the App's theme.
CLEAR = {
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "font": {"size": 12},
    "showlegend": False,
}


class Step(NamedTuple):
    """What is missing before there is something to show."""

    why: str
    operator: str
    label: str


def next_step(dataset: fo.Dataset, key: str | None) -> Step | None:
    """What the user must run next, or None."""
    from fiftyone_smic.fiftyone import fields

    schema = dataset.get_field_schema()
    if key is None:
        if not any(isinstance(field, fo.VectorField) for field in schema.values()):
            return Step(
                "SMIC learns the atoms of meaning this collection is made of and writes each "
                "image as a few of them. It starts from **latents** of the images.",
                "compute_latents",
                "Compute latents",
            )
        return Step(
            "The latents are there. Next, learn a **dictionary** of the atoms they are made of.",
            "learn_dictionary",
            "Learn dictionary",
        )
    if fields.field_name(key, fields.ATOMS) not in schema:
        return Step(
            f"Dictionary **{key}** is there. Next, write the **code** of each sample.",
            "encode_samples",
            "Encode samples",
        )
    return None


def media_url(path: str) -> str:
    """Where the App serves a file of a sample."""
    return "/media?filepath=" + quote(path)


def picture(panel: types.Object, name: str, path: str, alt: str, size: str, **view: Any) -> None:
    """A file as a picture of ``size`` CSS pixels a side."""
    shown = types.ImageView(width=size, height=size, alt=alt, **view)
    panel.str(name, default=media_url(path), view=shown)


def row(panel: types.Object, name: str, gap: int = 1) -> types.Object:
    """Things side by side, broken into lines where the panel is narrow."""
    inside = types.Object()
    panel.define_property(
        name, inside, view=types.GridView(orientation="2d", gap=gap, align_y="top")
    )
    return inside


#: For what stands in a :func:`row`: as wide as it needs to be.
NARROW: dict[str, Any] = {"item": {"sx": {"width": "auto"}}}
#: The same for an outlined button, whose icon the App sets against the line.
OUTLINED: dict[str, Any] = {**NARROW, "button": {"sx": {"padding": "5px 15px"}}}


def table(
    panel: types.Object, columns: dict[str, str], rows: list[dict[str, str]], **events: Any
) -> None:
    """Rows under the columns' labels, as wide as the panel: the App's are 650 pixels at least."""
    sizes: dict[str, Any] = {"table": {"sx": {"minWidth": 0}}}
    if "on_click_row" in events:
        sizes["tableBodyRow"] = {"sx": {"cursor": "pointer"}, "hover": True}
    view = types.TableView(componentsProps=sizes, **events)
    for name, label in columns.items():
        view.add_column(name, label=label)
    panel.list("table", types.Object(), default=rows, view=view)


def chip(
    host: Any, panel: types.Object, name: str, label: str, atom: int, solid: bool = True
) -> None:
    """An atom in a :func:`row`; a click shows the samples that use it."""
    small = {"borderRadius": "1rem", "padding": "1px 10px", "fontSize": "0.9rem"}
    panel.btn(
        name,
        label=label,
        variant="contained" if solid else "outlined",
        on_click=host.on_atom,
        params={"id": str(atom)},
        title="Show the samples that use this atom",
        componentsProps={**NARROW, "button": {"sx": {**small, "& p": {"fontSize": "inherit"}}}},
    )


def plot(
    panel: types.Object,
    name: str,
    data: list[dict[str, Any]],
    layout: dict[str, Any],
    config: dict[str, Any] | None = None,
    **events: Any,
) -> None:
    """A Plotly plot that carries its data, without Plotly's tools unless ``config`` shows them."""
    view = types.PlotlyView(
        data=data,
        layout={**CLEAR, **layout},
        # The wheel scrolls the panel.
        config={"displayModeBar": False, "scrollZoom": False, **(config or {})},
        height=f"{layout['height']}px",
        **events,
    )
    panel.obj(name, view=view)
