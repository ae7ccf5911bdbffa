"""One progress report for every long call on FiftyOne collections."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import fiftyone as fo
from pymongo.errors import ConnectionFailure

from fiftyone_smic.utils.progress import Progress as Report

#: What FiftyOne's own functions take as ``progress``: ``None`` follows FiftyOne's setting, a bool
#: shows or hides the bar, and a function gets the fraction done.
Progress = bool | Report | None


@contextmanager
def connected() -> Iterator[None]:
    """Say what to do where the connection to the database is lost.

    As a decorator it covers all that a function does, also what comes before its progress.

    Raises:
        ConnectionError: The database was stopped, or cannot be reached any more.
    """
    try:
        yield
    except ConnectionFailure as error:
        raise ConnectionError(
            "the connection to FiftyOne's database was lost. When the database runs again, run "
            f"this again: what is whole stays, and the rest is done then ({error})"
        ) from error


@contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Report]:
    """Turn what FiftyOne takes as ``progress`` into a function of the fraction done.

    Args:
        progress: See :data:`Progress`.
        total: Number of samples, for FiftyOne's bar.

    Yields:
        The function that the library's computations call.

    Raises:
        ConnectionError: The database was stopped, or cannot be reached any more.
    """
    with connected():
        if progress is not None and not isinstance(progress, bool):
            yield progress
            return
        with fo.ProgressBar(total=total, progress=progress) as bar:

            def report(fraction: float) -> None:
                bar.set_iteration(min(total, round(fraction * total)))

            yield report
