"""Reading a collection: is it one we can work on, and which of its latents can be used."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

logger = logging.getLogger(__name__)
_told: set[str] = set()

#: ``None`` follows FiftyOne's own setting, a bool shows or hides the bar, a function gets 0…1.
Progress = bool | Callable[[float], None] | None


def image_samples(samples: SampleCollection) -> SampleCollection:
    """The flat image collection to work on.

    A grouped dataset stands for its active slice.

    Raises:
        ValueError: if there are no samples, or they are not images
    """
    if not isinstance(samples, SampleCollection):
        raise ValueError(
            f"expected a FiftyOne dataset or view, got {type(samples).__name__}; "
            "load one with fiftyone.load_dataset(name)"
        )
    if samples._dataset._is_patches or samples._dataset._is_frames or samples._dataset._is_clips:
        raise ValueError(
            "patches, frames and clips views cannot hold SMIC codes; work on the images "
            "themselves, or save the view as a dataset of its own first: view.clone()"
        )
    if samples.media_type == fo.core.media.GROUP:
        if samples._is_dynamic_groups:
            raise ValueError(
                "this view groups samples dynamically; use the collection it was made from, or "
                "view.flatten()"
            )
        active = samples.group_slice
        logger.info("Using the active slice %r of the grouped dataset", active)
        samples = samples.select_group_slices(active)
    if len(samples) == 0:
        raise ValueError(
            "there are no samples here; choose another view, clear its filters, or add samples"
        )
    if samples.media_type == fo.core.media.VIDEO:
        raise ValueError(
            "this collection holds videos and SMIC works on images; sample frames into a dataset "
            "with dataset.to_frames(sample_frames=True, output_dir=…).clone()"
        )
    if samples.media_type != fo.core.media.IMAGE:
        raise ValueError(
            f"this collection holds {samples.media_type!r} media and SMIC works on images; choose "
            "a view or a group slice of images: dataset.select_group_slices('<slice of images>')"
        )
    return samples


@dataclass(frozen=True)
class Latents:
    """The usable latents of a collection.

    Attributes:
        ids: N sample ids
        values: N x d float32, unit norm
        encoder: identity of the encoder that made them, "unknown" if the field does not say
        source: the name that encoder was loaded by
        norm: typical norm before normalising
        skipped: sample id -> why it has no usable latent
    """

    ids: list[str]
    values: np.ndarray
    encoder: str
    source: str
    norm: float
    skipped: dict[str, str]


def read_latents(samples: SampleCollection, field: str) -> Latents:
    """Read a field of embeddings, leaving out what cannot be used.

    Args:
        samples: a flat image collection
        field: a sample field that holds one vector per sample

    Returns:
        latents in the collection's order; samples with no vector, or one with NaN, infinite or
        only zero entries are skipped and named

    Raises:
        ValueError: if there is no such field, its vectors differ in length, or none is usable
    """
    schema = samples.get_field_schema()
    there = [n for n, f in schema.items() if isinstance(f, fo.VectorField)]
    others = f", or use one of the vector fields {there}" if there else ""
    if field not in schema:
        raise ValueError(
            f"there is no field {field!r} here; compute latents first with "
            f"fiftyone_smic.compute_latents(dataset, field={field!r}){others}"
        )
    if isinstance(schema[field], (fo.StringField, fo.EmbeddedDocumentField)):
        raise ValueError(
            f"field {field!r} holds no vectors; compute latents into another field{others}"
        )
    ids, paths, rows = samples.values(["id", "filepath", field])
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
    info = schema[field].info or {}
    if skipped:
        logger.warning("%d of %d samples skipped: %s", len(skipped), len(ids), named(skipped))
    return Latents(
        ids=[ids[i] for i in kept],
        values=values / norms,
        encoder=info.get("encoder", "unknown"),
        source=info.get("source", "unknown"),
        norm=float(info.get("latent_norm", np.median(norms))),
        skipped=skipped,
    )


def tell(notice: str | None) -> None:
    """Log what a user must know about a model, once in a process."""
    if notice and notice not in _told:
        _told.add(notice)
        logger.warning(notice)


def named(skipped: dict[str, str], most: int = 5) -> str:
    """Reasons as one line, the first ``most`` of them in full."""
    reasons = list(skipped.values())
    more = f"; and {len(reasons) - most} more" if len(reasons) > most else ""
    return "; ".join(reasons[:most]) + more


@contextmanager
def reporting(progress: Progress, total: int) -> Iterator[Callable[[float], None]]:
    """Turn ``progress`` into a function that takes the fraction done.

    Args:
        progress: see :data:`Progress`
        total: number of samples, for FiftyOne's bar
    """
    if callable(progress):
        yield progress
        return
    with fo.ProgressBar(total=total, progress=progress) as bar:

        def report(fraction: float) -> None:
            bar.set_iteration(min(total, round(fraction * total)))

        yield report
