"""What running a form costs: how many, how long, and whether a model can draw."""

from __future__ import annotations

import os
from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators import types

from fiftyone_smic.models.generators.registry import DECLARATION, NEAREST

from . import forms
from .words import duration, size

#: Denoising steps that generators take unless told otherwise.
STEPS = 20
#: Seconds a picture and step on two CPU cores: the built-in generator, and Stable Diffusion.
STEP_SECONDS = {"postcards": 0.02, "other": 6.0}
#: Seconds in which ``nearest`` finds and copies a picture.
COPY_SECONDS = 0.02
#: What the App calls ``nearest``.
NEAREST_LABEL = "nearest: no drawing, the most similar picture of this dataset (needs no GPU)"
#: Files of a dataset that a form looks for.
LOOKED_AT = 20


def cost(
    inputs: types.Object,
    what: str,
    n: float,
    *,
    measured: float | None,
    guess: float,
    loading: float = 0,
    more: str = "",
) -> None:
    """Show what running this will cost.

    Args:
        inputs: Where to show it.
        what: What will be worked on, with its number.
        n: How many; 0 means that there is nothing to do.
        measured: Seconds each took when it was last done here, if it was; without loading.
        guess: Seconds each takes on two CPU cores, where it has not been measured.
        loading: Seconds that loading takes, however many there are.
        more: To say after it.
    """
    if not n:
        forms.note(inputs, "cost", f"{what}: nothing to do{more}")
        return
    seconds = loading + n * (guess if measured is None else measured)
    basis = "rough estimate" if measured is None else "as last measured here"
    forms.note(inputs, "cost", f"{what}: about {duration(seconds)} ({basis}){more}")


def drawing(ctx: Any, inputs: types.Object) -> None:
    """The seldom needed inputs of drawing."""
    if not forms.advanced(ctx, inputs):
        return
    forms.number(
        inputs,
        ctx.params,
        "steps",
        default=None,
        least=1,
        most=1000,
        label="Steps",
        description="Denoising steps. Leave empty for the generator's own number",
    )
    forms.number(
        inputs,
        ctx.params,
        "guidance",
        default=None,
        least=1,
        most=50,
        whole=False,
        label="Guidance",
        description="How closely to follow the code. Leave empty for the generator's own value",
    )
    forms.number(
        inputs,
        ctx.params,
        "batch_size",
        default=8,
        least=1,
        most=256,
        label="Batch size",
        description="Pictures drawn at a time. Lower it if memory runs out",
    )


def generator(ctx: Any, inputs: types.Object, samples: SampleCollection, encoder: str) -> str:
    """Choose what draws the embeddings of an encoder; the form stops where nothing does.

    A folder of one's own can be typed. Only names and declarations are read, so that no model is
    loaded.

    Returns:
        The name that is chosen, or nothing.
    """
    from fiftyone_smic.models.generators.loading import problem
    from fiftyone_smic.models.identity import EncoderIdentity

    why, offered = why_no_drawing(encoder), generators(encoder)
    if has_gallery(samples):
        offered[NEAREST] = NEAREST_LABEL
    chosen = ctx.params.get("generator") or next(iter(offered), "")
    known = EncoderIdentity.parse(encoder).known
    if offered or known:
        prop = _generator_input(inputs, offered)
        if chosen and chosen not in offered:
            if wrong := problem(chosen, encoder):
                forms.wrong(prop, wrong)
            return str(chosen)
    if not offered:
        forms.stop(inputs, "no_generator", "These codes cannot be drawn", why)
    elif why:
        forms.note(inputs, "undrawn", f"The most similar pictures are shown instead. {why}")
    return str(chosen) if offered else ""


def _generator_input(inputs: types.Object, offered: dict[str, str]) -> types.Property:
    """A list of the known generators, in which the folder of any other can be typed."""
    choices = types.AutocompleteView(allow_user_input=True)
    for name, label in offered.items():
        choices.add_choice(name, label=label)
    return inputs.str(
        "generator",
        default=next(iter(offered), None),
        label="Generator",
        description=f"Choose one, or type the folder of a pipeline that has a {DECLARATION}",
        view=choices,
    )


def drawing_cost(
    ctx: Any, inputs: types.Object, what: str, n: int, encoder: str, generator: str | None = None
) -> None:
    """Show what drawing ``n`` pictures will cost."""
    from fiftyone_smic.fiftyone.durations import measured

    if generator == NEAREST:
        cost(inputs, what, n, measured=None, guess=COPY_SECONDS, loading=1)
        return
    demonstration = encoder.startswith("postcards")
    steps = ctx.params.get("steps")
    cost(
        inputs,
        what,
        n * (steps if isinstance(steps, int) else STEPS),
        measured=measured(ctx.dataset, "draw", encoder),
        guess=STEP_SECONDS["postcards" if demonstration else "other"],
        loading=2 if demonstration else 30,
    )
    if demonstration:
        forms.note(
            inputs,
            "demonstration",
            "The built-in generator is a demonstration: it can only draw postcards",
        )


def why_no_drawing(encoder: str) -> str:
    """Return why the embeddings of an encoder cannot be drawn, or nothing where they can."""
    from fiftyone_smic.models.identity import EncoderIdentity

    if not EncoderIdentity.parse(encoder).known:
        return (
            "These embeddings do not say which model made them, so no generator can be chosen. "
            "Run 'SMIC: adopt embeddings' on their field and choose the model, then learn the "
            "dictionary again."
        )
    if generators(encoder):
        return ""
    name = encoder.partition("@")[0]
    return (
        f"No known generator draws embeddings of {name}. The page “Generators” of the documents "
        "lists which models can be drawn."
    )


def generators(encoder: str) -> dict[str, str]:
    """Return the generators that draw the embeddings of an encoder, the preferred one first.

    Returns:
        Name -> label, with licence, size of the pictures and memory.
    """
    from fiftyone_smic.models.generators.registry import ANY, generators_for

    return {
        known.name: f"{known.name} ({known.licence}, {known.pixels} pixels, "
        f"{size(known.gigabytes * 1e9)})"
        for known in generators_for(encoder)
        if known.encoder != ANY
    }


def has_gallery(samples: SampleCollection) -> bool:
    """Tell whether a dataset has pictures that ``nearest`` can answer with.

    Only the first files are looked at, so that a form stays fast; the run itself looks at all.
    """
    from fiftyone_smic.fiftyone.placeholders import is_placeholder

    files = samples._root_dataset.limit(LOOKED_AT).values("filepath")
    return any(os.path.isfile(file) and not is_placeholder(file) for file in files)
