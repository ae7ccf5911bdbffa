"""Atoms and means as rows of integers, in the basis of a prior if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.row_quantiser import quantise_rows
from fiftyone_smic.coding.rows import Rows

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.priors import Prior


def quantise_atoms(
    atoms: NDArray[np.float64],
    gram: NDArray[np.float64],
    lam: float,
    prior: Prior | None,
    *,
    predict: bool = True,
    metric: NDArray[np.float32] | None = None,
) -> Rows:
    """Quantise atoms (K, d); see :func:`fiftyone_smic.coding.row_quantiser.quantise_rows`."""
    if prior is None:
        return quantise_rows(atoms, gram, lam, predict=predict, metric=_along(metric, None))
    return quantise_rows(
        atoms @ prior.axes,
        gram,
        lam,
        public=prior.public,
        predict=predict,
        metric=_along(metric, prior),
    )


def _along(metric: NDArray[np.float32] | None, prior: Prior | None) -> NDArray[np.float64] | None:
    """The metric in the basis in which rows are coded."""
    if metric is None:
        return None
    wide = metric.astype(np.float64)
    return wide if prior is None else prior.axes.T @ wide @ prior.axes


def atom_values(rows: Rows, prior: Prior | None) -> NDArray[np.float32]:
    """Return the atoms (K, d) float32 that rows stand for."""
    values = rows.values() if prior is None else rows.values(prior.public) @ prior.axes.T
    return values.astype(np.float32)


def quantise_mean(
    mean: NDArray[np.float64],
    n_items: int,
    lam: float,
    prior: Prior | None,
    *,
    metric: NDArray[np.float32] | None = None,
) -> Rows:
    """Quantise a mean (d,) that ``n_items`` items share.

    Returns:
        One row; with a prior it is relative to the prior's mean.
    """
    gram = np.full((1, 1), float(n_items))
    if prior is None:
        return quantise_rows(mean[None], gram, lam, sweeps=1, metric=_along(metric, None))
    moved = (mean - prior.mean) @ prior.axes
    along = _along(metric, prior)
    return quantise_rows(moved[None], gram, lam, public=prior.public, sweeps=1, metric=along)


def mean_value(rows: Rows, prior: Prior | None) -> NDArray[np.float32]:
    """Return the mean (d,) float32 that one row stands for."""
    if prior is None:
        return rows.values()[0].astype(np.float32)
    return (rows.values(prior.public)[0] @ prior.axes.T + prior.mean).astype(np.float32)
