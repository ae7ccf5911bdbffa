"""Latents of a dataset's images, in a vector field that knows which encoder made them."""

from __future__ import annotations

import dataclasses
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.collections import image_samples, named, tell
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.models.encoders import default_encoder, load_encoder
from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity
from fiftyone_smic.utils.defaults import LATENTS_FIELD

logger = logging.getLogger(__name__)

#: Key of ``dataset.info`` by which a dataset says that it holds drawn postcards.
POSTCARDS = "smic_postcards"


@dataclass(frozen=True)
class LatentsReport:
    """What ``compute_latents`` did.

    Attributes:
        field: the sample field
        encoder: identity of the encoder
        dim: dimension of the latents
        computed: samples that got a latent
        kept: samples that had one already
        skipped: sample id -> file and reason, for images that could not be read
        seconds: wall time
    """

    field: str
    encoder: str
    dim: int
    computed: int
    kept: int
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0


def compute_latents(
    samples: SampleCollection,
    field: str = LATENTS_FIELD,
    encoder: str | None = None,
    *,
    batch_size: int = 32,
    num_workers: int = 0,
    device: str | None = None,
    precision: str = "fp32",
    overwrite: bool = False,
    progress: Progress = None,
) -> LatentsReport:
    """Encode the images of a collection into a vector field.

    Samples that have a latent keep it, unless ``overwrite``. Images that cannot be read are
    skipped, counted and named. The field's ``info`` records the encoder and the typical norm of
    its raw embeddings. Nothing is written before all images have been encoded.

    Args:
        samples: a dataset or view of images
        field: the field to write, unit-norm float32 vectors
        encoder: any ``"MODEL/PRETRAINED"`` of open_clip, ``"photographs"``, ``"postcards"`` (the
            embedded demonstration model, which knows nothing of photographs),
            ``"local-dir:/path"`` or ``"zoo:NAME"``. None takes the one that made the field, else
            what suits the pictures: "postcards" for postcards, "photographs" for anything else if
            its extra is installed, else a CLIP model
        batch_size: images at a time
        num_workers: processes that read images
        device: a torch device, by default the best there is
        precision: "fp32", or a half precision that open_clip knows
        overwrite: compute latents that are there again
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done

    Raises:
        ValueError: for an empty or non-image collection, a field of another kind or encoder, or
            if no image could be read
    """
    started = time.perf_counter()
    samples = image_samples(samples)
    _check_field(samples, field)
    dataset = samples._root_dataset
    encoder = encoder or suitable_encoder(samples, field)
    model = load_encoder(encoder, device=device, precision=precision)
    tell(model.notice)
    _check_encoder(samples, field, model.name, overwrite)

    ids, paths = samples.values(["id", "filepath"])
    todo = list(range(len(ids)))
    if dataset.has_sample_field(field) and not overwrite:
        present = samples.exists(field).values("id")
        done = set(present)
        todo = [i for i in todo if ids[i] not in done]
    kept = len(ids) - len(todo)
    if not todo:
        return LatentsReport(
            field, model.name, model.dim, 0, kept, seconds=time.perf_counter() - started
        )

    began = time.perf_counter()
    with reporting(progress, len(todo)) as report:
        made = model.encode_images(
            [paths[i] for i in todo],
            batch_size=batch_size,
            num_workers=num_workers,
            progress=report,
        )
    skipped = {
        ids[todo[i]]: f"{Path(paths[todo[i]]).name}: {why}" for i, why in made.failures.items()
    }
    if not len(made.indices) and not kept:
        raise ValueError(
            f"none of the {len(todo)} images could be read ({named(skipped)}); check that the "
            "samples' filepaths exist on this machine"
        )
    if skipped:
        logger.warning("%d of %d images skipped: %s", len(skipped), len(todo), named(skipped))

    new = not dataset.has_sample_field(field)
    try:
        # A field that is there keeps its norm: a dictionary may have been learned with it.
        _declare(
            dataset,
            field,
            {"encoder": model.name, "source": model.source, "latent_norm": float(made.norm)},
            (time.perf_counter() - began) / len(todo) if len(todo) >= 2 * batch_size else None,
        )
        fields.write(dataset, [ids[todo[i]] for i in made.indices], {field: list(made.latents)})
    except BaseException:
        if new and dataset.has_sample_field(field):
            dataset.delete_sample_field(field)
        raise
    return LatentsReport(
        field=field,
        encoder=model.name,
        dim=model.dim,
        computed=len(made.indices),
        kept=kept,
        skipped=skipped,
        seconds=time.perf_counter() - started,
    )


def suitable_encoder(samples: SampleCollection, field: str = LATENTS_FIELD) -> str:
    """The encoder to take where nobody chose one: that of the field, else what suits the pictures.

    Args:
        samples: a dataset or view
        field: the field to write

    Returns:
        a name for ``load_encoder``
    """
    dataset = samples._root_dataset
    known = dataset.get_field(field)
    about = EncoderIdentity.parse(((known and known.info) or {}).get("encoder", UNKNOWN))
    if about.known:
        return known.info.get("source", about.source)
    postcards = bool(dataset.info.get(POSTCARDS))
    return default_encoder(() if postcards else samples.values("filepath"), postcards=postcards)


def _check_field(samples: SampleCollection, name: str) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ValueError(
            f"{name!r} is not a valid field name; use letters, digits and underscores, like "
            "'clip_latents'"
        )
    existing = samples._root_dataset.get_field(name)
    if existing is not None and not isinstance(existing, fo.VectorField):
        raise ValueError(
            f"field {name!r} holds {type(existing).__name__} values, not vectors; choose another "
            "field for the latents"
        )


def _check_encoder(samples: SampleCollection, name: str, encoder: str, overwrite: bool) -> None:
    """Refuse to mix the latents of two encoders in one field."""
    dataset = samples._root_dataset
    existing = dataset.get_field(name)
    if existing is None:
        return
    made_by = (existing.info or {}).get("encoder", UNKNOWN)
    if EncoderIdentity.parse(made_by).matches(encoder):
        return
    held = dataset.exists(name)
    outside = len(held) - len(samples.select_fields().select(held.values("id")))
    if overwrite and not outside:
        return
    if overwrite:
        raise ValueError(
            f"{outside} samples outside this view have latents of encoder {made_by!r} in "
            f"{name!r}; overwrite the whole dataset, or choose another field"
        )
    if len(held):
        raise ValueError(
            f"field {name!r} holds latents of encoder {made_by!r} and these would be of "
            f"{encoder!r}; choose another field, or pass overwrite=True"
        )


def _declare(dataset: fo.Dataset, name: str, info: dict[str, Any], seconds: float | None) -> None:
    if not dataset.has_sample_field(name):
        dataset.add_sample_field(
            name, fo.VectorField, description="SMIC: unit-norm latents of the images"
        )
    stored = dataset.get_field(name)
    former = dict(stored.info or {})
    changes = dict(info) if former.get("encoder") != info["encoder"] else {}
    if seconds is not None:
        changes["seconds"] = seconds  # per image, for the next estimate
    if changes:
        stored.info = {**former, **changes}
        stored.save()


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
        encoder=info.get("encoder", UNKNOWN),
        source=info.get("source", UNKNOWN),
        norm=float(info.get("latent_norm", np.median(norms))),
        skipped=skipped,
    )
