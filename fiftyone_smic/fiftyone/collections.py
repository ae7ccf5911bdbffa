"""Reading a collection: is it one we can work on, and which of its latents can be used."""

from __future__ import annotations

import logging

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

logger = logging.getLogger(__name__)
_told: set[str] = set()


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
