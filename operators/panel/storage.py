"""The tab that shows what the collection takes."""

from __future__ import annotations

import math
from typing import Any

from fiftyone.operators import types

from .. import forms
from ..words import TERMS, about, amount, one, share, size
from . import items
from .parts import ACCENT, GREY, NARROW, OUTLINED, PALE, columns, explain, plot, row

#: Name of the curve among the traces of its plot.
CURVE = "curve"
CODECS = {"jpeg": "JPEG", "webp": "WebP", "avif": "AVIF"}
COLOURS = {"files": GREY, "codec": GREY, "latents": GREY, "smic": ACCENT, "part": PALE}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """Sizes of all coded samples, as the last run of ``encode`` measured them."""
    from fiftyone_smic.fiftyone.runs import load_config

    config = load_config(ctx.dataset, key)
    if not config.storage:
        panel.md("*SMIC: encode samples* measures what the codes take.", name="message")
        given = {"key": key, "whole": True}
        host.offer(panel, "encode", "Encode samples", "encode_samples", given)
        return
    rows = size_rows(config.storage)
    noun = forms.noun(config.patches_field)
    each = one(noun)
    panel.md(summary(config.storage, noun), name="summary")
    left, right = columns(panel, "columns", width=350)
    left.md(
        f"**What the collection takes**, and each {each}'s share of it, as logarithmic bars.",
        name="sizes_title",
    )
    plot(
        left,
        "sizes",
        bars(rows),
        {
            "height": 20 + 28 * len(rows),
            "margin": {"l": 140, "r": 175, "t": 5, "b": 5},
            "xaxis": {"type": "log", "visible": False},
            "yaxis": {"ticksuffix": "  ", "showgrid": False},
        },
    )
    right.md(
        f"**Bits an {each}, as the collection grows.** Each {each}'s code takes the same; the "
        "dictionary is paid for once.",
        name="growth_title",
    )
    lines = growth(config.storage, noun)
    plot(
        right,
        "growth",
        lines,
        {
            "height": 240,
            "margin": {"l": 60, "r": 20, "t": 10, "b": 45},
            "xaxis": {"type": "log", "title": {"text": f"{noun}s"}, "dtick": 1},
            "yaxis": {
                "type": "log",
                "title": {"text": f"bits an {each}"},
                "tickvals": round_numbers(min(lines[0]["y"]), max(lines[0]["y"])),
            },
        },
    )
    _curve(host, ctx, panel, config, key)
    explain(host, panel, "embedding", "dictionary", "code", "detail")


def _curve(host: Any, ctx: Any, panel: types.Object, config: Any, key: str) -> None:
    """Detail against bits, once it has been measured."""
    curve, noun = config.storage.get("curve"), items.noun(ctx, key)
    if curve:
        panel.md(
            "**Detail against bits of this collection.** The diamond is this dictionary; click "
            "another point to learn the dictionary that has it.",
            name="curve_title",
        )
        plot(
            panel,
            "curve",
            curve_data(config.storage, curve),
            {
                "height": 260,
                "margin": {"l": 60, "r": 20, "t": 10, "b": 45},
                "xaxis": {"type": "log", "title": {"text": f"bits an {one(noun)}"}},
                "yaxis": {"title": {"text": "variance kept"}, "tickformat": ".0%"},
                "dragmode": "pan",
            },
            on_click=host.on_point,
        )
    buttons = row(panel, "buttons")
    host.offer(
        buttons,
        "measure",
        f"Measure {amount(_coded(ctx, key), noun)} again"
        if curve
        else f"Measure image codecs and detail on {amount(_coded(ctx, key), noun)}",
        "measure_storage",
        {"key": key, "whole": True},
        icon="query_stats",
        variant="outlined" if curve else "contained",
        componentsProps=OUTLINED if curve else NARROW,
    )


def _coded(ctx: Any, key: str) -> int:
    """How many samples of the dataset have a code."""
    from fiftyone_smic.fiftyone.codes import count_coded

    return count_coded(ctx.dataset, key)


def lam_of(ctx: Any, key: str | None) -> float | None:
    """λ of the point of the curve that was clicked."""
    from fiftyone_smic.fiftyone.runs import load_config

    curve = (load_config(ctx.dataset, key).storage or {}).get("curve") if key else None
    index = ctx.params.get("idx")
    clicked = ctx.params.get("trace") == CURVE and isinstance(index, int)
    return curve[index]["lam"] if curve and clicked and 0 <= index < len(curve) else None


def growth(storage: dict[str, Any], noun: str = "sample") -> list[dict[str, Any]]:
    """Plotly data: bits per item of collections coded with this dictionary, by their size."""
    from fiftyone_smic.fiftyone.runs import stored_rate

    rate = stored_rate(storage)
    items, each = rate.items, rate.payload_bits_per_item
    once = rate.dictionary_bits + rate.header_bits
    sizes = sorted({items, *(round(10 ** (power / 8)) for power in range(8, 49))})
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": sizes,
            "y": [each + once / size for size in sizes],
            "line": {"color": GREY},
            "hovertemplate": f"%{{x:,}} {noun}s: %{{y:.1f}} bits each<extra></extra>",
        },
        _marker(items, each + once / items, f"{items:,} {noun}s: %{{y:.1f}} bits each"),
    ]


def round_numbers(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of each power of ten; Plotly writes 50 as "5"."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [first * 10.0**power for power in powers for first in (1, 2, 5)]
    return [tick for tick in ticks if low / 1.5 <= tick <= 1.5 * high]


def curve_data(storage: dict[str, Any], curve: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Plotly data: the variance that is kept, by bits per sample."""
    from fiftyone_smic.fiftyone.runs import stored_rate

    points = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": CURVE,
            "x": [point["bits_per_item"] for point in curve],
            "y": [point["explained_variance"] for point in curve],
            "line": {"color": GREY},
            "marker": {"size": 9},
            "hovertemplate": "%{x:.1f} bits keep %{y:.0%}<extra></extra>",
        },
    ]
    if storage["fidelity"]:  # else the codes are out of an archive: what was coded is not known
        points.append(
            _marker(
                stored_rate(storage).bits_per_item,
                storage["fidelity"]["explained_variance"],
                "this dictionary: %{x:.1f} bits keep %{y:.0%}",
            )
        )
    return points


def _marker(x: float, y: float, text: str) -> dict[str, Any]:
    """The point where this dictionary is."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [x],
        "y": [y],
        "marker": {"size": 13, "color": ACCENT, "symbol": "diamond"},
        "hovertemplate": f"{text}<extra></extra>",
    }


def size_rows(storage: dict[str, Any]) -> list[dict[str, Any]]:
    """What the encoded samples take, largest first.

    Returns:
        dicts of ``what``, ``bytes`` and ``size``, ``each`` (text) and ``kind``, one of "files",
        "codec", "latents", "smic", "part"
    """
    from fiftyone_smic.fiftyone.runs import stored_rate

    rate = stored_rate(storage)
    items = rate.items
    about = "about " if storage.get("pictures", items) < items else ""
    sizes = [
        ("Original files", storage["original_bytes"], "files"),
        *(
            (f"{CODECS.get(codec, codec)} at its smallest", number, "codec")
            for codec, number in storage.get("codecs", {}).items()
        ),
        ("Embeddings, 32 bits", storage["float32_bytes"], "latents"),
        ("Embeddings, 16 bits", storage["float32_bytes"] / 2, "latents"),
        ("SMIC", rate.total_bytes, "smic"),
        ("\u21b3 codes", rate.payload_bits / 8, "part"),
        ("\u21b3 dictionary", rate.dictionary_bits / 8, "part"),
        ("\u21b3 headers", rate.header_bits / 8, "part"),
    ]
    return [
        {
            "what": what,
            "kind": kind,
            "bytes": number,
            "size": (about if kind == "codec" else "") + size(number),
            "each": _bits(8 * number / items),
        }
        for what, number, kind in sizes
        if number is not None
    ]


def _bits(number: float) -> str:
    return f"{number:,.0f} bits" if number >= 1000 else f"{number:.1f} bits"


def bars(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Plotly data: bars of bytes, for a logarithmic axis."""
    rows = rows[::-1]
    return [
        {
            "type": "bar",
            "orientation": "h",
            "x": [max(1, row["bytes"]) for row in rows],
            "y": [row["what"] for row in rows],
            "text": [f"{row['size']}, {row['each']} each" for row in rows],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": [COLOURS[row["kind"]] for row in rows]},
            "hoverinfo": "skip",
        }
    ]


def summary(storage: dict[str, Any], noun: str = "sample") -> str:
    """Return the headline, as Markdown; ``noun`` is what has a code."""
    from fiftyone_smic.fiftyone.runs import stored_rate

    rate, each = stored_rate(storage), one(noun)
    text = (
        f"**{amount(rate.items, noun)}** in "
        f"**{size(rate.total_bytes)}**: {rate.bits_per_item:.1f} bits an {each}"
    )
    if storage["pixels_per_item"]:
        text += f", {rate.bits_per_pixel(storage['pixels_per_item']):.2g} bits a pixel"
    if storage["original_bytes"]:
        times = storage["original_bytes"] / rate.total_bytes
        text += f", **{times:,.0f} times** smaller than the files"
    quality = storage["fidelity"]
    if quality is None:
        return f"{text}.\n\nThese are the numbers of the archive that the codes came from."
    return (
        f"{text}.\n\nThe codes keep **{share(quality['explained_variance'])}** of the "
        f"differences between {each}s (explained variance). Their similarity to the embeddings "
        f"is {quality['centred_cosine']:.2f} (cosine), and {share(quality['recall_at_10'])} of "
        f"the ten most similar {each}s are found again.\n\n"
        + about(f"*{TERMS['variance']} {TERMS['cosine']} {TERMS['neighbours']}*", noun)
    )
