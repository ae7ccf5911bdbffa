"""What the operators that find samples share."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
from fiftyone.operators import types

from fiftyone_smic.utils.progress import stage

from .. import findings, forms
from ..base import PLUGIN, Button, DictionaryOperator
from ..findings import Finding, Outcome
from ..words import amount

#: Buttons of a result that show a part.
_MOST_PARTS = 3


class Finder(DictionaryOperator):
    """Find samples, keep the finding for the panel, and lead on to what can be done with it.

    Subclasses set the class attributes and define :meth:`asks`, :meth:`outcome` and :meth:`title`.
    """

    icon = "curate"
    stopped = "**Stopped.** Nothing was written."
    #: The card of the panel's tab Curate that shows what was found: find, choose, clean or compare.
    card = ""
    #: Whether the library's function tells its progress.
    reports = False
    #: What a scores field is offered as; nothing where there is none.
    scores = ""

    def asks(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        """Add the inputs of this operator."""

    def outcome(self, ctx: Any, report: Any, arguments: dict[str, Any]) -> Outcome:
        """Return what is shown of a report."""
        raise NotImplementedError

    def title(self, ctx: Any, arguments: dict[str, Any]) -> str:
        """Return what was asked, as it goes on after "that were found by"."""
        raise NotImplementedError

    def call(self, samples: Any, arguments: dict[str, Any]) -> Any:
        """Call the library's function."""
        import fiftyone_smic.fiftyone as library

        return getattr(library, self.function)(samples, **arguments)

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        if not forms.of_images(ctx, inputs, key):
            return
        count = forms.coded(ctx, inputs, samples, key)
        if not count:
            return
        forms.takes(inputs, f"{amount(count, 'sample')} with a code")
        self.asks(ctx, inputs, samples, key)
        keep(inputs, ctx, self.scores, self.default_tag)

    default_tag: str | None = None

    def work(self, ctx: Any, progress: Any) -> dict[str, Any]:
        from fiftyone_smic.fiftyone.runs import load_config

        arguments = self.arguments(ctx)
        tag, field = arguments.pop("tag", None), bool(arguments.pop("field", False))
        stage(progress, self.doing)
        asked = {**arguments, "progress": progress} if self.reports else arguments
        report = self.call(forms.collection(ctx), asked)
        stage(progress, "Writing")  # here a run that was stopped ends, before anything is written
        if field or tag:
            report = report.save(field=field, tag=tag or None)
        finding = Finding(
            card=self.card,
            operator=self.operator_name,
            title=self.title(ctx, arguments),
            key=report.key,
            digest=load_config(ctx.dataset, report.key).digest,
            report=report,
            outcome=self.outcome(ctx, report, arguments),
        )
        findings.remember(ctx.dataset, finding)
        return {
            "summary": self.said(finding, arguments),
            "buttons": [list(button) for button in self.buttons(finding, arguments)],
        }

    def said(self, done: Finding, arguments: dict[str, Any]) -> str:
        text = done.outcome.text
        for cause in done.outcome.causes[:8]:
            text += f"\n\n- {cause.sentence}"
        if done.report.fields:
            text += f"\n\nWritten: {', '.join(f'`{name}`' for name in done.report.fields)}."
        if done.report.tag:
            text += f"\n\nTagged: **{done.report.tag}**."
        return text

    def buttons(self, done: Finding, arguments: dict[str, Any]) -> list[Button]:
        found = len(done.report.view)
        made: list[Button] = []
        if found:
            given = {"found": done.id}
            label = f"Show {amount(found, 'sample')} in the grid"
            made.append((label, f"{PLUGIN}/show_found", given))
            for name, text in list(done.outcome.parts.items())[:_MOST_PARTS]:
                count = amount(len(done.part(name)), "sample")
                shown = (f"{text}: {count}", f"{PLUGIN}/show_found", {**given, "part": name})
                made.append(shown)
            made.append(("Tag, save, hide or delete them", f"{PLUGIN}/use_found", given))
        return [*made, forms.PANEL]


def keep(inputs: types.Object, ctx: Any, scores: str, default: str | None = None) -> None:
    """Ask what to write: a tag, and scores."""
    tag = inputs.str(
        "tag",
        default=default,
        label="Tag for what is found",
        description="Leave empty to tag nothing",
    )
    text = ctx.params.get("tag", default)
    if text and not str(text).strip():
        forms.wrong(tag, "A tag needs a letter; leave it empty to tag nothing")
    if scores:
        forms.checkbox(inputs, "field", f"Write {scores}", "A sample field that sorts and filters")


def label_field(
    ctx: Any,
    inputs: types.Object,
    samples: Any,
    key: str,
    name: str,
    label: str,
    needed: bool = True,
) -> str | None:
    """Choose a field that gives each sample with a code one label."""
    from fiftyone_smic.fiftyone.codes import coded_samples
    from fiftyone_smic.fiftyone.statistics import label_fields

    names = label_fields(ctx.dataset)
    if not names:
        if needed:
            why = (
                "This dataset has no field with one label for each sample (a Classification). "
                "Import labels first, or run 'SMIC: compare two parts', which takes tags and views."
            )
            forms.stop(inputs, "no_labels", "No labels here", why)
        return None
    coded = coded_samples(samples, key)
    n, held = len(coded), coded.aggregate([fo.Count(f"{field}.label") for field in names])
    without = {field: n - count for field, count in zip(names, held, strict=True)}
    names.sort(key=lambda field: bool(without[field]))  # those of all samples first
    options = {field: field for field in names}
    if not needed:
        options = {"": "none", **options}
    chosen = ctx.params.get(name)
    default = chosen if chosen in options else next(iter(options))
    prop = forms.dropdown(inputs, name, options, default, label)
    if default and without[default]:
        few = amount(without[default], "sample has", "samples have")
        forms.wrong(
            prop,
            f"{few} no label in {default!r}, of {n:,}; choose another field, or a view of samples "
            "that have one",
        )
    return default


def null_runs(inputs: types.Object) -> None:
    """Offer to test the test."""
    forms.checkbox(
        inputs,
        "shuffled",
        "Also test with shuffled sides",
        "20 runs where nothing can be found; they show how often this test is wrong",
    )


def nulls(ctx: Any) -> dict[str, int]:
    """Return the argument for :func:`null_runs`."""
    if ctx.params.get("null") is not None:
        return {"null": int(ctx.params["null"])}
    return {"null": 20} if ctx.params.get("shuffled") else {}
