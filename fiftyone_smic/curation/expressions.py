"""Expressions of atoms: ``snow & !people``, ``3*car | boat``, ``-night``."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from fiftyone_smic.curation.inputs import accepts_archives, as_codes
from fiftyone_smic.curation.results import UNSEEN, names_of, several


class ExpressionError(ValueError):
    """A mistake in an expression.

    Attributes:
        expression: what was given.
        position: where in it the mistake is, from 0.
    """

    def __init__(self, expression: str, position: int, problem: str) -> None:
        self.expression, self.position = expression, position
        marked = f"  {expression}\n  {' ' * position}^"
        super().__init__(f"at position {position}: {problem}\n{marked}")


@dataclass(frozen=True, eq=False)
class Match:
    """The items that an expression matches.

    Attributes:
        expression: what was asked.
        indices: (n,) matching items, the highest score first.
        scores: (n,) sum of weight times coefficient of what an item has of it.
        mask: (N,) bool, which items match.
    """

    expression: str
    indices: NDArray[np.intp]
    scores: NDArray[np.float64]
    mask: NDArray[np.bool_]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dict per match: rank, index, score."""
        pairs = zip(self.indices.tolist(), self.scores.tolist(), strict=True)
        return [{"rank": r, "index": i, "score": s} for r, (i, s) in enumerate(pairs)]

    def __str__(self) -> str:
        n = len(self.indices)
        if n == 0:
            return f"No item of {len(self.mask):,} matches {self.expression!r}.\n{UNSEEN}"
        shown = ", ".join(map(str, self.indices[:10])) + (", ..." if n > 10 else "")
        found = f"{several(n, 'item')} of {len(self.mask):,} match {self.expression!r}: {shown}"
        return f"{found}\n{UNSEEN}"


@accepts_archives
def match(codes: csr_matrix, expression: str, names: Sequence[str | None] | None = None) -> Match:
    """Find the items whose atoms satisfy an expression.

    ``&`` or ``and``, ``|`` or ``or``, ``!`` or ``not``, parentheses. A name stands for a positive
    coefficient of that atom, ``-name`` for a negative one: the item lacks what is common, which is
    more than not having it. ``3*name`` counts three times in the ranking. A name is written as it
    is, whatever is in it, or in quotes; ``atom 7`` and ``concept 7`` always work. Letter case does
    not matter.

    Args:
        codes: (N, K), or an archive.
        expression: as above.
        names: K names; None calls the atoms "atom 0", "atom 1", ...

    Raises:
        ExpressionError: a mistake, with its place: an unknown atom (with what is spelled alike), a
            missing parenthesis or operand, a name that several atoms have.
        ValueError: no codes, or another number of names.

    Example:
        >>> codes = csr_matrix([[1, 0, 2], [0, 1, -1], [3, 1, 0]])
        >>> match(codes, "snow & !people", ["snow", "people", "night"]).indices.tolist()
        [0]
        >>> match(codes, "-night | 2*snow", ["snow", "people", "night"]).indices.tolist()
        [2, 0, 1]
        >>> match(codes, "snow & poeple", ["snow", "people", "night"])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        fiftyone_smic.curation.expressions.ExpressionError: at position 7: there is no atom ...
    """
    c = as_codes(codes)
    parser = _Parser(expression, names_of(names, c.shape[1]), c.tocsc())
    mask, scores = parser.parse()
    chosen = np.flatnonzero(mask)
    order = np.argsort(-scores[chosen], kind="stable")
    return Match(expression, chosen[order], scores[chosen][order], mask)


_Value = tuple[NDArray[np.bool_], NDArray[np.float64]]
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*\*")
_INDEXED = re.compile(r"(?:atom|concept)\s+(\d+)", re.IGNORECASE)
_WORDS = re.compile(r"[^&|!~()*\"']+")
_AND, _OR = re.compile(r"&+|and\b", re.IGNORECASE), re.compile(r"\|+|or\b", re.IGNORECASE)
_NOT = re.compile(r"[!~]|not\b", re.IGNORECASE)
_CUT = re.compile(r"\s+(?:and|or)\b", re.IGNORECASE)


#: Parentheses within parentheses, so that the parser stays within Python's stack.
DEEPEST = 50


def _small(text: str) -> str:
    """A text in one form, whatever its letter case; a composed text keeps its length."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(c.lower() if len(c.lower()) == 1 else c for c in composed)


class _Parser:
    """Recursive descent over the text; a value is (which items, their scores)."""

    def __init__(self, text: str, names: list[str], columns: csc_matrix) -> None:
        if not isinstance(text, str):
            raise ValueError(f"an expression is a text like 'snow & !people', got {text!r}")
        self.text, self.at, self.depth = unicodedata.normalize("NFC", text), 0, 0
        self.small = _small(self.text)
        self.names, self.columns = names, columns
        self.places: dict[str, int] = {}
        self.shared: dict[str, list[int]] = {}
        for j, name in enumerate(names):
            first = self.places.setdefault(_small(name), j)
            if first != j:
                self.shared.setdefault(_small(name), [first]).append(j)
        self.longest = sorted(self.places, key=len, reverse=True)

    def parse(self) -> _Value:
        value = self.either()
        self.skip()
        if self.at < len(self.text):
            what = (
                "a closing parenthesis without an opening one"
                if self.peek() == ")"
                else (
                    f"{self.text[self.at :].split()[0]!r} does not continue the expression: join "
                    "atoms by & or |"
                )
            )
            raise self.error(what)
        return value

    def error(self, problem: str, at: int | None = None) -> ExpressionError:
        return ExpressionError(self.text, self.at if at is None else at, problem)

    def skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def peek(self) -> str:
        self.skip()
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str]) -> str | None:
        self.skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            return None
        self.at = found.end()
        return found.group()

    def either(self) -> _Value:
        mask, scores = self.both()
        while self.take(_OR):
            other, more = self.both()
            mask, scores = mask | other, scores * mask + more * other
        return mask, scores

    def both(self) -> _Value:
        mask, scores = self.negated()
        while self.take(_AND):
            other, more = self.negated()
            mask, scores = mask & other, scores + more
        return mask, scores

    def negated(self) -> _Value:
        times = 0
        # An atom may be called "not far" or "Northern lights".
        while self.known() is None and self.take(_NOT):
            times += 1
        mask, scores = self.weighted()
        if times:
            return mask ^ (times % 2 == 1), np.zeros_like(scores)
        return mask, scores

    def weighted(self) -> _Value:
        start = self.at
        weight = None if self.known() is not None else self.take(_NUMBER)
        factor = 1.0 if weight is None else float(weight.rstrip("*").strip())
        if not np.isfinite(factor):
            raise self.error("a weight must be a finite number", start)
        mask, scores = self.primary()
        return mask, factor * scores

    def primary(self) -> _Value:
        if self.peek() == "(":
            opened = self.at
            self.at += 1
            self.depth += 1
            if self.depth > DEEPEST:
                raise self.error(f"parentheses are nested deeper than {DEEPEST}", opened)
            value = self.either()
            if self.peek() != ")":
                raise self.error("this parenthesis is not closed", opened)
            self.at += 1
            self.depth -= 1
            return value
        sign = 1
        if self.known() is None and self.peek() in ("+", "-"):
            sign = -1 if self.peek() == "-" else 1
            self.at += 1
        return self.uses(self.atom(), sign)

    def known(self) -> tuple[int, int] | None:
        """The atom whose name stands here and where it ends; the longest name wins."""
        self.skip()
        for name in self.longest:
            if self.small.startswith(name, self.at):
                end = self.at + len(name)
                after = self.small[end : end + 1]
                if not (after.isalnum() or after == "_") or not name[-1:].isalnum():
                    return self.place(name, self.at), end
        return None

    def place(self, name: str, at: int) -> int:
        """The atom of a name that only one atom has."""
        if name in self.shared:
            atoms = [f"'atom {j}'" for j in self.shared[name]]
            raise self.error(
                f"{len(atoms)} atoms are called {self.names[self.places[name]]!r}: write "
                + " or ".join(atoms[:4]),
                at,
            )
        return self.places[name]

    def atom(self) -> int:
        found = self.known()
        if found is not None:
            self.at = found[1]
            return found[0]
        start, quote = self.at, self.peek()
        if quote in ('"', "'") and quote:
            end = self.text.find(quote, self.at + 1)
            if end < 0:
                raise self.error("this quotation is not closed")
            name = self.text[self.at + 1 : end]
            self.at = end + 1
        else:
            words = _WORDS.match(self.text, self.at)
            if words is None:
                what = "the end" if not quote else repr(quote)
                raise self.error(f"an atom is expected here and {what} comes")
            name = _CUT.split(words.group())[0].strip()
            self.at += len(name)
        indexed = _INDEXED.fullmatch(name.strip())
        if indexed and int(indexed.group(1)) < len(self.names):
            return int(indexed.group(1))
        if _small(name) in self.places:
            return self.place(_small(name), start)
        raise self.error(self.unknown(name), start)

    def unknown(self, name: str) -> str:
        near = difflib.get_close_matches(_small(name), self.longest, 3, 0.6)
        near = near or [n for n in self.longest if _small(name) in n][:3]
        spelled = " or ".join(repr(self.names[self.places[n]]) for n in near)
        hint = (
            f"did you mean {spelled}?"
            if near
            else (
                f"there are {len(self.names)}, from {self.names[0]!r} to {self.names[-1]!r}"
                if self.names
                else "this dictionary has none"
            )
        )
        return f"there is no atom {name!r}: {hint}"

    def uses(self, atom: int, sign: int) -> _Value:
        column = self.columns[:, atom]
        levels = np.zeros(self.columns.shape[0])
        levels[column.indices] = column.data
        mask = sign * levels > 0
        return mask, np.where(mask, np.abs(levels), 0.0)
