"""Work on items in chunks of a fixed size, on all threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

CHUNK = 1024


def threads() -> int:
    """How many worker threads to use: ``OMP_NUM_THREADS`` if set, else the processor count."""
    value = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, int(value)) if value.isdigit() else os.cpu_count() or 1


def in_chunks(action: Callable[[slice], T], n_items: int) -> list[T]:
    """What ``action`` gives for every CHUNK of the items, in order, computed on all threads."""
    from threadpoolctl import threadpool_limits

    parts = [slice(i, min(i + CHUNK, n_items)) for i in range(0, n_items, CHUNK)]
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads()) as pool:
        return list(pool.map(action, parts))
