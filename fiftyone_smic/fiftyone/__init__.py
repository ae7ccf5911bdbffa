"""FiftyOne side of the library: it reads sample fields, calls the codec, writes sample fields.

Only this subpackage imports ``fiftyone``. Everything takes a dataset or a view, works in bulk,
and writes nothing before everything has been computed. The names below are imported when they are
first used: a form in the App needs the stored dictionaries' names, not the models.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Recipe": "mixing",
    "StorageReport": "measuring",
    "atom_statistics": "atoms",
    "describe_atom": "atoms",
    "draw_atom": "mixing",
    "keep_picture": "mixing",
    "measure_storage": "measuring",
    "mix": "mixing",
    "AtomsVisualization": "visualization",
    "EncodeReport": "learning",
    "LatentsReport": "latents",
    "RegenerateReport": "regeneration",
    "compute_latents": "latents",
    "dictionary_fields": "fields",
    "encode": "learning",
    "ImportReport": "importing",
    "compare_dictionaries": "managing",
    "delete_dictionary": "managing",
    "describe_dictionary": "managing",
    "rename_dictionary": "managing",
    "export_archive": "exporting",
    "import_archive": "importing",
    "import_codes": "importing",
    "rebuilt_latents": "codes",
    "types": "types",
    "learn_dictionary": "learning",
    "NamesReport": "naming",
    "name_atoms": "naming",
    "set_atom_names": "naming",
    "atom_names": "runs",
    "list_dictionaries": "runs",
    "load_dictionary": "runs",
    "load_model": "model",
    "load_postcards": "postcards",
    "regenerate": "regeneration",
    "visualize_atoms": "visualization",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    value = home if name == _HOMES[name] else getattr(home, name)
    globals()[name] = value
    return value
