"""SMIC: find samples."""

from __future__ import annotations

from typing import Any

from fiftyone.operators import types

from . import forms
from .curating.finder import Finder
from .findings import Outcome, Strip
from .words import amount, listed, share

SHOWN = 12


class SearchSamples(Finder):
    """Find samples by a text, by the selected samples, or by their concepts."""

    operator_name = "search_samples"
    label = "SMIC: find samples"
    description = "Search by a text, by the selected samples, or by concepts: night & !snow"
    doing = "Loading the model and searching"
    action = "Search"
    card = "find"
    reports = True
    scores = "how near each sample is"
    function = "search"
    parameters = ("key", "query", "expression", "k", "field", "tag")

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        by = self._by(ctx)
        choices = {"text": "A text", "concepts": "Concepts"}
        if ctx.selected:
            choices["selected"] = f"Like the {amount(len(ctx.selected), 'selected sample')}"
        forms.radio(ctx, inputs, "by", choices, by, "What to search for")
        if by == "text":
            self._text(ctx, inputs, key)
        elif by == "concepts":
            self._expression(ctx, inputs, samples, key)
        if by != "concepts":
            forms.number(
                inputs,
                ctx.params,
                "k",
                default=usual(len(samples)),
                least=1,
                most=len(samples),
                label="How many",
                description="This many are found, the nearest first",
            )

    def _by(self, ctx: Any) -> str:
        by = ctx.params.get("by")
        if by is None and ctx.params.get("expression"):
            return "concepts"
        if by is None and not ctx.params.get("query"):
            return "concepts" if why_no_texts(ctx.dataset, forms.default_key(ctx)) else "text"
        return by if by in ("text", "concepts") or (by == "selected" and ctx.selected) else "text"

    def _text(self, ctx: Any, inputs: types.Object, key: str) -> None:
        why = why_no_texts(ctx.dataset, key)
        if why:
            forms.stop(inputs, "no_texts", "Texts cannot be searched for here", why)
            return
        about = "A sentence or a word, such as: a house at night"
        prop = inputs.str("query", label="Text", description=about, required=True)
        text = ctx.params.get("query")
        if text is not None and not str(text).strip():
            forms.wrong(prop, "Say what to search for")

    def _expression(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        from fiftyone_smic.fiftyone import atom_names, match

        names = atom_names(ctx.dataset, key)
        prop = inputs.str(
            "expression",
            label="Concepts",
            description="Names joined by & (and), | (or), ! (not), with parentheses. A - before "
            f"a name stands for images that lack it. The names are: {listed(names, most=20)}",
            required=True,
        )
        text = ctx.params.get("expression")
        if text is None:
            return
        try:
            match(samples, text, key)
        except ValueError as error:  # it says at which place
            forms.wrong(prop, str(error))

    def arguments(self, ctx: Any) -> dict[str, Any]:
        by = self._by(ctx)
        given = {"key": forms.default_key(ctx), **forms.chosen(ctx, "k", "field", "tag")}
        if by == "concepts":
            given.pop("k", None)
            return {**given, "field": False, "expression": ctx.params.get("expression") or ""}
        query = list(ctx.selected) if by == "selected" else ctx.params.get("query")
        if not query or not str(query).strip():
            raise ValueError("There is nothing to search for: type a text, or select samples")
        if "k" not in given:
            from fiftyone_smic.fiftyone.codes import coded_samples

            given["k"] = usual(len(coded_samples(forms.collection(ctx), given["key"])))
        return {**given, "query": query}

    def call(self, samples: Any, arguments: dict[str, Any]) -> Any:
        from fiftyone_smic.fiftyone import match, search

        if "expression" not in arguments:
            return search(samples, **arguments)
        given = {name: value for name, value in arguments.items() if name != "progress"}
        return match(samples, **given)

    def now(self, samples: Any, params: dict[str, Any]) -> Any:
        return self.call(samples, params)

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        if "expression" in arguments:
            return f"with the concepts “{arguments['expression']}”"
        query = arguments["query"]
        if isinstance(query, str):
            return f"nearest to “{query}”"
        return f"most like {amount(len(query), 'selected sample')}"

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        found = report.result
        asked = self.title(ctx, arguments)
        looked = f" of {len(report.ids):,}"
        if "expression" in arguments:
            ids = tuple(report.ids[i] for i in found.indices[:SHOWN])
            n, asked = len(found.indices), f"“{arguments['expression']}”"
            match = "matches" if n == 1 else "match"
            text = f"**{amount(n, 'sample')}**{looked} {match} {asked}."
            text = text if ids else f"No sample{looked} matches {asked}."
            return Outcome(text, (Strip("", ids),) if ids else ())
        best: dict[int, float] = {}
        for row, scores in zip(found.indices, found.scores, strict=True):
            for i, score in zip(row.tolist(), scores.tolist(), strict=True):
                best[i] = max(score, best.get(i, -1.0))
        order = sorted(best, key=lambda i: -best[i])
        one = len(order) == 1
        last = "" if one else f" for the first and {best[order[-1]]:.2f} for the last"
        text = (
            f"{'This is' if one else 'These are'} the **{amount(len(order), 'sample')}**{looked} "
            f"{asked}. {'Its' if one else 'Their'} similarity is {best[order[0]]:.2f}{last} "
            "(0 is no more alike than any two)."
        )
        if found.tied:
            text += (
                " The last place is shared: several samples have codes that score alike there, so "
                "which of them is shown is arbitrary."
            )
        if found.agreement is not None:
            text += f" Full embeddings find {share(found.agreement)} of these too."
        captions = tuple(f"{best[i]:.2f}" for i in order[:SHOWN])
        return Outcome(text, (Strip("", tuple(report.ids[i] for i in order[:SHOWN]), captions),))


def usual(n: int) -> int:
    """Return how many of ``n`` are found unless the form says otherwise."""
    return min(n, max(12, min(50, n // 10)))


def why_no_texts(dataset: Any, key: str) -> str:
    """Return why texts cannot be compared with a dictionary's codes, or nothing; loads no model."""
    from fiftyone_smic.fiftyone.runs import load_config
    from fiftyone_smic.models.identity import EncoderIdentity

    if EncoderIdentity.parse(load_config(dataset, key).encoder).known:
        return ""
    return (
        "These embeddings do not say which model made them, so no text can be compared with them. "
        "Search by selected samples or by concepts, or run 'SMIC: adopt embeddings' and choose the "
        "model."
    )
