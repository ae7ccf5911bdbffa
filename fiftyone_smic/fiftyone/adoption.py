"""Taking over what is there already: embeddings of other tools."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone.collections import named, tell
from fiftyone_smic.fiftyone.embedding_sources import Source, read_source
from fiftyone_smic.fiftyone.holders import Holder, holder_of
from fiftyone_smic.fiftyone.latent_rows import REPORT_EVERY, SAME_PIXELS, Rows
from fiftyone_smic.fiftyone.latents import check_field_name
from fiftyone_smic.fiftyone.objects import how_to_cut, images_of
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.identity import UNKNOWN
from fiftyone_smic.utils.defaults import LATENTS_FIELD
from fiftyone_smic.utils.progress import Portion, stage
from fiftyone_smic.utils.vectors import norms_of, scale_to_unit, unit

logger = logging.getLogger(__name__)

#: Below this cosine, the mean removed, two embeddings of a picture have nothing in common.
UNRELATED = 0.3


@dataclass(frozen=True)
class AdoptionReport:
    """What ``adopt_latents`` did.

    Attributes:
        field: The vector field that holds the latents now; for objects the path of the attribute.
        encoder: Identity of their encoder, "unknown" if nobody knows it.
        dim: Their dimension.
        adopted: Samples or objects whose embedding was taken over.
        cosine: Mean cosine between embeddings and what the encoder makes of the same pictures; None
            if nothing was compared.
        norm: Typical length of the encoder's raw output, which generators need.
        advice: What the user must know, or "".
        skipped: Id of a sample or label -> file and reason, where there is no usable embedding.
    """

    field: str
    encoder: str
    dim: int
    adopted: int
    cosine: float | None
    norm: float
    advice: str = ""
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


@connected()
def adopt_latents(
    samples: SampleCollection,
    source: str,
    field: str = LATENTS_FIELD,
    *,
    encoder: str | None = None,
    check: int = 8,
    device: str | None = None,
    overwrite: bool = False,
    patches_field: str | None = None,
    force_square: bool = False,
    alpha: float | None = None,
    progress: Progress = None,
) -> AdoptionReport:
    """Take embeddings that are there already as latents.

    If the encoder is named, or the source says which zoo model made the embeddings, some images
    are encoded and compared with them. That tells whether it was that encoder, and how long its
    raw output is, which generators need even where the embeddings have been normalised.

    Args:
        samples: A dataset or view of images.
        source: A field of vectors, arrays or lists of numbers, for objects such an attribute of
            their labels; or the brain key of a similarity run, or of a visualization run that has
            an ``embeddings_field``.
        field: The vector field to write. It may be the source itself, if that is a vector field.
        encoder: Name of the encoder as for ``compute_latents``, by default what the source says.
        check: How many images to encode and compare, spread over the collection. With 0 the named
            encoder is believed, which needs embeddings that have not been normalised.
        device: A torch device for the comparison, by default the best there is.
        overwrite: Replace latents that the field holds.
        patches_field: Take the embeddings of the objects in this field of detections or polylines;
            ``field`` is then an attribute of its labels.
        force_square: The boxes of the objects were made square before they were cut out.
        alpha: The boxes of the objects were made larger by this share of their width and height;
            a negative number made them smaller.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        What was taken over, and how well it fits the encoder.

    Raises:
        ValueError: The source is not there or holds no embeddings, or those of something else, the
            encoder did not make them, or the field holds something else. Nothing is changed then.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, "embeddings", progress=False)
        >>> how = {"encoder": "postcards", "check": 4, "progress": False}
        >>> report = smic.adopt_latents(dataset, "embeddings", **how)
        >>> report.adopted, round(report.cosine, 3)
        (12, 1.0)
    """
    check_field_name(field)
    cut = how_to_cut(patches_field, force_square, alpha)
    if isinstance(check, bool) or not isinstance(check, int) or check < 0:
        raise ValueError(f"check={check!r} is no number of images to compare; pass 0 or more")
    holder = holder_of(images_of(samples, patches_field), patches_field, cut)
    given = read_source(holder, source)
    with reporting(progress, len(holder)) as report:
        adopted = _adopt(holder, source, given, field, encoder, check, device, overwrite, report)
        report(1.0)
    return adopted


def _adopt(
    holder: Holder,
    source: str,
    given: Source,
    field: str,
    encoder: str | None,
    check: int,
    device: str | None,
    overwrite: bool,
    report: Callable[[float], None],
) -> AdoptionReport:
    """Read, compare and write embeddings, as :func:`adopt_latents` says."""
    stage(report, "Reading the embeddings")
    found = _usable(holder, given, source, Portion(report, 0.0, 0.4))
    ids, rows, skipped = found.ids, found.values, found.skipped
    length = float(np.median(norms_of(rows)))
    named_encoder = encoder or given.encoder
    identity, cosine, norm, advice = UNKNOWN, None, length, ""
    if named_encoder is None:
        advice = (
            f"Nobody knows which encoder made {source!r}. Dictionaries and codes work; pictures "
            "cannot be drawn and texts cannot be compared until it is named: adopt_latents(dataset,"
            f" {source!r}, encoder='MODEL/PRETRAINED'{_of(holder)})"
        )
    elif check > 0:
        identity, cosine, norm, advice = _probe(
            holder, ids, rows, source, named_encoder, check, device, asked=encoder is not None
        )
        advice = " ".join(part for part in (advice, given.note if cosine else "") if part)
    else:
        identity = named_encoder
        if abs(length - 1) < 1e-2:
            raise ValueError(
                f"the embeddings in {source!r} have been normalised, so the length that generators "
                "need can only come from a comparison: leave check=8, or do not name the encoder"
            )
    info = {
        "encoder": identity,
        "source": named_encoder or UNKNOWN,
        "latent_norm": norm,
        "adopted_from": source,
    }
    if cosine is not None:
        info["cosine"] = cosine
    stage(report, "Writing the embeddings")
    written = _write(
        holder, field, given.path, ids, rows, info, overwrite, Portion(report, 0.4, 0.99)
    )
    if advice:
        logger.warning(advice)
    if skipped:
        what = f"{len(skipped)} of {len(holder)} {holder.noun}s"
        logger.warning("%s skipped: %s", what, named(skipped))
    return AdoptionReport(
        holder.path(field), identity, rows.shape[1], written, cosine, norm, advice, skipped
    )


def _of(holder: Holder) -> str:
    """The argument that says which objects are meant, as one types it."""
    return f", patches_field={holder.patches_field!r}" if holder.patches_field else ""


def _usable(holder: Holder, given: Source, source: str, report: Callable[[float], None]) -> Rows:
    """Return the embeddings that can be used, and why the others cannot."""
    total = len(holder)
    found = Rows(total, source, "embedding")
    for i, row in enumerate(given.rows):
        found.add(*row)
        if i % REPORT_EVERY == 0:
            report(min(1.0, i / total))
    if not found.ids:
        raise ValueError(
            f"none of the {total} {holder.noun}s has a usable embedding in {source!r} "
            f"({named(found.skipped, 1)}); choose another source"
        )
    if len(found.sizes) > 1:
        raise ValueError(
            f"the embeddings in {source!r} have different lengths {sorted(found.sizes)}, so they "
            "come from different encoders; adopt those of one encoder, from a view of their "
            f"{holder.noun}s"
        )
    return found


def _probe(
    holder: Holder,
    ids: Sequence[str],
    rows: np.ndarray,
    source: str,
    encoder: str,
    check: int,
    device: str | None,
    *,
    asked: bool,
) -> tuple[str, float | None, float, str]:
    """Encode some images and compare; returns identity, cosine, raw length and advice."""
    length = float(np.median(norms_of(rows)))
    try:
        model = load_encoder(encoder, device=device)
    except Exception as error:  # weights that are not here, or no network
        if asked:
            raise
        why = f"which cannot be loaded here ({error})"
        return UNKNOWN, None, length, _unchecked(source, encoder, why)
    tell(model.notice)
    chosen, pictures = holder.pictures(ids, check)
    made = model.encode_images(pictures)
    if not len(made.indices) and not asked:
        why = f"and no picture of these {holder.noun}s could be read to compare"
        return UNKNOWN, None, length, _unchecked(source, encoder, why)
    if not len(made.indices):
        raise ValueError(
            f"no picture of these {holder.noun}s could be read, so {source!r} cannot be compared "
            f"with {encoder!r}; leave encoder out to adopt it as embeddings of an unknown encoder"
        )
    held = unit(rows[[chosen[int(i)] for i in made.indices]])
    if held.shape[1] != made.latents.shape[1]:
        raise ValueError(
            f"{encoder!r} did not make {source!r}: its embeddings have {made.latents.shape[1]} "
            f"dimensions and these have {held.shape[1]}; name the encoder that made them"
        )
    things = "objects" if holder.patches_field else "images"
    boxes = ", or boxes of another force_square or alpha" if holder.patches_field else ""
    cosine = float((held * made.latents).sum(axis=1).mean())
    if _centred(held, made.latents, cosine) < UNRELATED:
        raise ValueError(
            f"{encoder!r} did not make {source!r}: over {len(held)} {things} the cosine between "
            f"its embeddings and these is {cosine:.2f}, and their differences do not agree; name "
            "the encoder that made them, or leave it out"
        )
    advice = ""
    if cosine < SAME_PIXELS:
        advice = (
            f"The embeddings in {source!r} are near those of {encoder!r} but not the same (cosine "
            f"{cosine:.3f} over {len(held)} {things}): other preprocessing, such as pictures that "
            f"are squashed or not turned upright{boxes}. Pictures drawn from them may differ; "
            "compute_latents makes exact ones in another field."
        )
    return model.name, cosine, float(made.norm), advice


def _unchecked(source: str, encoder: str, why: str) -> str:
    """What the user must know of embeddings that only a field or run says an encoder of."""
    return (
        f"{source!r} is said to be of {encoder!r}, {why}, so it is taken as embeddings of an "
        "unknown encoder: pictures cannot be drawn and texts cannot be compared. Adopt it again "
        "where the encoder and the pictures are."
    )


def _centred(ours: np.ndarray, theirs: np.ndarray, cosine: float) -> float:
    """Return the mean cosine of differences from the mean.

    All embeddings of an encoder have a large part in common, so that those of different pictures
    are alike too. With fewer than three pictures, or equal ones, there are no differences.
    """
    a, b = ours - ours.mean(axis=0), theirs - theirs.mean(axis=0)
    if len(ours) < 3 or min(np.abs(a).max(), np.abs(b).max()) < 1e-4:
        return cosine
    return float((unit(a) * unit(b)).sum(axis=1).mean())


def _write(
    holder: Holder,
    name: str,
    source: str | None,
    ids: list[str],
    rows: np.ndarray,
    info: dict[str, Any],
    overwrite: bool,
    report: Callable[[float], None],
) -> int:
    existing = holder.field(name)
    if source == holder.path(name):
        if not isinstance(existing, fo.VectorField):
            raise ValueError(
                f"{name!r} is no vector field, so it cannot become one in place; give another "
                "field to write"
            )
        known = info["encoder"] != UNKNOWN
        holder.describe(name, info if known else {k: info[k] for k in info if k != "encoder"})
        return len(ids)
    if existing is not None and not isinstance(existing, fo.VectorField):
        raise ValueError(
            f"field {name!r} holds {type(existing).__name__} values, not vectors; choose another "
            "field for the latents"
        )
    if info["encoder"] == UNKNOWN and not overwrite and holder.held(name):
        raise ValueError(
            f"field {name!r} holds latents already and nobody knows which encoder made these, so "
            "they cannot be mixed; choose another field, name the encoder, or pass overwrite=True"
        )
    scale_to_unit(rows)
    return holder.put(name, ids, rows, info, overwrite, report)
