"""Storing, renaming and deleting a dictionary: a key has the old one or the new one at any time.

A new run, its results and its fields are written under a temporary key. One database operation then
gives the key to the new run; the old one's fields are deleted and the new ones renamed after that.
Until the last step is done the run's config says who is storing it. Another process that finds the
run of a process that has died ends its work: it removes a run that was not complete, and goes on
with one that has the key already. A dictionary gets another key in the same way.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.core.runs as fors

from fiftyone_smic.fiftyone.keys import METHOD, is_temporary, refresh
from fiftyone_smic.fiftyone.threads import one_thread
from fiftyone_smic.utils.processes import in_hand, is_abandoned, this_process

#: The process of a run that an early version stored, which did not say it.
_UNKNOWN = "00000000-0"


def swap_in(
    dataset: fo.Dataset,
    key: str,
    config: fors.RunConfig,
    write: Callable[[str], None],
    *,
    overwrite: bool = False,
) -> None:
    """Store a run; one that has the same key is replaced when the new one is complete.

    Args:
        dataset: The dataset.
        key: The key.
        config: The run's configuration, with an attribute ``unfinished``.
        write: Stores what belongs to the run under the temporary key that it gets.
        overwrite: Replace a run that has this key.

    Raises:
        ValueError: Another process has stored a run under this key meanwhile.
    """
    end_others(dataset)
    former = _run_id(dataset, key)
    if former is not None and not overwrite:
        raise ValueError(_taken_meanwhile(key))
    temporary = f"{key}__{uuid.uuid4().hex[:12]}"
    replaces = None if former is None else str(former)
    config.unfinished = {"by": this_process(), "temporary": temporary, "replaces": replaces}
    with in_hand(temporary):
        _store(dataset, key, config, write, former)


def _store(
    dataset: fo.Dataset,
    key: str,
    config: fors.RunConfig,
    write: Callable[[str], None],
    former: Any,
) -> None:
    """Write a run under its temporary key, give it its key, and finish it."""
    temporary = config.unfinished["temporary"]
    try:
        with one_thread(dataset):
            refresh(dataset)
            dataset.register_run(temporary, config)
        write(temporary)
        with one_thread(dataset):
            new = _run_id(dataset, temporary)
            # This is one database operation, so that the later of two processes gets an error.
            swapped = foo.get_db_conn().datasets.update_one(
                {"_id": dataset._doc.id, f"runs.{key}": former},
                {"$set": {f"runs.{key}": new}, "$unset": {f"runs.{temporary}": ""}},
            )
        if not swapped.matched_count:
            raise ValueError(_taken_meanwhile(key))
    except BaseException:
        _remove(dataset, temporary)
        raise
    try:
        with one_thread(dataset):
            _finish(dataset, key)
    except BaseException:  # who works on the dataset next goes on from here
        _note(new, {"unfinished.by": None})
        raise


def rename(dataset: fo.Dataset, key: str, new_key: str) -> None:
    """Give a run another key, and its fields their names; whoever is next ends it if need be.

    Args:
        dataset: The dataset.
        key: The key of a run.
        new_key: A key that is free.

    Raises:
        ValueError: Another process has deleted, replaced or renamed the run meanwhile, or stored
            one under the new key.
    """
    with one_thread(dataset), _claimed(dataset, key) as run:
        moved = foo.get_db_conn().datasets.update_one(
            {"_id": dataset._doc.id, f"runs.{key}": run, f"runs.{new_key}": None},
            {"$set": {f"runs.{new_key}": run}, "$unset": {f"runs.{key}": ""}},
        )
        if not moved.matched_count:
            raise ValueError(changed_meanwhile(key))
        _finish(dataset, new_key)


def remove(dataset: fo.Dataset, key: str) -> None:
    """Delete a run and what belongs to it; if this ends early, the rest is still there to delete.

    Args:
        dataset: The dataset.
        key: The key of a run.

    Raises:
        ValueError: Another process has deleted, replaced or renamed the run meanwhile.
    """
    with one_thread(dataset), _claimed(dataset, key) as run_id:
        run = dataset._doc.runs[key]
        fors.RunConfig.from_dict(dict(run.config)).build().cleanup(dataset, key)
        # This is one operation, so that nobody deletes what another process has just stored.
        gone = foo.get_db_conn().datasets.update_one(
            {"_id": dataset._doc.id, f"runs.{key}": run_id}, {"$unset": {f"runs.{key}": ""}}
        )
        dataset._run_cache.pop(key, None)
        dataset.reload()
        if not gone.matched_count:
            raise ValueError(changed_meanwhile(key))
        if run.results:
            run.results.delete()
        run.delete()


@contextmanager
def _claimed(dataset: fo.Dataset, key: str) -> Iterator[Any]:
    """Let no other process rename or delete a run in the block; yields the run's id."""
    run = _run_id(dataset, key)
    if run is None:
        raise ValueError(changed_meanwhile(key))
    end(dataset, key)
    mark = {"by": this_process(), "begun": time.time(), "temporary": key, "replaces": None}
    with in_hand(key):
        marked = foo.get_db_conn().runs.update_one(
            {"_id": run, "config.unfinished": None}, {"$set": {"config.unfinished": mark}}
        )
        if not marked.matched_count:
            raise ValueError(changed_meanwhile(key))
        try:
            yield run
        except BaseException:  # who works on the dataset next goes on from here
            _note(run, {"unfinished.by": None})
            raise


def end_others(dataset: fo.Dataset) -> None:
    """Remove or finish what processes that have died were storing on a dataset.

    Args:
        dataset: The dataset.
    """
    with one_thread(dataset):
        refresh(dataset)
        for key in dataset.list_runs(method=METHOD):
            if not is_temporary(key):
                end(dataset, key)
            elif _is_abandoned(dataset._doc.runs[key]):
                _remove(dataset, key)


def end(dataset: fo.Dataset, key: str) -> None:
    """Finish storing a run that has its key, if the process that stored it has died.

    Args:
        dataset: The dataset.
        key: The key of a run.
    """
    with one_thread(dataset):
        run = dataset._doc.runs[key]
        run.reload()
        if run.config.get("unfinished") and _is_abandoned(run):
            _finish(dataset, key)


def _finish(dataset: fo.Dataset, key: str) -> None:
    """Drop what belongs to the replaced run, and give the new run's fields their names.

    Each step may be done again: the second only begins when the first is noted as done.
    """
    refresh(dataset)
    run = dataset._doc.runs[key]
    run.reload()
    unfinished = run.config["unfinished"]
    database = foo.get_db_conn()
    if unfinished["replaces"] is not None:
        old = foo.RunDocument.objects(id=unfinished["replaces"]).first()
        if old is not None:
            fors.RunConfig.from_dict(dict(old.config)).build().cleanup(dataset, key)
            if old.results:
                old.results.delete()
            old.delete()
        _note(run.id, {"unfinished.replaces": None})
    if unfinished["temporary"] != key:  # else it was to be renamed, and is not
        renaming = fors.RunConfig.from_dict(dict(run.config)).build()
        renaming.rename(dataset, unfinished["temporary"], key)
    database.runs.update_one({"_id": run.id}, {"$set": {"key": key, "config.unfinished": None}})
    for known in (key, unfinished["temporary"]):
        dataset._run_cache.pop(known, None)
    dataset.reload()
    dataset._doc.runs[key].reload()


def _note(run: Any, values: dict[str, Any]) -> None:
    changed = {f"config.{name}": value for name, value in values.items()}
    foo.get_db_conn().runs.update_one({"_id": run}, {"$set": changed})


def _remove(dataset: fo.Dataset, temporary: str) -> None:
    with one_thread(dataset):
        refresh(dataset)
        if temporary in dataset.list_runs():
            dataset.delete_run(temporary)


def _run_id(dataset: fo.Dataset, key: str) -> Any:
    """Return the database's id of the run that is stored as ``key`` now, or None."""
    with one_thread(dataset):
        refresh(dataset)
        run = dataset._doc.runs.get(key)
        return None if run is None else run.id


def _is_abandoned(run: Any) -> bool:
    """Tell whether the process that is storing a run has died, or given up."""
    unfinished = run.config.get("unfinished") or {"by": _UNKNOWN, "temporary": None}
    by = unfinished["by"]
    begun = unfinished.get("begun", run.id.generation_time.timestamp())
    return by is None or is_abandoned(by, begun, unfinished["temporary"])


def changed_meanwhile(key: str) -> str:
    """Return the message about a run that another process has deleted or given another key."""
    return (
        f"dictionary {key!r} was deleted, replaced or renamed by another process meanwhile; "
        "nothing more was done to it"
    )


def _taken_meanwhile(key: str) -> str:
    return (
        f"another process has stored a dictionary {key!r} meanwhile, and it is kept; choose "
        "another key, or run this again with overwrite=True to replace it"
    )
