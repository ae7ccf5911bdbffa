"""A folder of finished pieces of work, from which a run that stopped goes on."""

from __future__ import annotations

import io
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.utils.arrays import read_arrays
from fiftyone_smic.utils.files import remove_abandoned, replace_file


class Work(Protocol):
    """Where pieces of work lie. It travels to other processes, and all of them see the same."""

    def read(self, name: str) -> bytes | None:
        """Return a piece, or None if it is not there."""

    def write(self, name: str, data: bytes) -> None:
        """Write a piece, which appears whole or not at all."""

    def locate(self, name: str) -> str:
        """Return the path or URL of a piece."""

    def prepare(self) -> None:
        """Make the place, and clear what killed runs left half written."""

    def remove(self) -> None:
        """Remove the place with all that is in it."""


@dataclass(frozen=True)
class FolderWork:
    """Pieces of work as files of a folder that every process can write.

    Attributes:
        folder: Its path.
    """

    folder: str

    @classmethod
    def beside(cls, target: str | os.PathLike[str]) -> FolderWork:
        """Return the work of a file that is being made: the folder ``TARGET.part``."""
        path = Path(os.path.realpath(target))
        return cls(str(path.with_name(f"{path.name}.part")))

    def read(self, name: str) -> bytes | None:
        """Return a piece, or None if it is not there."""
        try:
            return Path(self.folder, name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a piece, which appears whole or not at all."""
        replace_file(Path(self.folder, name), data, sweep=False)

    def locate(self, name: str) -> str:
        """Return the path of a piece."""
        return os.path.join(self.folder, name)

    def prepare(self) -> None:
        """Make the folder, and clear what killed runs left half written."""
        os.makedirs(self.folder, exist_ok=True)
        remove_abandoned(self.folder)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)


def pack_arrays(**arrays: Any) -> bytes:
    """Return arrays as one piece of work, which loads without pickle."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpack_arrays(data: bytes) -> dict[str, NDArray]:
    """Return what :func:`pack_arrays` packed."""
    return read_arrays(io.BytesIO(data))
