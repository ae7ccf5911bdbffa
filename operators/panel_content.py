"""What the panel shows, read from sample fields and stored runs; nothing is computed here."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import fiftyone as fo

from . import forms

#: Samples on one page of the Compare tab.
PAGE = 4
#: Atoms listed for one of them.
MOST_ATOMS = 6
#: Dots of samples on the map; the panel's data travels with every event.
MOST_DOTS = 1500
ACCENT = "#ff6d04"
GREY = "#8b96a5"


def next_step(dataset: fo.Dataset, key: str | None) -> tuple[str, str, str] | None:
    """What is missing before there is something to show.

    Returns:
        an explanation, the operator to run and its button's label, or None
    """
    schema = dataset.get_field_schema()
    if key is None:
        if not any(isinstance(field, fo.VectorField) for field in schema.values()):
            return (
                "SMIC learns the atoms of meaning this collection is made of and writes each "
                "image as a few of them. It starts from **latents** of the images.",
                "compute_latents",
                "Compute latents",
            )
        return (
            "The latents are there. Next, learn a **dictionary** of the atoms they are made of.",
            "learn_dictionary",
            "Learn dictionary",
        )
    if f"{key}_atoms" not in schema:
        return (
            f"Dictionary **{key}** is there. Next, write the **code** of each sample.",
            "encode_samples",
            "Encode samples",
        )
    return None


def media_url(path: str) -> str:
    """Where the App serves a file of a sample."""
    return "/media?filepath=" + quote(path)


def compare_rows(
    samples: fo.core.collections.SampleCollection, selected: list[str], key: str
) -> list[dict[str, Any]]:
    """The page of the Compare tab: the selected samples, or else the first of the view.

    Returns:
        dicts of ``id``, ``original`` and ``regenerated`` (URLs, the latter or None) and ``about``
        (Markdown)
    """
    chosen = samples.select(selected[:PAGE], ordered=True) if selected else samples.limit(PAGE)
    schema = samples.get_field_schema()
    names = ["atoms", "coefficients", "bits", "fidelity", "regenerated"]
    there = [name for name in names if f"{key}_{name}" in schema]
    columns = chosen.values(
        ["id", "filepath", f"{key}_labels.classifications.confidence"]
        + [f"{key}_{name}" for name in there]
    )
    rows = []
    for sample_id, path, shares, *values in zip(*columns, strict=True):
        held = dict(zip(there, values, strict=True))
        drawn = held.get("regenerated")
        rows.append(
            {
                "id": sample_id,
                "original": media_url(path),
                "regenerated": media_url(drawn) if drawn else None,
                "about": _about(path, held, shares or []),
            }
        )
    return rows


def _about(path: str, held: dict[str, Any], shares: list[float]) -> str:
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    if held.get("atoms") is None:
        return f"`{name}`\n\nno code yet: run **SMIC: encode samples** on it"
    head = f"`{name}`\n\n**{held['bits']:.0f} bits** · fidelity **{held['fidelity']:.2f}**\n\n"
    if not held["atoms"]:
        return head + "no atoms: it is what the collection has in common"
    listed = list(zip(held["atoms"], held["coefficients"], shares, strict=True))
    lines = [
        f"{weight:+d} **atom {atom}** · {share:.0%}" for atom, weight, share in listed[:MOST_ATOMS]
    ]
    if len(listed) > MOST_ATOMS:
        lines.append(f"and {len(listed) - MOST_ATOMS} more")
    return head + "  \n".join(lines)


def storage_rows(storage: dict[str, Any]) -> list[dict[str, Any]]:
    """The Storage tab's numbers: what the encoded samples take, largest first.

    Returns:
        dicts of ``what``, ``bytes`` and ``size``, ``each`` (text) and ``kind``, one of "files",
        "latents", "smic", "part"
    """
    items = storage["items"]
    smic = sum(storage[f"{part}_bits"] for part in ("payload", "dictionary", "header")) / 8
    sizes = [
        ("Original files", storage["original_bytes"], "files"),
        ("float32 latents", storage["float32_bytes"], "latents"),
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


def storage_plot(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Plotly data: bars of bytes, for a logarithmic axis."""
    colours = {"files": GREY, "latents": GREY, "smic": ACCENT, "part": "#ffb682"}
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
            "marker": {"color": [colours[row["kind"]] for row in rows]},
            "hoverinfo": "skip",
        }
    ]


def storage_summary(storage: dict[str, Any]) -> str:
    """The Storage tab's headline, as Markdown."""
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


def map_plot(dataset: fo.Dataset, key: str) -> list[dict[str, Any]] | None:
    """Plotly data of the map of atoms and samples, or None if there is none."""
    import numpy as np

    from fiftyone_smic.fiftyone.runs import load_config
    from fiftyone_smic.fiftyone.visualization import atom_sizes

    config = load_config(dataset, key)
    if not config.atom_points or config.brain_key not in dataset.list_brain_runs():
        return None
    results = dataset.load_brain_results(config.brain_key)
    step = -(-len(results.points) // MOST_DOTS)
    dots = np.round(results.points[::step].astype(float), 3)
    atoms = np.array(config.atom_points)
    uses = np.zeros(len(atoms), dtype=int)
    if dataset.has_field(f"{key}_atoms"):
        for atom, count in dataset.count_values(f"{key}_atoms").items():
            if atom is not None:
                uses[atom] = count
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
            "x": atoms[:, 0].tolist(),
            "y": atoms[:, 1].tolist(),
            "ids": [str(i) for i in range(len(atoms))],
            "text": [f"atom {i}: {n} samples" for i, n in enumerate(uses)],
            "hoverinfo": "text",
            "marker": {
                "size": np.round(atom_sizes(uses), 1).tolist(),
                "color": ACCENT,
                "symbol": "diamond",
            },
        },
    ]
