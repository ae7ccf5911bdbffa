"""Finds the library beside the plugin, and says what is missing before anything runs.

``fiftyone plugins download`` leaves a clone in the plugins folder and installs nothing. The library
then lies beside this folder. FiftyOne puts the plugins folder itself on ``sys.path``, where the
clone, which has the library's name and no ``__init__.py``, hides it as an empty namespace package.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from fiftyone.operators import types
from packaging.requirements import Requirement

logger = logging.getLogger(__name__)

NAME = "fiftyone_smic"
ROOT = Path(__file__).resolve().parents[1]
_told: set[str] = set()
#: Whether nothing was missing when it was last looked: what is installed does not go again.
_complete = False
INSTALL = f"fiftyone plugins requirements {NAME} --install"


def find() -> None:
    """Make ``import fiftyone_smic`` find the library that lies beside the plugin.

    A library that is installed comes first.
    """
    spec = importlib.util.find_spec(NAME)
    if spec is not None and spec.origin is not None:
        return
    if (ROOT / NAME / "__init__.py").is_file():
        sys.modules.pop(NAME, None)
        # At the end: a package with an __init__.py comes before a namespace package anywhere.
        sys.path.append(str(ROOT))
        importlib.invalidate_caches()


def missing() -> str | None:
    """Say which packages are missing or too old and what installs them; None if nothing is."""
    if importlib.util.find_spec(NAME) is None:
        return f"The library {NAME} is not installed. Install it with: pip install {NAME}"
    lacking = [str(requirement) for requirement in _requirements() if not _fulfilled(requirement)]
    if not lacking:
        return None
    return (
        f"Packages are missing or too old: {', '.join(lacking)}. Install them with: {INSTALL}"
        " (then restart the App)"
    )


def _requirements() -> list[Requirement]:
    """What the plugin needs: ``requirements.txt`` of a clone, or what pip knows of the wheel."""
    file = ROOT / "requirements.txt"
    if file.is_file():
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        return [Requirement(line) for line in lines if line]
    try:
        named = map(Requirement, metadata.requires(NAME) or [])
    except metadata.PackageNotFoundError:
        return []
    return [r for r in named if r.marker is None or r.marker.evaluate({"extra": ""})]


def _fulfilled(requirement: Requirement) -> bool:
    try:
        found = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(found, prereleases=True)


def unready(kind: type, why: str) -> type:
    """An operator or panel of the same name that says what is missing instead of failing."""

    class Unready(kind):
        def resolve_input(self, ctx: Any) -> types.Property:
            inputs = types.Object()
            inputs.view("missing", types.Error(label="Something is missing", description=why))
            prop = inputs.str("install", view=types.HiddenView())
            prop.invalid = True
            prop.error_message = why
            return types.Property(inputs)

        def execute(self, ctx: Any) -> Any:
            raise ImportError(why)

        def render(self, ctx: Any) -> types.Property:
            panel = types.Object()
            panel.md(why)
            return types.Property(panel)

        def on_load(self, ctx: Any) -> None:
            """Nothing can be prepared."""

        def __call__(self, *arguments: Any, **parameters: Any) -> Any:
            raise ImportError(why)

    Unready.__name__ = kind.__name__
    return Unready


def checked(kinds: tuple[type, ...]) -> tuple[type, ...]:
    """The operators and panels as they are, or ones that say what is missing.

    FiftyOne builds its registry anew for every request. To ask for the version of each package each
    time would take a large part of the time of a request.
    """
    global _complete
    why = None if _complete else missing()
    if why is None:
        _complete = True
        return kinds
    if why not in _told:
        _told.add(why)
        logger.warning("Plugin %s: %s", NAME, why)
    return tuple(unready(kind, why) for kind in kinds)


find()
