"""Latents in shards: Parquet, Lance and ``.npy`` files, read by ranges of rows where they lie."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.cluster.storage import File, bare, digest_of, list_files, locate
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
        version: Of a Lance dataset: the version that is read, whatever is written meanwhile.
        state: Of a Lance dataset: text that says which rows that version has.
        file: Of another shard that is not a piece of our own: the file as it was at the start.
    """

    path: str
    rows: int
    dimensions: int
    column: str
    names: str | None
    version: int | None = None
    state: str = ""
    file: File | None = None

    def read(self, start: int, stop: int) -> tuple[NDArray, list[str] | None]:
        """Return some rows and their names.

        Raises:
            ValueError: A latent or a name is missing, a latent is of another length, or is no list
                of numbers. The rows are named as they are counted in this file. Or the file was
                changed since the start.
        """
        if self.file is not None and not list_files(self.path)[0].same(self.file):
            raise ValueError(
                f"{self.path} was changed while it was read; run this again when it stays as it is"
            )
        if bare(self.path).endswith(".npy"):
            return _read_npy(self.path, start, stop), None
        columns = [self.column] + ([self.names] if self.names else [])
        if self.version is None:
            table = _read_parquet(self.path, columns, start, stop)
        else:
            table = _read_lance(self.path, self.version, columns, start, stop)
        z = _numbers(table.column(self.column), self, start)
        if self.names is None:
            return z, None
        names = table.column(self.names)
        if names.null_count:
            raise ValueError(
                f"{self.path} has no name in {self.names!r} in {_rows(names.is_null(), start)}: "
                "name another column, or none: name_column='' (--name-column '')"
            )
        return z, [str(name) for name in names.to_pylist()]


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
        version, state = None, ""
        if bare(path).endswith(".npy"):
            shape, _, _ = _npy_header(path)
            return Shard(path, *shape, self.column, None)
        if bare(path).endswith(".lance"):
            found = _lance(path)
            rows, have, version = found.count_rows(), found.schema.names, found.version
            # The files' names are drawn at random, and a list of deleted rows has a number.
            parts = [part.metadata.to_json() for part in found.get_fragments()]
            state = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        else:
            found = _parquet(path)
            rows, have = found.metadata.num_rows, found.schema_arrow.names
        if self.column not in have:
            raise ValueError(
                f"{path} has no column {self.column!r}: its columns are {', '.join(have)}; name "
                "one with column=… (--column)"
            )
        names = self.names if self.names in have else None
        shard = Shard(path, rows, 0, self.column, names, version, state)
        return replace(shard, dimensions=shard.read(0, 1)[0].shape[1] if rows else 0)


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
    opened = each(Count(column, names), [file.path for file in files])
    shards = tuple(
        shard if shard.version is not None else replace(shard, file=file)
        for shard, file in zip(opened, files, strict=True)
    )
    first = next((shard for shard in shards if shard.rows), None)
    for shard in shards:
        if first and shard.rows and shard.dimensions != first.dimensions:
            raise ValueError(
                f"{shard.path} has latents of {shard.dimensions} dimensions and {first.path} of "
                f"{first.dimensions}: compress them as two collections"
            )
    states = "".join(shard.state for shard in shards)
    about = hashlib.sha256(f"{digest_of(list(files))} {column} {names}{states}".encode())
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
            raise ValueError(f"{path} cannot be read: {error}") from error
    return table.slice(start - before, stop - start)


def _lance(path: str, version: int | None = None) -> Any:
    try:
        import lance
    except ImportError as error:
        raise ImportError(f"{path} needs the package pylance: pip install pylance") from error
    if path != bare(path):
        raise ValueError(
            f"{path}: Lance takes no query in a URL; leave it out, and set AWS_ENDPOINT_URL, "
            "AWS_REGION and the like, with AWS_ALLOW_HTTP=true for http, on every node"
        )
    try:
        return lance.dataset(path, version=version)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be opened as a Lance dataset, a folder with the ending .lance: {error}"
        ) from error


def _read_lance(path: str, version: int, columns: list[str], start: int, stop: int) -> Any:
    found = _lance(path, version)
    try:
        return found.to_table(columns=columns, offset=start, limit=stop - start)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _rows(wrong: Any, start: int) -> str:
    """Say which rows of a file are wrong, by booleans for those from ``start`` on."""
    rows = np.flatnonzero(wrong) + start
    more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
    return f"row{'s' * (len(rows) > 1)} {', '.join(map(str, rows[:10]))}{more}"


def _numbers(column: Any, shard: Shard, start: int) -> NDArray:
    """Return a column of lists of d numbers, from the row ``start`` on, as an array (n, d)."""
    import pyarrow

    array = column.combine_chunks()
    if isinstance(array, pyarrow.ChunkedArray):
        array = pyarrow.concat_arrays(array.chunks)
    if isinstance(array, pyarrow.ExtensionArray):  # Ray Data's tensors are one
        array = array.storage
    if array.null_count:
        raise ValueError(
            f"{shard.path} has no latent in {shard.column!r} in {_rows(array.is_null(), start)}"
        )
    if not hasattr(array, "flatten"):
        raise ValueError(f"{shard.path}: the column {shard.column!r} is no list of numbers")
    flat = array.flatten()
    d = shard.dimensions or len(flat) // max(len(array), 1)
    if not pyarrow.types.is_fixed_size_list(array.type):
        lengths = np.diff(array.offsets.to_numpy())
        if (lengths != d).any():
            raise ValueError(
                f"{shard.path}: the latents in {shard.column!r} have different lengths: it is {d}, "
                f"but not in {_rows(lengths != d, start)}"
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
