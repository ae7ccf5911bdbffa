"""A dictionary as named arrays, which load without pickle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.dictionary import quantisation
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.dictionary.validation import check_parameters

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

_COUNTS = ("counts", "other_counts", "level_counts", "size_counts")
_PRIOR = ("mean", "basis", "profile", "atoms")


def to_arrays(of: SemanticDictionary) -> dict[str, NDArray]:
    """See :meth:`SemanticDictionary.to_arrays`."""
    prior = {}
    if of.prior_ is not None:
        prior = {f"prior_{n}": getattr(of.prior_, n) for n in _PRIOR}
    return {
        "parameters": np.array(
            [
                -1 if of.n_atoms == "auto" else of.n_atoms,
                of.lam,
                of.max_nonzero,
                of.max_level,
                of.nonnegative,
                of.max_iter,
                -1 if of.n_swaps == "auto" else of.n_swaps,
            ],
            np.float64,
        ),
        **quantisation.rows_to_arrays("mean", of.mean_rows_),
        **quantisation.rows_to_arrays("atom", of.atom_rows_),
        **prior,
        **{name: getattr(of, f"{name}_") for name in _COUNTS},
    }


def from_arrays(kind: type[SemanticDictionary], arrays: dict[str, NDArray]) -> SemanticDictionary:
    """See :meth:`SemanticDictionary.from_arrays`."""
    try:
        p = arrays["parameters"]
        out = kind(
            "auto" if p[0] < 0 else int(p[0]),
            lam=float(p[1]),
            max_nonzero=int(p[2]),
            max_level=int(p[3]),
            nonnegative=bool(p[4]),
            max_iter=int(p[5]),
            n_swaps="auto" if p[6] < 0 else int(p[6]),
        )
        mean, atoms = (quantisation.rows_from_arrays(name, arrays) for name in ("mean", "atom"))
        if "prior_mean" in arrays:
            out.prior = Prior(*(arrays[f"prior_{n}"] for n in _PRIOR))
        counts = [np.asarray(arrays[name], np.int64) for name in _COUNTS]
        check_parameters(out)
    except (KeyError, IndexError) as e:
        raise ValueError(
            f"not a stored dictionary of this version, {e} is missing: learn it again"
        ) from e
    return out._restore(mean, atoms, *counts)
