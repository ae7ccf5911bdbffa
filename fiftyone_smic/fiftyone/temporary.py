"""Datasets that are not finished: a run that is killed leaves one, and the next run ends it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo

from fiftyone_smic.fiftyone import placeholders
from fiftyone_smic.utils.processes import in_hand, is_abandoned, is_gone, this_process

_NAME = re.compile(r"smic-temporary-(?P<process>[0-9a-f]{8}-[0-9]+)-[0-9a-f]{12}")
#: In a dataset's ``info``: its temporary name, if its samples' files are placeholders of its own.
OWN_FILES = "smic_own_files"
#: In a dataset's ``info`` while the pictures of an archive are drawn: which archive, and by whom.
IMPORT = "smic_import"


@contextmanager
def temporary_dataset(make: Callable[[str], fo.Dataset]) -> Iterator[fo.Dataset]:
    """Make a dataset that is deleted at the end of the block, or by the next run.

    Args:
        make: Gets the dataset's name and makes it.
    """
    remove_abandoned_datasets()
    name = temporary_name()
    with in_hand(name):
        dataset = make(name)
        try:
            yield dataset
        finally:
            dataset.delete()


def temporary_name() -> str:
    """Return a free name that says which process makes the dataset."""
    return f"smic-temporary-{this_process()}-{uuid.uuid4().hex[:12]}"


def remove_abandoned_datasets() -> None:
    """Remove the temporary datasets of processes that have died, and placeholders of their own."""
    wanted = {"name": {"$regex": "^smic-temporary-"}}
    for stored in list(foo.get_db_conn().datasets.find(wanted, {"name": True})):
        found = _NAME.fullmatch(stored["name"])
        begun = stored["_id"].generation_time.timestamp()
        gone = found and is_abandoned(found["process"], begun, stored["name"])
        if gone and fo.dataset_exists(stored["name"]):
            dataset = fo.load_dataset(stored["name"])
            own = dataset.info.get(OWN_FILES) == dataset.name
            files = dataset.values("filepath") if own else []
            dataset.delete()
            placeholders.remove(files)


def publish(dataset: fo.Dataset, name: str, persistent: bool, path: str | Path) -> None:
    """Give an imported dataset its name, before its pictures are drawn.

    Args:
        dataset: A temporary dataset.
        name: Its name.
        persistent: Whether it is kept when FiftyOne's database is closed.
        path: The archive that it is made of.
    """
    dataset.info[IMPORT] = {"archive": _digest(path), "by": this_process()}
    dataset.save()
    dataset.persistent = persistent
    dataset.name = name


def finish(dataset: fo.Dataset) -> None:
    """Forget that a dataset was being imported."""
    for mark in (OWN_FILES, IMPORT):
        dataset.info.pop(mark, None)
    dataset.save()


def unfinished(name: str, path: str | Path) -> fo.Dataset | None:
    """Return the dataset of an import of the same archive that ended early, or None.

    Args:
        name: Name of the dataset.
        path: The archive.
    """
    mark = fo.load_dataset(name).info.get(IMPORT) if fo.dataset_exists(name) else None
    if not mark or not is_gone(mark["by"], name) or mark["archive"] != _digest(path):
        return None
    return fo.load_dataset(name)


def _digest(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
