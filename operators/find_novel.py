"""SMIC: find what is new."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating import sides
from .curating.finder import keep
from .findings import Outcome, Strip
from .words import amount

GROUPS, MEMBERS = 4, 8


class FindNovel(sides.OfTwoParts):
    """Find samples that are unlike a known part of the dataset."""

    operator_name = "find_novel"
    label = "SMIC: find what is new"
    description = "See the samples of a new part that a known part does not prepare for"
    doing = "Comparing parts"
    card = "compare"
    scores = "how new each sample is"
    function = "find_novel"
    parameters = ("key", "reference", "field", "tag")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        if self.asked(ctx, inputs, key, ("Known samples", "New samples")):
            keep(inputs, ctx, self.scores)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        known, new = sides.views(ctx)
        given = {"key": forms.default_key(ctx), **forms.chosen(ctx, "field", "tag")}
        return {**given, "reference": known, "new": new}

    def call(self, samples: Any, arguments: dict[str, Any]) -> Any:
        from fiftyone_smic.fiftyone import find_novel

        given = dict(arguments)
        return find_novel(given.pop("new", samples), **given)

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        known, new = sides.called(ctx)
        return f"of {new} that are new beside {known}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        known, new = sides.called(ctx)
        n, m = len(found.indices), len(found.scores)
        if n:
            text = (
                f"**{n:,} of {amount(m, 'sample')}** of {new} {'is' if n == 1 else 'are'} new "
                f"beside {known}, in {amount(len(found.groups), 'group')} with the same strongest "
                "concept."
            )
        else:
            text = f"**Nothing of {new} is new** beside {known}, as far as {m:,} samples can tell."
            least = m / (1 + found.references)
            if least >= 0.05:
                text += (
                    f" With {amount(found.references, 'known sample')} a single new one cannot be "
                    "told from chance: give a larger known part."
                )
        if found.relearn:
            text += " Over 5 % are new: **learn the dictionary again on both parts together**."
        if not found.measured:
            text += " *The embeddings are gone; from codes alone much that is new is not seen.*"
        strips, parts = [], {}
        for i, group in enumerate(found.groups[:GROUPS]):
            ids = tuple(report.ids[j] for j in group[:MEMBERS])
            strips.append(Strip(f"Group {i + 1}: {amount(len(group), 'sample')}", ids))
            parts[f"group {i}"] = f"Group {i + 1}"
        return Outcome(text, tuple(strips), parts=parts)
