"""Inputs that several forms share. They look at schemas and counts only, and load no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.operators import types

#: Denoising steps that generators take unless told otherwise.
STEPS = 20
#: Seconds per picture and step on two CPU cores: the built-in generator, and Stable Diffusion.
STEP_SECONDS = {"postcards": 0.02, "other": 6.0}
#: The button of a result that opens the panel.
PANEL = ("Open the SMIC panel", "@voxel51/operators/open_panel", {"name": "smic_panel"})


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
    from fiftyone_smic.fiftyone.collections import image_samples

    try:
        image_samples(samples)
    except ValueError as error:
        stop(inputs, "collection", "This does not work here", str(error))
        return False
    return True


def stop(inputs: types.Object, name: str, label: str, why: str) -> None:
    """Show a reason why the form cannot be executed."""
    prop = inputs.view(name, types.Warning(label=label, description=why))
    wrong(prop, why)


def note(inputs: types.Object, name: str, text: str) -> None:
    """Tell something worth knowing before running."""
    inputs.view(name, types.Notice(label=text))


def cost(
    inputs: types.Object,
    what: str,
    n: float,
    *,
    measured: float | None,
    guess: float,
    fixed: float = 0,
    more: str = "",
) -> None:
    """Show what running this will cost.

    Args:
        inputs: where to show it
        what: will be worked on
        n: how many of them
        measured: seconds each took when it was last done here, if it was
        guess: seconds each takes on two CPU cores, where it has not been measured
        fixed: seconds that loading takes, however many there are
        more: to say after it
    """
    seconds = fixed + n * (guess if measured is None else measured)
    guessed = "a guess for two CPU cores, until it has been measured here"
    basis = guessed if measured is None else "as last measured here"
    note(inputs, "cost", f"{what}: about {duration(seconds)} ({basis}){more}")


def dictionary_key(ctx: Any, inputs: types.Object) -> str | None:
    """Choose a stored dictionary; None if there is none."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    keys = list_dictionaries(ctx.dataset)
    default = default_key(ctx)
    if not keys:
        stop(
            inputs,
            "no_dictionary",
            "No dictionary yet",
            "This dataset has no dictionary. Run 'SMIC: learn dictionary' first.",
        )
        return None
    prop = dropdown(inputs, "key", keys, default, "Dictionary")
    if default not in keys:
        wrong(prop, f"there is no dictionary {default!r}; choose one of {', '.join(keys)}")
        return None
    return default


def default_key(ctx: Any) -> str:
    """The key that was chosen, or the dataset's first."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    return ctx.params.get("key") or next(iter(list_dictionaries(ctx.dataset)), "smic")


def dropdown(
    inputs: types.Object, name: str, values: list[str], default: str | None, label: str
) -> types.Property:
    """Choose one of some names."""
    choices = types.DropdownView()
    for value in values:
        choices.add_choice(value, label=value)
    return inputs.enum(name, values, default=default, label=label, view=choices)


def radio(
    ctx: Any, inputs: types.Object, name: str, choices: dict[Any, str], default: Any, label: str
) -> Any:
    """Choose one of a few things; returns what is chosen."""
    group = types.RadioGroup()
    for value, text in choices.items():
        group.add_choice(value, label=text)
    inputs.enum(name, list(choices), default=default, label=label, view=group)
    return ctx.params.get(name, default)


def wrong(prop: types.Property, why: str) -> None:
    """Say at an input what is wrong with it."""
    prop.invalid = True
    prop.error_message = why


def held(ctx: Any, samples: Any, key: str, suffix: str) -> int:
    """How many samples have a value in one of a key's fields."""
    from fiftyone_smic.fiftyone.fields import field_name

    name = field_name(key, suffix)
    return samples.exists(name).count() if ctx.dataset.has_field(name) else 0


def coded(ctx: Any, inputs: types.Object, samples: Any, key: str) -> int:
    """How many samples have a code; without any the form stops."""
    count = held(ctx, samples, key, "atoms")
    if not count:
        why = f"None of these samples has a code of {key!r}. Run 'SMIC: encode samples' first."
        stop(inputs, "no_codes", "No codes here", why)
    return count


def whole_path(
    ctx: Any,
    inputs: types.Object,
    name: str,
    *,
    default: str | None,
    label: str,
    about: str,
    folder: bool = False,
) -> Path | None:
    """Ask for a path, or a folder to write to; None, and said why, if it is none."""
    prop = inputs.str(name, default=default, label=label, description=about, required=True)
    text = ctx.params.get(name, default)
    if not text:
        wrong(prop, f"give the whole path: {about[0].lower()}{about[1:]}")
        return None
    path = Path(text).expanduser()
    if not path.is_absolute():
        wrong(prop, "give the whole path, starting with /")
        return None
    if folder and path.exists() and not path.is_dir():
        wrong(prop, f"{path} is a file; choose a folder")
        return None
    return path


def drawing(ctx: Any, inputs: types.Object) -> None:
    """The seldom needed inputs of drawing."""
    if not advanced(ctx, inputs):
        return
    number(
        inputs,
        ctx.params,
        "steps",
        default=None,
        least=1,
        most=1000,
        label="Steps",
        description="Denoising steps; empty: the generator's own",
    )
    number(
        inputs,
        ctx.params,
        "guidance",
        default=None,
        least=1,
        most=50,
        whole=False,
        label="Guidance",
        description="How closely to follow the code; empty: the generator's own",
    )
    number(inputs, ctx.params, "batch_size", default=8, least=1, most=256, label="Batch size")


def drawing_cost(ctx: Any, inputs: types.Object, what: str, n: int, encoder: str) -> None:
    """Show what drawing ``n`` pictures will cost."""
    from fiftyone_smic.fiftyone.runs import measured
    from fiftyone_smic.models.identity import EncoderIdentity

    demonstration = EncoderIdentity.parse(encoder).embedded
    steps = ctx.params.get("steps")
    cost(
        inputs,
        what,
        n * (steps if isinstance(steps, int) else STEPS),
        measured=measured(ctx.dataset, "draw", encoder),
        guess=STEP_SECONDS["postcards" if demonstration else "other"],
        fixed=10,
    )
    if demonstration:
        note(
            inputs,
            "demonstration",
            "The built-in generator is a demonstration: it can only draw postcards",
        )


def skipped(reasons: dict[str, str]) -> str:
    """Which samples were left out and why, as a paragraph of Markdown."""
    if not reasons:
        return ""
    from fiftyone_smic.fiftyone.collections import named

    return f"{len(reasons):,} skipped: {named(reasons)}\n\n"


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
        checkbox(
            inputs,
            "overwrite",
            f"Replace the dictionary '{key}'",
            "Its codes and regenerated pictures are dropped with it",
        )
    try:
        check_free(ctx.dataset, key, overwrite)
    except ValueError as error:
        wrong(prop, str(error))
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


def checkbox(
    inputs: types.Object, name: str, label: str, about: str = "", default: bool = False
) -> None:
    """Ask yes or no."""
    view = types.CheckboxView()
    inputs.bool(name, default=default, label=label, description=about, view=view)


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
        wrong(prop, f"{label} must be between {least:g} and {most:g}")


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
        if size < 999.5 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    raise AssertionError


def chosen(ctx: Any, *names: str) -> dict[str, Any]:
    """The inputs of these names that the form or the caller has set."""
    return {name: ctx.params[name] for name in names if ctx.params.get(name) is not None}
