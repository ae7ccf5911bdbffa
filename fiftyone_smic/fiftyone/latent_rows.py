"""Latents on their way into a dataset, in parts, and out of it, as rows."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.fiftyone.collections import named
from fiftyone_smic.models.identity import UNKNOWN

logger = logging.getLogger(__name__)

#: Latents are written when there are this many of them, or after this many seconds.
WRITE_EVERY, WRITE_SECONDS = 2000, 60.0
#: The images that are encoded in one go take about this many seconds; a run that is stopped loses
#: the last of them.
PART_SECONDS = 10.0


@dataclass(frozen=True)
class LatentsReport:
    """What ``compute_latents`` did.

    Attributes:
        field: The sample field.
        encoder: Identity of the encoder.
        dim: Dimension of the latents.
        computed: Samples that got a latent.
        kept: Samples that had one already.
        skipped: Sample id -> file and reason, for images that could not be read.
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


def usable_latents(
    ids: Sequence[str],
    paths: Sequence[str],
    rows: Sequence[Any],
    field: str,
    info: Mapping[str, Any],
) -> Latents:
    """Return those vectors that can be used as latents.

    Args:
        ids: N ids.
        paths: N files.
        rows: N vectors or None.
        field: Where they were read.
        info: What that field says about them.

    Raises:
        ValueError: The vectors differ in length, or none is usable.
    """
    skipped: dict[str, str] = {}
    kept: list[int] = []
    vectors = []
    for i, row in enumerate(rows):
        reason = None
        if row is None:
            reason = f"no latent in {field!r}"
        else:
            vector = np.asarray(row, dtype=np.float32).ravel()
            if not np.isfinite(vector).all():
                reason = "its latent has NaN or infinite entries"
            elif not vector.any():
                reason = "its latent is all zero"
        if reason:
            skipped[ids[i]] = f"{Path(paths[i]).name}: {reason}"
        else:
            kept.append(i)
            vectors.append(vector)
    if not kept:
        raise ValueError(
            f"none of the {len(ids)} samples has a usable latent in {field!r} (the first: "
            f"{next(iter(skipped.values()))}); run compute_latents on them"
        )
    sizes = sorted({len(v) for v in vectors})
    if len(sizes) > 1:
        raise ValueError(
            f"the vectors in {field!r} have different lengths {sizes}, so they come from "
            "different encoders; compute them again with compute_latents(…, overwrite=True)"
        )
    values = np.stack(vectors)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    if skipped:
        logger.warning("%d of %d samples skipped: %s", len(skipped), len(ids), named(skipped))
    return Latents(
        ids=[ids[i] for i in kept],
        values=values / norms,
        encoder=info.get("encoder", UNKNOWN),
        source=info.get("source", UNKNOWN),
        norm=float(info.get("latent_norm", np.median(norms))),
        skipped=skipped,
    )
