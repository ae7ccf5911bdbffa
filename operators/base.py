"""What the operators share: their configuration, how they run with a progress bar, their result."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

from . import forms
from .stop_run import RUNNING

PLUGIN = "fiftyone_smic"
Report = Callable[[float], None]
#: A button of a result: its label, the operator it runs, and that operator's parameters.
Button = tuple[str, str, dict[str, Any]]


class Stopped(Exception):
    """The user stopped it, or the App no longer listens; the library writes nothing then."""


class SMICOperator(foo.Operator):
    """An operator that reads a form, calls one function of the library and says what was done.

    Subclasses set the class attributes and define :meth:`form` and :meth:`said`.
    """

    operator_name = ""
    label = ""
    description = ""
    icon = ""
    #: Shown beside the progress bar.
    doing = ""
    #: What the form offers to do with a dataset, a view or a selection.
    action = ""
    #: The function in :mod:`fiftyone_smic.fiftyone`, and those of its parameters the form sets.
    function = ""
    parameters: tuple[str, ...] = ()
    #: What is said when it was stopped.
    stopped = "**Stopped.** The dataset is as it was."
    #: What to do next: an operator of this plugin and its button's label.
    then: tuple[tuple[str, str], ...] = ()

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
        """The function's arguments, as the form or the caller has set them."""
        return forms.chosen(ctx, *self.parameters)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        """What was done, as Markdown."""
        raise NotImplementedError

    def buttons(self, done: Any, arguments: dict[str, Any]) -> list[Button]:
        """What to do next."""
        given = {"key": arguments["key"]} if "key" in arguments else {}
        return [(label, f"{PLUGIN}/{name}", given) for label, name in self.then]

    # --- what FiftyOne calls ------------------------------------------------------------------

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        samples = forms.target(ctx, inputs, self.action)
        if forms.check_images(inputs, samples):
            self.form(ctx, inputs, samples)
        return self.shown(inputs)

    def shown(self, inputs: types.Object) -> types.Property:
        """The form under the operator's name."""
        return types.Property(
            inputs, view=types.View(label=self.label, description=self.description)
        )

    def execute(self, ctx: Any) -> Any:
        if ctx.delegated:
            return self.work(ctx, in_percent(lambda part: ctx.set_progress(progress=part)))
        if "operator_uri" in ctx.request_params:  # the App asks over HTTP and shows a bar
            return self._visibly(ctx)
        return self.work(ctx, None)

    def resolve_output(self, ctx: Any) -> types.Property:
        return output(self.label, ctx.results or {})

    def work(self, ctx: Any, progress: Report | None) -> dict[str, Any]:
        """Do it, and return the result: "summary" in Markdown, and "buttons"."""
        import fiftyone_smic.fiftyone as library

        arguments = self.arguments(ctx)
        function = getattr(library, self.function)
        return self.result(
            function(forms.collection(ctx), **arguments, progress=progress), arguments
        )

    def result(self, done: Any, arguments: dict[str, Any]) -> dict[str, Any]:
        """What :meth:`work` returns."""
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
            sample_collection: a dataset or view
            delegate: schedule it instead of running it now
            delegation_target: the orchestrator to schedule it on
            params: parameters of the library's function of the same purpose

        Returns:
            what the library's function returns, or FiftyOne's record of the scheduled operation
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
        """What calling the operator does unless it is delegated."""
        import fiftyone_smic.fiftyone as library

        return getattr(library, self.function)(samples, **params)

    def _visibly(self, ctx: Any) -> Iterator[Any]:
        """Work in a thread, and send the App each step of the progress bar."""
        name = uuid.uuid4().hex
        stop = RUNNING[name] = threading.Event()
        updates: queue.Queue[tuple[str, Any]] = queue.Queue()
        show = in_percent(lambda part: updates.put(("part", part)))

        def report(part: float) -> None:
            if part < 1 and stop.is_set():  # at 1 all has been written
                raise Stopped
            show(part)

        def run() -> None:
            try:
                updates.put(("done", self.work(ctx, report)))
            except BaseException as error:
                updates.put(("failed", error))

        worker = threading.Thread(target=run, name=self.operator_name, daemon=True)
        try:
            yield bar(ctx, "Getting ready", 0.0)
            worker.start()
            while True:
                kind, value = updates.get()
                if kind == "part":
                    yield bar(ctx, self.doing, value, name)
                    continue
                if isinstance(value, Stopped):
                    value = {"summary": self.stopped}
                elif kind == "failed":
                    # Once there is a bar, the App no longer shows what is raised.
                    shown = failure(self.label, value).to_json()
                    yield ctx.ops.show_output(outputs=shown, results={})
                    raise value
                break
        finally:
            stop.set()
            del RUNNING[name]
        yield ctx.trigger("reload_dataset")
        yield ctx.ops.show_output(outputs=output(self.label, value).to_json(), results=value)


class DictionaryOperator(SMICOperator):
    """An operator on the samples and one of the dataset's dictionaries."""

    def form(self, ctx: Any, inputs: types.Object, samples: Any) -> None:
        key = forms.dictionary_key(ctx, inputs)
        if key is not None:
            self.details(ctx, inputs, samples, key)

    def arguments(self, ctx: Any) -> dict[str, Any]:
        return {"key": forms.default_key(ctx), **super().arguments(ctx)}

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        """Add the inputs below the choice of the dictionary."""
        raise NotImplementedError


def _where(samples: Any) -> dict[str, Any]:
    """A collection as FiftyOne's execution context names it."""
    return {"dataset": samples} if isinstance(samples, fo.Dataset) else {"view": samples}


def in_percent(report: Report) -> Report:
    """Pass only the steps on that show: whole per cents."""
    shown = -1

    def passing(part: float) -> None:
        nonlocal shown
        if int(100 * part) > shown:
            shown = int(100 * part)
            report(part)

    return passing


def from_bar(report: Report | None) -> Any:
    """What FiftyOne's own exports and imports call, with their progress bar."""
    if report is None:
        return None

    def passing(bar: Any) -> None:
        report(bar.progress or 0.0)

    return passing


def icons(name: str) -> dict[str, str]:
    """Where the plugin's icons lie: one for the App's light theme, one for the dark one."""
    return {f"{theme}_icon": f"/operators/assets/{name}-{theme}.svg" for theme in ("light", "dark")}


def bar(ctx: Any, label: str, progress: float, run: str | None = None) -> Any:
    """What FiftyOne's ``set_progress`` shows, and for a run that reports a button to stop it."""
    outputs = types.Object()
    outputs.float("progress", view=types.ProgressView(label=label))
    if run is not None:
        stop = {"operator": f"{PLUGIN}/stop_run", "params": {"run": run}}
        outputs.view("stop", types.Button(label="Stop", **stop))
    shown = types.Property(outputs).to_json()
    return ctx.ops.show_output(outputs=shown, results={"progress": progress})


def failure(label: str, error: BaseException) -> types.Property:
    """An error as the App shows it."""
    outputs = types.Object()
    why = str(error) or type(error).__name__
    outputs.view("error", types.Error(label="This did not work", description=why))
    return types.Property(outputs, view=types.View(label=label))


def output(label: str, results: dict[str, Any]) -> types.Property:
    """A result as the App shows it: a text, and buttons that lead on."""
    outputs = types.Object()
    outputs.str("summary", view=types.MarkdownView())
    for i, (text, operator, params) in enumerate(results.get("buttons") or []):
        own = operator.startswith(f"{PLUGIN}/")
        outputs.view(
            f"next{i}", types.Button(label=text, operator=operator, params=params, prompt=own)
        )
    return types.Property(outputs, view=types.View(label=label))
