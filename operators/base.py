"""What the operators share: their configuration, how they run, and how they report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from fiftyone_smic.utils.progress import stage

from . import forms
from .layouts import PLUGIN, failure, output
from .running import Report, Stopped, delegated, visibly

#: A button of a result: its label, the operator it runs, and that operator's parameters.
Button = tuple[str, str, dict[str, Any]]


class SMICOperator(foo.Operator):
    """An operator that reads a form, calls one function of the library and says what was done.

    Subclasses set the class attributes and define :meth:`form`, or :meth:`fill`, and :meth:`said`.
    A new one also needs one line in ``fiftyone.yml``, whose order is the order in the App.
    """

    operator_name = ""
    label = ""
    #: The App sorts operators by the first letter of this, so it is "S" everywhere: then they
    #: stand in the order of ``fiftyone.yml``.
    description = ""
    icon = ""
    #: Shown beside the progress bar.
    doing = ""
    #: What the form offers to do with a dataset, a view or a selection; nothing if it does not ask.
    action = ""
    #: The function in :mod:`fiftyone_smic.fiftyone`, and those of its parameters the form sets.
    function = ""
    parameters: tuple[str, ...] = ()
    #: What is said when it was stopped.
    stopped = "**Stopped.** The dataset is as it was."
    #: What to do next: an operator of this plugin and its button's label.
    then: tuple[tuple[str, str], ...] = ()
    #: On the button of the form.
    submit = "Execute"

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name=self.operator_name,
            label=self.label,
            description=self.description,
            **icons(self.icon),
            dynamic=True,
            execute_as_generator=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            # They write sample fields and files, and can replace their own earlier results.
            risk_level="medium",
        )

    # --- what subclasses define ---------------------------------------------------------------

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        """Add the inputs for these samples, which are images."""
        raise NotImplementedError

    def arguments(self, ctx: Any) -> dict[str, Any]:
        """Return the function's arguments, as the form or the caller has set them."""
        return forms.chosen(ctx, *self.parameters)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        """Return what was done, as Markdown."""
        raise NotImplementedError

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        """Return what to do next."""
        given = {"key": arguments["key"]} if "key" in arguments else {}
        return [(label, f"{PLUGIN}/{name}", given) for label, name in self.then]

    # --- what FiftyOne calls ------------------------------------------------------------------

    def resolve_input(self, ctx: Any) -> types.Property:
        from fiftyone_smic.fiftyone.keys import asked_once

        inputs = types.Object()
        with asked_once():
            submit = self.fill(ctx, inputs)
        view = types.PromptView(
            label=self.label,
            description=self.description,
            submit_button_label=submit or self.submit,
        )
        return types.Property(inputs, view=view)

    def fill(self, ctx: Any, inputs: types.Object) -> str | None:
        """Add all inputs, by default the choice of the samples and those of :meth:`form`.

        Returns:
            What the form's button says, or None for :attr:`submit`.
        """
        chosen = forms.target(ctx, inputs, self.action)
        samples = forms.images(inputs, chosen, self.objects(ctx, chosen))
        if samples is not None:
            self.form(ctx, inputs, samples)
        return None

    def objects(self, ctx: Any, samples: Any) -> str | None:
        """Return the field of the objects to work on; None for whole images."""
        return None

    def execute(self, ctx: Any) -> Any:
        if ctx.delegated:
            return self.work(ctx, delegated(ctx))
        if "operator_uri" in ctx.request_params:  # the App asks over HTTP and shows a bar
            return self._visibly(ctx)
        return self.work(ctx, None)

    def resolve_output(self, ctx: Any) -> types.Property:
        return output(self.label, ctx.results or {})

    def work(self, ctx: Any, progress: Report | None) -> dict[str, Any]:
        """Do it, and return the result: "summary" in Markdown, and "buttons"."""
        import fiftyone_smic.fiftyone as library

        arguments, samples = self.arguments(ctx), forms.collection(ctx)
        noun = forms.noun(self.objects(ctx, samples))
        done = getattr(library, self.function)(samples, **arguments, progress=progress)
        return self.result(done, {"noun": noun, **arguments})

    def result(self, done: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return what :meth:`work` returns; ``arguments`` also say what was worked on, as
        ``"noun"``: "sample" or "object"."""
        return {
            "summary": self.said(done, arguments),
            "buttons": [list(button) for button in self.buttons(done, arguments)],
        }

    def __call__(
        self,
        sample_collection: Any,
        delegate: bool = False,
        delegation_target: str | None = None,
        **params: Any,
    ) -> Any:
        """Run from Python, in a script, a notebook or a running event loop.

        Args:
            sample_collection: A dataset or view.
            delegate: Schedule it instead of running it now.
            delegation_target: The orchestrator to schedule it on.
            params: Parameters of the library's function of the same purpose.

        Returns:
            What the library's function returns, or FiftyOne's record of the scheduled operation.
        """
        if not delegate:
            return self.now(sample_collection, params)
        unknown = sorted(set(params) - set(self.parameters))
        if unknown:
            raise TypeError(
                f"{self.operator_name} has no parameter {unknown[0]!r} when it is delegated; it "
                f"has {', '.join(self.parameters)}"
            )
        return foo.execute_operator(
            self.uri,
            _where(sample_collection),
            params={name: value for name, value in params.items() if value is not None},
            request_delegation=True,
            delegation_target=delegation_target,
        )

    def now(self, samples: Any, params: dict[str, Any]) -> Any:
        """Do what calling the operator does unless it is delegated."""
        import fiftyone_smic.fiftyone as library

        return getattr(library, self.function)(samples, **params)

    def finish(self, ctx: Any, done: dict[str, Any]) -> Iterator[Any]:
        """Yield what the App is to do with a result; ``quiet`` is said by buttons of the panel,
        which shows the result itself."""
        if ctx.params.get("quiet"):
            yield ctx.trigger(f"{PLUGIN}/close_result")
            return
        yield ctx.ops.show_output(outputs=output(self.label, done).to_json(), results=done)

    def _visibly(self, ctx: Any) -> Iterator[Any]:
        """Run with a bar, and send the App each step of it."""
        done = yield from visibly(
            ctx, self.label, self.doing, lambda report: self.work(ctx, report)
        )
        if isinstance(done, Stopped):
            done = {"summary": self.stopped}
        elif isinstance(done, BaseException):
            # Once there is a bar, the App no longer shows what is raised.
            shown = failure(self.label, done).to_json()
            yield ctx.ops.show_output(outputs=shown, results={})
            raise done
        yield ctx.trigger(f"{PLUGIN}/reload", {"groups": forms.sidebar_groups(ctx.dataset)})
        yield from self.finish(ctx, done)


class DictionaryOperator(SMICOperator):
    """An operator on the samples and one of the dataset's dictionaries."""

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        key = forms.dictionary_key(ctx, inputs)
        if key is not None:
            self.details(ctx, inputs, samples, key)

    def objects(self, ctx: Any, samples: Any) -> str | None:
        return forms.objects_of(ctx)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        return {"key": forms.default_key(ctx), **super().arguments(ctx)}

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        """Add the inputs below the choice of the dictionary."""
        raise NotImplementedError


class OfThePanel:
    """Beside an operator's class: a button of the panel runs it, so it is in no menu."""

    @property
    def config(self) -> foo.OperatorConfig:
        config = super().config  # type: ignore[misc]
        config.unlisted = True
        return config


def _where(samples: Any) -> dict[str, Any]:
    """A collection as FiftyOne's execution context names it."""
    return {"dataset": samples} if isinstance(samples, fo.Dataset) else {"view": samples}


class FromBar:
    """What FiftyOne's own exports and imports call, with their progress bar.

    Args:
        report: What is told.
    """

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, bar: Any) -> None:
        self.report(bar.progress or 0.0)

    def stage(self, label: str) -> None:
        """Pass on what is done from now on."""
        stage(self.report, label)


def icons(name: str) -> dict[str, str]:
    """Where the plugin's icons lie: one for the App's light theme, one for the dark one."""
    return {f"{theme}_icon": f"/operators/assets/{name}-{theme}.svg" for theme in ("light", "dark")}
