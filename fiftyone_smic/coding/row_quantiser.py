"""Choose the levels of rows by distortion and bits, with the very costs the coder will have."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.coding.rows import (
    MAX_EXPONENT,
    MAX_LEVEL,
    MAX_QUARTERS,
    MAX_TERMS,
    MIN_EXPONENT,
    Public,
    RowModel,
    Rows,
    context_of,
    step_size,
)
from fiftyone_smic.utils.compiled import compiled


@compiled(error_model="numpy")
def _choose(rest, step, weight, lam, side, most, costs, expected, levels, contexts):
    """Choose the levels of what is left of a row, in units of its step, by distortion and bits.

    Stores levels (d,) and contexts (d,). Returns their bits, and their weighted distortion + lam *
    (bits + side), where ``side`` bits say what predicts the row. Both sums only grow, so a choice
    that halfway costs as much as ``most`` is given up; what is returned then is at least that.
    """
    escape = costs.shape[1] - 1
    seen, hoped = 0, 0
    bits, distortion = 0.0, 0.0
    for i in range(len(rest)):
        if i % 64 == 63 and distortion + lam * (bits + side) >= most:
            break
        c = context_of(expected[i], seen, hoped)
        target = rest[i] / step
        x = abs(target)
        top = int(min(np.floor(x + 0.5), 1048575.0))
        cost, level = costs[c, 0], 0
        least = weight * x**2 + lam * cost
        for candidate in range(max(top - 1, 1), top + 1):
            b = costs[c, min(candidate, escape)]
            if candidate >= escape:
                b += 2 * np.floor(np.log2(candidate - escape + 1)) + 1
            j = weight * (x - candidate) ** 2 + lam * b
            if j < least:
                least, cost, level = j, b, candidate
        bits += cost
        distortion += weight * (x - level) ** 2
        levels[i] = level if target > 0 else -level
        contexts[i] = c
        seen += min(level, escape)
        hoped += expected[i]
    return bits, distortion + lam * (bits + side)


@compiled(fastmath=True)
def _choose_by(metric, weight, lam, costs, expected, levels, contexts, error, pull):
    """Choose a row's levels again, one after the other, by a metric (d, d).

    The errors (d,) of the other entries are known, from a first choice in ``levels``, and so is
    their pull on each entry, metric @ error. What is stored is as for :func:`_choose`; returns the
    bits.
    """
    d = levels.shape[0]
    escape = costs.shape[1] - 1
    seen, hoped = 0, 0
    bits = 0.0
    for i in range(d):
        c = context_of(expected[i], seen, hoped)
        own = metric[i, i]
        best_at = levels[i] + pull[i] / own
        x = abs(best_at)
        top = int(min(np.floor(x + 0.5), 1048575.0))
        best, cost, level = np.inf, 0.0, 0
        for candidate in (0, top - 1, top):
            if candidate < 0:
                continue
            b = costs[c, min(candidate, escape)]
            if candidate >= escape:
                b += 2 * np.floor(np.log2(candidate - escape + 1)) + 1
            j = weight * own * (x - candidate) ** 2 + lam * b
            if j < best:
                best, cost, level = j, b, candidate
        bits += cost
        signed = level if best_at > 0 else -level
        if signed != levels[i]:
            moved = levels[i] - signed
            error[i] += moved
            row = metric[i]
            for k in range(d):
                pull[k] += moved * row[k]
            levels[i] = signed
        contexts[i] = c
        seen += min(level, escape)
        hoped += expected[i]
    return bits


@compiled(fastmath=True)
def _dots(rows, target):
    """Products (n,) of rows (n, d) with a target (d,)."""
    out = np.empty(len(rows))
    for i in range(len(rows)):
        row = rows[i]
        total = 0.0
        for k in range(len(target)):
            total += row[k] * target[k]
        out[i] = total
    return out


@compiled()
def _predictor(target, values, norms):
    """The row, and its coefficient in quarters, that leaves least of the target; or (-1, 0)."""
    dots = _dots(values, target)
    best, quarters, most = -1, 0, 0.0
    for i in range(len(dots)):
        q = np.rint(4 * dots[i] / max(norms[i], 1e-12))
        q = min(max(q, -MAX_QUARTERS), MAX_QUARTERS)
        gain = q / 2 * dots[i] - (q / 4) ** 2 * norms[i]
        if gain > most:
            best, quarters, most = i, int(q), gain
    return best, quarters


@compiled()
def _predict_and_choose(
    target, step, weight, lam, costs, expected, values, norms, most, levels, contexts
):
    """Search greedily for the rows that predict a row, and choose its levels.

    Stores levels (d,) and contexts (d,). Returns the rest (d,) that the levels express, the terms
    (n, 2), rows and quarters, and the bits of the levels and of the terms.

    Args:
        target: (d,), the row as it should become.
        step: its step.
        weight: what a squared error of one step costs.
        lam: what a bit costs.
        costs: of :meth:`RowModel.costs`.
        expected: of :meth:`RowModel.expected`.
        values: (n, d) rows that may predict this one.
        norms: (n,) their squared lengths.
        most: largest number of terms.
        levels: (d,) int64, filled.
        contexts: (d,) int64, filled.
    """
    d = len(target)
    terms = np.empty((most, 2), np.int64)
    rest, best_rest = target.copy(), target.copy()
    tried, tried_contexts = np.empty(d, np.int64), np.empty(d, np.int64)
    best_count, best_bits, best_side, best = 0, 0.0, 1.0, np.inf
    side = 1.0
    # Loops and no array expressions, which numba compiles for several seconds.
    for count in range(most + 1):
        if count:
            source, quarters = _predictor(rest, values, norms)
            for t in range(count - 1):
                if terms[t, 0] == source:
                    source = -1
            if source < 0:
                break
            for i in range(d):
                rest[i] -= quarters / 4 * values[source, i]
            terms[count - 1, 0], terms[count - 1, 1] = source, quarters
            side += math.log2(len(values)) + 3.5
        bits, objective = _choose(
            rest, step, weight, lam, side, best, costs, expected, tried, tried_contexts
        )
        if objective < best:
            best_count, best_bits, best_side, best = count, bits, side, objective
            for i in range(d):
                best_rest[i], levels[i], contexts[i] = rest[i], tried[i], tried_contexts[i]
    return best_rest, terms[:best_count], best_bits, best_side


def _steps(
    weights: NDArray[np.float64], lam: float, largest: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Exponents near the step that is best at high rate, step^2 = 6 lam / (weight ln 2)."""
    step = np.sqrt(6 * lam / (math.log(2) * np.maximum(weights, 0.5)))
    step = np.maximum(step, largest / MAX_LEVEL)
    return np.clip(np.rint(4 * np.log2(step)), MIN_EXPONENT, MAX_EXPONENT).astype(np.int32)


def quantise_rows(
    rows: NDArray[np.float64],
    gram: NDArray[np.float64],
    lam: float,
    *,
    public: Public | None = None,
    sweeps: int = 2,
    predict: bool = True,
    metric: NDArray[np.float64] | None = None,
) -> Rows:
    """Quantise rows so that distortion + lam * bits is small.

    The distortion is ``trace((D - D')' gram (D - D'))``: what the items suffer that are coded with
    the rows. Rows are quantised in order, each one against the errors of the others, in a few
    sweeps. The rows that predict a row are searched greedily among the public rows and the rows
    before it, by the same objective.

    With a metric M the distortion is ``trace((D - D') M (D - D')' gram)``. The rows that predict a
    row are still searched by squared distance, of M's mean weight; then its levels are chosen by M.

    Args:
        rows: (K, d) float64.
        gram: (K, K) float64, ``C'C`` of the codes C.
        lam: squared distance that one bit is worth.
        public: what is known before the first row, or None.
        sweeps: number of sweeps.
        predict: search for rows that predict others.
        metric: (d, d) float64, symmetric, or None for squared distance.
    """
    k, d = rows.shape
    given = np.zeros((0, d)) if public is None else public.rows
    p = len(given)
    mean_weight = 1.0 if metric is None else float(np.trace(metric)) / d
    weights = np.diag(gram)
    exponents = _steps(weights * mean_weight, lam, np.abs(rows).max(axis=1, initial=0.0))
    levels = np.zeros((k, d), np.int32)
    error = np.zeros((k, d))
    values = np.concatenate([given, np.zeros((k, d))])
    norms = np.square(values).sum(axis=1)
    chosen = np.zeros(d, np.int64)
    contexts = np.zeros(d, np.int64)
    terms: list[tuple[int, int, int]] = []
    total = 0.0
    for _ in range(sweeps):
        model = RowModel(d, public)
        terms, total = [], 7.0 + 3.0 * k
        for j in range(k):
            others = gram[j].copy()
            others[j] = 0
            target = rows[j] - (others @ error) / weights[j]
            exponent = int(exponents[j])
            step = step_size(exponent)
            weight = weights[j] * step * step * mean_weight
            expected, costs = model.expected(exponent), model.costs()
            rest, used, bits, side = _predict_and_choose(
                target,
                step,
                weight,
                lam,
                costs,
                expected,
                values[: p + j],
                norms[: p + j],
                MAX_TERMS if predict else 0,
                chosen,
                contexts,
            )
            if metric is not None:
                missed = rest / step - chosen
                bits = _choose_by(
                    metric,
                    weights[j] * step * step,
                    lam,
                    costs,
                    expected,
                    chosen,
                    contexts,
                    missed,
                    metric @ missed,
                )
            total += bits + side
            found = used.tolist()
            terms += [(j, s - p if s >= p else -1 - s, quarters) for s, quarters in found]
            model.learn(exponent, contexts, chosen)
            levels[j] = chosen
            value = values[p + j]
            value[:] = chosen * step
            for source, quarters in found:
                value += (quarters / 4) * values[source]
            norms[p + j] = value @ value
            error[j] = value - rows[j]
    return Rows(levels, exponents, np.array(terms, np.int32).reshape(-1, 3), total)
