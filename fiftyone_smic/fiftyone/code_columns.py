"""What the fields of a code hold, for samples whose codes are known."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import numpy as np
from bson import ObjectId
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.metrics import item_fidelity

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

#: Attributes of a sample's labels: which dictionary made the code, and which code it was.
MADE_BY, MADE_OF = "dictionary", "code"


def tag(digest: str) -> str:
    """Return the part of a dictionary's digest that every code keeps."""
    return digest[:16]


def code_digests(codes: csr_matrix) -> list[str]:
    """Return 8 hex digits for each code: the same code has the same digest.

    Args:
        codes: (N, K) integers.
    """
    if not codes.has_sorted_indices:
        codes = codes.sorted_indices()
    atoms, levels = codes.indices.astype("<i4").tobytes(), codes.data.astype("<i2").tobytes()
    ends = codes.indptr.tolist()
    return [
        hashlib.sha256(atoms[4 * a : 4 * b] + levels[2 * a : 2 * b]).hexdigest()[:8]
        for a, b in pairwise(ends)
    ]


def code_digest(atoms: Sequence[int] | np.ndarray, levels: Sequence[int] | np.ndarray) -> str:
    """Return 8 hex digits of one code.

    Args:
        atoms: (n,) atoms, in any order.
        levels: (n,) their coefficients.
    """
    order = np.argsort(np.asarray(atoms, np.int64), kind="stable")
    held = np.asarray(atoms, "<i4")[order].tobytes() + np.asarray(levels, "<i2")[order].tobytes()
    return hashlib.sha256(held).hexdigest()[:8]


def code_columns(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    latents: np.ndarray | None,
    names: Sequence[str] | None = None,
    *,
    digest: str | None = None,
    stored: bool = False,
) -> dict[str, list[Any]]:
    """Return what the fields of N samples hold, by field suffix.

    Args:
        dictionary: K atoms of d dimensions.
        codes: (N, K) integers.
        latents: (N, d) float32, what was coded; without them the fidelity is not known.
        names: K names of the atoms, by default "concept 0" and so on.
        digest: The dictionary's digest if it is known already, see
            :func:`fiftyone_smic.fiftyone.runs.digest`.
        stored: Return labels as the database holds them, which takes a tenth of the time and
            memory of FiftyOne's.
    """
    names = names or [fields.atom_name(i) for i in range(codes.shape[1])]
    made_by = tag(digest or runs.digest(dictionary))
    rows = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
    weight = (
        np.abs(codes.data.astype(int)) * np.linalg.norm(dictionary.atoms_, axis=1)[codes.indices]
    )
    total = np.bincount(rows, weights=weight, minlength=codes.shape[0])
    order = np.lexsort((-weight, rows))  # the largest first in each row
    share = (weight / np.maximum(total, np.finfo(np.float32).tiny)[rows])[order].tolist()
    atoms, levels = codes.indices[order].tolist(), codes.data[order].tolist()
    shown = [_label(names[atom], level) for atom, level in zip(atoms, levels, strict=True)]
    parts = [slice(a, b) for a, b in pairwise(codes.indptr.tolist())]
    make = _stored_labels if stored else _labels
    labels = [
        make(shown[part], share[part], made_by, made_of)
        for part, made_of in zip(parts, code_digests(codes), strict=True)
    ]
    fidelity: list[float | None] = [None] * len(parts)
    if latents is not None:
        rebuilt = dictionary.inverse_transform(codes)
        fidelity = item_fidelity(latents, rebuilt, dictionary.mean_).tolist()
    return {
        fields.ATOMS: [atoms[part] for part in parts],
        fields.COEFFICIENTS: [levels[part] for part in parts],
        fields.BITS: dictionary.code_bits(codes).tolist(),
        fields.FIDELITY: fidelity,
        fields.LABELS: labels,
    }


def _labels(
    names: Sequence[str], shares: Sequence[float], made_by: str, made_of: str
) -> fo.Classifications:
    """The labels of one sample."""
    made = [
        fo.Classification(label=name, confidence=share)
        for name, share in zip(names, shares, strict=True)
    ]
    return fo.Classifications(classifications=made, **{MADE_BY: made_by, MADE_OF: made_of})


def _stored_labels(
    names: Sequence[str], shares: Sequence[float], made_by: str, made_of: str
) -> dict[str, Any]:
    """The labels of one sample as FiftyOne writes :func:`_labels` into the database."""
    one = _as_stored()
    return {
        **one,
        "classifications": [
            {**label, "_id": ObjectId(), "tags": [], "label": name, "confidence": share}
            for label in one["classifications"]
            for name, share in zip(names, shares, strict=True)
        ],
        MADE_BY: made_by,
        MADE_OF: made_of,
    }


@lru_cache
def _as_stored() -> dict[str, Any]:
    """Labels with one name, as the installed FiftyOne writes them."""
    found: dict[str, Any] = _labels([""], [0.0], "", "").to_dict()
    return found


def _label(name: str, level: int) -> str:
    """Name an atom in a code; with a negative coefficient it says what a sample lacks."""
    return name if level > 0 else f"not {name}"
