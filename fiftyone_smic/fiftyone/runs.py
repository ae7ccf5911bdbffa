"""A dictionary as a custom run of the dataset: it is renamed and deleted with its fields."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import uuid
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.core.runs as fors
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.metrics import Rate
from fiftyone_smic.utils.defaults import KEY

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

METHOD = "smic"
#: Fewer samples than this do not say how long many take: at work of milliseconds a sample, loading
#: and compiling takes most of the time.
FEWEST_MEASURED = 500
#: A dictionary is stored under such a key until all of it is there.
_UNFINISHED = re.compile(r"__[0-9a-f]{12}$")


class SMICRunConfig(fors.RunConfig):
    """What a dataset keeps about a dictionary besides its arrays.

    Attributes:
        latents_field: The field of latents it was learned from.
        patches_field: The field of the objects whose latents they are; None for whole images.
        encoder: Identity of the encoder of those latents.
        encoder_source: The name it was loaded by.
        latent_norm: Their typical norm before normalising.
        dim: Their dimension.
        n_atoms: Number of atoms learned.
        items: Number of samples it was learned from.
        settings: How it was learned.
        digest: SHA-256 of the arrays, which names the dictionary.
        storage: What ``encode`` measured over all samples that have a code, and what
            ``measure_storage`` measured beside it; or None.
        learned: ``bits_per_item`` and ``explained_variance`` on the samples it was learned from.
        seconds: What was measured per sample: "learn", "encode", "map", "name", "export",
            "export dataset", "import", and "draw" per step.
        names: K names or None where an atom has none; or None.
        own_names: The atoms whose name was given by hand.
        brain_key: The brain run of ``visualize_atoms``, or None.
        atom_points: Where ``visualize_atoms`` put each atom, K pairs of coordinates, or None.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("method", METHOD)
        kwargs.setdefault("patches_field", None)
        kwargs.setdefault("storage", None)
        kwargs.setdefault("learned", None)
        kwargs.setdefault("seconds", {})
        kwargs.setdefault("names", None)
        kwargs.setdefault("own_names", [])
        kwargs.setdefault("brain_key", None)
        kwargs.setdefault("atom_points", None)
        super().__init__(**kwargs)


class SMICRun(fors.Run):
    """Makes the sample fields and the Embeddings panel's points follow the key."""

    def get_fields(self, samples: SampleCollection, key: str) -> list[str]:
        return fields.existing_fields(samples, key)

    def rename(self, samples: SampleCollection, key: str, new_key: str) -> None:
        dataset = samples._root_dataset
        renamed = {}
        for name in fields.existing_fields(samples, key):
            before, dot, own = name.rpartition(".")
            renamed[name] = before + dot + new_key + own.removeprefix(key)
        if renamed:  # FiftyOne fails on an empty mapping
            dataset.rename_sample_fields(renamed)

    def cleanup(self, samples: SampleCollection, key: str) -> None:
        dataset = samples._root_dataset
        dataset.delete_sample_fields(fields.existing_fields(samples, key))
        for group in {spec.group for spec in fields.SPECS}:
            dataset._delete_empty_sidebar_group(group)
        if self.config.brain_key in dataset.list_brain_runs():
            dataset.delete_brain_run(self.config.brain_key)


class SMICRunResults(fors.RunResults):
    """A dictionary's arrays, kept as one compressed ``.npz`` that is never unpickled.

    Args:
        samples: The collection.
        config: Its :class:`SMICRunConfig`.
        key: Its key.
        arrays: Those of ``SemanticDictionary.to_arrays``.
    """

    def __init__(
        self,
        samples: SampleCollection,
        config: SMICRunConfig,
        key: str,
        arrays: dict[str, np.ndarray] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(samples, config, key, **kwargs)
        self.arrays = arrays or {}

    def attributes(self) -> list[str]:
        return ["cls", "npz"]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the arrays, see :func:`digest`."""
        return _digest(self.arrays)

    @property
    def npz(self) -> str:
        """The arrays as base64 text, as FiftyOne stores results as JSON."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = self.arrays
        np.savez_compressed(buffer, **arrays)
        return base64.b64encode(buffer.getvalue()).decode()

    @classmethod
    def _from_dict(
        cls, d: dict[str, Any], samples: SampleCollection, config: SMICRunConfig, key: str
    ) -> SMICRunResults:
        with np.load(io.BytesIO(base64.b64decode(d["npz"])), allow_pickle=False) as npz:
            return cls(samples, config, key, arrays={name: npz[name] for name in npz.files})


def digest(dictionary: SemanticDictionary) -> str:
    """Return the SHA-256 over a dictionary's arrays: the same dictionary has the same digest.

    Args:
        dictionary: A fitted dictionary.

    Returns:
        64 hex digits.
    """
    return _digest(dictionary.to_arrays())


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = np.ascontiguousarray(array)
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _refresh(dataset: fo.Dataset) -> None:
    """Look up the dataset's runs in the database, as other processes may have changed them.

    FiftyOne keeps the runs of a dataset, and their results, for as long as a process lives.

    Raises:
        ValueError: The dataset was deleted.
    """
    document = foo.get_db_conn().datasets.find_one({"_id": dataset._doc.id}, {"runs": True})
    if document is None:
        raise ValueError(f"dataset {dataset.name!r} was deleted; nothing more can be done with it")
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
        The keys in alphabetical order, those of other processes included.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> smic.list_dictionaries(dataset)
        []
    """
    _refresh(samples._root_dataset)
    keys = samples._root_dataset.list_runs(method=METHOD)
    return [key for key in keys if not _UNFINISHED.search(key)]


def check_exists(samples: SampleCollection, key: str) -> None:
    """Raise ``ValueError`` if the dataset has no dictionary ``key``."""
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
    """Raise ``ValueError`` unless a dictionary can be stored as ``key``.

    Args:
        samples: A dataset or view.
        key: The key.
        overwrite: Whether a dictionary of that key may be replaced.
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


def load_config(samples: SampleCollection, key: str) -> SMICRunConfig:
    """Return what is known about the dictionary ``key``, as the database has it now.

    Raises:
        ValueError: There is no such dictionary.
    """
    check_exists(samples, key)
    dataset = samples._root_dataset
    dataset._doc.runs[key].reload()
    return dataset.get_run_info(key).config


def check_of_images(config: SMICRunConfig, key: str) -> None:
    """Raise ``ValueError`` if a dictionary codes objects, where only whole images will do."""
    if config.patches_field is not None:
        raise ValueError(
            f"dictionary {key!r} codes the objects in {config.patches_field!r}, and this works on "
            "whole images only; export the crops and make a dataset of them: samples.export("
            "export_dir=…, dataset_type=fiftyone.types.ImageClassificationDirectoryTree, "
            f"label_field={config.patches_field!r})"
        )


def atom_names(samples: SampleCollection, key: str) -> list[str]:
    """Return the names of a dictionary's atoms.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Returns:
        K names, "atom 7" for an atom that has none.

    Raises:
        ValueError: There is no such dictionary.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import atom_names, learn_dictionary, set_atom_names
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> set_atom_names(dataset, "smic", {0: "sunset"})
        >>> atom_names(dataset, "smic")[:2]
        ['sunset', 'atom 1']
        >>> dataset.delete()
    """
    config = load_config(samples, key)
    names = config.names or [None] * config.n_atoms
    return [name or fields.atom_name(i) for i, name in enumerate(names)]


def stored_rate(storage: dict[str, Any]) -> Rate:
    """Return the rate in what a run's config keeps as ``storage``."""
    return Rate(*(storage[f] for f in ("items", "payload_bits", "dictionary_bits", "header_bits")))


def measured(samples: SampleCollection, what: str, encoder: str | None = None) -> float | None:
    """Return the seconds per sample that ``what`` last took on this dataset.

    Args:
        samples: A dataset or view.
        what: One of the names in ``seconds``.
        encoder: Look only at dictionaries of its latents, as other latents need another generator.
    """
    configs = [load_config(samples, key) for key in reversed(list_dictionaries(samples))]
    fitting = [config.seconds for config in configs if encoder in (None, config.encoder)]
    return next((seconds[what] for seconds in fitting if what in seconds), None)


def note_seconds(
    samples: SampleCollection,
    key: str,
    what: str,
    seconds: float,
    n: int,
    fewest: int = FEWEST_MEASURED,
) -> None:
    """Keep what ``n`` samples took, for the next estimate, unless they are too few to tell.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        what: One of the names in ``seconds`` of :class:`SMICRunConfig`.
        seconds: Wall time of all of them.
        n: How many samples.
        fewest: Fewer samples than this say nothing.
    """
    if n >= fewest:
        known = load_config(samples, key).seconds
        update_config(samples, key, seconds={**known, what: seconds / n})


def load_results(samples: SampleCollection, key: str) -> SMICRunResults:
    """Return the stored arrays of the dictionary ``key``; its digest decides which those are.

    Raises:
        ValueError: There is no such dictionary, or its arrays are not those of its digest.
    """
    dataset = samples._root_dataset
    wanted = load_config(samples, key).digest
    results = dataset.load_run_results(key, load_view=False)
    if results is None or results.digest != wanted:
        dataset._run_cache.pop(key, None)  # another process has learned this key anew
        results = dataset.load_run_results(key, load_view=False)
    if results is None or results.digest != wanted:
        dataset._run_cache.pop(key, None)
        raise ValueError(
            f"the stored arrays of dictionary {key!r} are not those it was stored with (their "
            f"SHA-256 is not {wanted[:12]}…), so no code can be decoded with them; learn it again "
            f"with fiftyone_smic.learn_dictionary(dataset, key={key!r}, overwrite=True)"
        )
    return results


def load_dictionary(samples: SampleCollection, key: str = KEY) -> SemanticDictionary:
    """Load a dictionary that ``learn_dictionary`` stored.

    Args:
        samples: A dataset or view.
        key: Its key.

    Returns:
        The dictionary as the database has it now, whatever this process has read before.

    Raises:
        ValueError: There is no such dictionary, or its arrays are damaged.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> smic.load_dictionary(dataset).mean_.shape
        (128,)
    """
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    return SemanticDictionary.from_arrays(load_results(samples, key).arrays)


def save_dictionary(
    samples: SampleCollection,
    key: str,
    dictionary: SemanticDictionary,
    config: SMICRunConfig,
    *,
    overwrite: bool = False,
) -> None:
    """Store a dictionary, replacing the one of that key only once the new one is safe.

    Args:
        samples: A dataset or view.
        key: The key.
        dictionary: A fitted dictionary.
        config: What is known about it.
        overwrite: Replace the dictionary of that key and drop its codes.

    Raises:
        ValueError: Another process has stored a dictionary of that key meanwhile.
    """
    dataset = samples._root_dataset
    saved_as = f"{key}__{uuid.uuid4().hex[:12]}"
    former = _run_id(dataset, key)
    try:
        if former is not None and not overwrite:
            raise ValueError(_taken_meanwhile(key))
        # Saved under a name of its own first, so that a failure leaves the old run as it was.
        dataset.register_run(saved_as, config)
        dataset.save_run_results(
            saved_as,
            SMICRunResults(dataset, config, saved_as, arrays=dictionary.to_arrays()),
        )
        old = None
        if former is not None:
            old = dataset._doc.runs[key]
            SMICRun(load_config(dataset, key)).cleanup(dataset, key)
        # One operation of the database, so that of two processes one is told that it was late.
        new = dataset._doc.runs[saved_as]
        swapped = foo.get_db_conn().datasets.update_one(
            {"_id": dataset._doc.id, f"runs.{key}": former},
            {"$set": {f"runs.{key}": new.id}, "$unset": {f"runs.{saved_as}": ""}},
        )
        if not swapped.matched_count:
            raise ValueError(_taken_meanwhile(key))
    except BaseException:
        if saved_as in dataset.list_runs():
            dataset.delete_run(saved_as)
        raise
    new.key = key
    new.save()
    if old is not None:
        if old.results:
            old.results.delete()
        old.delete()
    dataset._run_cache.pop(key, None)
    dataset._run_cache.pop(saved_as, None)
    dataset.reload()


def _run_id(dataset: fo.Dataset, key: str) -> Any:
    """Return the database's id of the run that is stored as ``key`` now, or None."""
    _refresh(dataset)
    run = dataset._doc.runs.get(key)
    return None if run is None else run.id


def _taken_meanwhile(key: str) -> str:
    return (
        f"another process has stored a dictionary {key!r} meanwhile, and it is kept; choose "
        "another key, or run this again with overwrite=True to replace it"
    )


def update_config(
    samples: SampleCollection, key: str, *, digest: str | None = None, **changes: Any
) -> None:
    """Change attributes of a stored dictionary's config, and no others.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        digest: Change it only if this is still the dictionary of that key.
        changes: Attributes of :class:`SMICRunConfig`.

    Raises:
        ValueError: The dictionary was deleted or replaced meanwhile.
    """
    check_exists(samples, key)
    run = samples._root_dataset._doc.runs[key]
    wanted = {"_id": run.id, **({} if digest is None else {"config.digest": digest})}
    changed = {f"config.{name}": value for name, value in changes.items()}
    if not foo.get_db_conn().runs.update_one(wanted, {"$set": changed}).matched_count:
        raise ValueError(replaced_meanwhile(key))
    run.reload()


def check_current(samples: SampleCollection, key: str, digest: str | None) -> None:
    """Raise ``ValueError`` unless a dictionary is still the one of this digest, or any if None."""
    known = key in list_dictionaries(samples)
    if not known or digest not in (None, load_config(samples, key).digest):
        raise ValueError(replaced_meanwhile(key))


def replaced_meanwhile(key: str) -> str:
    """Return what is said of a dictionary that somebody else has replaced during a run."""
    return (
        f"dictionary {key!r} was deleted or replaced by another process meanwhile, so what was "
        "computed with the former one is not kept; run this again"
    )
