"""Inputs that several forms share. They look at schemas and counts only, and load no model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators import types

from . import findings
from .words import TERMS, amount

#: The button of a result that opens the panel.
PANEL = (
    "Open the SMIC panel",
    "@voxel51/operators/open_panel",
    {"name": "smic_panel", "layout": "horizontal"},
)


def target(ctx: Any, inputs: types.Object, action: str) -> SampleCollection:
    """Let the user choose dataset, view or selection; returns what is chosen now.

    A button of the panel opens a form on what the panel shows: on samples, by ``sample_ids``, on
    objects, by ``label_ids``, on what curation found, by ``found``, or on the whole dataset, by
    ``whole``. Then there is no choice, and the form says so. Nor is there one without an
    ``action``, which is for operators that take the whole dataset.
    """
    if ctx.params.get("quiet"):
        inputs.bool("quiet", view=types.HiddenView(read_only=False))
    if not action:
        return ctx.dataset
    if ctx.params.get("label_ids"):
        inputs.list("label_ids", types.String(), view=types.HiddenView(read_only=False))
        note(inputs, "target", f"On {amount(len(ctx.params['label_ids']), 'object')} of the panel")
    elif ctx.params.get("sample_ids"):
        inputs.list("sample_ids", types.String(), view=types.HiddenView(read_only=False))
        note(inputs, "target", f"On {amount(len(ctx.params['sample_ids']), 'sample')} of the panel")
    elif ctx.params.get("found"):
        inputs.str("found", view=types.HiddenView(read_only=False))
        inputs.str("part", view=types.HiddenView(read_only=False))
        note(inputs, "target", f"On {amount(len(collection(ctx)), 'sample')} that were found")
    elif ctx.params.get("whole"):
        inputs.bool("whole", view=types.HiddenView(read_only=False))
        note(inputs, "target", f"On the whole dataset: {amount(len(ctx.dataset), 'sample')}")
    else:
        inputs.view_target(ctx, action_description=action, require_flat=True)
    return collection(ctx)


def objects_of(ctx: Any) -> str | None:
    """Return the field of the objects that the chosen dictionary codes; None for whole images."""
    from fiftyone_smic.fiftyone.codes import objects_of

    return objects_of(ctx.dataset, default_key(ctx))


def noun(patches_field: str | None) -> str:
    """Return what is worked on: "sample", or "object" where there is a field of objects."""
    from fiftyone_smic.fiftyone.objects import noun

    return noun(patches_field)


def items(ctx: Any, number: int) -> str:
    """Return a number of what the chosen dictionary codes: "3 samples", or "3 objects"."""
    return amount(number, noun(objects_of(ctx)))


def collection(ctx: Any) -> SampleCollection:
    """Return what the user chose to work on."""
    if ctx.params.get("label_ids"):
        ids = ctx.params["label_ids"]
        return ctx.dataset.select_labels(ids=ids, fields=objects_of(ctx))
    if ctx.params.get("sample_ids"):
        return ctx.dataset.select(ctx.params["sample_ids"])
    if ctx.params.get("found"):
        return findings.get(ctx.dataset, ctx.params["found"]).part(ctx.params.get("part"))
    if ctx.params.get("whole"):
        return ctx.dataset
    return ctx.target_view(require_flat=True)


def images(
    inputs: types.Object, samples: SampleCollection, patches_field: str | None = None
) -> SampleCollection | None:
    """Return the images to work on; None if there are none to work on, and the form says why.

    Args:
        inputs: Where to say it.
        samples: What was chosen.
        patches_field: The field of the objects to work on; None for whole images.
    """
    from fiftyone_smic.fiftyone.objects import images_of

    try:
        return images_of(samples, patches_field)
    except ValueError as error:
        stop(inputs, "collection", "This does not work here", str(error))
        return None


def stop(inputs: types.Object, name: str, label: str, why: str) -> None:
    """Show a reason why the form cannot be executed."""
    prop = inputs.view(name, types.Warning(label=label, description=why))
    wrong(prop, why)


def note(inputs: types.Object, name: str, text: str) -> None:
    """Tell something worth knowing before running."""
    inputs.view(name, types.Notice(label=text))


def explain(inputs: types.Object, *terms: str) -> None:
    """Explain terms of the form, in italics below it."""
    inputs.md("  \n".join(f"*{TERMS[term]}*" for term in terms), name="terms")


def wrong(prop: types.Property, why: str) -> None:
    """Say at an input what is wrong with it."""
    prop.invalid = True
    prop.error_message = why


def dropdown(
    inputs: types.Object,
    name: str,
    values: dict[str, str] | list[str],
    default: str | None,
    label: str,
    description: str = "",
) -> types.Property:
    """Choose one of some names, or of some values with their labels."""
    choices = types.DropdownView()
    labels = values if isinstance(values, dict) else {value: value for value in values}
    for value, text in labels.items():
        choices.add_choice(value, label=text)
    return inputs.enum(
        name, list(labels), default=default, label=label, description=description, view=choices
    )


def radio(
    ctx: Any,
    inputs: types.Object,
    name: str,
    choices: dict[Any, str],
    default: Any,
    label: str,
    about: dict[Any, str] | None = None,
) -> Any:
    """Choose one of a few things; returns what is chosen."""
    group = types.RadioGroup()
    for value, text in choices.items():
        group.add_choice(value, label=text, description=(about or {}).get(value))
    inputs.enum(name, list(choices), default=default, label=label, view=group)
    chosen = ctx.params.get(name, default)
    return chosen if chosen in choices else default


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
    """Ask for a path, or a folder to write to.

    Returns:
        The path, or None if it is none. The form then says why, unless nobody has typed yet.
    """
    prop = inputs.str(name, default=default, label=label, description=about, required=True)
    text = ctx.params.get(name, default)
    if not text:
        if text is not None:
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


def seed(ctx: Any, inputs: types.Object, description: str) -> None:
    """The number that decides what is random."""
    number(
        inputs,
        ctx.params,
        "seed",
        default=0,
        least=0,
        most=2**31 - 1,
        label="Seed",
        description=description,
    )


def chosen(ctx: Any, *names: str) -> dict[str, Any]:
    """Return the inputs of these names that the form or the caller has set."""
    return {name: ctx.params[name] for name in names if ctx.params.get(name) is not None}


# --- the dictionary to work with -----------------------------------------------------------------


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
    """Return the key that was chosen, or the dataset's first."""
    from fiftyone_smic.fiftyone.runs import list_dictionaries

    return ctx.params.get("key") or next(iter(list_dictionaries(ctx.dataset)), "smic")


def new_key(ctx: Any, inputs: types.Object) -> bool:
    """Ask for the key of a dictionary to learn; returns whether it can be used."""
    from fiftyone_smic.fiftyone.runs import check_free, list_dictionaries

    taken = list_dictionaries(ctx.dataset)
    default = next(k for k in ("smic", *(f"smic{i}" for i in range(2, 1000))) if k not in taken)
    prop = inputs.str(
        "key",
        default=default,
        label="Name of the dictionary",
        description="Its sample fields are named after it: <name>_atoms, <name>_bits and so on",
    )
    key = ctx.params.get("key", default)
    overwrite = bool(ctx.params.get("overwrite"))
    if key in taken:
        checkbox(
            inputs,
            "overwrite",
            f"Replace dictionary '{key}'",
            "Its codes and drawn pictures are removed from the samples with it",
        )
    try:
        check_free(ctx.dataset, key, overwrite)
    except ValueError as error:
        wrong(prop, str(error))
        return False
    return True


def of_images(ctx: Any, inputs: types.Object, key: str) -> bool:
    """Return whether a dictionary codes whole images; where it codes objects, the form stops."""
    from fiftyone_smic.fiftyone.runs import check_of_images, load_config

    try:
        check_of_images(load_config(ctx.dataset, key), key)
    except ValueError as error:
        stop(inputs, "of_objects", "This dictionary codes objects", str(error))
        return False
    return True


def held(ctx: Any, samples: Any, key: str, suffix: str) -> int:
    """Return how many samples, or objects, have a value in one of a key's fields."""
    from fiftyone_smic.fiftyone.fields import field_name
    from fiftyone_smic.fiftyone.objects import root_of

    root = root_of(ctx.dataset, objects_of(ctx))
    return values(ctx, samples, field_name(key, suffix), root)


def values(ctx: Any, samples: Any, name: str, root: str = "") -> int:
    """Return how many samples have a value in a field, or how many labels in an attribute."""
    path = f"{root}.{name}" if root else name
    if not ctx.dataset.has_field(path):
        return 0
    return int(samples.count(path)) if root else samples.exists(path).count()


def coded(ctx: Any, inputs: types.Object, samples: Any, key: str) -> int:
    """Return how many samples, or objects, have a code; without any the form stops."""
    from fiftyone_smic.fiftyone.codes import count_coded

    count = count_coded(samples, key)
    if not count:
        what = noun(objects_of(ctx))
        why = f"None of these {what}s has a code of {key!r}. Run 'SMIC: encode samples' first."
        stop(inputs, "no_codes", "No codes here", why)
    return count


def sidebar_groups(dataset: Any) -> dict[str, list[str]]:
    """Return the paths of SMIC's groups in the App's sidebar; a group that is gone has none."""
    from fiftyone_smic.fiftyone.fields import SPECS

    stored = {group.name: group.paths for group in dataset.app_config.sidebar_groups or []}
    return {spec.group: list(stored.get(spec.group, [])) for spec in SPECS}


def embedded(ctx: Any, inputs: types.Object, samples: Any, key: str) -> int:
    """Return how many samples, or objects, have an embedding of the dictionary's field; without
    any the form stops."""
    from fiftyone_smic.fiftyone.objects import root_of
    from fiftyone_smic.fiftyone.runs import load_config

    config = load_config(ctx.dataset, key)
    field, root = config.latents_field, root_of(ctx.dataset, config.patches_field)
    count = values(ctx, samples, field, root)
    if not count:
        what = noun(config.patches_field)
        why = (
            f"None of these {what}s has an embedding in {field!r}. Run 'SMIC: compute embeddings' "
            "on them first."
        )
        stop(inputs, "no_latents", "No embeddings here", why)
    return count


def takes(inputs: types.Object, what: str) -> None:
    """Say how many are worked on, in a form that does not say how long it takes."""
    note(inputs, "takes", f"On {what}")


def skipped(reasons: dict[str, str], noun: str = "sample") -> str:
    """Say which samples, or objects, were left out and why, as a paragraph of Markdown."""
    if not reasons:
        return ""
    from fiftyone_smic.fiftyone.collections import named

    count = amount(len(reasons), f"{noun} was", f"{noun}s were")
    return f"{count} skipped: {named(reasons)}.\n\n"
