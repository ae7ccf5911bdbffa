"""What each window of the App shows of the panel now."""

from __future__ import annotations

import hashlib
import json
import time

from fiftyone.operators import types


class Drawn:
    """The last layout of each window of the App that shows the panel.

    A click makes the App send up to nine events. Drawing a map for each of them keeps a browser
    busy for seconds, so within a few seconds a layout is sent only where it differs from the last.
    """

    SECONDS = 3
    MOST = 100

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, float]] = {}
        self._keys: dict[str, str | None] = {}

    def of_another(self, window: str | None, key: str | None) -> bool:
        """Whether a window shows another dictionary than this one, which is the current one."""
        return key is None or self._keys.get(window or "", key) not in (None, key)

    def forget(self, window: str | None) -> None:
        """Have the next layout of a window sent, whether it differs or not."""
        self._last.pop(window or "", None)

    def differs(self, window: str | None, layout: types.Property, key: str | None) -> bool:
        """Whether a window must draw a layout of a dictionary; it is taken to have drawn it."""
        if window is None:
            return True
        digest = hashlib.sha256(json.dumps(layout.to_json(), sort_keys=True).encode()).hexdigest()
        drawn, when = self._last.pop(window, ("", 0.0))
        self._keys.pop(window, None)
        self._keys[window] = key
        same = drawn == digest and time.monotonic() < when + self.SECONDS
        self._last[window] = digest, when if same else time.monotonic()
        while len(self._keys) > self.MOST:
            oldest = next(iter(self._keys))
            del self._keys[oldest]
            self._last.pop(oldest, None)
        return not same
