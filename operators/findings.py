"""What curation found, kept for the panel and for the buttons that go on from there."""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import fiftyone as fo

#: Findings kept: those of a few datasets. A report holds the codes that it was computed from.
_MOST = 24
_KEPT: OrderedDict[str, Finding] = OrderedDict()


class Strip(NamedTuple):
    """Pictures in a row: a title, sample ids, and what stands below each."""

    title: str
    ids: tuple[str, ...]
    captions: tuple[str, ...] = ()


class Share(NamedTuple):
    """A bar: whose share it is, the share from 0 to 1, and the part that a click shows.

    Attributes:
        label: Whose share it is.
        share: From 0 to 1.
        part: A view of the report, or None.
        what: Which samples these are, as it goes on after "The grid shows the 12 samples".
    """

    label: str
    share: float
    part: str | None = None
    what: str = ""


class Cause(NamedTuple):
    """A sentence about concepts, with its bars.

    Attributes:
        sentence: In Markdown.
        atoms: Number, sign ("has" or "lacks") and name of each concept that it speaks of.
        shares: Bars to compare.
    """

    sentence: str
    atoms: tuple[tuple[int, str, str], ...]
    shares: tuple[Share, ...]


class Outcome(NamedTuple):
    """What a finding shows of itself.

    Attributes:
        text: Sentences in Markdown.
        strips: Pictures.
        causes: Concepts with bars.
        curve: (k,) shares by the number chosen, or nothing.
        parts: Names of the report's views that are of use by themselves -> label.
    """

    text: str
    strips: tuple[Strip, ...] = ()
    causes: tuple[Cause, ...] = ()
    curve: tuple[float, ...] = ()
    parts: Mapping[str, str] = MappingProxyType({})


@dataclass
class Finding:
    """What an operator found.

    Attributes:
        card: The card of the panel that shows it.
        operator: Its name.
        title: What was asked.
        key, digest: The dictionary.
        report: Of the library.
        outcome: What is shown of it.
        id: Names it.
    """

    card: str
    operator: str
    title: str
    key: str
    digest: str
    report: Any
    outcome: Outcome
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def part(self, name: str | None) -> fo.DatasetView:
        """Return a view of the report, or all that was found; of samples that are still there."""
        if not name:
            return self.report.view
        if name not in self.report.views:
            raise ValueError(f"this finding has no part {name!r}; run the operator again")
        return self.report.views[name]

    def grouped(self) -> fo.DatasetView:
        """Return near duplicates grouped by the one to keep, which are written for it."""
        from fiftyone_smic.fiftyone import fields

        name = fields.field_name(self.key, fields.DUPLICATE_OF)
        if name not in self.report.fields:
            self.report = self.report.save(field=True)
        return self.report.view.group_by(name)


def remember(dataset: fo.Dataset, finding: Finding) -> None:
    """Keep a finding in place of the card's former one."""
    where = _place(dataset, finding.key)
    for name, other in list(_KEPT.items()):
        if name.startswith(f"{where}/") and other.card == finding.card:
            del _KEPT[name]
    _KEPT[f"{where}/{finding.id}"] = finding
    while len(_KEPT) > _MOST:
        _KEPT.popitem(last=False)


def of_card(dataset: fo.Dataset, key: str, card: str) -> Finding | None:
    """Return what a card found last with a dictionary that is still the same."""
    from fiftyone_smic.fiftyone.runs import load_config

    where = _place(dataset, key)
    kept = [f for name, f in _KEPT.items() if name.startswith(f"{where}/") and f.card == card]
    if not kept or kept[-1].digest != load_config(dataset, key).digest:
        return None
    return kept[-1]


def get(dataset: fo.Dataset, name: str) -> Finding:
    """Return a finding by its id.

    Raises:
        ValueError: It is no longer kept.
    """
    for path, finding in _KEPT.items():
        if path.startswith(f"{dataset._doc.id}/") and finding.id == name:
            return finding
    raise ValueError("This result is no longer there; run the search again")


def forget(name: str) -> None:
    """Drop a finding, as after its samples were deleted."""
    for path in [path for path, finding in _KEPT.items() if finding.id == name]:
        del _KEPT[path]


def _place(dataset: fo.Dataset, key: str) -> str:
    return f"{dataset._doc.id}/{key}"
