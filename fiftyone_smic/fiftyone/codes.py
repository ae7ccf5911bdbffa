"""Codes as sample fields: what is written for each sample, and how it is read back."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.metrics import item_fidelity
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.vectors import unit


def code_columns(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    latents: np.ndarray | None,
    names: Sequence[str] | None = None,
) -> dict[str, list[Any]]:
    """What the fields of N samples hold, by field suffix.

    Args:
        dictionary: K atoms of d dimensions
        codes: N x K integers
        latents: N x d float32, what was coded; without them the fidelity is not known
        names: K names of the atoms, by default "atom 0" and so on
    """
    names = names or [fields.atom_name(i) for i in range(codes.shape[1])]
    norms = np.linalg.norm(dictionary.atoms_, axis=1)
    atoms, coefficients, labels = [], [], []
    for start, stop in zip(codes.indptr[:-1], codes.indptr[1:], strict=True):
        index = codes.indices[start:stop]
        level = codes.data[start:stop].astype(int)
        weight = np.abs(level) * norms[index]
        order = np.argsort(-weight, kind="stable")
        share = weight / max(weight.sum(), np.finfo(np.float32).tiny)
        atoms.append([int(index[i]) for i in order])
        coefficients.append([int(level[i]) for i in order])
        labels.append(
            fo.Classifications(
                classifications=[
                    fo.Classification(
                        label=_label(names[index[i]], level[i]), confidence=float(share[i])
                    )
                    for i in order
                ]
            )
        )
    fidelity: list[float | None] = [None] * len(atoms)
    if latents is not None:
        rebuilt = dictionary.inverse_transform(codes)
        fidelity = [float(f) for f in item_fidelity(latents, rebuilt, dictionary.mean_)]
    return {
        fields.ATOMS: atoms,
        fields.COEFFICIENTS: coefficients,
        fields.BITS: [float(b) for b in dictionary.code_bits(codes)],
        fields.FIDELITY: fidelity,
        fields.LABELS: labels,
    }


def _label(name: str, level: int) -> str:
    """An atom with a negative coefficient says what a sample lacks."""
    return name if level > 0 else f"not {name}"


def relabel(dataset: fo.Dataset, key: str, names: Sequence[str]) -> int:
    """Write the names of a key's atoms into the labels of all samples that have a code.

    Returns:
        how many they are
    """
    held = fields.field_name(key, fields.LABELS)
    if not dataset.has_sample_field(held):
        return 0
    path = f"{held}.classifications.label"
    columns = fields.everything(dataset).values(
        ["id", fields.field_name(key, fields.ATOMS), fields.field_name(key, fields.COEFFICIENTS)]
    )
    coded = [row for row in zip(*columns, strict=True) if row[1] is not None]
    labels = [
        [_label(names[atom], level) for atom, level in zip(atoms, levels, strict=True)]
        for _, atoms, levels in coded
    ]
    fields.write(dataset, [row[0] for row in coded], {path: labels})
    return len(coded)


def read_codes(
    samples: SampleCollection, key: str, n_atoms: int
) -> tuple[list[str], list[str], csr_matrix]:
    """The codes of a collection, from its fields.

    Returns:
        ids and filepaths of the N samples that have a code, and their N x K int16 codes

    Raises:
        ValueError: if none has a code
    """
    (ids, paths), codes = read_coded(samples, key, n_atoms, ["_id", "filepath"])
    return [str(i) for i in ids], paths, codes


def read_coded(
    samples: SampleCollection, key: str, n_atoms: int, beside: Sequence[str] = ()
) -> tuple[list[list[Any]], csr_matrix]:
    """Codes, and what else the database holds of the samples that have one.

    ``samples.values`` looks at every atom of every sample, which takes four times as long.

    Args:
        samples: a dataset or view
        key: a dictionary of the dataset
        n_atoms: K
        beside: paths of values as the database names them

    Returns:
        one list of N values for each of ``beside``, and the N x K int16 codes

    Raises:
        ValueError: if no sample has a code
    """
    names = fields.dictionary_fields(key)
    if names[fields.ATOMS] not in samples.get_field_schema():
        raise ValueError(
            f"no sample has a code of dictionary {key!r} yet; run "
            f"fiftyone_smic.encode(dataset, key={key!r}) first"
        )
    wanted = {"atoms": names[fields.ATOMS], "levels": names[fields.COEFFICIENTS]}
    wanted.update({f"beside{i}": path for i, path in enumerate(beside)})
    found = samples._dataset._sample_collection.aggregate(
        samples._pipeline(
            pipeline=[
                {"$match": {names[fields.ATOMS]: {"$ne": None}}},
                {"$project": {"_id": False, **{name: f"${path}" for name, path in wanted.items()}}},
            ]
        ),
        allowDiskUse=True,
        # Three or four containers a row: as few at a time as Python's garbage collector, which
        # looks at everything there is and wakes at 700, does not mind.
        batchSize=200,
    )
    columns: list[list[Any]] = [[] for _ in beside]
    atoms, levels, ends = array("i"), array("h"), array("q", [0])
    for row in found:
        atoms.extend(row["atoms"])
        levels.extend(row["levels"])
        ends.append(len(atoms))
        for i, column in enumerate(columns):
            column.append(row.get(f"beside{i}"))
    if len(ends) == 1:
        raise ValueError(
            f"none of the {len(samples)} samples has a code of dictionary {key!r}; run "
            f"fiftyone_smic.encode(view, key={key!r}) on them first"
        )
    codes = csr_matrix(
        (np.array(levels, np.int16), np.array(atoms, np.int32), np.array(ends)),
        shape=(len(ends) - 1, n_atoms),
    )
    codes.sort_indices()
    return columns, codes


def rebuilt_latents(samples: SampleCollection, key: str = KEY) -> tuple[list[str], np.ndarray]:
    """The latents that the codes of a collection stand for.

    Args:
        samples: a dataset or view; samples without a code are left out
        key: a dictionary of the dataset

    Returns:
        ids of the N samples that have a code, and N x d float32 latents of unit norm

    Raises:
        ValueError: for an unknown key, or if no sample has a code
    """
    dictionary = runs.load_dictionary(samples, key)
    ids, _, codes = read_codes(image_samples(samples), key, int(dictionary.n_atoms_))
    return ids, unit(dictionary.inverse_transform(codes))


def write_codes(
    dataset: fo.Dataset, key: str, ids: list[str], columns: dict[str, list[Any]]
) -> None:
    """Set a key's fields; samples whose code changes lose the picture drawn from the old one."""
    names = fields.dictionary_fields(key)
    values = {names[suffix]: column for suffix, column in columns.items()}
    drawn = names[fields.REGENERATED]
    if dataset.has_sample_field(drawn):
        former = fields.read(dataset, ids, [names[fields.ATOMS], names[fields.COEFFICIENTS], drawn])
        coded = zip(ids, columns[fields.ATOMS], columns[fields.COEFFICIENTS], strict=True)
        values[drawn] = [
            former[i][2] if i in former and former[i][:2] == [atoms, levels] else None
            for i, atoms, levels in coded
        ]
    new = [name for name in values if not dataset.has_sample_field(name)]
    try:
        fields.declare(dataset, key, fields.CODE_SUFFIXES)
        fields.write(dataset, ids, values)
    except BaseException:
        dataset.delete_sample_fields([name for name in new if dataset.has_sample_field(name)])
        raise
