"""SMIC: find outliers."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating.finder import Finder
from .findings import Outcome, Strip
from .words import amount

SHOWN = 12
CAUSES = {
    "unexplained": "The concepts explain little of them",
    "far": "They are far from what all samples have in common",
}


class FindOutliers(Finder):
    """Find the samples that fit their collection least."""

    operator_name = "find_outliers"
    label = "SMIC: find outliers"
    description = "See the samples that do not belong here, and why"
    doing = "Scoring samples"
    action = "Look"
    card = "clean"
    scores = "how little each sample fits"
    function = "find_outliers"
    parameters = ("key", "k", "field", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        forms.number(
            inputs,
            ctx.params,
            "k",
            default=None,
            least=1,
            most=max(1, len(samples)),
            label="How many",
            description="Leave empty for all that stand out, which may be none",
        )

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return "that fit their collection least"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        from fiftyone_smic.curation.surprise import REMARKABLE

        found, n = report.result, len(report.view)
        out = int((found.scores > REMARKABLE).sum())
        text = (
            f"**{amount(out, 'sample')}** of {len(found.scores):,} "
            f"{'stands' if out == 1 else 'stand'} out, more than {REMARKABLE:g} times as far from "
            "the middle as is usual."
            if out
            else f"**None** of {amount(len(found.scores), 'sample')} stands out."
        )
        if n and not out:
            text += f" {amount(n, 'sample fits', 'samples fit')} least."
        text += (
            "\n\n*Outliers that are alike share a concept of their own and do not show here: in "
            "the Concepts tab, sort by rarity.*"
        )
        if not found.measured:
            text += " *The embeddings are gone; with them more would be seen.*"
        causes, strips = found.causes(), []
        for cause, about in CAUSES.items():
            items = [i for i in found.indices[:n] if causes[i] == cause][:SHOWN]
            if items:
                ids = tuple(report.ids[i] for i in items)
                strips.append(Strip(about, ids, tuple(f"{found.scores[i]:.1f}" for i in items)))
        parts = {name: about for name, about in CAUSES.items() if name in report.views}
        return Outcome(text, tuple(strips), parts=parts if len(parts) > 1 else {})
