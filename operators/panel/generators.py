"""Which generator draws mixes and concepts, where several can."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from ..estimates import NEAREST_LABEL, generators, has_gallery
from .parts import choose, row


def offered_generators(ctx: Any, encoder: str) -> dict[str, str]:
    """Return what can draw embeddings of an encoder, the preferred one first: name -> label."""
    from fiftyone_smic.models.generators.registry import NEAREST

    offered = generators(encoder)
    if has_gallery(ctx.dataset):
        offered[NEAREST] = NEAREST_LABEL
    return offered


def chosen_generator(ctx: Any, encoder: str) -> str | None:
    """Return the generator that is chosen; None stands for the preferred one of the encoder."""
    offered, preferred = offered_generators(ctx, encoder), generators(encoder)
    chosen = ctx.panel.state.get("generators.generator")
    first = next(iter(offered), None)
    chosen = chosen if chosen in offered else first
    return None if chosen == next(iter(preferred), None) else chosen


def choose_generator(host: Any, ctx: Any, panel: types.Object, encoder: str) -> None:
    """Show the choice, where there is one."""
    offered = offered_generators(ctx, encoder)
    if len(offered) < 2:
        return
    from fiftyone_smic.models.generators.registry import NEAREST

    default = chosen_generator(ctx, encoder) or next(iter(generators(encoder)), NEAREST)
    choose(host, row(panel, "generators"), "generator", offered, default, "Drawn by", width=460)
