"""The tab that makes new pictures of samples, texts and atoms."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from fiftyone_smic.models.generators.registry import NEAREST

from ..estimates import why_no_drawing
from ..words import amount
from . import items
from .generators import choose_generator, chosen_generator
from .parts import NARROW, OUTLINED, explain, picture, row

SIZE = 128
#: Of a picture of the strip: five of them and the gaps fill a panel of 600 pixels.
STRIP_SIZE = 100
ROLES = {"start": "Start", "plus": "Add", "minus": "Subtract"}
NO_ATOM = "none"


def lay_out(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    """What is mixed, and the strip of pictures that was drawn last."""
    from fiftyone_smic.fiftyone.runs import atom_names, load_config

    panel.md(
        f"Select one to three {items.noun(ctx, key)}s in the grid: the first is where to start, "
        "the second is added, the third is subtracted. You can also add a text, or subtract a "
        "concept.",
        name="help",
    )
    _samples(ctx, panel, key)
    ready = items.selectable(ctx, key)
    buttons = row(panel, "take")
    if not ready:
        buttons.btn(
            "objects",
            label="Show the objects in the grid",
            icon="grid_view",
            variant="outlined",
            title="The grid shows whole images now, of which no object can be selected",
            on_click=host.on_objects,
            componentsProps=OUTLINED,
        )
    buttons.btn(
        "selection",
        label=f"Take {amount(len(ctx.selected[: len(ROLES)]), f'selected {items.noun(ctx, key)}')}"
        if ctx.selected and ready
        else f"Take the selected {items.noun(ctx, key)}s",
        icon="check_box",
        variant="outlined",
        disabled=not (ctx.selected and ready),
        on_click=host.on_take,
        componentsProps=OUTLINED,
    )
    # The defaults are what was chosen, see the panel's tabs.
    said = recipe(ctx, key)
    inputs = row(panel, "mix", gap=2)
    inputs.str(
        "text",
        default=said.get("text"),
        label="Add a text",
        view=types.FieldView(componentsProps=_wide(200)),
    )
    choices = types.DropdownView(componentsProps=_wide(180))
    choices.add_choice(NO_ATOM, label="no concept")
    names = atom_names(ctx.dataset, key)
    for atom, name in enumerate(names):
        choices.add_choice(str(atom), label=name)
    inputs.enum(
        "atom",
        [NO_ATOM, *map(str, range(len(names)))],
        default=str(said.get("atom", NO_ATOM)),
        label="Subtract a concept",
        view=choices,
    )
    inputs.int(
        "seed",
        default=said["seed"],
        label="Seed",
        view=types.FieldView(componentsProps=_wide(90)),
    )
    panel.float(
        "alpha",
        # Of a slider, unlike of the others, the App never forgets the default: another one, of a
        # layout that is late, would move it back.
        default=1.0 if ctx.panel.state.alpha is None else None,
        min=0.0,
        max=2.0,
        view=types.SliderView(
            label="Strength", min=0.0, max=2.0, view_multiple_of=0.1, value_precision=1
        ),
    )
    encoder = load_config(ctx.dataset, key).encoder
    generator = chosen_generator(ctx, encoder)
    choose_generator(host, ctx, panel, encoder)
    why = "" if generator else why_no_drawing(encoder)
    panel.btn(
        "draw",
        label="Draw",
        icon="brush",
        variant="contained",
        on_click=host.on_mix,
        disabled=bool(why),
        title=why or "Draw five pictures, from the start to the whole mix",
    )
    if why:
        panel.md(f"*{why}*", name="why_not")
    elif generator == NEAREST:
        about = (
            "Nothing is drawn: the pictures are those of this dataset that are nearest to the mix."
        )
        panel.md(f"*{about}*", name="nearest")
    _strip(host, ctx, panel, key)
    explain(host, panel, "concept", "embedding", "dictionary")


def _wide(pixels: int) -> dict[str, Any]:
    return {"item": {"sx": {"width": f"{pixels}px"}}}


def parts(ctx: Any, key: str) -> list[str]:
    """Ids of what to mix; without a choice the first of the dataset, to start from."""
    taken = ctx.panel.state.taken or []
    boxed = items.objects_of(ctx, key)
    if boxed is not None:
        from fiftyone_smic.fiftyone.codes import coded_samples
        from fiftyone_smic.fiftyone.objects import find_objects

        chosen = ctx.dataset.select_labels(ids=taken, fields=boxed) if taken else ctx.dataset
        ids = find_objects(chosen, boxed, some=False).ids if taken else []
        first = coded_samples(ctx.dataset, key).limit(1)
        return [i for i in taken if i in ids] or find_objects(first, boxed).ids[:1]
    there = ctx.dataset.select(taken).values("id") if taken else []
    return [i for i in taken if i in there] or ctx.dataset.limit(1).values("id")


def recipe(ctx: Any, key: str) -> dict[str, Any]:
    """What is mixed, as :class:`fiftyone_smic.fiftyone.Recipe` takes it."""
    state = ctx.panel.state
    said: dict[str, Any] = dict(zip(ROLES, parts(ctx, key), strict=False))
    if (state.get("mix.text") or "").strip():
        said["text"] = state.get("mix.text").strip()
    if str(state.get("mix.atom")).isdigit():
        said["atom"] = int(state.get("mix.atom"))
    alpha = state.alpha
    said["alpha"] = float(alpha) if isinstance(alpha, (int, float)) else 1.0
    said["seed"] = int(state.get("mix.seed") or 0)
    return said


def drawn(ctx: Any, key: str) -> tuple[list[float], list[Any]]:
    """Alphas and files of the strip that was drawn last; none before there is one."""
    from fiftyone_smic.fiftyone import Recipe
    from fiftyone_smic.fiftyone.mixing import mix_paths

    if not ctx.panel.state.mixed:
        return [], []
    said = Recipe(**ctx.panel.state.mixed)
    from fiftyone_smic.fiftyone.runs import load_config

    generator = chosen_generator(ctx, load_config(ctx.dataset, key).encoder)
    paths = mix_paths(ctx.dataset, key, said, generator)
    return (said.alphas, paths) if all(path.exists() for path in paths) else ([], [])


def _samples(ctx: Any, panel: types.Object, key: str) -> None:
    """The samples to mix, each with its part in it."""
    ids = parts(ctx, key)
    of_images = dict(zip(*ctx.dataset.select(ids).values(["id", "filepath"]), strict=True))
    shown = items.files(ctx, key, [(i, of_images.get(i, "")) for i in ids])
    line = row(panel, "parts", gap=2)
    for (path, opens), (role, label) in zip(shown, ROLES.items(), strict=False):
        cell = types.Object()
        line.define_property(
            role, cell, view=types.GridView(orientation="vertical", componentsProps=NARROW)
        )
        cell.md(f"**{label}**", name="label")
        picture(cell, "picture", path, label, SIZE, opens)


def _strip(host: Any, ctx: Any, panel: types.Object, key: str) -> None:
    alphas, paths = drawn(ctx, key)
    line = row(panel, "strip", gap=1)
    for i, (alpha, path) in enumerate(zip(alphas, paths, strict=True)):
        cell = types.Object()
        line.define_property(
            f"cell{i}", cell, view=types.GridView(orientation="vertical", componentsProps=NARROW)
        )
        picture(cell, "picture", f"{path}", f"Mix {i}", STRIP_SIZE)
        cell.md(f"strength {alpha:g}", name="alpha")
        cell.btn(
            "keep",
            label="Keep",
            icon="add",
            variant="outlined",
            title="Add it to the dataset as a sample",
            on_click=host.on_keep,
            params={"index": i},
            componentsProps=OUTLINED,
        )


def keep(ctx: Any, key: str, index: int) -> fo.Sample | None:
    """Add a picture of the strip to the dataset."""
    from fiftyone_smic.fiftyone import keep_picture

    _, paths = drawn(ctx, key)
    return keep_picture(ctx.dataset, paths[index]) if 0 <= index < len(paths) else None
