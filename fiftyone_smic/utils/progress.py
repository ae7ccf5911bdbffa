"""How a long computation tells how far it is, and what it is doing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: Called with the fraction done, from 0 to 1. It may raise an exception to stop the computation.
#: It may have a method ``stage`` that takes what is done from now on, see :func:`stage`.
Progress = Callable[[float], None]


def stage(progress: Any, label: str) -> None:
    """Tell a progress function what is done from now on, if it wants to know.

    Args:
        progress: A function of the fraction done, or None, or anything else that is given as
            ``progress``. Only one with a method ``stage`` is told; it may raise an exception to
            stop the computation.
        label: For a bar, such as "Loading models".

    Example:
        >>> class Bar:
        ...     def __call__(self, fraction): ...
        ...     def stage(self, label): print(label)
        >>> stage(Bar(), "Loading models")
        Loading models
        >>> stage(None, "Loading models")
    """
    tell = getattr(progress, "stage", None)
    if tell is not None:
        tell(label)


class Portion:
    """A progress function for one part of a longer computation.

    Args:
        progress: The whole computation's progress function.
        start: The fraction done before the part.
        end: The fraction done after it.

    Example:
        >>> done = []
        >>> Portion(done.append, 0.5, 1.0)(0.5)
        >>> done
        [0.75]
    """

    def __init__(self, progress: Progress, start: float, end: float) -> None:
        self.progress = progress
        self.start = start
        self.end = end

    def __call__(self, fraction: float) -> None:
        self.progress(self.start + (self.end - self.start) * fraction)

    def stage(self, label: str) -> None:
        """Pass on what is done from now on."""
        stage(self.progress, label)
