"""What the tabs share."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fiftyone.operators import types

from ..words import LABELS, TERMS

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
#: FiftyOne's own operator that opens the sample modal.
OPEN_SAMPLE = "@voxel51/operators/open_sample"


def media_url(path: str) -> str:
    """Return where the App serves a file of a sample."""
    return "/media?filepath=" + quote(path)


def picture(
    panel: types.Object,
    name: str,
    path: str,
    alt: str,
    size: int,
    sample: str | None = None,
    **view: Any,
) -> None:
    """Show a file as a picture within a square, in its own shape.

    Args:
        panel: Where to show it.
        name: Of the property.
        path: The file.
        alt: What a screen reader says.
        size: Sides of the square in CSS pixels.
        sample: The sample that a click opens.
        view: Further settings of the view.
    """
    look = {
        "width": f"{size}px",
        "height": f"{size}px",
        "objectFit": "contain",
        "cursor": "pointer" if sample else "default",
    }
    about: dict[str, Any] = {}
    if sample:  # the plugin's script lets Enter click what is focused
        about = {"title": f"{alt}: open it", "role": "button", "tabIndex": 0}
    opens = {"operator": OPEN_SAMPLE, "params": {"id": sample}} if sample else {}
    props = {**view.pop("componentsProps", {}), "image": {"style": look, **about}}
    shown = types.ImageView(alt=alt, componentsProps=props, **opens, **view)
    panel.str(name, default=media_url(path), view=shown)


def row(
    panel: types.Object, name: str, gap: int = 1, align: str = "top", **view: Any
) -> types.Object:
    """Put things side by side, broken into lines where the panel is narrow.

    ``align``: where they are in the line's height, "top", "center" or "bottom".
    """
    inside = types.Object()
    panel.define_property(
        name, inside, view=types.GridView(orientation="2d", gap=gap, align_y=align, **view)
    )
    return inside


def columns(panel: types.Object, name: str, n: int = 2, width: int = 400) -> list[types.Object]:
    """Put ``n`` columns side by side where the panel is wide, one below the other where not.

    ``width``: that a column needs, in pixels.
    """
    line = row(panel, name, gap=3)
    share = {"item": {"sx": {"flex": 1, "minWidth": f"min(100%, {width}px)", "width": "auto"}}}
    found = []
    for i in range(n):
        column = types.Object()
        # Stretched, so that what is inside has the column's width, not that of its longest line.
        view = types.GridView(
            orientation="vertical", gap=1, align_x="stretch", componentsProps=share
        )
        line.define_property(f"column{i}", column, view=view)
        found.append(column)
    return found


#: For what stands in a :func:`row`: as wide as it needs to be.
NARROW: dict[str, Any] = {"item": {"sx": {"width": "auto"}}}
#: The same for an outlined button, whose icon the App sets against the line.
OUTLINED: dict[str, Any] = {**NARROW, "button": {"sx": {"padding": "5px 15px"}}}


def small(
    panel: types.Object, name: str, label: str, icon: str, on_click: Any, **more: Any
) -> None:
    """A small outlined button."""
    panel.btn(
        name,
        label=label,
        icon=icon,
        variant="outlined",
        on_click=on_click,
        componentsProps=OUTLINED,
        **more,
    )


def choose(
    host: Any,
    panel: types.Object,
    name: str,
    options: dict[str, str],
    default: str | None,
    label: str,
    width: int = 200,
    description: str = "",
) -> None:
    """A list of choices."""
    view = types.DropdownView(componentsProps={"item": {"sx": {"width": f"{width}px"}}})
    for value, text in options.items():
        view.add_choice(value, label=text)
    panel.enum(
        name,
        list(options),
        default=default,
        label=label,
        description=description,
        view=view,
        on_change=host.on_choice,
    )


def explain(host: Any, panel: types.Object, *terms: str) -> None:
    """A line of words with a "?"; each is explained by a hover, and a click opens the glossary."""
    line = row(panel, "words", align="center")
    for term in terms:
        line.btn(
            term.replace(" ", "_"),
            label=f"{LABELS.get(term, term)} ?",
            variant="outlined",
            on_click=host.on_glossary,
            title=f"{TERMS[term]} A click opens the glossary.",
            componentsProps={
                **NARROW,
                "button": {
                    "sx": {
                        "padding": "0 8px",
                        "borderColor": "divider",
                        "color": "text.secondary",
                        "& p": {"fontSize": "0.8rem"},
                    }
                },
            },
        )


def chip(
    host: Any,
    panel: types.Object,
    name: str,
    label: str,
    atom: int,
    sign: str = "has",
    about: str = "",
) -> None:
    """A concept in a :func:`row`; a click shows what has it, or lacks it."""
    small_text = {"borderRadius": "1rem", "padding": "1px 10px", "fontSize": "0.9rem"}
    panel.btn(
        name,
        label=label,
        variant="contained" if sign == "has" else "outlined",
        on_click=host.on_atom,
        params={"id": str(atom), "sign": sign},
        title=f"{about}Show what {'has' if sign == 'has' else 'lacks'} it",
        componentsProps={
            **NARROW,
            "button": {"sx": {**small_text, "& p": {"fontSize": "inherit"}}},
        },
    )


def bar(panel: types.Object, name: str, share: float, width: int, colour: str = ACCENT) -> None:
    """A share from 0 to 1 as a bar in a :func:`row`; ``width`` pixels stand for 1."""
    filled = max(1.0, 100 * min(1.0, share))
    paint = f"linear-gradient(90deg, {colour} {filled:.1f}%, transparent {filled:.1f}%)"
    look = {"width": f"{width}px", "height": "10px", "backgroundImage": paint, "p": "0 !important"}
    frame = {"backgroundColor": "action.hover", "borderRadius": "3px", "overflow": "hidden"}
    panel.md("", name=name, componentsProps={"item": {"sx": {**look, **frame}}})


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
        # In a column things are else as wide as what they hold, which of a plot is not known yet.
        componentsProps={"item": {"sx": {"width": "100%"}}},
        **events,
    )
    panel.obj(name, view=view)
