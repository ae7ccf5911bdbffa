"""What running a form costs: how many, how long, and whether a model can draw."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .words import duration

#: Denoising steps that generators take unless told otherwise.
STEPS = 20
#: Seconds a picture and step on two CPU cores: the built-in generator, and Stable Diffusion.
STEP_SECONDS = {"postcards": 0.02, "other": 6.0}


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


def drawing_cost(ctx: Any, inputs: types.Object, what: str, n: int, encoder: str) -> None:
    """Show what drawing ``n`` pictures will cost."""
    from fiftyone_smic.fiftyone.runs import measured

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


def can_draw(inputs: types.Object, encoder: str) -> bool:
    """Stop the form if no generator draws the embeddings of an encoder; returns whether one does.

    Only names are compared, so that no model is loaded.
    """
    why = why_no_drawing(encoder)
    if why:
        forms.stop(inputs, "no_generator", "These codes cannot be drawn", why)
    return not why


def why_no_drawing(encoder: str) -> str:
    """Return why the embeddings of an encoder cannot be drawn, or nothing where they can."""
    from fiftyone_smic.models.identity import EncoderIdentity

    if not EncoderIdentity.parse(encoder).known:
        return (
            "These embeddings do not say which model made them, so no generator can be chosen. "
            "Run 'SMIC: adopt embeddings' on their field and choose the model, then learn the "
            "dictionary again."
        )
    return _unfit(encoder)


def _unfit(encoder: str) -> str:
    """Return why no generator draws the embeddings of a known encoder, or nothing."""
    if generators(encoder):
        return ""
    from fiftyone_smic.models.generators.registry import fits

    return f"No generator draws embeddings of {encoder}. {fits()}"


def generators(encoder: str) -> dict[str, str]:
    """Return the generators that draw the embeddings of an encoder: name -> label."""
    from fiftyone_smic.models.generators.registry import ANY, generators_for

    return {
        known.name: f"{known.name} ({known.licence})"
        for known in generators_for(encoder)
        if known.encoder != ANY
    }
