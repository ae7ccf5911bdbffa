"""Latents to pictures: one protocol, one registry, one file a family.

A generator draws from one encoder's latents only. Each declares its encoder, and
:func:`load_generator` finds a generator of an encoder and refuses pairs that do not fit.
:mod:`registry <fiftyone_smic.models.generators.registry>` lists what is known by name.

A pipeline in a local folder declares itself in a ``smic.json`` beside ``model_index.json``::

    {"encoder": "ViT-L-14/openai", "guidance": 10.0, "steps": 20}

See :class:`Declaration <fiftyone_smic.models.generators.declaration.Declaration>` for all entries.
"""

from __future__ import annotations

from fiftyone_smic.models.generators.base import Generator
from fiftyone_smic.models.generators.loading import load_generator
from fiftyone_smic.models.generators.nearest import NearestGenerator
from fiftyone_smic.models.generators.registry import GeneratorInfo, fits, generators_for

__all__ = [
    "Generator",
    "GeneratorInfo",
    "NearestGenerator",
    "fits",
    "generators_for",
    "load_generator",
]
