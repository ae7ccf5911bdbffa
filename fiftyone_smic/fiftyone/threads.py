"""Threads of one process that work on one dataset."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fiftyone as fo

#: One lock for each dataset that this process has worked on, and one for the table of them.
_OF_DATASETS: dict[Any, Any] = {}
_LOCK = threading.Lock()


@contextmanager
def one_thread(dataset: fo.Dataset) -> Iterator[None]:
    """Let no other thread of this process read or change a dataset's runs and fields in the block.

    All threads share one object of a dataset. Where one reads it again, or adds a field, while
    another adds a run or a field to it, what was added is lost, or the dataset points to what is
    gone.

    Args:
        dataset: The dataset.
    """
    with _LOCK:
        held = _OF_DATASETS.setdefault(dataset._doc.id, threading.RLock())
    with held:
        yield
