"""What the map of concepts and samples is drawn from."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import fiftyone as fo
import numpy as np

from .. import forms
from ..words import amount
from . import items
from .parts import ACCENT, GREY, media_url

#: Colours of the groups that most samples are in; the other concepts have the accent's.
COLOURS = ("#4c9aff", "#2fb47c", "#e5484d", "#a259ec", "#d9a60f", "#12b5cb", "#e874c3", "#a1887f")
OTHERS = "other concepts"
#: Colour choices that are no field; field names have no space.
BY_CHOSEN, BY_STRONGEST = "the chosen concept", "the strongest concept"
NUMBERS = (fo.FloatField, fo.IntField)


def colour_fields(dataset: fo.Dataset, key: str) -> list[str]:
    """Return the fields that samples can be coloured by: labels, strings, booleans, numbers.

    Of a dictionary of objects these are the labels of the objects.
    """
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.fields import dictionary_fields
    from fiftyone_smic.fiftyone.names import label_path

    boxed = objects_of(dataset, key)
    if boxed is not None:
        return [boxed]
    own = dictionary_fields(key)
    ours = {name for suffix, name in own.items() if suffix not in ("bits", "fidelity")}
    found = []
    for name, field in dataset.get_field_schema().items():
        if name in ours or name in ("id", "filepath"):
            continue
        if isinstance(field, NUMBERS):
            found.append(name)
            continue
        try:
            label_path(dataset, name)
        except ValueError:
            continue
        found.append(name)
    return found


def version(dataset: fo.Dataset, key: str, found: Any, colour: str, chosen: int | None) -> str:
    """Return a text that differs where the map would look different."""
    from fiftyone_smic.fiftyone.runs import load_config

    config = load_config(dataset, key)
    latest = dataset.sort_by("last_modified_at", reverse=True).limit(1)  # an index knows it
    state = (
        dataset.name,
        key,
        config.digest,
        config.brain_key,
        config.brain_run,
        found.names,
        found.has.tobytes(),
        colour,
        chosen if colour == BY_CHOSEN else None,
        len(dataset),
        latest.values("last_modified_at"),
    )
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]


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
        colour: What to colour the samples by: one of :func:`colour_fields`, :data:`BY_CHOSEN` or
            :data:`BY_STRONGEST`.
        chosen: The atom that is meant by :data:`BY_CHOSEN`.

    Returns:
        The traces, or None if there is no map. Those of samples have the numbers of the dots as
        ``customdata``, those of atoms the numbers of the atoms as ``ids``.
    """
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.map_figure import atom_sizes
    from fiftyone_smic.fiftyone.visualization import load_map

    there = load_map(samples, key)
    if there is None:
        return None
    noun = forms.noun(objects_of(samples, key))
    sizes = np.round(atom_sizes(found.has), 1)
    at = np.round(there.atoms, 3)
    # Beside coloured samples the concepts have one colour, so that no colour means two things.
    apart = [("concepts", ACCENT, list(range(len(found.names))))] if colour else groups(found)
    traces = [
        *_dots(samples, key, found, there, colour, chosen),
        *(
            {
                "name": name,
                "x": at[group, 0].tolist(),
                "y": at[group, 1].tolist(),
                "ids": [str(i) for i in group],
                "text": [f"{found.names[i]}: {amount(int(found.has[i]), noun)}" for i in group],
                "hoverinfo": "none",
                "marker": {
                    "size": sizes[group].tolist(),
                    "color": shade,
                    "opacity": 0.9,
                    "symbol": "diamond",
                    "line": {"width": 1, "color": "white"},
                },
            }
            for name, shade, group in apart
        ),
    ]
    return [{"type": "scatter", "mode": "markers", **trace} for trace in traces]


def _shown(there: Any) -> tuple[np.ndarray, list[str]]:
    """Positions (M, 2) of the dots, and the id of the sample that each shows."""
    first = np.unique(there.dot_of, return_index=True)[1]
    return np.round(there.dots.astype(float), 3), [str(there.ids[i]) for i in first]


def _read(samples: fo.Dataset, key: str, ids: list[str], path: str) -> list[Any]:
    """A value of each sample, or an attribute of each object; None where it is gone."""
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.objects import find_objects

    boxed = objects_of(samples, key)
    if boxed is None:
        held = dict(zip(*samples.select(ids).values(["id", path]), strict=True))
    else:
        found = find_objects(samples.select_labels(ids=ids, fields=boxed), boxed, some=False)
        held = dict(zip(found.ids, found.values(path), strict=True))
    return [held.get(one) for one in ids]


def _values(
    samples: fo.Dataset, key: str, found: Any, ids: list[str], colour: str, chosen: int | None
) -> list[Any]:
    """What decides the colour of each sample: a text, a number, or None."""
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.fields import field_name
    from fiftyone_smic.fiftyone.names import label_path

    if colour in (BY_CHOSEN, BY_STRONGEST):
        atoms = _read(samples, key, ids, field_name(key, "atoms"))
        levels = _read(samples, key, ids, field_name(key, "coefficients"))
        codes = [
            dict(zip(has or [], level or [], strict=True))
            for has, level in zip(atoms, levels, strict=True)
        ]
        if colour == BY_STRONGEST:
            return [
                found.names[max(code, key=code.__getitem__)] if code else None for code in codes
            ]
        if chosen is None:
            return [None] * len(ids)
        said = {1: f"has {found.names[chosen]}", -1: f"lacks {found.names[chosen]}"}
        return [said.get(int(np.sign(code.get(chosen, 0)))) for code in codes]
    if objects_of(samples, key) is not None:
        return _read(samples, key, ids, "label")
    if isinstance(samples.get_field(colour), NUMBERS):
        return _read(samples, key, ids, colour)
    # Of several labels the first one stands for the sample.
    held = _read(samples, key, ids, label_path(samples, colour))
    first = [one[0] if isinstance(one, list) and one else one for one in held]
    return [None if one in (None, []) else str(one) for one in first]


def _dots(
    samples: fo.Dataset, key: str, found: Any, there: Any, colour: str | None, chosen: int | None
) -> list[dict[str, Any]]:
    """Traces of the samples: one in grey or in a scale, or one for each frequent label."""
    from fiftyone_smic.fiftyone.codes import objects_of

    rest = f"{forms.noun(objects_of(samples, key))}s"
    at, ids = _shown(there)
    values: list[Any] = [None] * len(ids)
    if colour:
        values = _values(samples, key, found, ids, colour, chosen)
    known = [i for i, value in enumerate(values) if value is not None]
    if known and all(isinstance(values[i], (int, float)) for i in known):
        unknown = sorted(set(range(len(ids))) - set(known))
        scale = [float(values[i]) for i in known]
        marker = {
            "size": 6,
            "opacity": 0.8,
            "color": scale,
            "colorscale": "Viridis",
            "colorbar": {"title": {"text": colour}, "thickness": 12, "len": 0.6},
        }
        return [
            *([_trace(rest, at, unknown, GREY, 4)] if unknown else []),
            {**_trace(str(colour), at, known, GREY, 6), "marker": marker, "showlegend": False},
        ]
    counts: dict[str, int] = {}
    for i in known:
        counts[values[i]] = counts.get(values[i], 0) + 1
    frequent = sorted(counts, key=lambda label: (-counts[label], label))
    shades = dict(zip(frequent, COLOURS, strict=False))
    parts: dict[str | None, list[int]] = {}
    for i, label in enumerate(values):
        parts.setdefault(label if label in shades else None, []).append(i)
    return [
        *([_trace(rest, at, parts[None], GREY, 4)] if None in parts else []),
        *(
            _trace(f"{label} ({counts[label]:,})", at, parts[label], shade, 6)
            for label, shade in shades.items()
        ),
    ]


def _trace(name: str, at: np.ndarray, part: list[int], shade: str, size: int) -> dict[str, Any]:
    return {
        "name": name,
        "x": at[part, 0].tolist(),
        "y": at[part, 1].tolist(),
        "customdata": part,
        "hoverinfo": "none",
        "marker": {"size": size, "color": shade, "opacity": 0.5 if shade == GREY else 0.8},
    }


def groups(found: Any) -> list[tuple[str, str, list[int]]]:
    """Atoms whose names differ by a number only: their name, a colour, and which they are.

    The largest groups come first; those beyond the colours, and atoms without a name, are one.
    """
    from fiftyone_smic.fiftyone.fields import is_unnamed
    from fiftyone_smic.semantics.names import stem

    together: dict[str, list[int]] = {}
    for i, name in enumerate(found.names):
        together.setdefault(stem(name), []).append(i)
    named = [name for name in together if not is_unnamed(name)]
    named.sort(key=lambda name: -int(found.has[together[name]].sum()))
    shown = [(name, shade, together[name]) for name, shade in zip(named, COLOURS, strict=False)]
    coloured = {i for _, _, group in shown for i in group}
    rest = [i for i in range(len(found.names)) if i not in coloured]
    return [*shown, *([(OTHERS if shown else "concepts", ACCENT, rest)] if rest else [])]


def pointed_at(ctx: Any, key: str, found: Any, dot: Any, atom: Any) -> dict[str, str]:
    """Return the picture and the name of what the mouse is over: a dot, or an atom.

    Returns:
        ``url`` and ``text``; nothing if it is not there any more.
    """
    from fiftyone_smic.fiftyone.codes import objects_of
    from fiftyone_smic.fiftyone.visualization import load_map

    if isinstance(atom, int) and 0 <= atom < len(found.names):
        held = found.typical[atom]
        text = f"{found.names[atom]}: {amount(int(found.has[atom]), items.noun(ctx, key))}"
    else:
        there = load_map(ctx.dataset, key)
        if there is None or not isinstance(dot, int) or not 0 <= dot < len(there.dots):
            return {}
        item, boxed = _shown(there)[1][dot], objects_of(ctx.dataset, key)
        if boxed is None:
            view = ctx.dataset.select(item)
        else:
            view = ctx.dataset.select_labels(ids=[item], fields=boxed)
        paths = view.values("filepath")
        held = (item, paths[0]) if paths else None
        text = os.path.basename(paths[0].replace("\\", "/")) if paths else ""
    if held is None:
        return {"text": text} if text else {}
    path, _ = items.files(ctx, key, [held])[0]
    return {"text": text, **({"url": media_url(path)} if path else {})}
