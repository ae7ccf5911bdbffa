"""Arrays from ``.npz`` files that somebody else may have written."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

#: Most bytes that the arrays of one file may take. A file that promises more is no file of ours.
MOST_BYTES = 4 << 30


def read_arrays(
    source: str | os.PathLike[str] | BinaryIO, names: Iterable[str] | None = None
) -> dict[str, NDArray]:
    """Read arrays of an ``.npz`` file. Nothing is unpickled.

    Args:
        source: the file.
        names: which arrays; None for all.

    Returns:
        Name -> array.

    Raises:
        ValueError: the file is damaged, or lacks one of the arrays.
        OSError: the file cannot be read.

    Example:
        >>> import io
        >>> file = io.BytesIO()
        >>> np.savez(file, a=np.arange(3))
        >>> _ = file.seek(0)
        >>> read_arrays(file, ["a"])
        {'a': array([0, 1, 2])}
    """
    data = source.read() if hasattr(source, "read") else Path(source).read_bytes()
    if not data.startswith(b"PK"):  # NumPy would speak of pickles
        raise ValueError("it is no .npz file")
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            if sum(part.file_size for part in file.zip.infolist()) > MOST_BYTES:
                raise ValueError("its arrays would take more than 4 GB")
            arrays = {name: file[name] for name in (file.files if names is None else names)}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):  # NumPy returns the bytes of what is no array
                raise ValueError(f"{name} is no array")
    # Readers of zip files and arrays raise a dozen kinds of errors on damaged ones.
    except Exception as error:
        raise ValueError(f"{error or type(error).__name__}") from error
    return arrays
