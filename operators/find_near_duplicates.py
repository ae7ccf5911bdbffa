"""SMIC: find near duplicates."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating.finder import Finder
from .findings import Outcome, Strip
from .words import amount

#: Groups that are shown, and samples of each.
GROUPS, MEMBERS = 6, 6


class FindNearDuplicates(Finder):
    """Find groups of near duplicates, and the one to keep of each."""

    operator_name = "find_near_duplicates"
    label = "SMIC: find near duplicates"
    description = "See pictures of the same thing, grouped, with the one to keep of each"
    doing = "Comparing codes"
    action = "Look"
    card = "clean"
    scores = "the sample to keep of each group, so that the grid can show groups"
    function = "find_near_duplicates"
    parameters = ("key", "threshold", "field", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        threshold(ctx, inputs)

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return "in groups of near duplicates"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        if not found.groups:
            return Outcome(
                f"No two of {amount(found.items, 'sample')} have a similarity of "
                f"{found.threshold:g} or more: **there are no near duplicates**."
            )
        inside = sum(map(len, found.groups))
        text = (
            f"**{amount(inside, 'sample')} in {amount(len(found.groups), 'group')}** have a "
            f"similarity of {found.threshold:g} or more. "
            f"**{len(found.removable):,} of {found.items:,}** can go: each is that near to the one "
            "that is kept.\n\n" + checked(found.verified)
        )
        near = {
            tuple(pair): cosine
            for pair, cosine in zip(found.pairs.tolist(), found.cosines.tolist(), strict=True)
        }
        strips = []
        for group in found.groups[:GROUPS]:
            first, *others = group[:MEMBERS].tolist()
            captions = [f"{near[min(first, i), max(first, i)]:.2f}" for i in others]
            more = f", {len(group) - MEMBERS:,} more" if len(group) > MEMBERS else ""
            ids = tuple(report.ids[i] for i in (first, *others))
            strips.append(Strip(f"{len(group)} alike{more}", ids, ("keep", *captions)))
        parts = {"remove": "Those that can go", "keep": "One of each group"}
        return Outcome(text, tuple(strips), parts=parts)


def threshold(ctx: Any, inputs: types.Object) -> None:
    """Ask from which similarity on two samples are near duplicates."""
    forms.number(
        inputs,
        ctx.params,
        "threshold",
        default=0.95,
        least=0,
        most=1,
        label="Similarity",
        description="1 is the same picture; from about 0.95 on pictures look alike",
        whole=False,
    )


def checked(verified: bool) -> str:
    """Say what decided on pairs."""
    if verified:
        return "*The embeddings, which are still there, decided on each pair.*"
    return (
        "*The embeddings are gone, so this is what the codes can tell: these samples mean the same "
        "at this detail. Look before you delete; whether they are duplicates only the files say.*"
    )
