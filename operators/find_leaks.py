"""SMIC: find leaks between splits."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from fiftyone_smic.fiftyone.collections import listed

from . import forms
from .curating import sides
from .curating.finder import Finder
from .find_near_duplicates import checked, threshold
from .findings import Outcome, Strip
from .words import amount, chance

PAIRS = 6


class FindLeaks(Finder):
    """Find near duplicates that lie in two splits."""

    operator_name = "find_leaks"
    label = "SMIC: find leaks"
    description = "See near duplicates across train and test, and what chance would put there"
    doing = "Comparing splits"
    action = "Look"
    card = "clean"
    function = "find_leaks"
    parameters = ("key", "splits", "threshold", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        if sides.ask(ctx, inputs, ("One split", "Another split")):
            threshold(ctx, inputs)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        if "splits" not in given:
            called = sides.called(ctx)
            views = sides.views(ctx)
            here = set(forms.collection(ctx).values("id"))
            ids = [[i for i in view.values("id") if i in here] for view in views]
            parts = [listed(v, some, ordered=False) for v, some in zip(views, ids, strict=True)]
            given["splits"] = dict(zip(called, parts, strict=True))
        return given

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return f"that leak between {' and '.join(map(str, arguments['splits']))}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        n = len(found.pairs)
        one, other = (list(map(str, arguments["splits"])) + ["another split"] * 2)[:2]
        usual = (
            f" If splits were drawn by chance, {found.expected:.1f} of "
            f"{amount(found.near, 'pair')} would cross ({found.low:.0f} to {found.high:.0f}; "
            f"{chance(found.p, 'p')})."
        )
        if not n:
            return Outcome(
                f"**Nothing leaks**: no sample of {one} has a near duplicate (similarity "
                f"{found.threshold:g} or more) in {other}.{usual if found.near else ''}\n\n"
                + checked(found.verified)
            )
        text = (
            f"**{amount(n, 'pair')}** of near duplicates {'lies' if n == 1 else 'lie'} in {one} "
            f"and in {other}.{usual}\n\n" + checked(found.verified)
        )
        order = (-found.cosines).argsort(kind="stable")[:PAIRS]
        strips = [
            Strip(
                f"similarity {found.cosines[i]:.2f}",
                tuple(report.ids[j] for j in found.pairs[i]),
                tuple(str(found.splits[j]) for j in found.pairs[i]),
            )
            for i in order
        ]
        return Outcome(text, tuple(strips), parts={name: f"In {name}" for name in report.views})
