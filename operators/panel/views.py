"""The grid's view: narrowed by what is clicked in the panel, and led back again."""

from __future__ import annotations

import json
import time
from typing import Any

import fiftyone.core.view as fov

from . import memory

_MOST_STEPS = 20
#: Filters that are gone within so many seconds after a choice in the panel were dropped by the App.
_DROPPED = 5.0


def shown(ctx: Any) -> fov.DatasetView:
    """Return the samples that the grid shows: its view or saved view, and the sidebar's filters."""
    saved = ctx.request_params.get("view_name")
    if saved is None:
        return ctx.view
    import fiftyone.server.view as fosv

    # ``ctx.view`` leaves the sidebar's filters out where there is a saved view.
    view = ctx.dataset.load_saved_view(saved)
    filters = ctx.request_params.get("filters")
    return fosv.get_view(ctx.dataset, stages=view._serialize(), filters=filters)


def keep_filters(ctx: Any, chosen: bool) -> None:
    """Give back the sidebar's filters that the App drops when the panel's state changes.

    Args:
        ctx: The context of an event of the panel.
        chosen: Whether it is a choice that the App keeps in the panel's state.
    """
    filters, kept = ctx.request_params.get("filters"), memory.of(ctx)
    if chosen and filters:
        kept.filters = filters, time.monotonic()
    elif kept.filters is not None and not filters:
        before, when = kept.filters
        kept.filters = None
        if time.monotonic() < when + _DROPPED:
            ctx.trigger("set_filters", before)


def narrow(ctx: Any, view: fov.DatasetView, what: str) -> bool:
    """Show a part of what the grid shows.

    Args:
        ctx: The panel's context.
        view: The part; a view of :func:`shown`.
        what: Says which samples these are.

    Returns:
        Whether this is another view. The App then soon says that the view has changed.
    """
    filters = ctx.request_params.get("filters")
    saved = ctx.request_params.get("view_name")
    before = saved if saved and not filters else shown(ctx)._serialize()
    selected = list(ctx.selected)
    steps = memory.of(ctx).steps
    steps.append(memory.Step(before, selected, _mark(view), what))
    del steps[:-_MOST_STEPS]
    _show(ctx, view, selected)
    return steps[-1].after != _mark(shown(ctx))


def narrowed(ctx: Any) -> str | None:
    """Return which samples the grid shows since the last :func:`narrow`, or None.

    None also if the user has changed the view since.
    """
    steps = memory.of(ctx).steps
    return steps[-1].what if steps and steps[-1].after == _mark(shown(ctx)) else None


def back(ctx: Any) -> bool:
    """Show what the grid showed before the last :func:`narrow`; return whether there was one."""
    if narrowed(ctx) is None:
        return False
    step = memory.of(ctx).steps.pop()
    if isinstance(step.before, str):
        ctx.ops.set_view(name=step.before)
        if step.selected:
            ctx.ops.set_selected_samples(step.selected)
        return True
    _show(ctx, fov.DatasetView._build(ctx.dataset, step.before), step.selected)
    return True


def _show(ctx: Any, view: fov.DatasetView, selected: list[str]) -> None:
    memory.of(ctx).filters = None  # they are stages of the view now
    ctx.ops.set_view(view)
    kept = view.select(selected).values("id") if selected else []
    if kept:
        ctx.ops.set_selected_samples(kept)


def _mark(view: fov.DatasetView) -> str:
    """Return the same text for the same stages."""
    stages = [
        {
            # A view of patches also says which dataset it was made into, each time another one.
            name: [pair for pair in value if pair[0] != "_state"] if name == "kwargs" else value
            for name, value in stage.items()
            if name != "_uuid"
        }
        for stage in view._serialize()
    ]
    return json.dumps(stages, sort_keys=True, default=str)
