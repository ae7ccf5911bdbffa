"""A dictionary as a custom run of the dataset: it is renamed and deleted with its fields."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import fiftyone.core.odm as foo
import fiftyone.core.runs as fors
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.keys import METHOD, answers, check_exists, refresh
from fiftyone_smic.fiftyone.keys import check_free as check_free
from fiftyone_smic.fiftyone.keys import list_dictionaries as list_dictionaries
from fiftyone_smic.fiftyone.swapping import end, swap_in
from fiftyone_smic.fiftyone.threads import one_thread
from fiftyone_smic.metrics import Rate
from fiftyone_smic.utils.arrays import read_arrays
from fiftyone_smic.utils.defaults import KEY

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary


class SMICRunConfig(fors.RunConfig):
    """What a dataset stores about a dictionary in addition to its arrays.

    Attributes:
        latents_field: Name of the field of latents that it was learned from.
        patches_field: Name of the field of objects that these latents describe; None for whole
            images.
        encoder: Identity of the encoder of these latents.
        encoder_source: The name that the encoder was loaded by.
        latent_norm: Typical norm of the latents before they were scaled to unit norm.
        dim: Dimension of the latents.
        n_atoms: Number of atoms.
        items: Number of samples that it was learned from.
        settings: Parameters of the estimator that learned it.
        digest: SHA-256 of the arrays, 64 hex digits, which identifies the dictionary.
        storage: What ``encode`` measured over all samples that have a code, and what
            ``measure_storage`` added; None before.
        learned: ``bits_per_item`` and ``explained_variance`` on the samples that it was learned
            from.
        seconds: Measured seconds per sample of "learn", "encode", "map", "name", "export",
            "export dataset" and "import", and of "draw" per sample and step.
        names: K entries, a name or None; None if no atom has a name.
        own_names: Numbers of the atoms whose names were given by hand.
        brain_key: Key of the brain run that ``visualize_atoms`` stored, or None.
        brain_run: The database's id of that run, as text; None if an early version stored it.
        atom_points: K pairs of coordinates that ``visualize_atoms`` gave the atoms, or None.
        unfinished: While it is being stored, by whom; None afterwards.
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
        kwargs.setdefault("brain_run", None)
        kwargs.setdefault("atom_points", None)
        kwargs.setdefault("unfinished", None)
        super().__init__(**kwargs)


class SMICRun(fors.Run):
    """A dictionary's run. Its sample fields and its map are renamed and deleted with its key."""

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
        fields.mend_indexes(dataset, new_key, key)
        for index in similarity_indexes(dataset, key):
            stored = dataset._doc.brain_methods[index]
            stored.config = {**stored.config, "key": new_key}
            stored.save()
            dataset._brain_cache.pop(index, None)

    def cleanup(self, samples: SampleCollection, key: str) -> None:
        dataset = samples._root_dataset
        dataset.delete_sample_fields(fields.existing_fields(samples, key))
        fields.mend_indexes(dataset, key, former=key)
        for group in {spec.group for spec in fields.SPECS}:
            dataset._delete_empty_sidebar_group(group)
        if self.config.brain_key in dataset.list_brain_runs():
            dataset.delete_brain_run(self.config.brain_key)
        for index in similarity_indexes(dataset, key):
            dataset.delete_brain_run(index)


class SMICRunResults(fors.RunResults):
    """A dictionary's arrays, stored as one compressed ``.npz`` that is never unpickled.

    Args:
        samples: The dataset or view.
        config: The dictionary's :class:`SMICRunConfig`.
        key: The dictionary's key.
        arrays: The arrays that ``SemanticDictionary.to_arrays`` returns.
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
        """The arrays as base64 text, because FiftyOne stores results as JSON."""
        buffer = io.BytesIO()
        arrays: dict[str, Any] = self.arrays
        np.savez_compressed(buffer, **arrays)
        return base64.b64encode(buffer.getvalue()).decode()

    @classmethod
    def _from_dict(
        cls, d: dict[str, Any], samples: SampleCollection, config: SMICRunConfig, key: str
    ) -> SMICRunResults:
        arrays = read_arrays(io.BytesIO(base64.b64decode(d["npz"])))
        return cls(samples, config, key, arrays=arrays)


def digest(dictionary: SemanticDictionary) -> str:
    """Return the SHA-256 of a dictionary's arrays, which is the same for equal dictionaries.

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


def similarity_indexes(dataset: fo.Dataset, key: str) -> list[str]:
    """Return the brain keys of the similarity indexes on the codes of a dictionary."""
    found: list[str] = dataset.list_brain_runs(type="similarity", method=METHOD, key=key)
    return found


def load_config(samples: SampleCollection, key: str) -> SMICRunConfig:
    """Return the configuration of a dictionary as the database has it now.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Raises:
        ValueError: There is no such dictionary.
    """
    dataset, known = samples._root_dataset, answers()
    if (dataset.name, key) not in known:
        with one_thread(dataset):
            check_exists(samples, key)
            end(dataset, key)  # which reads the run again
            known[dataset.name, key] = dataset.get_run_info(key).config
    config: SMICRunConfig = known[dataset.name, key]
    return config


def check_of_images(config: SMICRunConfig, key: str) -> None:
    """Raise ``ValueError`` if a dictionary codes objects instead of whole images."""
    if config.patches_field is not None:
        raise ValueError(
            f"dictionary {key!r} codes the objects in {config.patches_field!r}, and this works on "
            "whole images only; code new objects with compute_latents(samples, patches_field="
            f"{config.patches_field!r}) and encode(samples, {key!r}), or export the crops and make "
            "a dataset of them: samples.export(export_dir=…, dataset_type=fiftyone.types."
            f"ImageClassificationDirectoryTree, label_field={config.patches_field!r})"
        )


def atom_names(samples: SampleCollection, key: str) -> list[str]:
    """Return the names of a dictionary's atoms.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Returns:
        K names, "concept 7" for an atom that has none.

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
        ['sunset', 'concept 1']
        >>> dataset.delete()
    """
    return names_in(load_config(samples, key))


def names_in(config: SMICRunConfig) -> list[str]:
    """Return the K names of a configuration, see :func:`atom_names`."""
    names = config.names or [None] * config.n_atoms
    return [name or fields.atom_name(i) for i, name in enumerate(names)]


def stored_rate(storage: dict[str, Any]) -> Rate:
    """Return the rate in ``storage`` of a :class:`SMICRunConfig`."""
    return Rate(*(storage[f] for f in ("items", "payload_bits", "dictionary_bits", "header_bits")))


def load_results(samples: SampleCollection, key: str) -> SMICRunResults:
    """Return the stored arrays of a dictionary after checking them against its digest.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Raises:
        ValueError: There is no such dictionary, or its arrays do not have its digest.
    """
    dataset = samples._root_dataset
    wanted = load_config(samples, key).digest
    results = dataset.load_run_results(key, load_view=False)
    if results is None or results.digest != wanted:
        dataset._run_cache.pop(
            key, None
        )  # another process has stored another dictionary under this key
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
        The dictionary as the database has it now, even if this process has read another before.

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
    write: Callable[[str], None] = lambda temporary: None,
) -> None:
    """Store a dictionary. One that has the same key is replaced when the new one is complete.

    Args:
        samples: A dataset or view.
        key: The key.
        dictionary: A fitted dictionary.
        config: Its configuration.
        overwrite: Replace a dictionary that has this key, and drop its codes.
        write: Writes what is stored together with the dictionary, such as codes, under the
            temporary key that it gets; all of it gets the right key with the dictionary.

    Raises:
        ValueError: Another process has stored a dictionary under this key meanwhile.
    """
    dataset = samples._root_dataset

    def store(temporary: str) -> None:
        results = SMICRunResults(dataset, config, temporary, arrays=dictionary.to_arrays())
        dataset.save_run_results(temporary, results)
        write(temporary)

    swap_in(dataset, key, config, store, overwrite=overwrite)


def update_config(
    samples: SampleCollection, key: str, *, digest: str | None = None, **changes: Any
) -> None:
    """Change attributes of a stored dictionary's config, and no others.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        digest: Change it only if the dictionary under this key still has this digest.
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
    """Raise ``ValueError`` if a dictionary is gone or has another digest; None accepts any.

    Args:
        samples: A dataset or view.
        key: A dictionary's key, or the temporary one of a dictionary that is being stored.
        digest: The digest that it should have.
    """
    dataset = samples._root_dataset
    refresh(dataset)
    run = dataset._doc.runs.get(key)
    if run is not None:
        run.reload()
    if run is None or digest not in (None, run.config["digest"]):
        raise ValueError(replaced_meanwhile(key))


def replaced_meanwhile(key: str) -> str:
    """Return the message about a dictionary that another process replaced during a run."""
    return (
        f"dictionary {key!r} was deleted or replaced by another process meanwhile, so what was "
        "computed with the former one is not kept; run this again"
    )
