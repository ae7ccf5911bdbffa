"""A button of a result: show in the grid what was found."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo

from . import findings


class ShowFound(foo.Operator):
    """Show the samples of a finding, or of a part of it."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name="show_found",
            label="SMIC: show what was found",
            unlisted=True,  # a result has a button
            risk_level="low",
        )

    def execute(self, ctx: Any) -> None:
        finding = findings.get(ctx.dataset, ctx.params["found"])
        ctx.ops.set_view(finding.part(ctx.params.get("part")))
