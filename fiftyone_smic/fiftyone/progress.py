"""One progress report for every long call on FiftyOne collections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import fiftyone as fo

#: ``None`` follows FiftyOne's own setting, a bool shows or hides the bar, a function gets 0…1.
Progress = bool | Callable[[float], None] | None


@contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Callable[[float], None]]:
    """Turn ``progress`` into a function that takes the fraction done.

    Args:
        progress: see :data:`Progress`
        total: number of samples, for FiftyOne's bar
    """
    if callable(progress):
        yield progress
        return
    with fo.ProgressBar(total=total, progress=progress) as bar:

        def report(fraction: float) -> None:
            bar.set_iteration(min(total, round(fraction * total)))

        yield report
