"""SMIC: explain labels."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from .compare_parts import MOST, of, plain, shuffled
from .curating.finder import Finder, label_field, null_runs, nulls
from .find_label_issues import with_labels
from .findings import Cause, Outcome, Share
from .words import amount, chance, share


class ExplainLabels(Finder):
    """Test which concepts go together with which label."""

    operator_name = "explain_labels"
    label = "SMIC: explain labels"
    description = "Say which concepts go with which label, so that what should not stands out"
    doing = "Testing concepts"
    action = "Explain"
    card = "compare"
    function = "explain_labels"
    parameters = ("key", "label_field", "null", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        if label_field(ctx, inputs, samples, key, "label_field", "Labels"):
            null_runs(inputs)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        return {**with_labels(ctx, super().arguments(ctx)), **nulls(ctx)}

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return f"whose concepts go with their {arguments['label_field']}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found, field = report.result, arguments["label_field"]
        more = [row for row in found.found if row.difference > 0]
        if more:
            text = (
                f"**{amount(len(more), 'concept goes', 'concepts go')} together with a label of "
                f"{field}** more than by chance. One that should not is a spurious correlation: a "
                "model may learn it instead of the label."
            )
        else:
            text = f"No concept goes together with a label of {field} beyond chance."
        if len(more) > MOST:
            text += f" The clearest {MOST}:"
        if found.null is not None:
            text += f"\n\n*{shuffled(found.null)}*"
        causes = []
        for row in more[:MOST]:
            name = plain(found.names[row.atom], row.sign)
            part = f"{name!r} in {row.label!r}"
            sentence = (
                f"**“{name}”** occurs in {share(row.inside)} of {row.label} and "
                f"{share(row.outside)} of the rest, {chance(row.q)}."
            )
            shares = (
                Share(f"of {row.label}", row.inside, part, f"of {row.label} with “{name}”"),
                Share("of the rest", row.outside),
            )
            causes.append(Cause(sentence, (of(found.names, row.atom, row.sign),), shares))
        return Outcome(text, causes=tuple(causes))
