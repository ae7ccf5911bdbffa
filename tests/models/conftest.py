"""Tiny pipelines of every family, saved once per session."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory) -> dict[str, Path]:
    """Family -> folder with a pipeline and its declaration; tests must not change them."""
    from tests.support.tiny_pipelines import FAMILIES, declare

    folders = {}
    for family, (save, entries) in FAMILIES.items():
        folders[family] = tmp_path_factory.mktemp(family)
        save(folders[family])
        declare(folders[family], **entries)
    return folders


@pytest.fixture(scope="session")
def tiny_generators(tiny_folders):
    """Family -> generator in float32, loaded through the code that loads every pipeline."""
    from fiftyone_smic.models.generators import load_generator

    return {
        family: load_generator(str(folder), device="cpu") for family, folder in tiny_folders.items()
    }
