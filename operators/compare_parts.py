"""SMIC: compare two parts."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating import sides
from .curating.finder import null_runs, nulls
from .findings import Cause, Outcome, Share
from .words import amount, chance, share

#: Concepts that are shown.
MOST = 12


class CompareParts(sides.OfTwoParts):
    """Test in which concepts two parts of a dataset differ."""

    operator_name = "compare_parts"
    label = "SMIC: compare two parts"
    description = "Say how two tags, views, labels or selections differ, concept by concept"
    doing = "Testing concepts"
    card = "compare"
    function = "compare"
    parameters = ("key", "view_b", "null")

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        if self.asked(ctx, inputs, key, ("This part", "Beside this one")):
            null_runs(inputs)

    def call(self, samples: Any, arguments: dict[str, Any]) -> Any:
        from fiftyone_smic.fiftyone import compare

        return compare(**arguments)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        # The second part is the library's first: "b" is what has changed beside "a".
        new, old = sides.views(ctx)
        return {"key": forms.default_key(ctx), "view_a": old, "view_b": new, **nulls(ctx)}

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        new, old = sides.called(ctx)
        return f"in which {new} differs from {old}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        new, old = sides.called(ctx)
        n_old, n_new = found.sizes
        which = f"**{new}** ({amount(n_new, 'sample')}) and **{old}** ({amount(n_old, 'sample')})"
        p = chance(found.p, "p")
        if found.p < 0.05:
            text = f"{which} **differ** ({p})."
        else:
            text = f"No difference between {which} is found ({p})."
        rows = found.found[:MOST]
        if not len(rows):
            seen = 2.8 * (0.25 / n_old + 0.25 / n_new) ** 0.5
            text += (
                " No single concept differs beyond chance; with so many samples a change of "
                f"{share(seen)} in a common concept would show."
            )
        elif len(found.found) > MOST:
            text += f" {len(found.found):,} concepts differ; the clearest {MOST}:"
        if found.null is not None:
            text += f"\n\n*{shuffled(found.null)}*"
        causes = []
        for row in rows:
            name = plain(found.names[row.atom], row.sign)
            sentence = (
                f"**“{name}”** occurs in {share(row.in_b)} of {new} and "
                f"{share(row.in_a)} of {old}, {chance(row.q)}."
            )
            shares = (
                Share(f"of {new}", row.in_b, f"{name!r} in b", f"of {new} with “{name}”"),
                Share(f"of {old}", row.in_a, f"{name!r} in a", f"of {old} with “{name}”"),
            )
            causes.append(Cause(sentence, (of(found.names, row.atom, row.sign),), shares))
        return Outcome(text, causes=tuple(causes))


def plain(name: str, sign: int) -> str:
    """Return a concept as the library calls it in the names of views."""
    return name if sign > 0 else f"not {name}"


def of(names: Any, atom: int, sign: int) -> tuple[int, str, str]:
    """Return a concept as a cause names it."""
    return int(atom), "has" if sign > 0 else "lacks", plain(names[atom], sign)


def shuffled(null: Any) -> str:
    """Say what the same test finds where there is nothing to find."""
    false = sum(n > 0 for n in null.found)
    return (
        f"With sides shuffled, {false} of {amount(null.runs, 'run')} found anything (smallest q "
        f"{min(null.least_q):.2g})."
    )
