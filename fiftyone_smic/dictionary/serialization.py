"""A dictionary as named arrays, which load without pickle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.rows import Rows
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.dictionary.stored import stored_array, stored_counts, stored_rows
from fiftyone_smic.dictionary.stream import Stream

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

_PRIOR = ("mean", "basis", "profile", "atoms")


def to_arrays(of: SemanticDictionary, stream: bool) -> dict[str, NDArray]:
    """See :meth:`SemanticDictionary.to_arrays`."""
    prior = {}
    if of.prior_ is not None:
        prior = {f"prior_{name}": getattr(of.prior_, name) for name in _PRIOR}
    n_atoms, max_iter, n_swaps = of._learned_with
    out = {
        "parameters": np.array(
            [
                -1 if n_atoms == "auto" else n_atoms,
                of.lam_,
                of.max_nonzero_,
                of.max_level_,
                of.nonnegative_,
                max_iter,
                -1 if n_swaps == "auto" else n_swaps,
            ],
            np.float64,
        ),
        **_rows_to_arrays("mean", of.mean_rows_),
        **_rows_to_arrays("atom", of.atom_rows_),
        **prior,
        **({} if of.metric_ is None else {"metric": of.metric_}),
        "counts": of.counts_,
        "other_counts": of.other_counts_,
        "level_counts": of.level_counts_,
        "size_counts": of.size_counts_,
        **(of._the_stream().to_arrays() if stream else {}),
    }
    return {name: np.array(array) for name, array in out.items()}  # copies


def _rows_to_arrays(name: str, rows: Rows) -> dict[str, NDArray]:
    return {
        f"{name}_levels": rows.levels,
        f"{name}_exponents": rows.exponents,
        f"{name}_terms": rows.terms,
    }


def from_arrays(
    kind: type[SemanticDictionary], arrays: Mapping[str, NDArray]
) -> SemanticDictionary:
    """See :meth:`SemanticDictionary.from_arrays`."""
    settings = _settings(arrays)
    out = kind(**settings)
    out._validate_params()
    max_level, max_nonzero = settings["max_level"], settings["max_nonzero"]
    public = 0
    if any(name.startswith("prior_") for name in arrays):
        found = {name: np.array(arrays.get(f"prior_{name}")) for name in _PRIOR}
        out.prior = Prior(**found).checked("not a stored dictionary: its prior")
        public = len(out.prior.atoms)
    if "metric" in arrays:
        stored = stored_array(arrays, "metric", np.float32, (None, None))
        try:
            out.metric = Metric(stored)
        except ValueError as e:
            raise ValueError(f"not a stored dictionary: {e}") from e
    mean = stored_rows(arrays, "mean", (1, None), public)
    d = mean.levels.shape[1]
    atoms = stored_rows(arrays, "atom", (None, d), public)
    k = len(atoms.levels)
    counts = stored_counts(arrays, "counts", (k,))
    other_counts = stored_counts(arrays, "other_counts", (k,))
    out._restore(
        mean,
        atoms,
        counts,
        other_counts,
        stored_counts(arrays, "level_counts", (2 * max_level + 1,)),
        stored_counts(arrays, "size_counts", (max_nonzero + 1,)),
        metric=out.metric.matrix if isinstance(out.metric, Metric) else None,
    )
    out._stream = Stream.from_arrays(arrays, k, d, max_level, max_nonzero)
    return out


def _settings(arrays: Mapping[str, NDArray]) -> dict[str, Any]:
    """Parameters of the estimator, from the array that holds them as float64."""
    p = stored_array(arrays, "parameters", np.float64, (7,))
    whole = np.delete(p, 1)  # all but lam
    if not np.array_equal(whole, np.rint(whole)) or p[4] not in (0, 1):
        raise ValueError("not a stored dictionary: its parameters are not whole numbers")
    return {
        "n_atoms": "auto" if p[0] < 0 else int(p[0]),
        "lam": float(p[1]),
        "max_nonzero": int(p[2]),
        "max_level": int(p[3]),
        "nonnegative": bool(p[4]),
        "max_iter": int(p[5]),
        "n_swaps": "auto" if p[6] < 0 else int(p[6]),
    }
