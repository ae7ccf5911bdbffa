"""Two collections side by side: what has drifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack
from sklearn.preprocessing import normalize

from fiftyone_smic.curation.inference import (
    LEVEL,
    atom_and_sign,
    bh,
    fisher,
    newcombe,
    odds_ratio,
    permutation_p,
    uses,
)
from fiftyone_smic.curation.inputs import accepts_archives, as_codes, check_count
from fiftyone_smic.curation.results import SHOWN, UNSEEN, NullRun, Rows, names_of, signed
from fiftyone_smic.utils.compiled import compiled

#: Coefficients that all permutations together may touch.
_WORK = 60_000_000


class AtomDrift(NamedTuple):
    """One atom and sign in both collections.

    Attributes:
        atom, sign: the atom, and whether its coefficient is positive (1) or negative (-1).
        in_a, in_b: share of the items of each that use it so.
        difference, low, high: in_b - in_a with its 95 % interval (Newcombe 1998).
        odds: odds ratio, of b over a.
        share: its share of the squared shift between the mean codes.
        p, q: Fisher's exact test, two-sided, and corrected for all atoms and signs.
    """

    atom: int
    sign: int
    in_a: float
    in_b: float
    difference: float
    low: float
    high: float
    odds: float
    share: float
    p: float
    q: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two collections differ.

    Attributes:
        p: one global test: permutation test of the squared distance between mean codes.
        distance: that distance, in standard deviations above what permuted sides give.
        atoms: one row per atom and sign that occurs, the most significant first.
        sizes: items of a and of b.
        names: K names of atoms.
        null: the same with sides permuted, or None.
    """

    p: float
    distance: float
    atoms: Rows[AtomDrift]
    sizes: tuple[int, int]
    names: tuple[str, ...]
    null: NullRun | None = None

    @property
    def found(self) -> Rows[AtomDrift]:
        """The rows with q < 0.05."""
        return self.atoms[: int((self.atoms.column("q") < LEVEL).sum())]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per row, the atom's name among it."""
        return [{**row._asdict(), "name": self.names[row.atom]} for row in self.atoms]

    def __str__(self) -> str:
        a, b = self.sizes
        verdict = (
            f"The two collections ({a:,} and {b:,} items) differ (p = {self.p:.2g})."
            if self.p < LEVEL
            else f"No difference between the two collections ({a:,} and {b:,} items) is found "
            f"(p = {self.p:.2g})."
        )
        found = self.found
        for row in found[:SHOWN]:
            verdict += (
                f"\n  {signed(self.names[row.atom], row.sign)!r} occurs in {row.in_b:.0%} of b and "
                f"{row.in_a:.0%} of a ({row.difference:+.0%}, {row.low:+.0%} to {row.high:+.0%}), "
                f"q = {row.q:.2g}"
            )
        if not len(found):
            verdict += " No single atom differs beyond chance"
            seen = 2.8 * np.sqrt(0.25 / a + 0.25 / b)
            verdict += (
                f"; with this number of items, a change of {seen:.0%} in a common atom would show."
            )
        return verdict + ("" if self.null is None else f"\n{self.null}") + f"\n{UNSEEN}"


@accepts_archives
def compare(
    codes_a: csr_matrix,
    codes_b: csr_matrix,
    *,
    names: Sequence[str | None] | None = None,
    permutations: int = 999,
    null: int = 0,
    seed: int = 0,
) -> Comparison:
    """Test whether two collections differ, and in which atoms.

    Both must be coded with one dictionary. One that was learned on ``a`` alone fits ``a`` a little
    too well, and then even a collection like ``a`` seems to differ: learn it on both together, or
    hold the items that are compared out.

    Args:
        codes_a, codes_b: (N_a, K) and (N_b, K), or two archives of one dictionary.
        names: K names of atoms, for printing.
        permutations: of the global test, fewer where the collections are large.
        null: how many runs with permuted sides to make beside it.
        seed: of the permutations.

    Raises:
        ValueError: codes of two dictionaries, or fewer than two items on a side.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a = csr_matrix(rng.random((100, 6)) < 0.3, dtype=int)
        >>> b = csr_matrix(rng.random((100, 6)) < [0.3, 0.3, 0.8, 0.3, 0.3, 0.3], dtype=int)
        >>> result = compare(a, b)
        >>> result.p < 0.05, result.atoms[0].atom, result.atoms[0].difference > 0.2
        (True, 2, True)
    """
    a, b = as_codes(codes_a, minimum=2), as_codes(codes_b, minimum=2)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"these are codes of two dictionaries, of {a.shape[1]} and {b.shape[1]} atoms: code "
            "both collections with one dictionary, learned on both together"
        )
    called = tuple(names_of(names, a.shape[1]))
    both = csr_matrix(vstack([a, b], format="csr"))
    rng = np.random.default_rng(seed)
    rows = both.astype(np.float64)
    if both.shape[1]:
        rows = csr_matrix(normalize(rows))
    weights = np.where(np.arange(both.shape[0]) < a.shape[0], -1 / a.shape[0], 1 / b.shape[0])
    shift = np.asarray(weights @ rows).ravel()
    times = max(
        99,
        min(check_count(permutations, "permutations"), _WORK // max(rows.nnz + rows.shape[0], 1)),
    )
    nothing = _shifts(
        rows.indptr, rows.indices, rows.data, rows.shape[1], weights, times,
        int(rng.integers(2**31)),
    )  # fmt: skip
    observed = float(shift @ shift)
    spread = float(nothing.std())
    shown = uses(both)
    used = np.flatnonzero(shown.getnnz(axis=0))
    shown = shown[:, used]
    side = np.arange(both.shape[0]) >= a.shape[0]
    run = None
    if check_count(null, "null"):
        qs = [_test(shown, rng.permutation(side))[-1] for _ in range(null)]
        run = NullRun(
            null,
            tuple(int((q < LEVEL).sum()) for q in qs),
            tuple(float(q.min(initial=1)) for q in qs),
        )
    return Comparison(
        permutation_p(observed, nothing),
        (observed - float(nothing.mean())) / spread if spread > 0 else 0.0,
        _drifts(shown, used, side, shift, a.shape[1]),
        (a.shape[0], b.shape[0]),
        called,
        run,
    )


@compiled(nogil=True)
def _shifts(indptr, indices, values, atoms, weights, times, seed):
    """Squared distance between the means of two sides, for permuted sides."""
    np.random.seed(seed)
    out = np.empty(times)
    mixed = weights.copy()
    shift = np.empty(atoms)
    for t in range(times):
        np.random.shuffle(mixed)
        shift[:] = 0
        for i in range(len(mixed)):
            for k in range(indptr[i], indptr[i + 1]):
                shift[indices[k]] += mixed[i] * values[k]
        out[t] = (shift * shift).sum()
    return out


def _test(shown: csr_matrix, side: NDArray[np.bool_]) -> tuple[NDArray, ...]:
    """Counts in a and b, sizes, p and q of every column."""
    in_b = np.rint(np.asarray(side.astype(np.float64) @ shown)).astype(np.int64)
    in_a = shown.getnnz(axis=0) - in_b
    n_b = int(side.sum())
    n_a = len(side) - n_b
    p = fisher(in_b, n_b, in_a, n_a)
    return in_a, np.array(n_a), in_b, np.array(n_b), p, bh(p)


def _drifts(
    shown: csr_matrix, used: NDArray, side: NDArray[np.bool_], shift: NDArray, n_atoms: int
) -> Rows[AtomDrift]:
    in_a, n_a, in_b, n_b, p, q = _test(shown, side)
    atom, sign = atom_and_sign(used, n_atoms)
    difference, low, high = newcombe(in_b, n_b, in_a, n_a)
    total = float(shift @ shift)
    columns = {
        "atom": atom, "sign": sign, "in_a": in_a / n_a, "in_b": in_b / n_b,
        "difference": difference, "low": low, "high": high,
        "odds": odds_ratio(in_b, n_b, in_a, n_a),
        "share": shift[atom] ** 2 / total if total > 0 else np.zeros(len(atom)),
        "p": p, "q": q,
    }  # fmt: skip
    order = np.lexsort((-np.abs(difference), p))
    return Rows(AtomDrift, {name: column[order] for name, column in columns.items()})
