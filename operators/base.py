"""What the operators share: their configuration, how they run with a progress bar, their result."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import fiftyone as fo
import fiftyone.operators as foo
from fiftyone.operators import types

Report = Callable[[float], None]


class Stopped(Exception):
    """The App no longer listens, so the work is given up; the library writes nothing then."""


class SMICOperator(foo.Operator):
    """An operator that reads a form, calls the library and says what was done.

    Subclasses set the class attributes and define :meth:`form` and :meth:`work`.
    """

    operator_name = ""
    label = ""
    description = ""
    icon = ""
    #: Shown beside the progress bar.
    doing = ""

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

    def form(self, ctx: Any, inputs: types.Object) -> None:
        """Add the inputs."""
        raise NotImplementedError

    def work(self, ctx: Any, report: Report) -> str:
        """Do it, and return what was done and what to do next, as Markdown."""
        raise NotImplementedError

    def resolve_input(self, ctx: Any) -> types.Property:
        inputs = types.Object()
        self.form(ctx, inputs)
        return types.Property(
            inputs, view=types.View(label=self.label, description=self.description)
        )

    def execute(self, ctx: Any) -> Any:
        if ctx.delegated:
            return {"summary": self.work(ctx, lambda part: ctx.set_progress(progress=part))}
        return self._visibly(ctx)

    def resolve_output(self, ctx: Any) -> types.Property:
        return summary_output(self.label)

    def call(
        self,
        function: Callable[..., Any],
        samples: fo.core.collections.SampleCollection,
        params: dict[str, Any],
        delegate: bool,
        delegation_target: str | None,
    ) -> Any:
        """Run from Python: now, returning the library's report, or delegated.

        A generator operator that FiftyOne executes returns nothing, so the library is called.
        """
        if not delegate:
            return function(samples, **params)
        where = {"dataset": samples} if isinstance(samples, fo.Dataset) else {"view": samples}
        return foo.execute_operator(
            self.uri,
            where,
            params={name: value for name, value in params.items() if value is not None},
            request_delegation=True,
            delegation_target=delegation_target,
        )

    def _visibly(self, ctx: Any) -> Iterator[Any]:
        """Work in a thread, and send the App each step of the progress bar."""
        yield ctx.ops.set_progress(label="Getting ready", progress=0)
        updates: queue.Queue[tuple[str, Any]] = queue.Queue()
        stop = threading.Event()
        shown = -1

        def report(part: float) -> None:
            nonlocal shown
            if stop.is_set():
                raise Stopped
            if int(100 * part) > shown:  # one message per percent is enough
                shown = int(100 * part)
                updates.put(("part", part))

        def run() -> None:
            try:
                updates.put(("done", self.work(ctx, report)))
            except BaseException as error:
                updates.put(("failed", error))

        worker = threading.Thread(target=run, name=self.operator_name, daemon=True)
        worker.start()
        try:
            while True:
                kind, value = updates.get()
                if kind == "part":
                    yield ctx.ops.set_progress(label=self.doing, progress=value)
                    continue
                if kind == "failed":
                    raise value
                break
        finally:
            stop.set()
        yield ctx.trigger("reload_dataset")
        yield ctx.ops.show_output(
            outputs=summary_output(self.label).to_json(), results={"summary": value}
        )


def icons(name: str) -> dict[str, str]:
    """Where the plugin's icons lie: one for the App's light theme, one for the dark one."""
    return {f"{theme}_icon": f"/operators/assets/{name}-{theme}.svg" for theme in ("light", "dark")}


def summary_output(label: str) -> types.Property:
    """A result that is one piece of Markdown."""
    outputs = types.Object()
    outputs.str("summary", view=types.MarkdownView())
    return types.Property(outputs, view=types.View(label=label))
