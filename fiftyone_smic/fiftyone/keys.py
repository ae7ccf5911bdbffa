"""Keys of dictionaries: which a dataset has, and which are free for another dictionary."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.threads import one_thread

#: Type of a dictionary's custom run in FiftyOne.
METHOD = "smic"
#: A dictionary is stored under such a key until it is complete.
_UNFINISHED = re.compile(r"__[0-9a-f]{12}$")


#: What the database has said of dictionaries, within :func:`asked_once`.
_ANSWERS: ContextVar[dict[Any, Any] | None] = ContextVar("answers", default=None)


@contextmanager
def asked_once() -> Iterator[None]:
    """Ask the database once for the dictionaries of a dataset and for each one's configuration.

    It is for what only reads, in many small parts that each ask again. All of them then also speak
    of the same moment.
    """
    before = _ANSWERS.set({})
    try:
        yield
    finally:
        _ANSWERS.reset(before)


def answers() -> dict[Any, Any]:
    """Return the answers that :func:`asked_once` keeps until its end; outside of it an empty
    dictionary that nobody keeps."""
    known = _ANSWERS.get()
    return {} if known is None else known


def is_temporary(key: str) -> bool:
    """Tell whether a run of this key is still being stored."""
    return bool(_UNFINISHED.search(key))


def refresh(dataset: fo.Dataset) -> None:
    """Read a dataset's runs from the database again; another process may have changed them.

    FiftyOne keeps the runs of a dataset and their results for as long as a process lives.

    Args:
        dataset: The dataset.

    Raises:
        ValueError: The dataset was deleted.
    """
    with one_thread(dataset):
        document = foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"runs": True})
        if document is None:
            raise ValueError(
                f"dataset {dataset.name!r} was deleted; nothing more can be done with it"
            )
        stored = document.get("runs") or {}
        known = {key: run.id for key, run in dataset._doc.runs.items()}
        if stored != known:
            for key in set(dataset._run_cache):
                if stored.get(key) != known.get(key):
                    del dataset._run_cache[key]
            dataset.reload()  # the sample fields have changed too


def list_dictionaries(samples: SampleCollection) -> list[str]:
    """Return the keys of the dictionaries stored on a dataset.

    Args:
        samples: A dataset or view.

    Returns:
        The keys in alphabetical order. They include keys that other processes have stored.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> smic.list_dictionaries(dataset)
        []
    """
    dataset, known = samples._root_dataset, answers()
    if dataset.name not in known:
        with one_thread(dataset):
            refresh(dataset)
            keys = dataset.list_runs(method=METHOD)
        known[dataset.name] = [key for key in keys if not is_temporary(key)]
    return list(known[dataset.name])


def check_exists(samples: SampleCollection, key: str) -> None:
    """Check that a dataset has a dictionary.

    Args:
        samples: A dataset or view.
        key: The key.

    Raises:
        ValueError: It has no dictionary ``key``. The message says how to get one.
    """
    keys = list_dictionaries(samples)
    if key in keys:
        return
    name = samples._root_dataset.name
    if isinstance(key, str) and fields.field_name(key, fields.ATOMS) in fields.existing_fields(
        samples, key
    ):
        raise ValueError(
            f"dataset {name!r} has codes of a dictionary {key!r}, but not the dictionary itself, "
            f"as a clone of a view has; {_take_over(key)}"
        )
    there = f"it has {', '.join(map(repr, keys))}" if keys else "it has none yet"
    raise ValueError(
        f"dataset {name!r} has no dictionary {key!r} ({there}); learn "
        f"one with fiftyone_smic.learn_dictionary(dataset, key={key!r})"
    )


def _take_over(key: str) -> str:
    return (
        "take the dictionary over from the dataset that it was cloned from with "
        f"fiftyone_smic.adopt_dictionary(dataset, key={key!r})"
    )


def check_free(samples: SampleCollection, key: str, overwrite: bool) -> None:
    """Check that a dictionary can be stored under a key.

    Args:
        samples: A dataset or view.
        key: The key.
        overwrite: Whether a dictionary that has this key may be replaced.

    Raises:
        ValueError: The key is no field name, or something else has it.
    """
    fields.check_key(key)
    dataset = samples._root_dataset
    if key in list_dictionaries(dataset):
        if not overwrite:
            raise ValueError(
                f"dictionary {key!r} exists; choose another key, or pass overwrite=True to "
                "replace it, which drops its codes"
            )
        return
    if key in dataset.list_runs():
        raise ValueError(f"{key!r} is the key of another custom run; choose another key")
    taken = fields.existing_fields(dataset, key)
    if fields.field_name(key, fields.ATOMS) in taken:
        raise ValueError(
            f"the dataset has codes of a dictionary {key!r}, but not the dictionary itself, as a "
            f"clone of a view has; {_take_over(key)}, choose another key, or remove the codes: "
            f"dataset.delete_sample_fields({taken})"
        )
    if taken:
        raise ValueError(
            f"the dataset has fields of its own named {taken}, which dictionary {key!r} would "
            "need; choose another key, or remove them with dataset.delete_sample_fields"
        )
