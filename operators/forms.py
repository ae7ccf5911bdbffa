"""Inputs that several forms share. They look at schemas and counts only, and load no model."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

ENCODERS = {
    "postcards": "Postcards: the small built-in demonstration, knows nothing of photographs",
    "ViT-B-32/laion2b_s34b_b79k": "ViT-B-32 (LAION-2B): fast, for photographs",
    "ViT-L-14/openai": "ViT-L-14 (OpenAI): can be drawn again by unCLIP small",
    "ViT-H-14/laion2b_s32b_b79k": "ViT-H-14 (LAION-2B): can be drawn again by unCLIP, best quality",
}


def target(ctx: Any, inputs: types.Object, action: str) -> fo.core.collections.SampleCollection:
    """Let the user choose dataset, view or selection; returns what is chosen now.

    The panel opens forms on the samples it shows, by ``sample_ids``: then there is no choice.
    """
    if ctx.params.get("sample_ids"):
        inputs.list("sample_ids", types.String(), view=types.HiddenView(read_only=False))
    else:
        inputs.view_target(ctx, action_description=action, require_flat=True)
    return collection(ctx)


def collection(ctx: Any) -> fo.core.collections.SampleCollection:
    """What the user chose to work on."""
    if ctx.params.get("sample_ids"):
        return ctx.dataset.select(ctx.params["sample_ids"])
    return ctx.target_view(require_flat=True)


def check_images(inputs: types.Object, samples: fo.core.collections.SampleCollection) -> bool:
    """Say at once if the collection cannot be worked on; returns whether it can."""
    from fiftyone_smic.fiftyone.reading import image_samples

    try:
        image_samples(samples)
    except ValueError as error:
        stop(inputs, "collection", "This does not work here", str(error))
        return False
    return True


def stop(inputs: types.Object, name: str, label: str, why: str) -> None:
    """Show a reason why the form cannot be executed."""
    prop = inputs.view(name, types.Warning(label=label, description=why))
    prop.invalid = True
    prop.error_message = why


def note(inputs: types.Object, name: str, text: str) -> None:
    """Show what running this will cost."""
    inputs.view(name, types.Notice(label=text))


def dictionary_key(ctx: Any, inputs: types.Object) -> str | None:
    """Choose a stored dictionary; None if there is none."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    keys = list_dictionaries(ctx.dataset)
    if not keys:
        stop(
            inputs,
            "no_dictionary",
            "No dictionary yet",
            "This dataset has no dictionary. Run 'SMIC: learn dictionary' first.",
        )
        return None
    chosen = ctx.params.get("key")
    default = chosen if chosen in keys else keys[0]
    choices = types.DropdownView()
    for key in keys:
        choices.add_choice(key, label=key)
    prop = inputs.enum("key", keys, default=default, label="Dictionary", view=choices)
    if chosen is not None and chosen not in keys:
        prop.invalid = True
        prop.error_message = f"there is no dictionary {chosen!r}; choose one of {', '.join(keys)}"
        return None
    return default


def new_key(ctx: Any, inputs: types.Object) -> bool:
    """Ask for the key of a dictionary to learn; returns whether it can be used."""
    from fiftyone_smic.fiftyone.runs import check_free, list_dictionaries

    taken = list_dictionaries(ctx.dataset)
    default = next(k for k in ("smic", *(f"smic{i}" for i in range(2, 1000))) if k not in taken)
    prop = inputs.str(
        "key",
        default=default,
        label="Key",
        description="Names the dictionary; its sample fields will be called <key>_atoms and so on",
    )
    key = ctx.params.get("key", default)
    overwrite = bool(ctx.params.get("overwrite"))
    if key in taken:
        inputs.bool(
            "overwrite",
            default=False,
            label=f"Replace the dictionary '{key}'",
            description="Its codes and regenerated pictures are dropped with it",
            view=types.CheckboxView(),
        )
    try:
        check_free(ctx.dataset, key, overwrite)
    except ValueError as error:
        prop.invalid = True
        prop.error_message = str(error)
        return False
    return True


def latents_field(ctx: Any, inputs: types.Object) -> str | None:
    """Choose a vector field; None if there is none."""
    schema = ctx.dataset.get_field_schema()
    names = [name for name, field in schema.items() if isinstance(field, fo.VectorField)]
    if not names:
        stop(
            inputs,
            "no_latents",
            "No latents yet",
            "This dataset has no vector field. Run 'SMIC: compute latents' first.",
        )
        return None
    names.sort(key=lambda name: (not (schema[name].info or {}).get("encoder"), name))
    chosen = ctx.params.get("latents_field")
    default = chosen if chosen in names else names[0]
    choices = types.DropdownView()
    for name in names:
        encoder = (schema[name].info or {}).get("encoder", "encoder not known")
        choices.add_choice(name, label=name, description=encoder)
    inputs.enum("latents_field", names, default=default, label="Latents", view=choices)
    return default


def advanced(ctx: Any, inputs: types.Object) -> bool:
    """A switch behind which the seldom needed inputs are."""
    inputs.bool("advanced", default=False, label="More settings", view=types.SwitchView())
    return bool(ctx.params.get("advanced"))


def number(
    inputs: types.Object,
    params: dict[str, Any],
    name: str,
    *,
    default: float | None,
    least: float,
    most: float,
    label: str,
    description: str = "",
    whole: bool = True,
) -> None:
    """A number within bounds, checked as it is typed; left empty, the library's default holds."""
    add = inputs.int if whole else inputs.float
    prop = add(name, default=default, label=label, description=description)
    value = params.get(name, default)
    if value is None:
        return
    if not isinstance(value, (int, float)) or not least <= value <= most:
        prop.invalid = True
        prop.error_message = f"{label} must be between {least:g} and {most:g}"


def duration(seconds: float) -> str:
    """Seconds as one reads them."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def amount(size: float) -> str:
    """Bytes as one reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError


def chosen(ctx: Any, *names: str) -> dict[str, Any]:
    """The inputs of these names that the form or the caller has set."""
    return {name: ctx.params[name] for name in names if ctx.params.get(name) is not None}
