"""Compress an image collection by its meaning, inside FiftyOne.

A CLIP encoder turns every image into a latent, a dictionary of semantic atoms is learned on the
collection, each image becomes a few (atom, coefficient) pairs, and an unCLIP model draws it again.
After Bachard and Maugey, *SMIC: Semantic Multi-Item Compression based on CLIP dictionary*,
arXiv 2412.05035.

The names below are imported when they are first used, so that ``import fiftyone_smic`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "SemanticDictionary": "fiftyone_smic.dictionary",
    "Archive": "fiftyone_smic.archive",
    "ArchiveError": "fiftyone_smic.archive",
    "read_archive": "fiftyone_smic.archive",
    "write_archive": "fiftyone_smic.archive",
    "Rate": "fiftyone_smic.metrics",
    "Fidelity": "fiftyone_smic.metrics",
    "fidelity": "fiftyone_smic.metrics",
    "load_encoder": "fiftyone_smic.encoders",
    "load_generator": "fiftyone_smic.generators",
    "compute_latents": "fiftyone_smic.fiftyone",
    "learn_dictionary": "fiftyone_smic.fiftyone",
    "encode": "fiftyone_smic.fiftyone",
    "regenerate": "fiftyone_smic.fiftyone",
    "visualize_atoms": "fiftyone_smic.fiftyone",
    "export_archive": "fiftyone_smic.fiftyone",
    "import_archive": "fiftyone_smic.fiftyone",
    "import_codes": "fiftyone_smic.fiftyone",
    "rebuilt_latents": "fiftyone_smic.fiftyone",
    "types": "fiftyone_smic.fiftyone",
    "load_model": "fiftyone_smic.fiftyone",
    "load_postcards": "fiftyone_smic.fiftyone",
    "name_atoms": "fiftyone_smic.fiftyone",
    "set_atom_names": "fiftyone_smic.fiftyone",
}

__all__ = [
    "Archive",
    "ArchiveError",
    "Fidelity",
    "Rate",
    "SemanticDictionary",
    "compute_latents",
    "encode",
    "export_archive",
    "fidelity",
    "import_archive",
    "import_codes",
    "learn_dictionary",
    "load_encoder",
    "load_generator",
    "load_model",
    "load_postcards",
    "name_atoms",
    "read_archive",
    "rebuilt_latents",
    "regenerate",
    "set_atom_names",
    "types",
    "visualize_atoms",
    "write_archive",
]

if TYPE_CHECKING:
    from .archive import Archive, ArchiveError, read_archive, write_archive
    from .dictionary import SemanticDictionary
    from .encoders import load_encoder
    from .fiftyone import (
        compute_latents,
        encode,
        export_archive,
        import_archive,
        import_codes,
        learn_dictionary,
        load_model,
        load_postcards,
        name_atoms,
        rebuilt_latents,
        regenerate,
        set_atom_names,
        types,
        visualize_atoms,
    )
    from .generators import load_generator
    from .metrics import Fidelity, Rate, fidelity


def __getattr__(name: str) -> Any:
    """Import the home of a public name on first use (PEP 562)."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
