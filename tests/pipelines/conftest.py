"""Pictures, and archives made of them with the embedded encoder."""

from __future__ import annotations

import shutil

import pytest

from fiftyone_smic.pipelines import compress_folder


@pytest.fixture
def folder(pictures, tmp_path):
    """A folder with copies of six of the pictures."""
    folder = tmp_path / "in"
    folder.mkdir()
    for path in pictures[:6]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def made(pictures, tmp_path_factory):
    """The bytes of an archive of the same six pictures."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "in").mkdir()
    for path in pictures[:6]:
        shutil.copy(path, folder / "in")
    compress_folder(folder / "in", folder / "x.smic", encoder="postcards")
    return (folder / "x.smic").read_bytes()


@pytest.fixture
def archive(made, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(made)
    return path
