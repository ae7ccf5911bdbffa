"""What the codes of a collection say about the atoms of its dictionary."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from cachetools import LRUCache
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.atom_views import match_atom
from fiftyone_smic.fiftyone.codes import objects_of, read_coded, read_codes
from fiftyone_smic.fiftyone.objects import root_of
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.utils.defaults import KEY

# A second request for the same figures waits for the first one instead of counting again.
_COUNTING = threading.Lock()
_COUNTED: LRUCache[tuple[Hashable, ...], Any] = LRUCache(32)
_Counted = tuple[Any, ...]


@dataclass(frozen=True)
class AtomStatistics:
    """How the atoms of a dictionary are used, one entry an atom.

    For a dictionary of objects read "object" for "sample"; ids are those of labels, and files those
    that the objects are in.

    A sample *has* an atom if its coefficient is positive, and *lacks* it if its coefficient is
    negative. The two are counted apart, because they mean opposite things.

    Attributes:
        names: K names, "concept 7" for an atom that has none.
        items: Number of samples that have a code.
        has: (K,) int64: number of samples that have each atom.
        lacks: (K,) int64: number of samples that lack it.
        weights: (K,) float64: mean coefficient in the samples that have the atom, 0 where none
            does.
        purity: (K,) float64 in 0..1: the share of the most frequent label among the samples that
            have the atom. NaN without any, and without a label field.
        base: (K,) float64 in 0..1: the share of the same label among all samples with a code and a
            label. NaN where ``purity`` is NaN.
        labels: K entries: the most frequent label, or None.
        typical: K entries: id and filepath of the most typical sample that has the atom, or None.
    """

    names: list[str]
    items: int
    has: np.ndarray
    lacks: np.ndarray
    weights: np.ndarray
    purity: np.ndarray
    base: np.ndarray
    labels: list[str | None]
    typical: list[tuple[str, str] | None]

    @property
    def uses(self) -> np.ndarray:
        """(K,) int64: how many samples have the atom or lack it."""
        return self.has + self.lacks

    @property
    def lift(self) -> np.ndarray:
        """(K,) float64: ``purity / base``, how much more frequent the label is with the atom."""
        return self.purity / self.base


@dataclass(frozen=True)
class AtomDescription:
    """One atom of a dictionary.

    Attributes:
        atom: Its number.
        name: Its name.
        has: How many samples have it: their coefficient is positive.
        lacks: How many samples lack it: their coefficient is negative.
        weight: Mean coefficient of the samples that have it.
        exemplars: Ids and filepaths of the most typical samples that have it, best first.
        opposites: Ids and filepaths of the most typical samples that lack it, best first.
        companions: Atoms that samples have together with it more often than by chance: number,
            name, and how many samples have both; the strongest association first.
    """

    atom: int
    name: str
    has: int
    lacks: int
    weight: float
    exemplars: list[tuple[str, str]]
    opposites: list[tuple[str, str]]
    companions: list[tuple[int, str, int]]


def label_fields(samples: SampleCollection, key: str | None = None) -> list[str]:
    """Return the fields that give an item one label, which atoms can be compared with.

    For a dictionary of objects that is the field of the objects.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset; None for one of whole images.
    """
    patches_field = None if key is None else objects_of(samples, key)
    if patches_field is not None:
        return [patches_field]
    single = {fo.Classification}
    return [
        name
        for name, field in samples.get_field_schema().items()
        if getattr(field, "document_type", None) in single
    ]


def atom_statistics(
    samples: SampleCollection,
    key: str = KEY,
    *,
    labels: str | None = None,
    progress: Progress = False,
) -> AtomStatistics:
    """Count how many samples have and lack each atom, and how pure it is.

    Args:
        samples: A dataset or view; samples without a code are left out.
        key: A dictionary of the dataset.
        labels: One of :func:`label_fields`, to measure purity against.
        progress: Of reading the codes: None for FiftyOne's own setting, a bool, or a function of
            the fraction done.

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
    if labels is not None and labels not in (known := label_fields(samples, key)):
        raise ValueError(f"{labels!r} is no field of single labels; choose one of {known}")
    names = runs.atom_names(samples, key)

    def count(samples: SampleCollection) -> _Counted:
        with reporting(progress, len(samples)) as report:
            return _count(samples, key, len(names), labels, report)

    return AtomStatistics(names, *_asked(count, samples, key, labels))


def _count(
    samples: SampleCollection,
    key: str,
    n_atoms: int,
    labels: str | None,
    report: Callable[[float], None],
) -> _Counted:
    """Return the attributes of :class:`AtomStatistics` that follow the names."""
    said = []
    if labels:
        patches_field = objects_of(samples, key)
        said = [f"{root_of(samples._root_dataset, patches_field) or labels}.label"]
    (ids, paths, *beside), codes = read_coded(
        samples, key, n_atoms, ["_id", "filepath", *said], report
    )
    has, lacks = _counts(codes)
    positive = np.maximum(codes.data, 0).astype(float)
    sums = np.bincount(codes.indices, weights=positive, minlength=n_atoms)
    weights = sums / np.maximum(has, 1)
    purity, base = np.full(n_atoms, np.nan), np.full(n_atoms, np.nan)
    best: list[str | None] = [None] * n_atoms
    if labels is not None:
        kinds = sorted({label for label in beside[0] if label is not None})
        place = {label: i for i, label in enumerate(kinds)}
        kind = np.array([place.get(label, -1) for label in beside[0]])
        overall = np.bincount(kind[kind >= 0], minlength=len(kinds)) / max(1, (kind >= 0).sum())
        entries = codes.tocoo()
        kept = (entries.data > 0) & (kind[entries.row] >= 0)
        pairs = entries.col[kept], kind[entries.row[kept]]
        ones = np.ones(len(pairs[0]), np.int64)
        together = csr_matrix((ones, pairs), shape=(n_atoms, len(kinds)))  # adds up
        for atom in np.flatnonzero(np.diff(together.indptr)):
            row = together[[atom]]
            found = row.indices[row.data.argmax()]
            best[atom], base[atom] = kinds[found], overall[found]
            purity[atom] = row.data.max() / row.data.sum()
    for shared in (has, lacks, weights, purity, base):
        shared.setflags(write=False)
    return codes.shape[0], has, lacks, weights, purity, base, best, _typical(ids, paths, codes)


def _typical(ids: list[Any], paths: list[str], codes: csr_matrix) -> list[tuple[str, str] | None]:
    """Return for each atom the sample in whose code it has the largest positive share."""
    entries = codes.tocoo()
    totals = np.maximum(np.asarray(abs(codes).sum(axis=1)).ravel(), 1)
    share = entries.data / totals[entries.row]
    order = np.lexsort((entries.row, -share, entries.col))
    atoms, first = np.unique(entries.col[order], return_index=True)
    rows = {
        int(atom): entries.row[order[place]]
        for atom, place in zip(atoms, first, strict=True)
        if share[order[place]] > 0
    }
    return [
        (str(ids[rows[atom]]), paths[rows[atom]]) if atom in rows else None
        for atom in range(codes.shape[1])
    ]


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
        atom: Number of the atom, counted from 0.
        most: Largest number of exemplars, opposites and companions.
        statistics: What :func:`atom_statistics` returned for these samples; None computes it.

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
        'concept 0'
    """
    n_atoms = runs.load_config(samples, key).n_atoms
    if not 0 <= atom < n_atoms:
        raise ValueError(f"dictionary {key!r} has atoms 0 to {n_atoms - 1}, not {atom}")
    everywhere = statistics or atom_statistics(samples, key)
    names = everywhere.names
    if not everywhere.uses[atom]:
        return AtomDescription(atom, names[atom], 0, 0, 0.0, [], [], [])

    def users(samples: SampleCollection) -> tuple[Any, ...]:
        return _users(samples, key, n_atoms, atom, most)

    exemplars, opposites, together = _asked(users, samples, key, atom, most)
    expected = everywhere.has * (everywhere.has[atom] / everywhere.items)
    lift = np.where(together > 1, together / np.maximum(expected, 1e-9), 0)
    companions = [int(i) for i in np.argsort(-lift, kind="stable")[:most] if lift[i] > 1]
    return AtomDescription(
        atom=atom,
        name=names[atom],
        has=int(everywhere.has[atom]),
        lacks=int(everywhere.lacks[atom]),
        weight=float(everywhere.weights[atom]),
        exemplars=exemplars,
        opposites=opposites,
        companions=[(i, names[i], int(together[i])) for i in companions],
    )


def _users(
    samples: SampleCollection, key: str, n_atoms: int, atom: int, most: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]], np.ndarray]:
    """Return samples that have an atom, samples that lack it, and counts (K,) of co-occurrence."""
    users = match_atom(samples, atom, key, sign="either")
    ids, paths, codes = read_codes(users, key, n_atoms)
    column = codes[:, [atom]].toarray().ravel().astype(float)
    # The atom is typical of a sample where its coefficient is large beside few and small others.
    share = column / np.asarray(abs(codes).sum(axis=1)).ravel()
    order = np.argsort(-share, kind="stable")
    best = [(ids[i], paths[i]) for i in order[:most] if column[i] > 0]
    worst = [(ids[i], paths[i]) for i in order[::-1][:most] if column[i] < 0]
    together, _ = _counts(codes[column > 0])
    together[atom] = 0
    together.setflags(write=False)
    return best, worst, together


def _asked(
    compute: Callable[[SampleCollection], Any], samples: SampleCollection, *what: Hashable
) -> Any:
    """Compute something of a collection, and remember it for a whole dataset.

    The panel asks again at every click, and reading 100,000 samples takes a second or two.

    Args:
        compute: Computes it.
        samples: A dataset or view.
        what: The key of a dictionary, and what else tells it from other things that are asked.
    """
    if not isinstance(samples, fo.Dataset):
        return compute(samples)
    with _COUNTING:
        asked = (samples.name, _state(samples, str(what[0])), *what)
        if asked not in _COUNTED:
            _COUNTED[asked] = compute(samples)
        return _COUNTED[asked]


def _state(dataset: fo.Dataset, key: str) -> tuple[Hashable, ...]:
    """Return a value that changes whenever the codes, labels or names may have changed."""
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


def _counts(codes: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Return (K,) the number of rows where each column is positive, and where it is negative."""
    n_atoms = codes.shape[1]
    has = np.bincount(codes.indices[codes.data > 0], minlength=n_atoms)
    lacks = np.bincount(codes.indices[codes.data < 0], minlength=n_atoms)
    return has, lacks
