"""The tab that shows what the collection takes."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from .. import forms
from .parts import ACCENT, GREY, PALE, plot

COLOURS = {"files": GREY, "latents": GREY, "smic": ACCENT, "part": PALE}


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """Sizes as of the last run of ``encode``, which measures them."""
    from fiftyone_smic.fiftyone.runs import load_config

    config = load_config(ctx.dataset, key)
    if not config.storage:
        panel.md("Run *SMIC: encode samples*: it measures what the codes take.", name="message")
        host.offer(panel, "encode", "Encode samples", "encode_samples", {"key": key})
        return
    rows = size_rows(config.storage)
    panel.md(summary(config.storage), name="summary")
    plot(
        panel,
        "sizes",
        bars(rows),
        {
            "height": 280,
            "margin": {"l": 160, "r": 70, "t": 10, "b": 40},
            "xaxis": {"type": "log", "title": {"text": "bytes"}, "dtick": 1},
        },
    )
    table = types.TableView()
    for name, label in (("what", "What"), ("size", "Size"), ("each", "Per sample")):
        table.add_column(name, label=label)
    cells = [{name: row[name] for name in ("what", "size", "each")} for row in rows]
    panel.list("table", types.Object(), default=cells, view=table)
    host.offer(
        panel,
        "again",
        "Measure again",
        "encode_samples",
        {"key": key},
        icon="refresh",
        variant="outlined",
    )


def size_rows(storage: dict[str, Any]) -> list[dict[str, Any]]:
    """What the encoded samples take, largest first.

    Returns:
        dicts of ``what``, ``bytes`` and ``size``, ``each`` (text) and ``kind``, one of "files",
        "latents", "smic", "part"
    """
    items = storage["items"]
    smic = sum(storage[f"{part}_bits"] for part in ("payload", "dictionary", "header")) / 8
    sizes = [
        ("Original files", storage["original_bytes"], "files"),
        ("float32 latents", storage["float32_bytes"], "latents"),
        ("float16 latents", storage["float32_bytes"] / 2, "latents"),
        ("SMIC, all of it", smic, "smic"),
        ("of it: codes", storage["payload_bits"] / 8, "part"),
        ("of it: dictionary", storage["dictionary_bits"] / 8, "part"),
        ("of it: header, checksums", storage["header_bits"] / 8, "part"),
    ]
    return [
        {
            "what": what,
            "kind": kind,
            "bytes": size,
            "size": forms.amount(size),
            "each": _bits(8 * size / items),
        }
        for what, size, kind in sizes
        if size is not None
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
            "text": [row["size"] for row in rows],
            "textposition": "outside",
            "cliponaxis": False,
            "marker": {"color": [COLOURS[row["kind"]] for row in rows]},
            "hoverinfo": "skip",
        }
    ]


def summary(storage: dict[str, Any]) -> str:
    """The headline, as Markdown."""
    items = storage["items"]
    bits = sum(storage[f"{part}_bits"] for part in ("payload", "dictionary", "header"))
    text = f"**{items:,} samples** in **{forms.amount(bits / 8)}**: {bits / items:.1f} bits each"
    if storage["pixels_per_item"]:
        text += f", {bits / items / storage['pixels_per_item']:.1e} bits per pixel"
    if storage["original_bytes"]:
        text += f", **{8 * storage['original_bytes'] / bits:,.0f} times** smaller than the files"
    quality = storage["fidelity"]
    return (
        f"{text}.\n\nKept: {quality['explained_variance']:.0%} of the variance of the latents, "
        f"centred cosine {quality['centred_cosine']:.2f}, {quality['recall_at_10']:.0%} of the ten "
        "nearest neighbours. As of the last run of *SMIC: encode samples*."
    )
