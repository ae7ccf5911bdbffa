"""A button of a result: show the samples that have a drawn picture."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import fiftyone.operators as foo

from . import forms


class ShowDrawn(foo.Operator):
    """Narrow the grid to the samples that have been drawn again."""

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name="show_drawn",
            label="SMIC: show drawn samples",
            unlisted=True,  # a result has a button
            risk_level="low",
        )

    def execute(self, ctx: Any) -> None:
        from fiftyone_smic.fiftyone.fields import REGENERATED, field_name

        name, boxed = field_name(forms.default_key(ctx), REGENERATED), forms.objects_of(ctx)
        if boxed is not None:
            drawn = forms.collection(ctx).filter_labels(boxed, fo.ViewField(name) != None)  # noqa: E711
            ctx.ops.set_view(drawn.to_patches(boxed))
        elif ctx.dataset.has_sample_field(name):
            ctx.ops.set_view(ctx.view.exists(name))
