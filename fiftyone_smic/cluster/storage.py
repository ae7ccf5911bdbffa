"""Files on this machine, on a shared file system, or in an object store, by path or URL."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from fiftyone_smic.pipelines.work import FolderWork, Work

#: What a URL may hold as it is. The rest, such as spaces and letters with accents, is quoted.
_URL = "/:?=&%@[]!$'()*+,;~"


def locate(path: str) -> tuple[Any, str]:
    """Return the file system of a path or URL, as Ray Data resolves it, and the path within it.

    Raises:
        ValueError: No file system is known for the URL.
    """
    from pyarrow import ArrowInvalid
    from pyarrow.fs import FileSystem, LocalFileSystem

    if "://" not in path:
        return LocalFileSystem(), os.path.abspath(path)
    try:
        return FileSystem.from_uri(quote(path, safe=_URL))
    except ArrowInvalid as error:
        raise ValueError(f"{path}: {error}") from error


def bare(path: str) -> str:
    """Return a URL without its query, ``?endpoint_override=…``; a path has none."""
    return path.partition("?")[0] if "://" in path else path


def join(path: str, below: str) -> str:
    """Return the path or URL of what is called ``below`` in a folder; a URL keeps its query."""
    if "://" not in path:
        return os.path.join(path, below)
    head, mark, query = path.partition("?")
    return f"{head.rstrip('/')}/{quote(below)}{mark}{query}"


def name_below(root: str, path: str) -> str:
    """Return what :func:`join` calls a file below a folder."""
    name = bare(path)[len(bare(root)) :].lstrip("/")
    return unquote(name) if "://" in path else name


@dataclass(frozen=True)
class File:
    """A file of a source.

    Attributes:
        path: Path or URL.
        size: Bytes.
        modified: When it was changed last, in nanoseconds; 0 if the store does not say.
    """

    path: str
    size: int
    modified: int

    def same(self, other: File) -> bool:
        """Whether this is the other file unchanged."""
        unit = 10**9 if "://" in self.path else 1  # some stores round the time to seconds
        return self.size == other.size and self.modified // unit == other.modified // unit


def list_files(path: str) -> list[File]:
    """Return the files at a path or URL: itself, or what is below it, sorted by path.

    Hidden files and folders, whose names begin with a dot or an underscore, are left out.

    Raises:
        FileNotFoundError: There is nothing there.
    """
    from pyarrow.fs import FileSelector, FileType

    system, inside = locate(path)
    (found,) = system.get_file_info([inside])
    if found.type == FileType.NotFound:
        raise FileNotFoundError(f"{path}: there is no such file or folder")
    if found.type == FileType.File:
        return [File(path, found.size, found.mtime_ns or 0)]
    root = found.path.rstrip("/")
    files: dict[str, File] = {}
    for info in system.get_file_info(FileSelector(root, recursive=True)):
        below = info.path[len(root) + 1 :]
        hidden = any(part.startswith((".", "_")) for part in below.split("/"))
        if info.type == FileType.File and not hidden:
            files[below] = File(join(path, below), info.size, info.mtime_ns or 0)
    return [files[below] for below in sorted(files)]


def digest_of(files: list[File]) -> str:
    """Return text that is another one when a file was added, removed or changed."""
    content = hashlib.sha256()
    for file in files:
        content.update(f"{file.path}\0{file.size}\0{file.modified}\n".encode())
    return content.hexdigest()


@dataclass(frozen=True)
class ObjectWork:
    """Pieces of work as objects below a URL, such as ``s3://bucket/prefix``.

    Attributes:
        url: Where they lie.
    """

    url: str

    def read(self, name: str) -> bytes | None:
        """Return a piece, or None if it is not there."""
        system, inside = locate(self.locate(name))
        try:
            with system.open_input_stream(inside) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes) -> None:
        """Write a piece. An object store shows it when it is whole; a file system gets it by
        renaming."""
        system, inside = locate(self.locate(name))
        if system.type_name == "local":
            FolderWork(os.path.dirname(inside)).write(name, data)
            return
        with system.open_output_stream(inside) as file:
            file.write(data)

    def locate(self, name: str) -> str:
        """Return the URL of a piece."""
        return join(self.url, name)

    def prepare(self) -> None:
        """Make the place."""
        system, inside = locate(self.url)
        system.create_dir(inside, recursive=True)

    def remove(self) -> None:
        """Remove the place with all that is in it."""
        system, inside = locate(self.url)
        system.delete_dir(inside)


def open_work(work: str | os.PathLike[str] | None, target: str | os.PathLike[str]) -> Work:
    """Return where pieces of work lie: in ``TARGET.part``, beside the target or in ``work``.

    It is removed in the end, so it never is a place that holds something else.
    """
    if work is None:
        return FolderWork.beside(target)
    place = join(os.fspath(work), f"{Path(target).name}.part")
    return ObjectWork(place) if "://" in place else FolderWork(os.path.abspath(place))
