"""Compile numerical functions with numba, with a cache on disk where there is room for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile the decorated function when it is first called, and keep the result on disk.

    The cache is beside the module, else in the user's cache folder, else in ``NUMBA_CACHE_DIR``.
    Where numba can write to none of these (a read-only installation of a user without a home), the
    function is compiled again in every process instead.

    Args:
        options: of ``numba.njit``, such as ``nogil``, ``fastmath`` and ``error_model``.

    Example:
        >>> @compiled(nogil=True)
        ... def double(x):
        ...     return x + x
        >>> double(21)
        42
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return nb.njit(function, cache=True, **options)
        except RuntimeError:  # numba found no folder for its cache
            return nb.njit(function, **options)

    return decorate
