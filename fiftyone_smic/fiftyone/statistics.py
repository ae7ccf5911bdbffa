"""What the codes of a collection say about the atoms of its dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import read_coded, read_codes
from fiftyone_smic.utils.defaults import KEY

# Whoever asks for what is being counted waits for it, instead of counting it too.
_COUNTING = threading.Lock()
_Counted = tuple[int, np.ndarray, np.ndarray, np.ndarray, list[str | None]]


@dataclass(frozen=True)
class AtomStatistics:
    """How the atoms of a dictionary are used, one entry an atom.

    Attributes:
        names: K names, "atom 7" where there is none.
        items: How many samples have a code.
        uses: K int64, how many samples use each atom.
        weights: K float64, mean absolute coefficient where it is used, 0 where it is not.
        purity: K float64 in 0..1, the share of the most frequent label among the samples that use
            the atom with a positive coefficient; NaN without any, and without a label field.
        labels: K, that label, or None.
    """

    names: list[str]
    items: int
    uses: np.ndarray
    weights: np.ndarray
    purity: np.ndarray
    labels: list[str | None]


@dataclass(frozen=True)
class AtomDescription:
    """One atom of a dictionary.

    Attributes:
        atom: Its number.
        name: Its name.
        uses: How many samples use it.
        weight: Their mean absolute coefficient.
        exemplars: Ids and filepaths of the samples it says most about, best first.
        companions: Atoms that are used with it more often than chance would have it: number, name
            and how many samples use both, the strongest association first.
    """

    atom: int
    name: str
    uses: int
    weight: float
    exemplars: list[tuple[str, str]]
    companions: list[tuple[int, str, int]]


def label_fields(samples: SampleCollection) -> list[str]:
    """Return the fields that give a sample one label, which atoms can be compared with."""
    single = {fo.Classification}
    return [
        name
        for name, field in samples.get_field_schema().items()
        if getattr(field, "document_type", None) in single
    ]


def atom_statistics(
    samples: SampleCollection, key: str = KEY, *, labels: str | None = None
) -> AtomStatistics:
    """Count uses, weights and purity of each atom over a collection.

    Args:
        samples: A dataset or view; samples without a code are left out.
        key: A dictionary of the dataset.
        labels: One of :func:`label_fields`, to measure purity against.

    Raises:
        ValueError: The key or the field is not known, or no sample has a code.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import atom_statistics
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> atom_statistics(dataset, labels="time").items
        12
    """
    if labels is not None and labels not in label_fields(samples):
        raise ValueError(
            f"{labels!r} is no field of single labels; choose one of {label_fields(samples)}"
        )
    names = runs.atom_names(samples, key)
    return AtomStatistics(names, *_asked(_count, samples, key, len(names), labels))


def _count(samples: SampleCollection, key: str, n_atoms: int, labels: str | None) -> _Counted:
    """Count what :class:`AtomStatistics` holds after the names."""
    beside, codes = read_coded(samples, key, n_atoms, [f"{labels}.label"] if labels else [])
    uses = _uses(codes)
    weights = np.asarray(abs(codes).sum(axis=0), dtype=float).ravel() / np.maximum(uses, 1)
    purity = np.full(n_atoms, np.nan)
    best: list[str | None] = [None] * n_atoms
    if labels is not None:
        kinds = sorted({label for label in beside[0] if label is not None})
        place = {label: i for i, label in enumerate(kinds)}
        kind = np.array([place.get(label, -1) for label in beside[0]])
        entries = codes.tocoo()
        kept = (entries.data > 0) & (kind[entries.row] >= 0)
        pairs = entries.col[kept], kind[entries.row[kept]]
        ones = np.ones(len(pairs[0]), np.int64)
        together = csr_matrix((ones, pairs), shape=(n_atoms, len(kinds)))  # adds up
        for atom in np.flatnonzero(np.diff(together.indptr)):
            row = together[[atom]]
            best[atom] = kinds[row.indices[row.data.argmax()]]
            purity[atom] = row.data.max() / row.data.sum()
    for shared in (uses, weights, purity):
        shared.setflags(write=False)
    return codes.shape[0], uses, weights, purity, best


def describe_atom(
    samples: SampleCollection,
    key: str,
    atom: int,
    *,
    most: int = 6,
    statistics: AtomStatistics | None = None,
) -> AtomDescription:
    """Describe one atom by the samples and the atoms it goes with.

    Args:
        samples: A dataset or view; samples without a code are left out.
        key: A dictionary of the dataset.
        atom: Its number, from 0.
        most: Exemplars and companions at most.
        statistics: Those of the samples, by :func:`atom_statistics`, if they are known already.

    Raises:
        ValueError: The key or the atom is not known, or no sample has a code.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import describe_atom
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> describe_atom(dataset, "smic", 0).name
        'atom 0'
    """
    n_atoms = runs.load_config(samples, key).n_atoms
    if not 0 <= atom < n_atoms:
        raise ValueError(f"dictionary {key!r} has atoms 0 to {n_atoms - 1}, not {atom}")
    everywhere = statistics or atom_statistics(samples, key)
    names = everywhere.names
    if not everywhere.uses[atom]:
        return AtomDescription(atom, names[atom], 0, 0.0, [], [])
    exemplars, together = _asked(_users, samples, key, n_atoms, atom, most)
    expected = everywhere.uses * (everywhere.uses[atom] / everywhere.items)
    lift = np.where(together > 1, together / np.maximum(expected, 1e-9), 0)
    companions = [int(i) for i in np.argsort(-lift, kind="stable")[:most] if lift[i] > 1]
    return AtomDescription(
        atom=atom,
        name=names[atom],
        uses=int(everywhere.uses[atom]),
        weight=float(everywhere.weights[atom]),
        exemplars=exemplars,
        companions=[(i, names[i], int(together[i])) for i in companions],
    )


def _users(
    samples: SampleCollection, key: str, n_atoms: int, atom: int, most: int
) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Return exemplars of an atom, and in how many samples each other atom is used with it."""
    users = samples.match(fo.ViewField(fields.field_name(key, fields.ATOMS)).contains(atom))
    ids, paths, codes = read_codes(users, key, n_atoms)
    column = codes[:, [atom]].toarray().ravel().astype(float)
    # What the atom says most about: a large coefficient beside few and small others.
    share = column / np.asarray(abs(codes).sum(axis=1)).ravel()
    best = np.argsort(-share, kind="stable")[:most]
    together = _uses(codes)
    together[atom] = 0
    together.setflags(write=False)
    return [(ids[i], paths[i]) for i in best if column[i] > 0], together


def _asked(
    function: Callable[..., Any], samples: SampleCollection, key: str, *arguments: Hashable
) -> Any:
    """Call a function on a collection; for a whole dataset its result is remembered.

    The panel asks again at every click, and 100,000 samples take a second or two to read.
    """
    if not isinstance(samples, fo.Dataset):
        return function(samples, key, *arguments)
    with _COUNTING:
        return _remembered(function, samples.name, _state(samples, key), key, *arguments)


@lru_cache(maxsize=32)
def _remembered(
    function: Callable[..., Any],
    name: str,
    state: tuple[Hashable, ...],
    key: str,
    *arguments: Hashable,
) -> Any:
    return function(fo.load_dataset(name), key, *arguments)


def _state(dataset: fo.Dataset, key: str) -> tuple[Hashable, ...]:
    """Return what differs whenever the codes, labels or names may differ."""
    config = runs.load_config(dataset, key)
    latest = dataset.sort_by("last_modified_at", reverse=True).limit(1)  # an index knows it
    return (
        config.digest,
        tuple(config.names or ()),
        tuple(dataset.get_field_schema()),
        dataset.group_slice,
        dataset.last_modified_at,
        len(dataset),
        *latest.values("last_modified_at"),
    )


def _uses(codes: csr_matrix) -> np.ndarray:
    """Count how many rows use each column."""
    return np.bincount(codes.indices[codes.data != 0], minlength=codes.shape[1])
