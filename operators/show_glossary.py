"""SMIC: explain the words; a "?" of the panel runs it too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from .base import icons
from .layouts import output

#: It travels with the plugin.
FILE = Path(__file__).parents[1] / "docs" / "pages" / "glossary.md"


class ShowGlossary(foo.Operator):
    """Show the glossary of the documents."""

    label = "SMIC: explain the words"

    @property
    def config(self) -> foo.OperatorConfig:
        return foo.OperatorConfig(
            name="show_glossary",
            label=self.label,
            description="See what embedding, concept, code, fidelity and the other words mean",
            **icons("name"),
            risk_level="low",
        )

    def execute(self, ctx: Any) -> dict[str, Any]:
        return {"summary": glossary()}

    def resolve_output(self, ctx: Any) -> types.Property:
        return output(self.label, ctx.results or {})


def glossary() -> str:
    """Return the entries of the glossary as Markdown, without its heading."""
    return re.sub(r"\A# .*\n+", "", FILE.read_text(encoding="utf-8"))
