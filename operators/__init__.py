"""The plugin: forms, progress and the panel. All computation is in :mod:`fiftyone_smic`.

FiftyOne runs this file whenever it builds its registry, so it imports nothing heavy.
"""

from __future__ import annotations

from typing import Any

from . import library  # first: it finds the library beside the plugin
from .compute_latents import ComputeLatents
from .draw_atom import DrawAtom
from .encode_samples import EncodeSamples
from .export_archive import ExportArchive
from .import_archive import ImportArchive
from .learn_dictionary import LearnDictionary
from .manage_dictionaries import ManageDictionaries
from .measure_storage import MeasureStorage
from .mix_samples import MixSamples
from .name_atoms import NameAtoms
from .panel import SMICPanel
from .regenerate_samples import RegenerateSamples
from .stop_run import StopRun
from .visualize_atoms import VisualizeAtoms


def register(plugin: Any) -> None:
    """Called by FiftyOne."""
    operators = (
        ComputeLatents,
        LearnDictionary,
        EncodeSamples,
        RegenerateSamples,
        VisualizeAtoms,
        NameAtoms,
        ExportArchive,
        ImportArchive,
        ManageDictionaries,
        MeasureStorage,
        MixSamples,
        DrawAtom,
        StopRun,
        SMICPanel,
    )
    for operator in library.checked(operators):
        plugin.register(operator)
