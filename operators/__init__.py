"""The plugin: forms, progress and the panel. All computation is in :mod:`fiftyone_smic`.

FiftyOne runs this file whenever it builds its registry, so it imports nothing heavy. An operator is
a class in a file of this folder that is called like the operator, and a line in ``fiftyone.yml``,
whose order is the order in the App.
"""

from __future__ import annotations

import importlib
from typing import Any

import fiftyone.operators as foo

from . import library  # first: it finds the library beside the plugin

#: The panel's code fills a folder.
_FILES = {"smic_panel": "panel"}


def register(plugin: Any) -> None:
    """Register what ``fiftyone.yml`` lists; FiftyOne calls this."""
    names = plugin.plugin_definition.operators  # and panels
    found = tuple(_class_in(_FILES.get(name, name)) for name in names)
    for operator in library.checked(found):
        plugin.register(operator)


def _class_in(file: str) -> type[foo.Operator]:
    """Return the operator or panel that a file of this folder defines."""
    module = importlib.import_module(f".{file}", __name__)
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, foo.Operator)
        and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ImportError(f"{module.__name__} must define one operator and defines {len(found)}")
    return found[0]
