"""SMIC: draw atom; the Atoms tab of the panel runs it."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from .base import DictionaryOperator


class DrawAtom(DictionaryOperator):
    """Draw the picture of one atom."""

    operator_name = "draw_atom"
    label = "SMIC: draw atom"
    description = "Draw what an atom stands for: the collection's mean and this one direction"
    icon = "regenerate"
    doing = "Drawing the atom"
    action = "Draw"
    function = "draw_atom"
    parameters = ("atom",)

    @property
    def config(self) -> foo.OperatorConfig:
        config = super().config
        config.unlisted = True  # an atom is chosen in the panel, where its picture appears
        return config

    def details(self, ctx: Any, inputs: types.Object, samples: Any, key: str) -> None:
        inputs.int("atom", label="Atom", required=True)

    def said(self, done: Any, arguments: dict[str, Any]) -> str:
        return f"**Atom {arguments['atom']} drawn**, shown in the Atoms tab.\n\nFile: `{done}`"
