"""What the codes of a collection say about the atoms of its dictionary."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import read_codes


@dataclass(frozen=True)
class AtomStatistics:
    """How the atoms of a dictionary are used, atom by atom.

    Attributes:
        names: K names, "atom 7" where there is none
        uses: K int64, how many samples use each atom
        weights: K float64, mean absolute coefficient where it is used, 0 where it is not
        purity: K float64 in 0..1, the share of the most frequent label among the samples that use
            the atom with a positive coefficient; NaN without any, and without a label field
        labels: K, that label, or None
    """

    names: list[str]
    uses: np.ndarray
    weights: np.ndarray
    purity: np.ndarray
    labels: list[str | None]


@dataclass(frozen=True)
class AtomDescription:
    """One atom of a dictionary.

    Attributes:
        atom: its number
        name: its name
        uses: how many samples use it
        weight: their mean absolute coefficient
        exemplars: ids and filepaths of the samples it says most about, best first
        companions: atoms that are used with it more often than chance would have it: number, name
            and how many samples use both, the strongest association first
    """

    atom: int
    name: str
    uses: int
    weight: float
    exemplars: list[tuple[str, str]]
    companions: list[tuple[int, str, int]]


def label_fields(samples: SampleCollection) -> list[str]:
    """Fields that give a sample one label, which atoms can be compared with."""
    single = {fo.Classification}
    return [
        name
        for name, field in samples.get_field_schema().items()
        if getattr(field, "document_type", None) in single
    ]


def atom_statistics(
    samples: SampleCollection, key: str = "smic", *, labels: str | None = None
) -> AtomStatistics:
    """Count uses, weights and purity of each atom over a collection.

    Args:
        samples: a dataset or view; samples without a code are left out
        key: a dictionary of the dataset
        labels: one of :func:`label_fields`, to measure purity against

    Raises:
        ValueError: for an unknown key or field, or if no sample has a code
    """
    names = runs.atom_names(samples, key)
    if labels is not None and labels not in label_fields(samples):
        raise ValueError(
            f"{labels!r} is no field of single labels; choose one of {label_fields(samples)}"
        )
    ids, _, codes = read_codes(samples, key, len(names))
    uses = _uses(codes)
    purity = np.full(len(names), np.nan)
    best: list[str | None] = [None] * len(names)
    if labels is not None:
        given = dict(zip(*samples.values(["id", f"{labels}.label"]), strict=True))
        label = [given[i] for i in ids]
        columns = codes.tocsc()
        for atom in range(len(names)):
            span = slice(columns.indptr[atom], columns.indptr[atom + 1])
            users = columns.indices[span][columns.data[span] > 0]
            found = Counter(label[i] for i in users if label[i] is not None)
            if found:
                best[atom], count = found.most_common(1)[0]
                purity[atom] = count / found.total()
    total = np.asarray(abs(codes).sum(axis=0), dtype=float).ravel()
    return AtomStatistics(names, uses, total / np.maximum(uses, 1), purity, best)


def describe_atom(
    samples: SampleCollection, key: str, atom: int, *, most: int = 6
) -> AtomDescription:
    """Describe one atom by the samples and the atoms it goes with.

    Args:
        samples: a dataset or view; samples without a code are left out
        key: a dictionary of the dataset
        atom: its number, from 0
        most: exemplars and companions at most

    Raises:
        ValueError: for an unknown key or atom, or if no sample has a code
    """
    names = runs.atom_names(samples, key)
    if not 0 <= atom < len(names):
        raise ValueError(f"dictionary {key!r} has atoms 0 to {len(names) - 1}, not {atom}")
    ids, paths, codes = read_codes(samples, key, len(names))
    column = codes[:, [atom]].toarray().ravel().astype(float)
    users = np.flatnonzero(column)
    # What the atom says most about: a large coefficient beside few and small others.
    share = column[users] / np.asarray(abs(codes[users]).sum(axis=1)).ravel()
    best = users[np.argsort(-share, kind="stable")][:most]
    together = _uses(codes[users])
    together[atom] = 0
    expected = _uses(codes) * len(users) / max(1, len(ids))
    lift = np.where(together > 1, together / np.maximum(expected, 1e-9), 0)
    companions = [int(i) for i in np.argsort(-lift, kind="stable")[:most] if lift[i] > 1]
    return AtomDescription(
        atom=atom,
        name=names[atom],
        uses=len(users),
        weight=float(np.abs(column[users]).mean()) if len(users) else 0.0,
        exemplars=[(ids[i], paths[i]) for i in best if column[i] > 0],
        companions=[(i, names[i], int(together[i])) for i in companions],
    )


def _uses(codes: csr_matrix) -> np.ndarray:
    """How many rows use each column."""
    return np.bincount(codes.indices[codes.data != 0], minlength=codes.shape[1])
