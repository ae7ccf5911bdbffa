"""Which process has begun something, and whether it still works on it."""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager

#: What a process on another machine has begun counts as abandoned after this many seconds.
_ABANDONED = 24 * 3600.0
#: What the threads of this process work on now, each under a key of its own.
_in_hand: dict[object, str] = {}


def this_process() -> str:
    """Return which process of which machine this is, for :func:`is_gone`."""
    return f"{_machine()}-{os.getpid()}"


@contextmanager
def in_hand(work: str) -> Iterator[None]:
    """Say that this process works on something, until the end of the block.

    A process can live on when its work has ended early and could not be tidied up, as where the
    database was stopped meanwhile.

    Args:
        work: What it works on. Other work of this process may have the same name, as a key of
            another dataset; then this is over when all of it is.

    Example:
        >>> with in_hand("a"):
        ...     is_gone(this_process(), "a")
        False
        >>> is_gone(this_process(), "a")
        True
    """
    mine = object()
    _in_hand[mine] = work
    try:
        yield
    finally:
        del _in_hand[mine]


def is_gone(process: str, work: str | None = None) -> bool | None:
    """Return whether a process has ended; None if that cannot be seen from here.

    Args:
        process: What :func:`this_process` returned there.
        work: What it was doing, see :func:`in_hand`. If this is that process, whether it does this
            no longer.

    Example:
        >>> is_gone(this_process())
        False
    """
    machine, _, number = process.rpartition("-")
    if machine != _machine() or os.name != "posix":
        return None
    if work is not None and process == this_process():
        return work not in list(_in_hand.values())
    try:
        os.kill(int(number), 0)  # signal 0 only asks whether the process is there
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def is_abandoned(process: str, begun: float, work: str | None = None) -> bool:
    """Return whether what a process has begun, and not ended, is nobody's work any more.

    Args:
        process: What :func:`this_process` returned there.
        begun: When it began, in seconds since 1970. What a process that cannot be seen from here
            has begun counts as abandoned after a day. A clock that was set back counts it later,
            one that was set forward sooner; for processes of this machine no clock is asked.
        work: See :func:`is_gone`.

    Example:
        >>> is_abandoned(this_process(), begun=0.0)
        False
    """
    gone = is_gone(process, work)
    return time.time() - begun > _ABANDONED if gone is None else gone


def _machine() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]
