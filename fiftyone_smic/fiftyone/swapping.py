"""Storing a dictionary so that its key has the old one or the new one, whatever happens meanwhile.

A new run, its results and its fields are written under a temporary key. One database operation then
gives the key to the new run; the old one's fields are deleted and the new ones renamed after that.
Until the last step is done the run's config says who is storing it. Another process that finds the
run of a process that has died ends its work: it removes a run that was not complete, and goes on
with one that has the key already.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.core.runs as fors

from fiftyone_smic.fiftyone.keys import METHOD, is_temporary, refresh
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
        dataset.register_run(temporary, config)
        write(temporary)
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
        _finish(dataset, key)
    except BaseException:  # who works on the dataset next goes on from here
        _note(new, {"unfinished.by": None})
        raise


def end_others(dataset: fo.Dataset) -> None:
    """Remove or finish what processes that have died were storing on a dataset.

    Args:
        dataset: The dataset.
    """
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
    run = dataset._doc.runs[key]
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
    fors.RunConfig.from_dict(dict(run.config)).build().rename(dataset, unfinished["temporary"], key)
    database.runs.update_one({"_id": run.id}, {"$set": {"key": key, "config.unfinished": None}})
    for known in (key, unfinished["temporary"]):
        dataset._run_cache.pop(known, None)
    dataset.reload()
    dataset._doc.runs[key].reload()


def _note(run: Any, values: dict[str, Any]) -> None:
    changed = {f"config.{name}": value for name, value in values.items()}
    foo.get_db_conn().runs.update_one({"_id": run}, {"$set": changed})


def _remove(dataset: fo.Dataset, temporary: str) -> None:
    refresh(dataset)
    if temporary in dataset.list_runs():
        dataset.delete_run(temporary)


def _run_id(dataset: fo.Dataset, key: str) -> Any:
    """Return the database's id of the run that is stored as ``key`` now, or None."""
    refresh(dataset)
    run = dataset._doc.runs.get(key)
    return None if run is None else run.id


def _is_abandoned(run: Any) -> bool:
    """Tell whether the process that is storing a run has died, or given up."""
    unfinished = run.config.get("unfinished") or {"by": _UNKNOWN, "temporary": None}
    by, begun = unfinished["by"], run.id.generation_time.timestamp()
    return by is None or is_abandoned(by, begun, unfinished["temporary"])


def _taken_meanwhile(key: str) -> str:
    return (
        f"another process has stored a dictionary {key!r} meanwhile, and it is kept; choose "
        "another key, or run this again with overwrite=True to replace it"
    )
