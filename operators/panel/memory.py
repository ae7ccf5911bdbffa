"""What the server remembers of each window of the App that shows the panel.

The App keeps ``panel.state``, and loads its page again whenever it changes: filters of the sidebar
are lost then, and a click takes longer. So only choices that a workspace should keep are there.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

_MOST_WINDOWS = 100


class Step(NamedTuple):
    """One narrowing of the grid's view.

    Attributes:
        before: The stages of the view before it, or the name of a saved view.
        selected: Ids of the samples that were selected.
        after: A text that is the same for the same view after it.
        what: Says which samples these are.
    """

    before: str | list[dict[str, Any]]
    selected: list[str]
    after: str
    what: str


@dataclass
class Memory:
    """What is remembered of a window.

    Attributes:
        atom: Number of the atom that was clicked last, or None.
        page: Of Compare: what it pages through, how many, and the first of the page.
        list_page: Of the list of concepts: what it lists, and the first of the page.
        filters: Those of the sidebar when the panel's state was changed last, and when that was.
        steps: The narrowings that lead to what the grid shows. A view of many samples is too large
            to travel with the panel's state anyway.
    """

    atom: int | None = None
    page: list[Any] | None = None
    list_page: list[Any] | None = None
    filters: tuple[dict[str, Any], float] | None = None
    steps: list[Step] = field(default_factory=list)


_MEMORIES: OrderedDict[str, Memory] = OrderedDict()


def of(ctx: Any) -> Memory:
    """Return what is remembered of the window that an event comes from."""
    window = ctx.panel.state.window or ""
    found = _MEMORIES.setdefault(window, Memory())
    _MEMORIES.move_to_end(window)
    while len(_MEMORIES) > _MOST_WINDOWS:
        _MEMORIES.popitem(last=False)
    return found


def begin(window: str, former: str | None = None) -> None:
    """Remember nothing of a window, or what was remembered of it under its former name."""
    before = _MEMORIES.get(former or "") or Memory()
    _MEMORIES[window] = replace(before, steps=list(before.steps))
