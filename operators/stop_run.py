"""The button under a progress bar."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo

from .running import RUNNING


class StopRun(foo.Operator):
    """Stop a run as soon as it reports its progress."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name="stop_run",
            label="SMIC: stop",
            unlisted=True,  # a run has a button
            risk_level="low",
        )

    def execute(self, ctx: Any) -> None:
        stop = RUNNING.get(ctx.params["run"])
        if stop is not None:  # else it has ended
            stop.set()
