"""How a long computation tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the fraction done, from 0 to 1. It may raise an exception to stop the computation.
Progress = Callable[[float], None]
