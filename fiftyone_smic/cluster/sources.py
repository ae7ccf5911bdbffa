"""Latents in shards: Parquet, Lance and ``.npy`` files, read by ranges of rows where they lie."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.cluster.storage import File, digest_of, locate
from fiftyone_smic.pipelines.blocks import Each

#: What a shard's path ends with.
SHARDS = (".parquet", ".npy", ".lance")


@dataclass(frozen=True)
class Shard:
    """One file of latents.

    Attributes:
        path: Path or URL.
        rows: Number of latents.
        dimensions: d.
        column: Column of the latents; a ``.npy`` file has none.
        names: Column of the names, or None.
    """

    path: str
    rows: int
    dimensions: int
    column: str
    names: str | None

    def read(self, start: int, stop: int) -> tuple[NDArray, list[str] | None]:
        """Return some rows and their names.

        Raises:
            ValueError: A latent is missing or of another length, or is no list of numbers.
        """
        if self.path.endswith(".npy"):
            return _read_npy(self.path, start, stop), None
        columns = [self.column] + ([self.names] if self.names else [])
        if self.path.endswith(".lance"):
            table = _lance(self.path).to_table(columns=columns, offset=start, limit=stop - start)
        else:
            table = _read_parquet(self.path, columns, start, stop)
        z = _numbers(table.column(self.column), self)
        if self.names is None:
            return z, None
        return z, [str(name) for name in table.column(self.names).to_pylist()]


@dataclass(frozen=True)
class Count:
    """A job that opens a shard and says how many latents of what dimension it has.

    Attributes:
        column: Column of the latents.
        names: Column of the names, or None; it is used if the shard has it.
    """

    column: str
    names: str | None

    def __call__(self, path: str) -> Shard:
        """Open a shard.

        Raises:
            ValueError: It has no such column, or is not a file of latents.
        """
        if path.endswith(".npy"):
            shape, _, _ = _npy_header(path)
            return Shard(path, *shape, self.column, None)
        if path.endswith(".lance"):
            found = _lance(path)
            rows, have = found.count_rows(), found.schema.names
        else:
            found = _parquet(path)
            rows, have = found.metadata.num_rows, found.schema_arrow.names
        if self.column not in have:
            raise ValueError(
                f"{path} has no column {self.column!r}: its columns are {', '.join(have)}; name "
                "one with column=… (--column)"
            )
        names = self.names if self.names in have else None
        shard = Shard(path, rows, 0, self.column, names)
        d = shard.read(0, 1)[0].shape[1] if rows else 0
        return Shard(path, rows, d, self.column, names)


@dataclass(frozen=True)
class Shards:
    """Latents in shards, one behind the other, as :func:`compress_blocks` takes them.

    Attributes:
        shards: The files.
        digest: Text that is another one when a file was changed.
    """

    shards: tuple[Shard, ...]
    digest: str

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(shard.rows for shard in self.shards))

    @property
    def items(self) -> int:
        """Number of latents."""
        return self._ends[-1] if self.shards else 0

    @property
    def dimensions(self) -> int:
        """d."""
        return next((shard.dimensions for shard in self.shards if shard.rows), 0)

    @property
    def named(self) -> bool:
        """Whether all items have names."""
        return all(shard.names for shard in self.shards if shard.rows)

    def read(self, start: int, stop: int) -> tuple[NDArray, Sequence[str] | None]:
        """Return latents (stop - start, d) float32, and their names if all shards have names."""
        parts: list[NDArray] = []
        names: list[str] = []
        at = bisect_right(self._ends, start)
        while start < stop:
            shard = self.shards[at]
            first = self._ends[at] - shard.rows
            end = min(stop, self._ends[at])
            z, found = shard.read(start - first, end - first)
            parts.append(np.asarray(z, np.float32))
            names += found or []
            start, at = end, at + 1
        z = np.concatenate(parts) if parts else np.zeros((0, self.dimensions), np.float32)
        return z, names if self.named else None


def open_shards(
    files: Sequence[File], *, column: str = "latent", names: str | None = "name", each: Each = map
) -> Shards:
    """Open shards of latents.

    Args:
        files: The files, in the order of the items.
        column: Column of the latents: lists of d numbers.
        names: Column of the names, used if every shard has it; None uses none.
        each: Runs the jobs that look into the files.

    Raises:
        ValueError: A file has no such column, or another dimension than the others.
        OSError: A file cannot be read.

    Example:
        >>> import os, tempfile
        >>> from fiftyone_smic.cluster.storage import list_files
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in range(2):
        ...         np.save(os.path.join(folder, f"{i}.npy"), np.full((3, 4), i, np.float32))
        ...     shards = open_shards(list_files(folder))
        ...     shards.items, shards.read(2, 4)[0][:, 0].tolist()
        (6, [0.0, 1.0])
    """
    shards = tuple(each(Count(column, names), [file.path for file in files]))
    first = next((shard for shard in shards if shard.rows), None)
    for shard in shards:
        if first and shard.rows and shard.dimensions != first.dimensions:
            raise ValueError(
                f"{shard.path} has latents of {shard.dimensions} dimensions and {first.path} of "
                f"{first.dimensions}: compress them as two collections"
            )
    about = hashlib.sha256(f"{digest_of(list(files))} {column} {names}".encode())
    return Shards(shards, about.hexdigest())


# --- formats --------------------


def _parquet(path: str) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    system, inside = locate(path)
    try:
        return ParquetFile(system.open_input_file(inside))
    except pyarrow.ArrowInvalid as error:
        raise ValueError(f"{path} is not a sound Parquet file: {error}") from error


def _read_parquet(path: str, columns: list[str], start: int, stop: int) -> Any:
    """Read the row groups that hold these rows, and no others."""
    import pyarrow

    with _parquet(path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        ends = list(accumulate(sizes))
        wanted = [i for i, end in enumerate(ends) if end > start and end - sizes[i] < stop]
        before = ends[wanted[0]] - sizes[wanted[0]] if wanted else 0
        try:
            table = file.read_row_groups(wanted, columns=columns)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise ValueError(f"{path} is not a sound Parquet file: {error}") from error
    return table.slice(start - before, stop - start)


def _lance(path: str) -> Any:
    try:
        import lance
    except ImportError as error:
        raise ImportError(f"{path} needs the package pylance: pip install pylance") from error
    return lance.dataset(path)


def _numbers(column: Any, shard: Shard) -> NDArray:
    """Return a column of lists of d numbers as an array (n, d)."""
    import pyarrow

    array = column.combine_chunks()
    if isinstance(array, pyarrow.ChunkedArray):
        array = pyarrow.concat_arrays(array.chunks)
    if isinstance(array, pyarrow.ExtensionArray):  # Ray Data's tensors are one
        array = array.storage
    if array.null_count:
        raise ValueError(
            f"{shard.path}: {array.null_count} latents are missing in {shard.column!r}"
        )
    if not hasattr(array, "flatten"):
        raise ValueError(f"{shard.path}: the column {shard.column!r} is no list of numbers")
    flat = array.flatten()
    d = shard.dimensions or len(flat) // max(len(array), 1)
    if not pyarrow.types.is_fixed_size_list(array.type):
        lengths = np.diff(array.offsets.to_numpy())
        if (lengths != d).any():
            raise ValueError(
                f"{shard.path}: the latents in {shard.column!r} have different lengths"
            )
    numbers = flat.to_numpy(zero_copy_only=False)
    if numbers.dtype.kind not in "fiu":
        raise ValueError(f"{shard.path}: the column {shard.column!r} is no list of numbers")
    return numbers.reshape(len(array), -1)


def _npy_header(path: str) -> tuple[tuple[int, int], np.dtype, int]:
    """Return the shape, the type and the place of the first number of a ``.npy`` file."""
    system, inside = locate(path)
    with system.open_input_file(inside) as file:
        try:
            version = np.lib.format.read_magic(file)
            read = (
                np.lib.format.read_array_header_1_0
                if version == (1, 0)
                else (np.lib.format.read_array_header_2_0)
            )
            shape, fortran, dtype = read(file)
        except ValueError as error:
            raise ValueError(f"{path} is not a sound .npy file: {error}") from error
        if len(shape) != 2 or fortran or dtype.kind != "f":
            raise ValueError(
                f"{path} must hold an array (N, d) of floats in C order, not {dtype} {shape}"
            )
        return (shape[0], shape[1]), dtype, file.tell()


def _read_npy(path: str, start: int, stop: int) -> NDArray:
    (rows, d), dtype, place = _npy_header(path)
    system, inside = locate(path)
    with system.open_input_file(inside) as file:
        file.seek(place + start * d * dtype.itemsize)
        data = file.read((min(stop, rows) - start) * d * dtype.itemsize)
    if len(data) != (min(stop, rows) - start) * d * dtype.itemsize:
        raise ValueError(f"{path} is cut short: it holds fewer than its {rows} latents")
    return np.frombuffer(data, dtype).reshape(-1, d)
