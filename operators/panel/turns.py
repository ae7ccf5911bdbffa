"""The order in which the events of the panel are served."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Turns:
    """Events are served one after the other, in the order in which they came.

    The App sends them concurrently, each with the panel's state of its moment, and up to nine for
    one click. Served in order, the last one to come, which knows the latest state, is also the last
    one to draw; and those before it need not draw.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[list[str | None]] = []  # each a list of its own, told by its identity

    @contextmanager
    def turn(self, window: str | None) -> Iterator[Callable[[], bool]]:
        """Wait for those that came before.

        Args:
            window: Of the App; None before it has a name.

        Yields:
            A function that says whether another event of the same window waits already.
        """
        mine = [window]
        with self._changed:
            self._waiting.append(mine)
            self._changed.wait_for(lambda: self._waiting[0] is mine)

        def followed() -> bool:
            with self._changed:
                return window is not None and mine in self._waiting[1:]

        try:
            yield followed
        finally:
            with self._changed:
                del self._waiting[0]
                self._changed.notify_all()
