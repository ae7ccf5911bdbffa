"""Atoms that few items use, and pairs of atoms that seldom or often occur together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation.inference import LEVEL, atom_and_sign, bh, over, under, uses
from fiftyone_smic.curation.inputs import accepts_archives, as_codes, check_count
from fiftyone_smic.curation.results import SHOWN, UNSEEN, Rows, names_of, several, signed


class RareAtom(NamedTuple):
    """One atom and sign: how many items use it, and which share of all that is."""

    atom: int
    sign: int
    items: int
    share: float


class AtomPair(NamedTuple):
    """Two atoms with signs that occur together.

    Attributes:
        atom, sign, other, other_sign: the two.
        items: how many items use both.
        expected: how many would if they were independent.
        lift: items / expected.
        p, q: exact test of the nearer tail, doubled, and corrected for all pairs of atoms.
    """

    atom: int
    sign: int
    other: int
    other_sign: int
    items: int
    expected: float
    lift: float
    p: float
    q: float


@dataclass(frozen=True, eq=False)
class Rarity:
    """What is rare.

    Attributes:
        scores: (N,) bits of the rarest atom of each item: -log2 of the share of items that use it.
        atoms: atoms and signs that at most ``fewest`` items use, the rarest first.
        pairs: pairs that occur together seldom (lift < 1) or often (lift > 1), both beyond chance,
            the most significant first.
        fewest: the bar for rare atoms.
        names: K names of atoms.
    """

    scores: NDArray[np.float64]
    atoms: Rows[RareAtom]
    pairs: Rows[AtomPair]
    fewest: int
    names: tuple[str, ...]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per rare atom, then one per pair; "kind" says which."""
        atoms = [
            {"kind": "atom", **row._asdict(), "name": self.names[row.atom]} for row in self.atoms
        ]
        pairs = [
            {"kind": "pair", **row._asdict(), "name": self.names[row.atom],
             "other_name": self.names[row.other]}
            for row in self.pairs
        ]  # fmt: skip
        return atoms + pairs

    def __str__(self) -> str:
        lines = []
        if len(self.atoms):
            lines.append(
                f"{several(len(self.atoms), 'atom')} (each sign by itself) with {self.fewest} "
                "items or fewer:"
            )
            lines += [
                f"  {signed(self.names[r.atom], r.sign)!r}: {several(r.items, 'item')}"
                for r in self.atoms[:SHOWN]
            ]
        else:
            lines.append(f"Every atom is used by more than {several(self.fewest, 'item')}.")
        if len(self.pairs):
            lines.append(f"{several(len(self.pairs), 'pair')} of atoms are no coincidence:")
            lines += [
                f"  {signed(self.names[r.atom], r.sign)!r} with "
                f"{signed(self.names[r.other], r.other_sign)!r}: {several(r.items, 'item')}, "
                f"{r.expected:.1f} expected, q = {r.q:.2g}"
                for r in self.pairs[:SHOWN]
            ]
        else:
            lines.append("No pair of atoms occurs together more or less often than by chance.")
        return "\n".join([*lines, UNSEEN])


@accepts_archives
def rare(
    codes: csr_matrix,
    fewest: int | None = None,
    *,
    names: Sequence[str | None] | None = None,
) -> Rarity:
    """Find rare atoms, and pairs of atoms that are rare or frequent together beyond chance.

    Outliers that are alike have an atom of their own, which shows here and not among
    :func:`~fiftyone_smic.curation.outliers`.

    Args:
        codes: (N, K), or an archive.
        fewest: an atom is rare if this many items or fewer use it with that sign; by default 1 % of
            the items, at least 3.
        names: K names of atoms, for printing.

    Raises:
        ValueError: no codes, or a bar below 1.

    Example:
        >>> codes = csr_matrix([[1, 0, 0]] * 8 + [[1, 1, 0]] * 8 + [[0, 1, 1]])
        >>> row = rare(codes).atoms[0]
        >>> row.atom, row.items
        (2, 1)
    """
    c = as_codes(codes)
    n = c.shape[0]
    bar = max(3, n // 100) if fewest is None else check_count(fewest, "fewest", 1)
    called = tuple(names_of(names, c.shape[1]))
    shown = uses(c)
    counts = shown.getnnz(axis=0).astype(np.int64)
    bits = -np.log2(np.maximum(counts, 1) / n)
    scores = np.zeros(n)
    rows = np.repeat(np.arange(n), np.diff(shown.indptr))
    np.maximum.at(scores, rows, bits[shown.indices])
    few = np.flatnonzero((counts > 0) & (counts <= bar))
    few = few[np.argsort(counts[few], kind="stable")]
    atom, sign = atom_and_sign(few, c.shape[1])
    atoms = Rows(
        RareAtom, {"atom": atom, "sign": sign, "items": counts[few], "share": counts[few] / n}
    )
    return Rarity(scores, atoms, _pairs(shown, counts, c.shape[1]), bar, called)


def _pairs(shown: csr_matrix, counts: NDArray[np.int64], n_atoms: int) -> Rows[AtomPair]:
    n = shown.shape[0]
    together = (shown.T @ shown).tocoo()
    upper = together.row < together.col
    one, other = together.row[upper], together.col[upper]
    # An item cannot have both signs of one atom: that pair never occurs, so it is not met here.
    both = np.rint(together.data[upper]).astype(np.int64)
    k, m = counts[one], counts[other]
    expected = k * m / n
    above = both > expected
    p = np.ones(len(both))
    p[above] = over(both[above], n, k[above], m[above])
    p[~above] = under(both[~above], n, k[~above], m[~above])
    p = np.minimum(1, 2 * p)
    used = int((counts > 0).sum())
    # Pairs that never occur are tests too, of the largest p-values as far as this list goes.
    all_pairs = max(used * (used - 1) // 2, len(p))
    q = bh(np.concatenate([p, np.ones(all_pairs - len(p))]))[: len(p)]
    kept = np.flatnonzero(q < LEVEL)
    kept = kept[np.lexsort((-np.abs(np.log(both[kept] / expected[kept])), p[kept]))]
    atom, sign = atom_and_sign(one[kept], n_atoms)
    second, second_sign = atom_and_sign(other[kept], n_atoms)
    columns = {
        "atom": atom, "sign": sign, "other": second, "other_sign": second_sign,
        "items": both[kept], "expected": expected[kept], "lift": both[kept] / expected[kept],
        "p": p[kept], "q": q[kept],
    }  # fmt: skip
    return Rows(AtomPair, columns)
