"""What the concepts' tabs count of all codes: beside the panel, which says how far it is."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from fiftyone.operators import types

from ..words import amount, duration
from . import items

#: Seconds from opening the panel to :func:`read_ahead`.
SOON = 2
#: Seconds that a tab waits for the counting before it says how far that is, and from one such
#: question to the next.
PATIENCE, AGAIN = 0.9, 1.0
#: Where the panel's state has the field of labels that the concepts are compared with.
LABELS = "columns.column0.order.labels"


class _Count:
    """Statistics of a dictionary that are counted now.

    Attributes:
        future: Will have them.
        part: The fraction of the codes that were read.
        since: When it began, by the monotonic clock.
    """

    def __init__(self, dataset: Any, key: str, labels: str | None) -> None:
        from fiftyone_smic.fiftyone.statistics import atom_statistics

        self.part = 0.0
        self.since = time.monotonic()
        count = partial(atom_statistics, dataset, key, labels=labels, progress=self._report)
        # The counting shares what the panel has asked the database for.
        self.future: Future[Any] = _POOL.submit(copy_context().run, count)

    def _report(self, part: float) -> None:
        self.part = part


_POOL = ThreadPoolExecutor(2, "smic-counting")
_RUNNING: dict[tuple[str, str, str | None], _Count] = {}


def label_choice(ctx: Any, key: str) -> tuple[list[str], str | None]:
    """Return the fields of labels that concepts can be compared with, and the chosen one."""
    from fiftyone_smic.fiftyone.statistics import label_fields

    fields = label_fields(ctx.dataset, key)
    chosen = ctx.panel.state.get(LABELS)
    return fields, chosen if chosen in fields else next(iter(fields), None)


def statistics(ctx: Any, key: str) -> Any:
    """Return the statistics of the concepts; it waits for them."""
    return _begin(ctx, key).future.result()


def read_ahead(ctx: Any, key: str) -> None:
    """Count what the tabs will show, once the panel is there: 100,000 samples take a second."""

    def read() -> None:
        with suppress(Exception):  # the tab says what is wrong, if it is opened
            _begin(ctx, key)

    timer = threading.Timer(SOON, read)
    timer.daemon = True
    timer.start()


def counted(host: Any, ctx: Any, panel: types.Object, key: str) -> Any:
    """Return the statistics of the concepts, or lay out how far the counting is.

    Returns:
        The statistics; None while they are counted, and then the panel asks again by itself.
    """
    count = _begin(ctx, key)
    if wait([count.future], PATIENCE).done:
        return count.future.result()
    noun = items.noun(ctx, key)
    said = amount(len(ctx.dataset), "sample") if noun == "sample" else f"all {noun}s"
    taken = duration(time.monotonic() - count.since)
    label = f"Counting the concepts of {said} ({taken})"
    panel.float("counting", default=min(count.part, 0.99), view=types.ProgressView(label=label))
    timer = types.TimerView(interval=int(1000 * AGAIN), on_interval=host.on_change_view)
    panel.obj("again", view=timer)
    return None


def _begin(ctx: Any, key: str) -> _Count:
    """Have the statistics counted, unless they are already; the library remembers former ones."""
    labels = label_choice(ctx, key)[1]
    name = (ctx.dataset.name, key, labels)
    running = _RUNNING.get(name)
    if running is None:
        # Another thread may take it from here on, so it must be whole.
        running = _RUNNING[name] = _Count(ctx.dataset, key, labels)
        running.future.add_done_callback(lambda _: _RUNNING.pop(name, None))
    return running
