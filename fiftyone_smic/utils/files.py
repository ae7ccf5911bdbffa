"""Write files whole or not at all, and let one process at a time change a file."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from fiftyone_smic.utils.processes import is_abandoned, this_process

#: Names of temporary files: which process of which machine writes it, and a random part.
_TEMPORARY = re.compile(r"\.smic-(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]+)-[0-9a-f]+\.tmp")

logger = logging.getLogger(__name__)
_held = threading.local()


def replace_file(path: str | os.PathLike[str], data: bytes, *, sweep: bool = True) -> None:
    """Write a file so that it appears complete or not at all.

    Args:
        path: The file; see :func:`replacing` for what is kept of an old one.
        data: The whole content.
        sweep: Remove temporary files that killed runs left in the folder. This lists the folder, so
            a caller that writes many files into one folder passes False and calls
            :func:`remove_abandoned` once.

    Raises:
        OSError: The file cannot be written. An old file is unchanged and no temporary file stays.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = os.path.join(folder, "x.bin")
        ...     replace_file(file, b"old")
        ...     replace_file(file, b"new")
        ...     open(file, "rb").read(), os.listdir(folder)
        (b'new', ['x.bin'])
    """
    with replacing(path, sweep=sweep) as file:
        file.write(data)


@contextmanager
def replacing(path: str | os.PathLike[str], *, sweep: bool = True) -> Iterator[BinaryIO]:
    """Open a file for writing; it takes its place at the end of the block, complete.

    The content goes to a temporary file in the same folder, is flushed to the disk, and is renamed.
    A file that is replaced hands on its permissions and, where the system allows it, its owner. A
    new file gets the permissions that the umask leaves. A symbolic link stays one: its target is
    replaced. (A hard link is cut: the other names keep the old content.)

    Args:
        path: The file to write.
        sweep: See :func:`replace_file`.

    Yields:
        A binary file, open for writing.

    Raises:
        OSError: The file cannot be written. An old file is unchanged and no temporary file stays.
    """
    target = _target(path)
    folder = os.path.dirname(target)
    if sweep:
        remove_abandoned(folder)
    with _naming(path):
        temporary, handle = _create(folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            with _naming(path):
                file.flush()
                _keep_mode(target, file.fileno())
                os.fsync(file.fileno())  # else the name may reach the disk before the content
        with _naming(path):
            os.replace(temporary, target)
    except BaseException as error:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)  # a full disk names no file
        raise
    _sync_folder(folder)


def check_replaceable(path: str | os.PathLike[str]) -> None:
    """Try all that :func:`replace_file` needs, before long work whose result it will write.

    Raises:
        OSError: The folder does not exist, is no folder or cannot be written, or there is something
            at ``path`` that is not a plain file. The message says which.
    """
    target = _target(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        if os.path.exists(folder):
            raise NotADirectoryError(errno.ENOTDIR, "this is not a folder", folder)
        raise FileNotFoundError(errno.ENOENT, "this folder does not exist: create it first", folder)
    remove_abandoned(folder)  # a run that was killed here may have left what it tried
    try:
        temporary, handle = _create(folder)
        os.close(handle)
        os.unlink(temporary)
    except OSError as error:
        why = f"this folder cannot be written ({error.strerror})"
        raise type(error)(error.errno, why, folder) from error


def check_space(path: str | os.PathLike[str], needed: int, what: str) -> None:
    """Refuse a disk that certainly cannot hold what long work is going to write.

    Args:
        path: The file or folder that will be written; it need not exist.
        needed: A lower bound of its size, in bytes.
        what: What is written, for the message: "the pictures".

    Raises:
        OSError: The disk has fewer bytes free (``errno.ENOSPC``).
    """
    nearest = os.path.realpath(path)
    while not os.path.isdir(nearest):
        nearest = os.path.dirname(nearest)
    free = shutil.disk_usage(nearest).free
    if free < needed:
        why = f"{what} take at least {needed:,} bytes, and {free:,} are free"
        raise OSError(errno.ENOSPC, why, os.fspath(path))


def with_note(error: OSError, note: str) -> OSError:
    """Return an error like this one that also says what is there and what to do."""
    return type(error)(error.errno, f"{error.strerror}; {note}", error.filename)


def remove_abandoned(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed runs left in a folder.

    The name of a temporary file says which process of which machine writes it. It is abandoned if
    that process of this machine is gone, or if it has not changed for a day.
    """
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            found = _TEMPORARY.fullmatch(entry.name)
            with suppress(OSError):
                if not found:
                    continue
                written = entry.stat(follow_symlinks=False).st_mtime
                if is_abandoned(f"{found['machine']}-{found['process']}", written):
                    os.unlink(entry.path)


def is_aside(name: str) -> bool:
    """Return whether a file of this name is a temporary file or a lock that this module makes.

    Args:
        name: The name alone, without its folder.

    Example:
        >>> is_aside(".x.smic.lock"), is_aside("x.smic")
        (True, False)
    """
    return bool(_TEMPORARY.fullmatch(name)) or (name.startswith(".") and name.endswith(".lock"))


def put_copy(source: str | os.PathLike[str], path: str | os.PathLike[str]) -> None:
    """Put the content of a file in the place of another, which is whole at any time.

    Args:
        source: A file that nobody changes; where the disk allows it, its bytes are not copied.
        path: The file to replace.

    Raises:
        OSError: The file cannot be read or written.
    """
    temporary = os.path.join(os.path.dirname(path), _new_name())
    try:
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
        os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextmanager
def lock(path: str | os.PathLike[str], timeout: float | None = None) -> Iterator[None]:
    """Let one process (and one thread of it) at a time work on a file; others wait.

    The lock is a file named ``.NAME.lock`` beside the file, or beside the target of a symbolic
    link. It exists while the lock is held. In a folder that this user cannot write, the lock file
    lies in the user's cache folder, so it then keeps only this user's processes apart. A thread
    that holds the lock may take it again. A process that dies gives its locks back.

    When somebody else holds the lock, a log record of level WARNING says what is waited for.

    Args:
        path: The file that is going to be read and replaced; it need not exist.
        timeout: How long to wait at most, in seconds; None waits for as long as it takes.

    Raises:
        TimeoutError: Somebody else held the lock all the time.
        OSError: The lock file cannot be made.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with lock(os.path.join(folder, "x.smic")):
        ...         held = os.listdir(folder)
        ...     held, os.listdir(folder)
        (['.x.smic.lock'], [])
    """
    from filelock import FileLock, Timeout

    target = _target(path, any_kind=True)
    mine: set[str] = _held.__dict__.setdefault("paths", set())
    if target in mine:
        yield
        return
    file = _lock_file(target)
    held = FileLock(file, mode=0o666)  # so that other users of a shared folder can wait for it
    try:
        held.acquire(timeout=0)
    except Timeout:
        what = f"another process that is changing {os.fspath(path)}"
        logger.warning("waiting for %s", what)
        try:
            held.acquire(timeout=-1 if timeout is None else timeout)
        except Timeout:
            raise TimeoutError(f"waited {timeout:g} seconds for {what}") from None
    mine.add(target)
    try:
        yield
    finally:
        mine.discard(target)
        # Those who wait notice that the file is gone, and make a new one.
        if os.name == "posix":
            with suppress(OSError):
                os.unlink(file)
        held.release()


def _target(path: str | os.PathLike[str], any_kind: bool = False) -> str:
    """Follow symbolic links; unless ``any_kind``, refuse what is not a plain file."""
    target = os.path.realpath(os.fspath(path))
    if any_kind:
        return target
    if os.path.islink(target):
        raise OSError(errno.ELOOP, "this link leads back to itself", os.fspath(path))
    if os.path.isdir(target):
        raise IsADirectoryError(errno.EISDIR, "this is a folder, not a file", os.fspath(path))
    if os.path.exists(target) and not os.path.isfile(target):
        raise OSError(errno.EINVAL, "this is a device or a pipe, not a file", os.fspath(path))
    return target


def _create(folder: str) -> tuple[str, int]:
    """Create a temporary file with the permissions that the umask leaves to a new file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    path = os.path.join(folder, _new_name())
    return path, os.open(path, flags, 0o666)


def _new_name() -> str:
    return f".smic-{this_process()}-{os.urandom(6).hex()}.tmp"


def _keep_mode(target: str, handle: int) -> None:
    """Give a temporary file the owner and the permissions of the file it replaces."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    if os.name == "posix":
        new = os.fstat(handle)
        if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
            with suppress(OSError):  # only an administrator can give a file away
                os.fchown(handle, old.st_uid, old.st_gid)
        os.fchmod(handle, stat.S_IMODE(old.st_mode))


def _sync_folder(folder: str) -> None:
    """Flush a new name to the disk, where the system can."""
    if os.name != "posix":
        return
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _lock_file(target: str) -> str:
    folder, name = os.path.split(target)
    beside = f".{name}.lock"
    if len(os.fsencode(beside)) > 255:
        beside = f".{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}.lock"
    if os.access(folder, os.W_OK):
        return os.path.join(folder, beside)
    from platformdirs import user_cache_path

    cache = user_cache_path("fiftyone_smic") / "locks"
    cache.mkdir(parents=True, exist_ok=True)
    return str(cache / f"{hashlib.sha256(os.fsencode(target)).hexdigest()[:32]}.lock")


@contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Let an error name the file that was asked for, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, os.fspath(path)) from error
