"""Labels and atoms: which go together, and which labels look wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from fiftyone_smic.curation import classifying
from fiftyone_smic.curation.inference import (
    LEVEL,
    atom_and_sign,
    bh,
    fisher,
    newcombe,
    odds_ratio,
    uses,
)
from fiftyone_smic.curation.inputs import (
    accepts_archives,
    as_codes,
    check_count,
    check_groups,
    check_pair,
    column_of,
)
from fiftyone_smic.curation.results import (
    SHOWN,
    UNSEEN,
    NullRun,
    Rows,
    names_of,
    plain,
    several,
    signed,
    text_table,
)
from fiftyone_smic.dictionary.estimator import SemanticDictionary

#: Most tests (labels times atoms and signs) that are made at once.
MOST_TESTS = 4_000_000


class Association(NamedTuple):
    """One atom, sign and label.

    Attributes:
        label: value of the label.
        atom, sign: the atom, and whether its coefficient is positive (1) or negative (-1).
        inside, outside: share of the label's items, and of all others, that use it so.
        difference, low, high: inside - outside with its 95 % interval (Newcombe 1998).
        odds: odds ratio.
        bits: mutual information of using it so and having the label.
        p, q: Fisher's exact test, two-sided, and corrected for all tests made.
    """

    label: Any
    atom: int
    sign: int
    inside: float
    outside: float
    difference: float
    low: float
    high: float
    odds: float
    bits: float
    p: float
    q: float


@dataclass(frozen=True, eq=False)
class Associations:
    """What goes together with which label.

    Attributes:
        atoms: one row for each label, atom and sign that occurs, the most significant first.
        tests: number of tests the q-values are corrected for.
        names: K names of atoms.
        null: the same with labels permuted, or None.
    """

    atoms: Rows[Association]
    tests: int
    names: tuple[str, ...]
    null: NullRun | None = None

    @property
    def found(self) -> Rows[Association]:
        """The rows with q < 0.05."""
        return self.atoms[: int((self.atoms.column("q") < LEVEL).sum())]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per row, the atom's name among it."""
        return [{**row._asdict(), "name": self.names[row.atom]} for row in self.atoms]

    def __str__(self) -> str:
        found = self.found
        if not len(found):
            text = (
                f"No atom goes together with a label beyond chance ({self.tests:,} tests, smallest "
                f"q {self.atoms.column('q').min() if len(self.atoms) else 1:.2g})."
            )
        else:
            text = f"{several(len(found), 'association')} (q < {LEVEL:g} of {self.tests:,} tests):"
            for row in found[:SHOWN]:
                text += (
                    f"\n  {signed(self.names[row.atom], row.sign)!r} occurs in {row.inside:.0%} of "
                    f"{row.label!r} and {row.outside:.0%} of the rest ({row.difference:+.0%}, "
                    f"{row.low:+.0%} to {row.high:+.0%}), q = {row.q:.2g}"
                )
        return text + ("" if self.null is None else f"\n{self.null}") + f"\n{UNSEEN}"


@accepts_archives
def associations(
    codes: csr_matrix,
    labels: Sequence[Any],
    *,
    names: Sequence[str | None] | None = None,
    null: int = 0,
    seed: int = 0,
) -> Associations:
    """Test which atoms go together with which label.

    Each atom and sign is tested against each label by Fisher's exact test, and all tests are
    corrected together. An association that should not be there ("cow" with "grass") is a spurious
    correlation; its counter-examples are the items of the label without the atom.

    Args:
        codes: (N, K), or an archive.
        labels: N values, none missing, not all alike.
        names: K names of atoms, for printing.
        null: how many runs with permuted labels to make beside it.
        seed: of these.

    Raises:
        ValueError: no codes, labels missing or all alike, or so many values that more than
            :data:`MOST_TESTS` tests would be needed.

    Example:
        >>> codes = csr_matrix([[1, 0], [1, 0], [2, 1], [1, 0], [0, 1], [0, 1], [0, 1], [0, 0]] * 5)
        >>> labels = (["car"] * 4 + ["boat"] * 4) * 5
        >>> row = associations(codes, labels).atoms[0]
        >>> row.label, row.atom, row.sign, round(row.difference, 2)
        ('car', 0, 1, 1.0)
    """
    c = as_codes(codes, minimum=2)
    place, values = check_groups(labels, c.shape[0])
    called = tuple(names_of(names, c.shape[1]))
    shown = uses(c)
    used = np.flatnonzero(shown.getnnz(axis=0))
    tests = len(used) * (1 if len(values) == 2 else len(values))
    if tests > MOST_TESTS:
        raise ValueError(
            f"{len(values):,} labels times {len(used):,} atoms are {tests:,} tests, more than "
            f"{MOST_TESTS:,}: group the labels, or choose a view of fewer of them"
        )
    atoms = _associate(shown[:, used], used, c.shape[1], place, values)
    run = None
    if check_count(null, "null"):
        rng = np.random.default_rng(seed)
        qs = [_q_of(shown[:, used], rng.permutation(place), len(values))[0] for _ in range(null)]
        found = tuple(int((q < LEVEL).sum()) for q in qs)
        run = NullRun(null, found, tuple(float(q.min(initial=1)) for q in qs))
    return Associations(atoms, tests, called, run)


def _counts(
    shown: csr_matrix, place: NDArray[np.intp], groups: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(L, J) items of each label that use each column, (J,) of all, (L, 1) items of each label."""
    n = len(place)
    member = csr_matrix((np.ones(n, np.float32), (place, np.arange(n))), shape=(groups, n))
    inside = np.rint((member.astype(np.float64) @ shown).toarray()).astype(np.int64)
    return inside, inside.sum(axis=0), np.bincount(place, minlength=groups)[:, None]


def _q_of(
    shown: csr_matrix, place: NDArray[np.intp], groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    inside, total, sizes = _counts(shown, place, groups)
    p = fisher(inside, sizes, total - inside, len(place) - sizes)
    if groups == 2:  # both make the same test, whose p-values differ by rounding
        p = np.repeat(p[:1], 2, axis=0)
        return np.repeat(bh(p[:1]), 2, axis=0), p
    return bh(p), p


def _associate(
    shown: csr_matrix, used: NDArray, n_atoms: int, place: NDArray[np.intp], values: list[Any]
) -> Rows[Association]:
    inside, total, sizes = _counts(shown, place, len(values))
    q, p = _q_of(shown, place, len(values))
    outside, others = total - inside, len(place) - sizes
    difference, low, high = newcombe(inside, sizes, outside, others)
    atom, sign = (np.broadcast_to(a, p.shape) for a in atom_and_sign(used, n_atoms))
    columns = {
        "label": np.broadcast_to(column_of(values)[:, None], p.shape),
        "atom": atom,
        "sign": sign,
        "inside": inside / sizes,
        "outside": outside / others,
        "difference": difference,
        "low": low,
        "high": high,
        "odds": odds_ratio(inside, sizes, outside, others),
        "bits": _information(inside, sizes, outside, others),
        "p": p,
        "q": q,
    }
    # Of two labels the one that has more of it comes first.
    order = np.lexsort((-difference.ravel(), -np.abs(difference).ravel(), p.ravel()))
    return Rows(Association, {name: column.ravel()[order] for name, column in columns.items()})


def _information(a: NDArray, n_a: NDArray, b: NDArray, n_b: NDArray) -> NDArray[np.float64]:
    """Mutual information in bits of a 2 x 2 table."""
    n = n_a + n_b
    total = np.zeros(a.shape)
    for cell, row, column in (
        (a, n_a, a + b),
        (n_a - a, n_a, n - a - b),
        (b, n_b, a + b),
        (n_b - b, n_b, n - a - b),
    ):
        with np.errstate(divide="ignore", invalid="ignore"):
            part = cell / n * np.log2(cell * n / (row * column.astype(np.float64)))
        total += np.where(cell > 0, part, 0.0)
    return np.maximum(total, 0.0)


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """Labels that look wrong.

    Attributes:
        scores: (N,) 1 - the probability of the given label, by classifiers that did not see the
            item; NaN for labels that too few items have.
        suggested: N labels: the most probable one, which may be the given one.
        labels: N labels as given.
        unjudged: labels that fewer than 3 items have.
        accuracy: share of judged items whose label is the most probable one.
        chance: what the most frequent label alone gives.
    """

    scores: NDArray[np.float64]
    suggested: NDArray
    labels: NDArray
    unjudged: tuple[Any, ...]
    accuracy: float
    chance: float

    @property
    def indices(self) -> NDArray[np.intp]:
        """Items whose most probable label is another one, the most doubtful first."""
        wrong = np.flatnonzero((self.suggested != self.labels) & ~np.isnan(self.scores))
        return wrong[np.argsort(-self.scores[wrong], kind="stable")]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per doubtful item, the most doubtful first: index, score, label, suggested."""
        return [
            {"index": int(i), "score": float(self.scores[i]), "label": plain(self.labels[i]),
             "suggested": plain(self.suggested[i])}
            for i in self.indices
        ]  # fmt: skip

    def __str__(self) -> str:
        found = self.indices
        n = int((~np.isnan(self.scores)).sum())
        if not len(found):
            text = f"All {n:,} labels are the most probable ones: nothing looks wrong."
        else:
            text = f"{len(found):,} of {n:,} labels look wrong:\n"
            text += text_table(
                ("item", "label", "rather", "score"),
                [(str(i), str(self.labels[i]), str(self.suggested[i]), f"{self.scores[i]:.3f}")
                 for i in found[:SHOWN]],
            )  # fmt: skip
        text += (
            f"\nCodes tell {self.accuracy:.0%} of the labels, the most frequent one alone "
            f"{self.chance:.0%}."
        )
        if self.accuracy < (1 + self.chance) / 2:
            text += " So little that these doubts mean little: codes of more bits tell more."
        if self.unjudged:
            text += f"\nToo few items to judge: {', '.join(map(str, self.unjudged[:10]))}" + (
                ", ..." if len(self.unjudged) > 10 else ""
            )
        return text


@accepts_archives
def label_issues(
    codes: csr_matrix,
    labels: Sequence[Any],
    *,
    dictionary: SemanticDictionary | None = None,
    seed: int = 0,
) -> LabelIssues:
    """Score how doubtful each label is.

    Five-fold logistic regression gives each item probabilities that did not see its own label.
    Labels found doubtful are left out when the classifiers are fitted a second time, as in
    confident learning (Northcutt et al. 2021).

    Args:
        codes: (N, K), or an archive.
        labels: N values, none missing, not all alike. Values that fewer than 3 items have are not
            judged.
        dictionary: the one the codes were made with: with it, items are compared by what their
            atoms mean, which finds more. An archive brings its own.
        seed: of the folds.

    Raises:
        ValueError: no codes, labels missing or all alike, or so many values that there are fewer
            than 5 items for each.

    Example:
        >>> codes = csr_matrix(np.repeat(np.eye(3, dtype=int), 20, axis=0))
        >>> labels = np.repeat(["a", "b", "c"], 20)
        >>> labels[7] = "c"
        >>> issues = label_issues(codes, labels)
        >>> issues.indices.tolist(), issues.suggested[7].item()
        ([7], 'a')
    """
    c = as_codes(codes, minimum=2)
    if dictionary is not None:
        dictionary, c = check_pair(dictionary, c)
    if c.shape[1] == 0:
        raise ValueError(
            "the dictionary has no atoms, so codes tell no item from another: learn one with a "
            "smaller lam, on items that differ"
        )
    place, values = check_groups(labels, c.shape[0])
    if len(values) * 5 > c.shape[0]:
        raise ValueError(
            f"{len(values):,} different labels for {c.shape[0]:,} items are too many to judge: "
            "there must be 5 items for each on average; group the labels, or choose a field of "
            "classes"
        )
    counts = np.bincount(place)
    judged = counts[place] >= 3
    kept = np.flatnonzero(counts >= 3)
    if len(kept) < 2:
        raise ValueError(
            "fewer than two labels have 3 items or more, so none can be judged: label more items"
        )
    narrow = np.searchsorted(kept, place[judged])
    chances = classifying.probabilities(c[judged], narrow, len(kept), dictionary, seed)
    scores = np.full(len(place), np.nan)
    scores[judged] = 1 - chances[np.arange(len(narrow)), narrow]
    likely = place.copy()
    likely[judged] = kept[chances.argmax(axis=1)]
    named = column_of(values)
    accuracy = float((likely[judged] == place[judged]).mean())
    return LabelIssues(
        scores, named[likely], named[place], tuple(values[i] for i in np.flatnonzero(counts < 3)),
        accuracy, float(counts.max() / len(place)),
    )  # fmt: skip
