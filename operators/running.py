"""Running an operator in the App: a thread that works, a bar that shows it, a button to stop."""

from __future__ import annotations

import queue
import threading
import time
import uuid
from collections.abc import Callable, Generator
from typing import Any

from .layouts import bar
from .words import duration

#: What stops each run that the App shows a bar of.
RUNNING: dict[str, threading.Event] = {}
#: After this many seconds without news, the bar shows how long its step has taken.
QUIET = 1.0


class Stopped(Exception):
    """The user stopped the run, or the App no longer listens. The library then writes nothing."""


class Report:
    """What the library calls while it works: with the fraction done, and with what it does.

    Args:
        tell: Called with ``("part", fraction)`` for each whole per cent, and with
            ``("stage", label)``.
        stop: Once it is set, the next call raises :class:`Stopped`, unless all is written.
    """

    def __init__(
        self, tell: Callable[[str, Any], None], stop: threading.Event | None = None
    ) -> None:
        self._tell = tell
        self._stop = stop or threading.Event()
        self._shown = -1

    def __call__(self, fraction: float) -> None:
        if fraction < 1 and self._stop.is_set():  # at 1 all has been written
            raise Stopped
        if int(100 * fraction) != self._shown:
            self._shown = int(100 * fraction)
            self._tell("part", fraction)

    def stage(self, label: str) -> None:
        """Say what is done from now on."""
        if self._stop.is_set():
            raise Stopped
        self._tell("stage", label)


def delegated(ctx: Any) -> Report:
    """Report to FiftyOne's record of a delegated operation."""
    state: dict[str, Any] = {"progress": 0.0, "label": None}

    def tell(kind: str, value: Any) -> None:
        state["progress" if kind == "part" else "label"] = value
        ctx.set_progress(**state)

    return Report(tell)


def visibly(
    ctx: Any, title: str, doing: str, work: Callable[[Report], dict[str, Any]]
) -> Generator[Any, None, dict[str, Any] | BaseException]:
    """Work in a thread, and send the App each step of the bar.

    Args:
        ctx: The operator's context.
        title: Stands over the bar.
        doing: What is done until ``work`` says something else.
        work: Gets the report and returns the result.

    Yields:
        What the App is to show.

    Returns:
        What ``work`` returned, or the exception that it raised.
    """
    name = uuid.uuid4().hex
    stop = RUNNING[name] = threading.Event()
    news: queue.Queue[tuple[str, Any]] = queue.Queue()

    def run() -> None:
        try:
            news.put(("done", work(Report(lambda kind, value: news.put((kind, value)), stop))))
        except BaseException as error:
            news.put(("done", error))

    label, part, since = "Getting ready", 0.0, time.monotonic()
    try:
        yield bar(ctx, title, label, part, name)
        threading.Thread(target=run, name=title, daemon=True).start()
        while True:
            try:
                kind, value = news.get(timeout=QUIET)
            except queue.Empty:
                kind, value = "quiet", None
            if kind == "done":
                return value
            if kind == "stage":
                label, since = value, time.monotonic()
            elif kind == "part":
                part = value
                label = doing if label == "Getting ready" else label
            shown = f"Stopping after this step: {label}" if stop.is_set() else label
            if kind == "quiet":
                shown += f" ({duration(time.monotonic() - since)})"
            yield bar(ctx, title, shown, part, name)
    finally:
        stop.set()
        del RUNNING[name]
