"""SMIC: find label issues."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from .curating.finder import Finder, label_field
from .findings import Cause, Outcome, Share, Strip
from .words import amount, share

SHOWN = 12
#: Confusions that are listed.
MOST = 6


class FindLabelIssues(Finder):
    """Find labels that look wrong."""

    operator_name = "find_label_issues"
    label = "SMIC: find label issues"
    description = "See labels that look wrong, with what the other samples suggest instead"
    doing = "Learning labels from codes"
    action = "Check"
    card = "clean"
    scores = "the doubt and the suggested label"
    function = "find_label_issues"
    parameters = ("key", "label_field", "field", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        label_field(ctx, inputs, samples, key, "label_field", "Labels")

    def arguments(self, ctx: Any) -> dict[str, Any]:
        return with_labels(ctx, super().arguments(ctx))

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return f"whose {arguments['label_field']} looks wrong"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        judged = int((found.scores == found.scores).sum())
        n = len(found.indices)
        text = (
            f"**{amount(n, 'label')}** of {judged:,} {'looks' if n == 1 else 'look'} wrong, the "
            "most doubtful first."
            if n
            else f"All {judged:,} labels are the most probable ones: **nothing looks wrong**."
        )
        text += (
            f"\n\nFrom the codes, {share(found.accuracy)} of the labels are told right; always "
            f"saying the most common one gives {share(found.chance)}."
        )
        if found.accuracy < (1 + found.chance) / 2:
            text += (
                " **That is little, so these doubts mean little**: codes of more detail tell more."
            )
        if found.unjudged:
            few = ", ".join(map(str, found.unjudged[:8]))
            text += f" Too few samples to judge: {few}."
        first = found.indices[:SHOWN]
        strips = (
            Strip(
                "Given, and suggested",
                tuple(report.ids[i] for i in first),
                tuple(f"{found.labels[i]} → {found.suggested[i]}" for i in first),
            ),
        )
        largest = sorted(report.views, key=lambda name: -len(report.views[name]))[:MOST]
        causes = [self._confusion(report, found, name) for name in largest]
        return Outcome(text, strips if n else (), tuple(causes))

    def _confusion(self, report: Any, found: Any, name: str) -> Cause:
        count = len(report.views[name])
        given, _, rather = name.partition(", rather ")
        total = int(sum(str(label) == given for label in found.labels))
        sentence = (
            f"{count:,} of {total:,} labelled **{given}** {'looks' if count == 1 else 'look'} like "
            f"**{rather}** ({share(count / total)})."
        )
        return Cause(
            sentence,
            (),
            (
                Share(
                    f"of {given}", count / total, name, f"labelled {given} that look like {rather}"
                ),
            ),
        )


def with_labels(ctx: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Fill in the field of labels that the form shows first."""
    from fiftyone_smic.fiftyone.statistics import label_fields

    if "label_field" not in given:
        names = label_fields(ctx.dataset)
        if not names:
            raise ValueError("This dataset has no field with one label for each sample")
        given["label_field"] = names[0]
    return given
