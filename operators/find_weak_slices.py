"""SMIC: find weak slices."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from . import forms
from .compare_parts import MOST, of, shuffled
from .curating.finder import Finder, label_field, null_runs, nulls
from .findings import Cause, Outcome, Share
from .words import amount, chance, share


class FindWeakSlices(Finder):
    """Find the concepts where a model errs more than elsewhere."""

    operator_name = "find_weak_slices"
    label = "SMIC: find weak slices"
    description = "See the concepts, and pairs of them, where a model errs most"
    doing = "Testing slices"
    action = "Look"
    card = "compare"
    function = "find_weak_slices"
    parameters = ("key", "errors", "labels", "smallest", "null", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        options = wrongs(ctx.dataset)
        if not options:
            why = (
                "Nothing says where a model errs: evaluate its predictions first, or add a field "
                "that is true where it errs."
            )
            forms.stop(inputs, "no_errors", "No errors known", why)
            return
        chosen = ctx.params.get("errors")
        default = chosen if chosen in options else next(iter(options))
        forms.dropdown(inputs, "errors", options, default, "Where the model errs")
        label_field(ctx, inputs, samples, key, "labels", "Hold constant", needed=False)
        if forms.advanced(ctx, inputs):
            forms.number(
                inputs,
                ctx.params,
                "smallest",
                default=10,
                least=2,
                most=1_000_000,
                label="Smallest slice",
                description="Slices of fewer samples are not tested",
            )
        null_runs(inputs)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        if not given.get("labels"):
            given.pop("labels", None)
        if "errors" not in given:
            options = wrongs(ctx.dataset)
            if not options:
                raise ValueError("Nothing says where a model errs: evaluate its predictions first")
            given["errors"] = next(iter(options))
        return {**given, **nulls(ctx)}

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return f"that are wrong in weak slices of {arguments['errors']}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        rows, overall = found.found, found.errors / found.items
        tested = amount(len(found.slices), "slice")
        if len(rows):
            text = (
                f"**{amount(len(rows), 'weak slice')}** of {tested} tested. Of all "
                f"{found.items:,} samples {share(overall)} are wrong."
            )
        else:
            text = (
                f"**No weak slice is found**: the {amount(found.errors, 'error')} among "
                f"{amount(found.items, 'sample')} are spread as by chance ({tested} tested)."
            )
        if len(rows) > MOST:
            text += f" The clearest {MOST}:"
        if found.null is not None:
            text += f"\n\n*{shuffled(found.null)}*"
        causes = []
        for row in rows[:MOST]:
            name = found.named(row)
            sentence = (
                f"**{name}**: {row.errors:,} of {row.size:,} are wrong ({share(row.rate)}, at "
                f"least {share(row.rate_low)}), {chance(row.q)}."
            )
            rest = (found.errors - row.errors) / max(1, found.items - row.size)
            atoms = tuple(
                of(found.names, atom, sign) for atom, sign in zip(row.atoms, row.signs, strict=True)
            )
            shares = (Share("wrong here", row.rate, name, f"with {name}"), Share("elsewhere", rest))
            causes.append(Cause(sentence, atoms, shares))
        return Outcome(text, causes=tuple(causes))


def wrongs(dataset: fo.Dataset) -> dict[str, str]:
    """Return what says where a model errs: evaluations, and fields of truth values."""
    found = {key: f"Evaluation {key}" for key in dataset.list_evaluations()}
    for name, field in dataset.get_field_schema().items():
        if isinstance(field, fo.BooleanField) and name not in found:
            found[name] = f"Field {name}: true where it errs"
    return found
