"""Reading a collection: is it one we can work on, and which of its latents can be used."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields

logger = logging.getLogger(__name__)

#: Samples that a view can list. In an order each takes 40 bytes of a database request, which holds
#: 16 MB.
MOST_LISTED = 350_000

_told: set[str] = set()


def image_samples(samples: SampleCollection) -> SampleCollection:
    """Return the flat image collection to work on, with all of its fields.

    A grouped dataset stands for its active slice.

    Args:
        samples: A dataset or view.

    Raises:
        ValueError: There are no samples, they are not images, or their files hold more than the
            samples.
    """
    if not isinstance(samples, SampleCollection):
        raise ValueError(
            f"expected a FiftyOne dataset or view, got {type(samples).__name__}; "
            "load one with fiftyone.load_dataset(name)"
        )
    of_videos = samples._root_dataset.media_type == fo.core.media.VIDEO
    if samples._dataset._is_patches and not of_videos:
        raise ValueError(
            "a view of patches cannot hold SMIC codes; work on the whole dataset instead, and for "
            "its objects name their field: patches_field=…"
        )
    within = samples._dataset
    if within._is_frames or within._is_clips or within._is_patches:
        raise ValueError(
            "views of frames and clips cannot hold SMIC codes; work on the images themselves: save "
            "sampled frames as a dataset of their own with "
            "dataset.to_frames(sample_frames=True).clone(), and their objects with it"
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
    if is_empty(samples):
        raise ValueError(
            "there are no samples here; choose another view, clear its filters, or add samples"
        )
    if samples.media_type == fo.core.media.VIDEO:
        raise ValueError(
            "this collection holds videos and SMIC works on images; sample frames into a dataset "
            "with dataset.to_frames(sample_frames=True, output_dir=…).clone()"
        )
    # FiftyOne calls the media of files without a known extension unknown; reading them decides.
    if samples.media_type not in (fo.core.media.IMAGE, fo.core.media.UNKNOWN):
        raise ValueError(
            f"this collection holds {samples.media_type!r} media and SMIC works on images; choose "
            "a view or a group slice of images: dataset.select_group_slices('<slice of images>')"
        )
    samples = all_fields(samples)
    _check_whole(samples)
    return samples


def is_empty(samples: SampleCollection) -> bool:
    """Return whether there are no samples.

    After its process was killed the database may take a collection for empty that is not, and
    FiftyOne believes it. Counting them then lets it know again.

    Args:
        samples: A dataset or view.
    """
    if len(samples):
        return False
    if count(samples) == 0:
        return True
    stored = samples._dataset._sample_collection
    stored.database.command("validate", stored.name)
    logger.warning(
        "The database was not closed properly and took dataset %r for empty; it is mended",
        samples._root_dataset.name,
    )
    return False


def count(samples: SampleCollection) -> int:
    """Return how many samples there are; ``len(dataset)`` is what the database estimates.

    Args:
        samples: A dataset or view.
    """
    return len(samples.mongo([{"$match": {}}]))


def _check_whole(samples: SampleCollection) -> None:
    """Refuse a dataset that was cloned from patches or frames, whose files hold more than that.

    Such a clone looks like any image dataset, but several samples share one file.
    """
    schema = samples.get_field_schema()
    from_view = isinstance(schema.get("sample_id"), fo.ObjectIdField)
    frames = isinstance(schema.get("frame_number"), fo.FrameNumberField)
    if from_view and frames and "frame_id" not in schema:
        first = samples.first().filepath
        if fo.core.media.get_media_type(first) == fo.core.media.VIDEO:
            raise ValueError(
                "this dataset was made from frames, but its files are whole videos "
                f"({first}); make it with dataset.to_frames(sample_frames=True, output_dir=…)"
                ".clone(), which writes a file for each frame"
            )
        return
    one = (fo.Detection, fo.Polyline)
    labels = {
        name: field.document_type
        for name, field in schema.items()
        if isinstance(field, fo.EmbeddedDocumentField) and issubclass(field.document_type, fo.Label)
    }
    boxes = [name for name, kind in labels.items() if issubclass(kind, one)]
    shared = boxes and len(samples.distinct("filepath")) < count(samples)
    if from_view or shared:
        box = (boxes or [*labels, "<the field of the boxes>"])[0]
        raise ValueError(
            "this dataset was made from patches: its files are whole images, of which each sample "
            f"is the part in {box!r}, and encoding would take the whole image for every part. Use "
            "the dataset of the images with patches_field=…, the field of the objects, or export "
            "the crops and make a dataset of those: samples.export(export_dir=…, "
            "dataset_type=fiftyone.types.ImageClassificationDirectoryTree, "
            f"label_field={box!r})"
        )


def listed(
    samples: SampleCollection, ids: Sequence[str], *, ordered: bool = True
) -> fo.DatasetView:
    """Return the samples of these ids.

    Args:
        samples: A dataset or view.
        ids: Sample ids.
        ordered: In the order of the ids; otherwise in that of the collection.

    Raises:
        ValueError: They are more than a view can list.
    """
    if len(ids) > MOST_LISTED:
        raise ValueError(
            f"these are {len(ids):,} samples, and a view can list {MOST_LISTED:,}; ask for fewer "
            "(k=…), or work on a part of the dataset at a time"
        )
    return samples.select(ids, ordered=ordered)


def all_fields(samples: SampleCollection) -> SampleCollection:
    """Return the same samples, each once, without the stages of the view that hide fields.

    A view that was concatenated may hold a sample twice, which would then be its own duplicate.

    Args:
        samples: A dataset or view.
    """
    hiding = (fo.SelectFields, fo.ExcludeFields)
    if not isinstance(samples, fo.DatasetView) or not any(
        isinstance(stage, (*hiding, fo.Concat)) for stage in samples._all_stages
    ):
        return samples
    if any(isinstance(stage, fo.Concat) for stage in samples._all_stages):
        ids = samples.values("id")
        if len(set(ids)) < len(ids):
            return fields.everything(samples._root_dataset).select(
                list(dict.fromkeys(ids)), ordered=True
            )
    shown: SampleCollection = samples._base_view
    for stage in samples._stages:
        if not isinstance(stage, hiding):
            shown = shown.add_stage(stage)
    return shown


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
