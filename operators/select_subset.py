"""SMIC: choose a subset."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating.finder import Finder
from .findings import Outcome, Strip
from .words import amount, share

METHODS = {
    "representative": "Representative",
    "diverse": "Diverse",
    "balanced": "Balanced",
    "covering": "Covering",
}
ABOUT = {
    "representative": "Every sample has a chosen one near it: the collection in small",
    "diverse": "The chosen ones are as far apart as possible, oddities first",
    "balanced": "Rare concepts get their share, more than they have in the collection",
    "covering": "Every concept is there at least once, with as few samples as possible",
}
NONE = ""
SHOWN = 12


class SelectSubset(Finder):
    """Choose the samples to label, to keep or to show first."""

    operator_name = "select_subset"
    label = "SMIC: choose a subset"
    description = "Select samples that stand for the collection: to label, to test, to show"
    doing = "Choosing"
    action = "Choose"
    card = "choose"
    reports = True
    scores = "the place in the order of choice"
    default_tag = "chosen"
    function = "select_subset"
    parameters = ("key", "k", "method", "preselected", "field", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        method = forms.radio(
            ctx, inputs, "method", METHODS, "representative", "What the subset is for", ABOUT
        )
        n = len(samples)
        forms.number(
            inputs,
            ctx.params,
            "k",
            default=None if method == "covering" else usual(n),
            least=1,
            most=n,
            label="How many",
            description="Leave empty to take as many as it needs" if method == "covering" else "",
        )
        tags = samples.count_sample_tags()
        if not tags:
            return
        options = {NONE: "none", **{f"{t}": f"{t} ({c:,})" for t, c in sorted(tags.items())}}
        already = ctx.params.get("already")
        forms.dropdown(
            inputs,
            "already",
            options,
            already if already in options else NONE,
            "Chosen already",
            "Samples with this tag count and are not chosen again",
        )

    def arguments(self, ctx: Any) -> dict[str, Any]:
        given = super().arguments(ctx)
        method = given.get("method", "representative")
        samples = forms.collection(ctx)
        given.setdefault("k", None if method == "covering" else usual(len(samples)))
        if ctx.params.get("already"):
            given["preselected"] = samples.match_tags(ctx.params["already"])
        return given

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        return f"chosen as {arguments.get('method', 'representative')}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        k = len(found.indices)
        if not k:
            return Outcome(f"Nothing had to be chosen. {found.bound}")
        text = (
            f"**{amount(k, 'sample')}** of {found.items:,}, {found.method}. On average the nearest "
            f"chosen one is **{share(float(found.coverage[-1]))}** similar to a sample (coverage); "
            f"the sample that is covered least is {share(1 - found.radius)} similar.\n\n"
            f"*{found.bound}*"
        )
        ids = tuple(report.ids[i] for i in found.indices[:SHOWN])
        strip = Strip("In the order chosen", ids, tuple(str(i + 1) for i in range(len(ids))))
        return Outcome(text, (strip,), curve=tuple(float(c) for c in found.coverage))


def usual(n: int) -> int:
    """Return how many are chosen of ``n`` unless the form says otherwise."""
    return max(1, min(100, n // 10))
