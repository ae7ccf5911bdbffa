"""Weak slices: atoms, and pairs of them, where a model errs more than elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.stats import norm

from fiftyone_smic.curation.inference import LEVEL, atom_and_sign, bh, newcombe, over, uses, wilson
from fiftyone_smic.curation.inputs import (
    accepts_archives,
    as_codes,
    check_count,
    check_groups,
    check_vector,
)
from fiftyone_smic.curation.results import SHOWN, UNSEEN, NullRun, Rows, names_of, several, signed

#: Pairs of atoms are tested up to this many, the most frequent first.
MOST_PAIRS = 2_000


class Slice(NamedTuple):
    """The items that use an atom with a sign, or two of them.

    Attributes:
        atoms, signs: one or two of each.
        size, errors: its items, and how many of them are wrong.
        rate: errors / size.
        rate_low: lower end of the 95 % interval of the rate (Wilson 1927).
        difference, low, high: its rate less that of all other items, with a 95 % interval
            (Newcombe 1998).
        p, q: one-sided test that it errs more, and corrected for all slices tested.
    """

    atoms: tuple[int, ...]
    signs: tuple[int, ...]
    size: int
    errors: int
    rate: float
    rate_low: float
    difference: float
    low: float
    high: float
    p: float
    q: float


@dataclass(frozen=True, eq=False)
class WeakSlices:
    """Where a model errs more than elsewhere.

    Attributes:
        slices: one row per slice tested, the most significant first.
        items, errors: of the whole collection.
        stratified: whether labels were held constant.
        names: K names of atoms.
        null: the same with errors permuted (within labels, if given), or None.
    """

    slices: Rows[Slice]
    items: int
    errors: int
    stratified: bool
    names: tuple[str, ...]
    null: NullRun | None = None

    @property
    def found(self) -> Rows[Slice]:
        """The rows with q < 0.05."""
        return self.slices[: int((self.slices.column("q") < LEVEL).sum())]

    def named(self, row: Slice) -> str:
        """A slice in words."""
        pairs = zip(row.atoms, row.signs, strict=True)
        return " and ".join(repr(signed(self.names[a], s)) for a, s in pairs)

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per slice tested, its name among it."""
        return [{**row._asdict(), "name": self.named(row)} for row in self.slices]

    def __str__(self) -> str:
        found = self.found
        held = ", labels held constant" if self.stratified else ""
        if not len(found):
            least = self.slices.column("q").min() if len(self.slices) else 1.0
            text = (
                f"No weak slice is found: {self.errors:,} errors in {several(self.items, 'item')} "
                f"are spread as by chance ({several(len(self.slices), 'slice')} tested{held}, "
                f"smallest q {least:.2g})."
            )
        else:
            overall = self.errors / self.items
            text = (
                f"{several(len(found), 'weak slice')} (q < {LEVEL:g} of {len(self.slices):,} "
                f"tested{held}; {overall:.1%} of all items are wrong):"
            )
            for row in found[:SHOWN]:
                text += (
                    f"\n  {self.named(row)}: {row.errors:,} of {several(row.size, 'item')} wrong "
                    f"({row.rate:.0%}, at least {row.rate_low:.0%}), {row.difference:+.0%} beside "
                    f"the rest, q = {row.q:.2g}"
                )
        return text + ("" if self.null is None else f"\n{self.null}") + f"\n{UNSEEN}"


@accepts_archives
def weak_slices(
    codes: csr_matrix,
    errors: ArrayLike,
    labels: Sequence[Any] | None = None,
    *,
    names: Sequence[str | None] | None = None,
    smallest: int = 10,
    pairs: bool = True,
    null: int = 0,
    seed: int = 0,
) -> WeakSlices:
    """Test in which atoms, and pairs of atoms, a model errs more than elsewhere.

    Without labels the test is Fisher's, one-sided. With them it is that of Mantel and Haenszel
    (1959), within each label: an atom that merely goes together with a hard class does not count.

    Args:
        codes: (N, K), or an archive.
        errors: (N,) whether the model is wrong about each item.
        labels: N labels to hold constant, or None.
        names: K names of atoms, for printing.
        smallest: slices of fewer items are not tested.
        pairs: test pairs of atoms too, the :data:`MOST_PAIRS` most frequent ones.
        null: how many runs with permuted errors to make beside it.
        seed: of these.

    Raises:
        ValueError: no codes, errors that are not true or false for each item or are all alike, or
            labels missing.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> codes = csr_matrix(rng.random((400, 5)) < 0.4, dtype=int)
        >>> errors = rng.random(400) < np.where(codes[:, [3]].toarray()[:, 0], 0.5, 0.05)
        >>> weak_slices(codes, errors, pairs=False).found[0].atoms
        (3,)
    """
    c = as_codes(codes, minimum=2)
    wrong = _errors(errors, c.shape[0])
    stratum = None if labels is None else check_groups(labels, c.shape[0], minimum=1)[0]
    smallest = check_count(smallest, "smallest", 1)
    called = tuple(names_of(names, c.shape[1]))
    shown, members = _slices(c, smallest, pairs)
    run = None
    if check_count(null, "null"):
        rng = np.random.default_rng(seed)
        qs = [bh(_p(shown, _mixed(wrong, stratum, rng), stratum)) for _ in range(null)]
        run = NullRun(
            null,
            tuple(int((q < LEVEL).sum()) for q in qs),
            tuple(float(q.min(initial=1)) for q in qs),
        )
    rows = _rows(shown, members, wrong, stratum)
    return WeakSlices(rows, c.shape[0], int(wrong.sum()), stratum is not None, called, run)


def _errors(errors: ArrayLike, n: int) -> NDArray[np.bool_]:
    e = check_vector(np.asarray(errors), n, "errors")
    if not np.isin(e, (0, 1)).all():
        raise ValueError("errors must be true or false for each item")
    if e.all() or not e.any():
        every = "all items are wrong" if e.any() else "no item is wrong"
        raise ValueError(f"{every}, so no slice can be weaker than the rest")
    return e.astype(bool)


def _slices(
    codes: csr_matrix, smallest: int, pairs: bool
) -> tuple[csr_matrix, list[tuple[tuple[int, ...], tuple[int, ...]]]]:
    """(N, S) which items are in which slice, and each slice's atoms and signs."""
    shown = uses(codes)
    sizes = shown.getnnz(axis=0)
    # A slice that holds nearly everything has no rest to be compared with.
    large = np.flatnonzero((sizes >= smallest) & (sizes <= codes.shape[0] - smallest))
    single = shown[:, large]
    atom, sign = atom_and_sign(large, codes.shape[1])
    members: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((int(a),), (int(s),)) for a, s in zip(atom, sign, strict=True)
    ]
    parts = [single]
    if pairs and len(large) > 1:
        together = (single.T @ single).tocoo()
        kept = np.flatnonzero((together.row < together.col) & (together.data >= smallest))
        kept = kept[np.argsort(-together.data[kept], kind="stable")][:MOST_PAIRS]
        one, other = together.row[kept], together.col[kept]
        columns = single.tocsc()
        parts.append(csr_matrix(columns[:, one].multiply(columns[:, other])))
        members += [
            ((int(atom[i]), int(atom[j])), (int(sign[i]), int(sign[j])))
            for i, j in zip(one, other, strict=True)
        ]
    return csr_matrix(hstack(parts, format="csr")), members


def _mixed(
    wrong: NDArray[np.bool_], stratum: NDArray[np.intp] | None, rng: np.random.Generator
) -> NDArray[np.bool_]:
    if stratum is None:
        return rng.permutation(wrong)
    out = wrong.copy()
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        out[members] = rng.permutation(wrong[members])
    return out


def _p(
    shown: csr_matrix, wrong: NDArray[np.bool_], stratum: NDArray[np.intp] | None
) -> NDArray[np.float64]:
    n = len(wrong)
    hit = np.rint(np.asarray(wrong.astype(np.float64) @ shown)).astype(np.int64)
    size = shown.getnnz(axis=0).astype(np.int64)
    if stratum is None:
        return over(hit, n, int(wrong.sum()), size)
    groups = int(stratum.max()) + 1
    member = csr_matrix((np.ones(n), (stratum, np.arange(n))), shape=(groups, n))
    sizes = np.asarray((member @ shown).todense())
    totals = np.bincount(stratum, minlength=groups)[:, None].astype(np.float64)
    errors = np.bincount(stratum, wrong, minlength=groups)[:, None]
    expected = (sizes * errors / totals).sum(axis=0)
    variance = (
        sizes * (totals - sizes) * errors * (totals - errors)
        / (totals**2 * np.maximum(totals - 1, 1))
    ).sum(axis=0)  # fmt: skip
    # With the continuity correction, the test is the safer one for slices of few items.
    z = (hit - expected - 0.5) / np.sqrt(np.maximum(variance, 1e-12))
    return np.where(variance > 1e-9, norm.sf(z), 1.0)


def _rows(
    shown: csr_matrix,
    members: list[tuple[tuple[int, ...], tuple[int, ...]]],
    wrong: NDArray[np.bool_],
    stratum: NDArray[np.intp] | None,
) -> Rows[Slice]:
    p = _p(shown, wrong, stratum)
    size = shown.getnnz(axis=0).astype(np.int64)
    hit = np.rint(np.asarray(wrong.astype(np.float64) @ shown)).astype(np.int64)
    others = len(wrong) - size
    difference, low, high = newcombe(hit, size, wrong.sum() - hit, others)
    atoms, signs = np.empty(len(members), object), np.empty(len(members), object)
    atoms[:] = [m[0] for m in members]
    signs[:] = [m[1] for m in members]
    columns = {
        "atoms": atoms, "signs": signs, "size": size, "errors": hit,
        "rate": hit / np.maximum(size, 1), "rate_low": wilson(hit, size)[0],
        "difference": difference, "low": low, "high": high, "p": p, "q": bh(p),
    }  # fmt: skip
    order = np.lexsort((-difference, p))
    return Rows(Slice, {name: column[order] for name, column in columns.items()})
