"""How true drawings are: each is encoded again and compared with what it was drawn from."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass

import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import images_for, rebuilt_latents
from fiftyone_smic.fiftyone.collections import named, tell
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.objects import find_objects, noun, root_of
from fiftyone_smic.fiftyone.places import place_of
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.metrics import item_fidelity
from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.utils.defaults import KEY

logger = logging.getLogger(__name__)

#: Pictures after which what was measured is written.
WRITE_EVERY = 2000


@dataclass(frozen=True)
class DrawingsReport:
    """What :func:`measure_drawings` did.

    Attributes:
        key: Key of the dictionary.
        field: The field that was written, ``<key>_drawn_fidelity``.
        measured: Number of pictures encoded now.
        kept: Number of pictures that had been measured before.
        mean: Mean over the pictures measured now; NaN if there were none.
        skipped: Sample id -> file and reason, for pictures that could not be read.
        seconds: Wall time.
    """

    key: str
    field: str
    measured: int
    kept: int
    mean: float
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


@connected()
def measure_drawings(
    samples: SampleCollection,
    key: str = KEY,
    *,
    encoder: str | None = None,
    batch_size: int = 32,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> DrawingsReport:
    """Encode regenerated pictures again, and write how near each comes to its original.

    The field ``<key>_drawn_fidelity`` gets the cosine between the latent of the picture and the
    latent of the original image, the dictionary's mean removed from both: 1 is the same meaning, 0
    an unrelated one. Where the original's latent is not in the dataset, as after an import, the
    latent that the code stands for takes its place. What has been measured is written every 2,000
    pictures, and a run that is stopped goes on from there.

    Args:
        samples: A dataset or view. Samples without a regenerated picture are left out.
        key: Key of a dictionary of the dataset.
        encoder: Name to load the encoder by, needed for a local folder that moved; by default the
            one that made the latents.
        batch_size: Pictures per forward pass.
        device: A torch device, by default the best there is.
        overwrite: Measure again what has been measured.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        How many pictures were measured, and their mean.

    Raises:
        ValueError: The key is unknown, no sample has a regenerated picture, or the encoder of the
            latents is not known or not here.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.fiftyone import (
        ...     compute_latents, encode, learn_dictionary, load_postcards, measure_drawings,
        ...     regenerate,
        ... )
        >>> folder = tempfile.TemporaryDirectory()
        >>> dataset = load_postcards(
        ...     20, name="drawn-and-measured", directory=folder.name, progress=False
        ... )
        >>> _ = compute_latents(dataset, encoder="postcards", progress=False)
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = encode(dataset, progress=False)
        >>> report = regenerate(
        ...     dataset[:2], output_dir=folder.name, steps=1, device="cpu", progress=False
        ... )
        >>> measured = measure_drawings(dataset, progress=False)
        >>> measured.measured, -1 <= measured.mean <= 1
        (2, True)
        >>> dataset.delete(), folder.cleanup()
        (None, None)
    """
    started = time.perf_counter()
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dataset = samples._root_dataset
    place = place_of(dataset, key, config.patches_field)
    drawn = place.held(fields.REGENERATED) if place.has(fields.REGENERATED) else {}
    if drawn:
        here = samples.values("id")
        if config.patches_field is not None:
            here = find_objects(samples, config.patches_field).ids
        drawn = {i: drawn[i] for i in here if i in drawn}
    if not drawn:
        raise ValueError(
            f"no {noun(config.patches_field)} here has a picture drawn from its code of "
            f"dictionary {key!r}; run fiftyone_smic.regenerate(dataset, {key!r}) first"
        )
    model = load_matching(config.encoder, encoder or config.encoder_source, device=device)
    tell(model.notice)
    field, new = place.path(fields.DRAWN_FIDELITY), not place.has(fields.DRAWN_FIDELITY)
    place.declare(fields.DRAWN_FIDELITY)
    ids, paths = list(drawn), list(drawn.values())
    known = place.held(fields.DRAWN_FIDELITY)
    todo = [i for i in range(len(ids)) if overwrite or ids[i] not in known]
    mean = runs.load_dictionary(samples, key).mean_
    skipped: dict[str, str] = {}
    total: list[float] = []
    try:
        with reporting(progress, len(todo)) as report:
            for start in range(0, len(todo), WRITE_EVERY):
                part = todo[start : start + WRITE_EVERY]

                def of_part(done: float, start: int = start, part: list[int] = part) -> None:
                    report((start + done * len(part)) / len(todo))

                made = model.encode_images(
                    [paths[i] for i in part],
                    batch_size=batch_size,
                    progress=of_part,
                )
                skipped.update(
                    {ids[part[i]]: f"{paths[part[i]]}: {w}" for i, w in made.failures.items()}
                )
                chosen = [part[i] for i in made.indices]
                originals = _originals(samples, key, config, [ids[i] for i in chosen])
                rows = [row for row, i in enumerate(chosen) if ids[i] in originals]
                if rows:
                    true = np.stack([originals[ids[chosen[row]]] for row in rows])
                    values = item_fidelity(true, made.latents[rows], mean).tolist()
                    place.write([ids[chosen[row]] for row in rows], {fields.DRAWN_FIDELITY: values})
                    total += values
    except BaseException:
        if new and not total and place.has(fields.DRAWN_FIDELITY):
            dataset.delete_sample_field(field)
        raise
    if skipped:
        logger.warning("%d drawings could not be read: %s", len(skipped), named(skipped))
    return DrawingsReport(
        key=key,
        field=field,
        measured=len(total),
        kept=len(ids) - len(todo),
        mean=float(np.mean(total)) if total else float("nan"),
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )


def _originals(
    samples: SampleCollection, key: str, config: runs.SMICRunConfig, ids: list[str]
) -> dict[str, np.ndarray]:
    """Id -> unit-norm latent of the original, or else the one that the code stands for."""
    dataset = samples._root_dataset
    everywhere = fields.everything(dataset)
    if config.patches_field is None:
        chosen, path = everywhere.select(ids), config.latents_field
    else:
        chosen = everywhere.select_labels(ids=ids, fields=config.patches_field)
        path = f"{root_of(dataset, config.patches_field)}.{config.latents_field}"
    found: dict[str, np.ndarray] = {}
    if dataset.has_field(path) and chosen.count(path):
        latents = read_latents(chosen, config.latents_field, config.patches_field)
        found.update(zip(latents.ids, latents.values, strict=True))
    if len(found) < len(ids):
        rebuilt = dict(zip(*rebuilt_latents(chosen, key), strict=True))
        found = {**rebuilt, **found}
    return found
