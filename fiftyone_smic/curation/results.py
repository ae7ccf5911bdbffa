"""What every result of curation shares: rows, text tables, and null runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

RowT = TypeVar("RowT", bound=NamedTuple)

#: How many rows of a table ``str()`` shows.
SHOWN = 10
#: What no result from codes alone can show; ``str()`` of each of them ends with it.
UNSEEN = "Only what the codes keep is seen here: finer differences between items are not."


class Rows(Sequence[RowT], Generic[RowT]):
    """A table kept as columns, whose rows are made when they are asked for.

    Args:
        row_type: NamedTuple of one row.
        columns: name -> (n,) values, one entry for each field of ``row_type``.

    Example:
        >>> class Point(NamedTuple):
        ...     x: int
        ...     y: float
        >>> rows = Rows(Point, {"x": np.array([1, 2]), "y": np.array([0.5, 0.25])})
        >>> rows[1].y, len(rows), rows.column("x").sum().item()
        (0.25, 2, 3)
    """

    def __init__(self, row_type: type[RowT], columns: Mapping[str, Any]) -> None:
        self._row = row_type
        self._columns = [np.asarray(columns[name]) for name in row_type._fields]

    def __len__(self) -> int:
        return len(self._columns[0])

    @overload
    def __getitem__(self, index: int) -> RowT: ...
    @overload
    def __getitem__(self, index: slice) -> Rows[RowT]: ...
    def __getitem__(self, index: int | slice) -> RowT | Rows[RowT]:
        if isinstance(index, slice):
            named = zip(self._row._fields, self._columns, strict=True)
            return Rows(self._row, {name: column[index] for name, column in named})
        return self._row(*(plain(column[index]) for column in self._columns))

    def __iter__(self) -> Iterator[RowT]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"Rows of {len(self)} {self._row.__name__}"

    def column(self, name: str) -> NDArray:
        """One column as an array."""
        return self._columns[self._row._fields.index(name)]

    def to_rows(self) -> list[dict[str, Any]]:
        """The rows as dicts of plain Python values."""
        return [row._asdict() for row in self]


def plain(value: Any) -> Any:
    """A number of NumPy as one of Python, anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


@dataclass(frozen=True)
class NullRun:
    """What the same test finds where there is nothing to find: labels, errors or sides permuted.

    Attributes:
        runs: number of permuted runs.
        found: (runs,) how many discoveries each run made.
        least_q: (runs,) smallest q-value of each run.
    """

    runs: int
    found: tuple[int, ...]
    least_q: tuple[float, ...]

    def __str__(self) -> str:
        false = sum(n > 0 for n in self.found)
        return (
            f"Null run: with what is tested permuted, {false} of {self.runs} runs found anything "
            f"(smallest q {min(self.least_q):.2g})."
        )


def names_of(names: Sequence[str | None] | None, n_atoms: int) -> list[str]:
    """K names for printing: those given, "atom 7" where there is none.

    Raises:
        ValueError: the number of names is not K.
    """
    if names is None:
        return [f"atom {j}" for j in range(n_atoms)]
    if len(names) != n_atoms:
        raise ValueError(f"{len(names)} names were given for {n_atoms} atoms: give one for each")
    wrong = [name for name in names if name is not None and not isinstance(name, str)]
    if wrong:
        raise ValueError(f"names of atoms are texts or None, and one is {wrong[0]!r}")
    return [name or f"atom {j}" for j, name in enumerate(names)]


def signed(name: str, sign: int) -> str:
    """An atom and a sign as words: a negative coefficient says what an item lacks."""
    return name if sign > 0 else f"not {name}"


def several(n: int, thing: str, plural: str | None = None) -> str:
    """A count with its noun.

    Example:
        >>> several(1, "item"), several(1200, "item")
        ('1 item', '1,200 items')
    """
    return f"{n:,} {thing if n == 1 else plural or thing + 's'}"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of text, aligned."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in (header, *rows)]
    return "\n".join(line.rstrip() for line in lines)
