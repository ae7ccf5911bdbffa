"""Latents of objects: their crops are encoded, and read back as those of samples are."""

from __future__ import annotations

import logging
import time
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.collections import named
from fiftyone_smic.fiftyone.latent_rows import (
    Latents,
    LatentsReport,
    forget_adoption,
    in_parts,
    share,
    tell_of_other_pixels,
    usable_latents,
)
from fiftyone_smic.fiftyone.objects import OBJECT, Objects, find_objects
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.models.encoders import Encoder
from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity
from fiftyone_smic.utils.progress import stage

logger = logging.getLogger(__name__)

#: What an attribute of latents says about how the objects were cut out.
CUT = ("force_square", "alpha")


def compute(
    samples: SampleCollection,
    patches_field: str,
    name: str,
    model: Encoder,
    *,
    cut: dict[str, Any],
    batch_size: int,
    overwrite: bool,
    progress: Progress,
) -> LatentsReport:
    """Encode the crops of objects into an attribute of their labels.

    What ``compute_latents`` says of samples holds for objects too.

    Args:
        samples: A flat image collection.
        patches_field: A field of detections or polylines.
        name: The attribute to write.
        model: The encoder.
        cut: ``force_square`` and ``alpha``: how the objects are cut out.
        batch_size: Crops at a time.
        overwrite: Compute the latents that exist again.
        progress: See ``compute_latents``.

    Raises:
        ValueError: There are no objects, the attribute is of another kind, encoder or cut, or no
            crop could be made.
    """
    started = time.perf_counter()
    objects = find_objects(samples, patches_field)
    held = objects.values(name)
    check(objects, name, model.name, cut, held, overwrite)
    path = objects.path(name)
    if not overwrite:
        tell_of_other_pixels(path, objects.dataset.get_field(path))
    todo = [i for i, value in enumerate(held) if value is None or overwrite]
    kept = len(held) - len(todo)
    skipped: dict[str, str] = {}
    written = 0
    stage(progress, "Embedding objects")
    with reporting(progress, len(todo)) as report:
        try:
            for part, done in in_parts(len(todo), 4 * batch_size):
                rows, crops = [], []
                wanted = objects.crops(todo[part], **cut)
                for i, crop, why in wanted:
                    if crop is None:
                        skipped[objects.ids[i]] = why
                    else:
                        rows.append(i)
                        crops.append(crop)
                made = model.encode_images(
                    crops, batch_size=batch_size, progress=share(report, part, len(todo))
                )
                skipped.update({objects.ids[rows[i]]: why for i, why in made.failures.items()})
                chosen = [rows[int(i)] for i in made.indices]
                if chosen:
                    about = {"encoder": model.name, "source": model.source, **cut}
                    about["latent_norm"] = made.norm
                    declare(objects, name, about, clear=overwrite and not written)
                    objects.put(chosen, {name: list(made.latents)})
                    written += len(chosen)
                done()
        except BaseException:
            logger.warning(
                "Stopped: %d of %d objects are encoded and stay in %r; run it again to go on",
                written,
                len(todo),
                path,
            )
            raise
        if todo:
            report(1.0)
    if todo and not written and not kept:
        raise ValueError(
            f"none of the {len(todo)} objects could be cut out ({named(skipped)}); check that the "
            "samples' filepaths exist on this machine and that the boxes lie in the images"
        )
    if skipped:
        logger.warning("%d of %d objects skipped: %s", len(skipped), len(todo), named(skipped))
    if overwrite and fields.everything(objects.dataset).count(path) == written:
        forget_adoption(objects.dataset.get_field(path))
    seconds = time.perf_counter() - started
    return LatentsReport(path, model.name, model.dim, written, kept, skipped, seconds)


def check(
    objects: Objects,
    name: str,
    encoder: str,
    cut: dict[str, Any],
    held: list[Any],
    overwrite: bool,
) -> None:
    """Refuse to mix the latents of two encoders, or of two ways to cut, in one attribute.

    Args:
        objects: The objects.
        name: The attribute to write.
        encoder: Identity of the encoder of the new latents.
        cut: ``force_square`` and ``alpha`` of the new latents.
        held: What the objects have in the attribute.
        overwrite: Whether the new latents replace what is there.

    Raises:
        ValueError: The attribute holds others, or no vectors.
    """
    known = objects.dataset.get_field(objects.path(name))
    if known is None:
        return
    if not isinstance(known, fo.VectorField):
        raise ValueError(
            f"{objects.path(name)!r} holds {type(known).__name__} values, not vectors; choose "
            "another name for the latents"
        )
    info = known.info or {}
    same = EncoderIdentity.parse(info.get("encoder", UNKNOWN)).matches(encoder)
    if same and all(info.get(part, value) == value for part, value in cut.items()):
        return
    everywhere = fields.everything(objects.dataset).count(objects.path(name))
    inside = sum(value is not None for value in held)
    if everywhere and not (overwrite and everywhere == inside):
        raise ValueError(
            f"{objects.path(name)!r} holds latents of {info.get('encoder', UNKNOWN)!r} with "
            f"force_square={info.get('force_square')} and alpha={info.get('alpha')}, and these "
            f"would be of {encoder!r} with force_square={cut['force_square']} and "
            f"alpha={cut['alpha']}; choose another name, or overwrite those of the whole dataset"
        )


def declare(objects: Objects, name: str, about: dict[str, Any], *, clear: bool) -> None:
    """Add the attribute, and say what is in it; an attribute of the same encoder keeps its norm.

    Args:
        objects: The objects.
        name: The attribute that holds their latents.
        about: What is public about the latents, ``"latent_norm"`` and how they were cut among it.
        clear: Whether to remove latents of another encoder, or another cut, that are there.
    """
    objects.declare(name, fo.VectorField, description="SMIC: unit-norm latents of the objects")
    path = objects.path(name)
    stored = objects.dataset.get_field(path)
    former = stored.info or {}
    if all(former.get(part) == about[part] for part in ("encoder", "source", *CUT)):
        return
    if clear and former:
        objects.dataset.clear_sample_field(path)
        stored = objects.dataset.get_field(path)
    stored.info = {**former, **about, "latent_norm": float(about["latent_norm"])}
    stored.save()


def read(samples: SampleCollection, patches_field: str, name: str) -> tuple[Objects, Latents]:
    """Read the latents of objects, leaving out what cannot be used.

    Args:
        samples: A flat image collection.
        patches_field: A field of detections or polylines.
        name: The attribute that holds one vector for each.

    Returns:
        The objects, and the latents; their ids are label ids.

    Raises:
        ValueError: There is no such attribute, or none is usable.
    """
    objects = find_objects(samples, patches_field)
    path = objects.path(name)
    known = objects.dataset.get_field(path)
    if known is None:
        raise ValueError(
            f"the objects in {patches_field!r} have no latents {name!r}; compute them first with "
            f"fiftyone_smic.compute_latents(dataset, field={name!r}, "
            f"patches_field={patches_field!r})"
        )
    files = dict(zip(*samples.values(["id", "filepath"]), strict=True))
    paths = [files[sample_id] for sample_id in objects.sample_ids]
    rows = zip(objects.ids, paths, objects.values(name), strict=True)
    return objects, usable_latents(rows, len(objects.ids), path, known.info or {}, noun=OBJECT)


def positions(objects: Objects, ids: list[str]) -> np.ndarray:
    """Return the positions of labels among the objects."""
    place = {label_id: i for i, label_id in enumerate(objects.ids)}
    return np.array([place[label_id] for label_id in ids], np.int64)
