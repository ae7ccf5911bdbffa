"""Work on items in chunks of a fixed size, on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")

#: Items of a chunk. It is fixed, so that the number of threads does not change a result.
CHUNK = 1024


def thread_count(n_jobs: int | None = None) -> int:
    """Return the number of worker threads to use.

    Args:
        n_jobs: None for ``OMP_NUM_THREADS`` if that is set and else all cores, a positive number
            of threads, or a negative one as in scikit-learn: -1 for all cores, -2 for all but one.

    Raises:
        ValueError: ``n_jobs`` is 0.

    Example:
        >>> thread_count(3)
        3
    """
    cores = os.cpu_count() or 1
    if n_jobs is None:
        value = os.environ.get("OMP_NUM_THREADS", "")
        return max(1, int(value)) if value.isdigit() else cores
    if n_jobs == 0:
        raise ValueError("n_jobs is 0: give a number of threads, -1 for all cores, or None")
    return n_jobs if n_jobs > 0 else max(1, cores + 1 + n_jobs)


def in_chunks(action: Callable[[slice], T], n_items: int, n_jobs: int | None = None) -> list[T]:
    """Call ``action`` with the slice of every chunk of the items, on several threads.

    Args:
        action: called with slices that cover ``0..n_items`` without overlap, :data:`CHUNK` items
            each. BLAS runs on one thread meanwhile.
        n_items: number of items.
        n_jobs: number of threads, see :func:`thread_count`.

    Returns:
        What each call returned, in the order of the chunks.

    Example:
        >>> in_chunks(lambda part: part.stop, 1500)
        [1024, 1500]
    """
    parts = [slice(i, min(i + CHUNK, n_items)) for i in range(0, n_items, CHUNK)]
    threads = min(thread_count(n_jobs), len(parts))
    with _blas().limit(limits=1):
        if threads <= 1:  # a small fit does this hundreds of times, and starts no threads
            return [action(part) for part in parts]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(action, parts))


@lru_cache(maxsize=1)
def _blas() -> Any:
    """The BLAS libraries of this process; looking for them takes milliseconds each time."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
