"""Latents on their way into a dataset, in parts, and out of it, as rows."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone.collections import named
from fiftyone_smic.models.identity import UNKNOWN
from fiftyone_smic.utils.vectors import scale_to_unit

logger = logging.getLogger(__name__)

#: Latents are written when there are this many of them, or after this many seconds.
WRITE_EVERY, WRITE_SECONDS = 2000, 60.0
#: The images that are encoded in one go take about this many seconds; a run that is stopped loses
#: the last of them.
PART_SECONDS = 10.0
#: From this cosine on, two embeddings of a picture are of the same encoder and the same pixels.
SAME_PIXELS = 0.995
#: Latents are read with a report after so many of them.
REPORT_EVERY = 5000


@dataclass(frozen=True)
class LatentsReport:
    """What ``compute_latents`` did.

    Attributes:
        field: The sample field.
        encoder: Identity of the encoder.
        dim: Dimension of the latents.
        computed: Samples, or objects, that got a latent.
        kept: Those that had one already.
        skipped: Id of a sample, or label -> file and reason, for images that could not be read.
        seconds: Wall time.
    """

    field: str
    encoder: str
    dim: int
    computed: int
    kept: int
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def in_parts(total: int, first: int) -> Iterator[tuple[slice, Callable[[], None]]]:
    """Yield slices of about :data:`PART_SECONDS` of work, and what to call when one is done."""
    start, size = 0, first
    while start < total:
        began = time.perf_counter()
        part = slice(start, min(total, start + size))

        def done(part: slice = part, began: float = began) -> None:
            nonlocal size
            each = (time.perf_counter() - began) / (part.stop - part.start)
            size = min(WRITE_EVERY, max(first // 4, int(PART_SECONDS / max(each, 1e-6))))

        yield part, done
        start = part.stop


def share(report: Callable[[float], None], part: slice, total: int) -> Callable[[float], None]:
    """Report the progress of a part as progress of all; 1 says that everything is written."""
    return lambda fraction: report(
        min(0.99, (part.start + fraction * (part.stop - part.start)) / total)
    )


def tell_of_other_pixels(name: str, field: fo.Field | None) -> None:
    """Log that new latents will differ from those that were adopted, if they will.

    Args:
        name: Path of the field, or attribute, of latents.
        field: What the schema says of it; None if it is not there yet.
    """
    cosine = ((field.info if field is not None else None) or {}).get("cosine", 1.0)
    if cosine < SAME_PIXELS:
        logger.warning(
            "The latents that were adopted into %r are of other preprocessing (cosine %.3f), so "
            "new ones will differ from them; overwrite=True computes all of them alike",
            name,
            cosine,
        )


def forget_adoption(field: fo.Field | None) -> None:
    """Take back what a field says about adopted embeddings, all of which have been replaced.

    Args:
        field: A field, or attribute, of latents; None if it is not there any more.
    """
    if field is not None and "adopted_from" in (field.info or {}):
        gone = ("adopted_from", "cosine")
        field.info = {part: value for part, value in field.info.items() if part not in gone}
        field.save()


@dataclass(frozen=True)
class Latents:
    """The usable latents of a collection.

    Attributes:
        ids: N sample ids.
        values: (N, d) float32, unit norm.
        encoder: Identity of the encoder that made them, "unknown" if the field does not say.
        source: The name that encoder was loaded by.
        norm: Typical norm before normalising.
        skipped: Sample id -> why it has no usable latent.
    """

    ids: list[str]
    values: np.ndarray
    encoder: str
    source: str
    norm: float
    skipped: dict[str, str]


def stream(samples: SampleCollection, name: str) -> Iterator[tuple[str, str, Any]]:
    """Yield id, file and vector, or None, of each sample, without holding more than a few.

    Args:
        samples: A flat image collection.
        name: One of its fields.
    """
    field = samples.get_field(name)
    shown = {"filepath": True, "value": f"${name}"}
    found = samples._dataset._sample_collection.aggregate(
        samples._pipeline(pipeline=[{"$project": shown}]), allowDiskUse=True, batchSize=1000
    )
    for row in found:
        held = row.get("value")
        yield (
            str(row["_id"]),
            row.get("filepath", ""),
            None if held is None else field.to_python(held),
        )


class Rows:
    """Vectors as rows of one array, which is as large as it must be from the start.

    Args:
        most: Largest number of vectors to expect; with more of them the array grows.
        what: Where they are from, for messages.
        noun: What they are called there.

    Attributes:
        ids: N ids of those that can be used.
        skipped: Id -> why it has no usable vector.
        sizes: The lengths that there are; rows are kept of the first one only.
    """

    def __init__(self, most: int, what: str, noun: str = "latent") -> None:
        self.ids: list[str] = []
        self.skipped: dict[str, str] = {}
        self.sizes: set[int] = set()
        self._most, self._what, self._noun = max(1, most), what, noun
        self._array = np.empty((0, 0), np.float32)

    def add(self, item: str, path: str, value: Any) -> None:
        """Take one vector, or note why it cannot be used."""
        reason = None
        try:
            row = None if value is None else _row(value)
        except (TypeError, ValueError):
            row, reason = None, f"{self._what!r} holds no list of numbers"
        if row is None or not row.size:
            reason = reason or f"no {self._noun} in {self._what!r}"
        elif not np.isfinite(row).all():
            reason = f"its {self._noun} has NaN or infinite entries"
        elif not row.any():
            reason = f"its {self._noun} is all zero"
        if row is None or reason is not None:
            self.skipped[item] = f"{Path(path).name}: {reason}"
            return
        self.sizes.add(len(row))
        if len(self.sizes) > 1:
            return
        if len(self.ids) == len(self._array):
            grown = np.empty((max(self._most, 2 * len(self._array)), len(row)), np.float32)
            if self.ids:
                grown[: len(self._array)] = self._array
            self._array = grown
        self._array[len(self.ids)] = row
        self.ids.append(item)

    @property
    def values(self) -> np.ndarray:
        """(N, d) float32, not copied."""
        return self._array[: len(self.ids)]


def _row(value: Any) -> np.ndarray:
    """A vector as float32; text that reads like numbers is none."""
    found = np.asarray(value)
    if found.dtype.kind not in "fiu" or not found.ndim:
        raise TypeError
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and that is refused
        return found.astype(np.float32).ravel()


def usable_latents(
    rows: Iterable[tuple[str, str, Any]],
    most: int,
    field: str,
    info: Mapping[str, Any],
    report: Callable[[float], None] = lambda fraction: None,
    *,
    noun: str = "sample",
) -> Latents:
    """Return those vectors that can be used as latents.

    Args:
        rows: Id, file, and vector or None.
        most: How many there are.
        field: Where they were read.
        info: What that field says about them.
        report: Gets the fraction done.
        noun: What has a vector: "sample" or "object".

    Raises:
        ValueError: The vectors differ in length, or none is usable.
    """
    found = Rows(most, field)
    for i, row in enumerate(rows):
        found.add(*row)
        if i % REPORT_EVERY == 0:
            report(min(1.0, i / max(1, most)))
    ids, skipped = found.ids, found.skipped
    total = len(ids) + len(skipped)
    if not ids:
        raise ValueError(
            f"none of the {total} {noun}s has a usable latent in {field!r} (the first: "
            f"{next(iter(skipped.values()))}); run compute_latents on them"
        )
    if len(found.sizes) > 1:
        raise ValueError(
            f"the vectors in {field!r} have different lengths {sorted(found.sizes)}, so they come "
            "from different encoders; compute them again with compute_latents(…, overwrite=True)"
        )
    values = found.values
    norms = scale_to_unit(values)
    if skipped:
        logger.warning("%d of %d %ss skipped: %s", len(skipped), total, noun, named(skipped))
    return Latents(
        ids=ids,
        values=values,
        encoder=info.get("encoder", UNKNOWN),
        source=info.get("source", UNKNOWN),
        norm=float(info.get("latent_norm", np.median(norms))),
        skipped=skipped,
    )
