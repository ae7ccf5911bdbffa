"""A dictionary as a custom run of the dataset: it is renamed and deleted with its fields."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

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


class SMICRunConfig(fors.RunConfig):
    """What is known about a dictionary besides its arrays.

    Attributes:
        latents_field: the field of latents it was learned from
        encoder: identity of the encoder of those latents
        encoder_source: the name it was loaded by
        latent_norm: their typical norm before normalising
        dim: their dimension
        n_atoms: number of atoms learned
        items: number of samples it was learned from
        settings: how it was learned
        digest: SHA-256 of the arrays, which names the dictionary
        storage: what the last ``encode`` measured, see :func:`fiftyone_smic.fiftyone.encode`
        learned: ``bits_per_item`` and ``explained_variance`` on the samples it was learned from
        seconds: what was measured per sample: "learn", "encode", "map", "name", "export",
            "export dataset", "import", and "draw" per step
        names: K names or None where an atom has none; or None
        own_names: the atoms whose name was given by hand
        brain_key: the brain run of ``visualize_atoms``, or None
        atom_points: where ``visualize_atoms`` put each atom, K pairs of coordinates, or None
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("method", METHOD)
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
        renamed = {
            fields.field_name(key, s): fields.field_name(new_key, s) for s in fields.ALL_SUFFIXES
        }
        renamed = {old: new for old, new in renamed.items() if dataset.has_field(old)}
        if renamed:  # FiftyOne fails on an empty mapping
            dataset.rename_sample_fields(renamed)

    def cleanup(self, samples: SampleCollection, key: str) -> None:
        dataset = samples._root_dataset
        dataset.delete_sample_fields(fields.existing_fields(samples, key))
        if self.config.brain_key in dataset.list_brain_runs():
            dataset.delete_brain_run(self.config.brain_key)


class SMICRunResults(fors.RunResults):
    """A dictionary's arrays, kept as one compressed ``.npz`` that is never unpickled.

    Args:
        samples: the collection
        config: its :class:`SMICRunConfig`
        key: its key
        arrays: those of ``SemanticDictionary.to_arrays``
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
    """SHA-256 over the dictionary's arrays: the same dictionary has the same digest."""
    total = hashlib.sha256()
    for name, array in sorted(dictionary.to_arrays().items()):
        array = np.ascontiguousarray(array)
        total.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def list_dictionaries(samples: SampleCollection) -> list[str]:
    """Keys of the dictionaries stored on the dataset."""
    return samples._root_dataset.list_runs(method=METHOD)


def check_exists(samples: SampleCollection, key: str) -> None:
    """Raise ``ValueError`` if the dataset has no dictionary ``key``."""
    keys = list_dictionaries(samples)
    if key not in keys:
        there = f"it has {', '.join(map(repr, keys))}" if keys else "it has none yet"
        raise ValueError(
            f"dataset {samples._root_dataset.name!r} has no dictionary {key!r} ({there}); learn "
            f"one with fiftyone_smic.learn_dictionary(dataset, key={key!r})"
        )


def check_free(samples: SampleCollection, key: str, overwrite: bool) -> None:
    """Raise ``ValueError`` unless a dictionary can be stored as ``key``."""
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
    if taken:
        raise ValueError(
            f"the dataset has fields of its own named {taken}, which dictionary {key!r} would "
            "need; choose another key, or remove them with dataset.delete_sample_fields"
        )


def load_config(samples: SampleCollection, key: str) -> SMICRunConfig:
    """What is known about the dictionary ``key``."""
    check_exists(samples, key)
    return samples._root_dataset.get_run_info(key).config


def atom_names(samples: SampleCollection, key: str) -> list[str]:
    """The K names of a dictionary's atoms, "atom 7" for one that has no name."""
    config = load_config(samples, key)
    names = config.names or [None] * config.n_atoms
    return [name or fields.atom_name(i) for i, name in enumerate(names)]


def stored_rate(storage: dict[str, Any]) -> Rate:
    """The rate in what a run's config keeps as ``storage``."""
    return Rate(*(storage[f] for f in ("items", "payload_bits", "dictionary_bits", "header_bits")))


def measured(samples: SampleCollection, what: str, encoder: str | None = None) -> float | None:
    """Seconds per sample that ``what`` last took on this dataset, see :class:`SMICRunConfig`.

    Args:
        samples: a dataset or view
        what: one of the names in ``seconds``
        encoder: look only at dictionaries of its latents, as other latents need another generator
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
    """Keep what ``n`` samples took, for the next estimate, unless they are too few to tell."""
    if n >= fewest:
        known = load_config(samples, key).seconds
        update_config(samples, key, seconds={**known, what: seconds / n})


def load_results(samples: SampleCollection, key: str) -> SMICRunResults:
    """The stored arrays of the dictionary ``key``."""
    check_exists(samples, key)
    return samples._root_dataset.load_run_results(key, load_view=False)


def load_dictionary(samples: SampleCollection, key: str = KEY) -> SemanticDictionary:
    """Load a dictionary that ``learn_dictionary`` stored.

    Args:
        samples: a dataset or view
        key: its key

    Raises:
        ValueError: if there is no such dictionary
    """
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    return SemanticDictionary.from_arrays(load_results(samples, key).arrays)


def save_dictionary(
    samples: SampleCollection, key: str, dictionary: SemanticDictionary, config: SMICRunConfig
) -> None:
    """Store a dictionary, replacing the one of that key only once the new one is safe."""
    dataset = samples._root_dataset
    replaced = key in list_dictionaries(dataset)
    # Saved under a name of its own first, so that a failure leaves the old run as it was.
    saved_as = f"{key}__replacement" if replaced else key
    try:
        dataset.register_run(saved_as, config, overwrite=True)
        dataset.save_run_results(
            saved_as,
            SMICRunResults(dataset, config, saved_as, arrays=dictionary.to_arrays()),
        )
    except BaseException:
        if saved_as in dataset.list_runs():
            dataset.delete_run(saved_as)
        raise
    if replaced:
        dataset.delete_run(key)
        dataset.rename_run(saved_as, key)


def update_config(samples: SampleCollection, key: str, **changes: Any) -> None:
    """Change attributes of a stored dictionary's config."""
    config = load_config(samples, key)
    for name, value in changes.items():
        setattr(config, name, value)
    fors.Run.update_run_config(samples._root_dataset, key, config)
