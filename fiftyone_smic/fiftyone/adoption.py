"""Taking over what is there already: embeddings of other tools, dictionaries of cloned datasets."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.collections import image_samples, named, tell
from fiftyone_smic.fiftyone.latent_rows import REPORT_EVERY, Rows, stream
from fiftyone_smic.fiftyone.latents import (
    SAME_PIXELS,
    check_encoder,
    check_field_name,
    declare_latents,
    describe,
)
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity
from fiftyone_smic.utils.defaults import LATENTS_FIELD
from fiftyone_smic.utils.progress import Portion, stage
from fiftyone_smic.utils.vectors import unit

logger = logging.getLogger(__name__)

#: Below this cosine, the mean removed, two embeddings of a picture have nothing in common.
UNRELATED = 0.3

#: Weights of FiftyOne's zoo and of the Hugging Face hub, as open_clip calls them.
_HUB = {
    "openai/clip-vit-base-patch32": "ViT-B-32/openai",
    "openai/clip-vit-base-patch16": "ViT-B-16/openai",
    "openai/clip-vit-large-patch14": "ViT-L-14/openai",
    "openai/clip-vit-large-patch14-336": "ViT-L-14-336/openai",
    "laion/CLIP-ViT-B-32-laion2B-s34B-b79K": "ViT-B-32/laion2b_s34b_b79k",
    "laion/CLIP-ViT-L-14-laion2B-s32B-b82K": "ViT-L-14/laion2b_s32b_b82k",
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": "ViT-H-14/laion2b_s32b_b79k",
    "laion/CLIP-ViT-bigG-14-laion2B-39B-b160k": "ViT-bigG-14/laion2b_s39b_b160k",
}


@dataclass(frozen=True)
class AdoptionReport:
    """What ``adopt_latents`` did.

    Attributes:
        field: The vector field that holds the latents now.
        encoder: Identity of their encoder, "unknown" if nobody knows it.
        dim: Their dimension.
        adopted: Samples whose embedding was taken over.
        cosine: Mean cosine between embeddings and what the encoder makes of the same files; None
            if nothing was compared.
        norm: Typical length of the encoder's raw output, which generators need.
        advice: What the user must know, or "".
        skipped: Sample id -> file and reason, for samples without a usable embedding.
    """

    field: str
    encoder: str
    dim: int
    adopted: int
    cosine: float | None
    norm: float
    advice: str = ""
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)


def adopt_latents(
    samples: SampleCollection,
    source: str,
    field: str = LATENTS_FIELD,
    *,
    encoder: str | None = None,
    check: int = 8,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> AdoptionReport:
    """Take embeddings that are there already as latents.

    If the encoder is named, or the source says which zoo model made the embeddings, some images
    are encoded and compared with them. That tells whether it was that encoder, and how long its
    raw output is, which generators need even where the embeddings have been normalised.

    Args:
        samples: A dataset or view of images.
        source: A field of vectors, arrays or lists of numbers; or the brain key of a similarity
            run, or of a visualization run that has an ``embeddings_field``.
        field: The vector field to write. It may be the source itself, if that is a vector field.
        encoder: Name of the encoder as for ``compute_latents``, by default what the source says.
        check: How many images to encode and compare, spread over the collection. With 0 the named
            encoder is believed, which needs embeddings that have not been normalised.
        device: A torch device for the comparison, by default the best there is.
        overwrite: Replace latents that the field holds.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        What was taken over, and how well it fits the encoder.

    Raises:
        ValueError: The source is not there or holds no embeddings, the encoder did not make them,
            or the field holds something else.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, "embeddings", progress=False)
        >>> how = {"encoder": "postcards", "check": 4, "progress": False}
        >>> report = smic.adopt_latents(dataset, "embeddings", **how)
        >>> report.adopted, round(report.cosine, 3)
        (12, 1.0)
    """
    samples = image_samples(samples)
    check_field_name(field)
    given = _read_source(samples, source)
    with reporting(progress, len(samples)) as report:
        adopted = _adopt(samples, source, given, field, encoder, check, device, overwrite, report)
        report(1.0)
    return adopted


def _adopt(
    samples: SampleCollection,
    source: str,
    given: _Source,
    field: str,
    encoder: str | None,
    check: int,
    device: str | None,
    overwrite: bool,
    report: Callable[[float], None],
) -> AdoptionReport:
    """Read, compare and write embeddings, as :func:`adopt_latents` says."""
    stage(report, "Reading the embeddings")
    found = _usable(samples, given, source, Portion(report, 0.0, 0.4))
    ids, rows, skipped = found.ids, found.values, found.skipped
    lengths = np.linalg.norm(rows, axis=1)
    length = float(np.median(lengths))
    named_encoder = encoder or given.encoder
    identity, cosine, norm, advice = UNKNOWN, None, length, ""
    if named_encoder is None:
        advice = (
            f"Nobody knows which encoder made {source!r}. Dictionaries and codes work; pictures "
            "cannot be drawn and texts cannot be compared until it is named: adopt_latents(dataset,"
            f" {source!r}, encoder='MODEL/PRETRAINED')"
        )
    elif check > 0:
        identity, cosine, norm, advice = _probe(
            samples, ids, rows, source, named_encoder, check, device, asked=encoder is not None
        )
        advice = " ".join(part for part in (advice, given.note if cosine else "") if part)
    else:
        identity = named_encoder
        if abs(length - 1) < 1e-2:
            raise ValueError(
                f"the embeddings in {source!r} have been normalised, so the length that generators "
                "need can only come from a comparison: leave check=8, or do not name the encoder"
            )
    if advice:
        logger.warning(advice)
    info = {"source": named_encoder or UNKNOWN, "latent_norm": norm, "adopted_from": source}
    if cosine is not None:
        info["cosine"] = cosine
    stage(report, "Writing the embeddings")
    dim = rows.shape[1]
    written = _write(
        samples, field, source, ids, rows, identity, info, overwrite, Portion(report, 0.4, 0.99)
    )
    return AdoptionReport(field, identity, dim, written, cosine, norm, advice, skipped)


@dataclass(frozen=True)
class _Source:
    """Id, file and embedding of each sample, and which encoder they are said to be of."""

    rows: Iterable[tuple[str, str, Any]]
    encoder: str | None
    note: str = ""


def _read_source(samples: SampleCollection, source: str) -> _Source:
    dataset = samples._root_dataset
    known = dataset.get_field(source) if isinstance(source, str) and source else None
    numbers = (fo.FloatField, fo.IntField, type(None))
    listed = isinstance(known, fo.ListField) and isinstance(known.field, numbers)
    if listed or isinstance(known, (fo.VectorField, fo.ArrayField)):
        rows = stream(samples, source)
        info = (known.info if known is not None else None) or {}
        said = EncoderIdentity.parse(info.get("encoder", UNKNOWN))
        return _Source(rows, info.get("source", said.name) if said.known else None)
    if source in dataset.list_brain_runs():
        return _read_run(samples, source)
    vectors = [
        name
        for name, kind in dataset.get_field_schema().items()
        if isinstance(kind, (fo.VectorField, fo.ArrayField))
    ]
    what = "is not there" if known is None else f"holds {type(known).__name__} values"
    raise ValueError(
        f"{source!r} {what}, and embeddings are wanted; there are the vector fields {vectors} and "
        f"the brain runs {dataset.list_brain_runs()}"
    )


def _read_run(samples: SampleCollection, key: str) -> _Source:
    """Read the embeddings of a similarity or visualization run."""
    dataset = samples._root_dataset
    config = dataset.get_brain_info(key).config
    if getattr(config, "patches_field", None):
        raise ValueError(
            f"brain run {key!r} holds embeddings of objects in {config.patches_field!r}, and these "
            "are images; name a run on whole images"
        )
    encoder, note = zoo_encoder(
        getattr(config, "model", None), getattr(config, "model_kwargs", None) or {}
    )
    stored = getattr(config, "embeddings_field", None)
    if stored and dataset.get_field(stored) is not None:
        return _Source(stream(samples, stored), encoder, note)
    if config.type == "similarity":
        index = dataset.load_brain_results(key)
        try:
            rows, ids, _ = index.get_embeddings()
        except Exception as error:  # every backend has its own
            raise ValueError(
                f"the index of brain run {key!r} does not give its embeddings back ({error}); "
                "compute them again with embeddings_field=…, and adopt that field"
            ) from error
        there = dict(zip(map(str, ids), rows, strict=True))
        named = zip(*samples.values(["id", "filepath"]), strict=True)
        return _Source(((i, path, there.get(i)) for i, path in named), encoder, note)
    raise ValueError(
        f"brain run {key!r} is of the kind {config.type!r} and keeps no embeddings, only what was "
        "made from them; adopt the field they were in, or run it again with embeddings_field=…"
    )


def zoo_encoder(model: str | None, arguments: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the encoder behind a model of FiftyOne's zoo.

    Args:
        model: The zoo model's name, or None.
        arguments: What it was loaded with.

    Returns:
        The name to load the encoder by, or None if there is none; and how the model differs from
        it, or "".

    Example:
        >>> zoo_encoder("zero-shot-classification-transformer-torch", {})
        ('ViT-L-14/openai', '')
        >>> zoo_encoder("open-clip-torch", {"clip_model": "RN50", "pretrained": "yfcc15m"})
        ('RN50/yfcc15m', '')
    """
    if model == "clip-vit-base32-torch":
        return "ViT-B-32/openai", (
            "FiftyOne's clip-vit-base32-torch squashes pictures to 224 x 224 pixels, where "
            "ViT-B-32/openai crops them."
        )
    if model == "open-clip-torch":
        name, tag = arguments.get("clip_model", "ViT-B-32"), arguments.get("pretrained", "openai")
        plain = tag == "openai" and not str(name).endswith("-quickgelu")
        note = (
            f"FiftyOne's open-clip-torch ran {name}/{tag} with another activation than the weights "
            f"were trained with; clip_model='{name}-quickgelu' is right."
            if plain
            else ""
        )
        return f"{name}/{tag}", note
    if model == "zero-shot-classification-transformer-torch":
        return _HUB.get(arguments.get("name_or_path", "openai/clip-vit-large-patch14")), ""
    if isinstance(model, str) and model:
        return _HUB.get(arguments.get("name_or_path", ""), f"zoo:{model}"), ""
    return None, ""


def _usable(
    samples: SampleCollection, given: _Source, source: str, report: Callable[[float], None]
) -> Rows:
    """Return the embeddings that can be used, and why the others cannot."""
    total = len(samples)
    found = Rows(total, source, "embedding")
    for i, row in enumerate(given.rows):
        found.add(*row)
        if i % REPORT_EVERY == 0:
            report(min(1.0, i / total))
    if not found.ids:
        raise ValueError(
            f"none of the {total} samples has a usable embedding in {source!r} "
            f"({named(found.skipped, 1)}); choose another source"
        )
    if len(found.sizes) > 1:
        raise ValueError(
            f"the embeddings in {source!r} have different lengths {sorted(found.sizes)}, so they "
            "come from different encoders; adopt those of one encoder, from a view of their samples"
        )
    return found


def _probe(
    samples: SampleCollection,
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
    length = float(np.median(np.linalg.norm(rows, axis=1)))
    try:
        model = load_encoder(encoder, device=device)
    except Exception as error:  # weights that are not here, or no network
        if asked:
            raise
        advice = (
            f"{source!r} is said to be of {encoder!r}, which cannot be loaded here ({error}), so "
            "it is taken as embeddings of an unknown encoder: pictures cannot be drawn and texts "
            "cannot be compared. Adopt it again where the encoder is."
        )
        return UNKNOWN, None, length, advice
    tell(model.notice)
    paths = dict(zip(*samples.values(["id", "filepath"]), strict=True))
    readable = [
        i
        for i, sample_id in enumerate(ids)
        if os.path.exists(paths[sample_id]) and not is_placeholder(paths[sample_id])
    ]
    count = min(check, len(readable))
    chosen = [readable[i * len(readable) // count] for i in range(count)]
    made = model.encode_images([paths[ids[i]] for i in chosen])
    if not len(made.indices):
        raise ValueError(
            f"none of the files could be read, so {source!r} cannot be compared with {encoder!r}; "
            "leave encoder out to adopt it as embeddings of an unknown encoder"
        )
    held = unit(rows[[chosen[int(i)] for i in made.indices]])
    if held.shape[1] != made.latents.shape[1]:
        raise ValueError(
            f"{encoder!r} did not make {source!r}: its embeddings have {made.latents.shape[1]} "
            f"dimensions and these have {held.shape[1]}; name the encoder that made them"
        )
    cosine = float((held * made.latents).sum(axis=1).mean())
    if _centred(held, made.latents, cosine) < UNRELATED:
        raise ValueError(
            f"{encoder!r} did not make {source!r}: over {len(held)} images the cosine between its "
            f"embeddings and these is {cosine:.2f}, and their differences do not agree; name the "
            "encoder that made them, or leave it out"
        )
    advice = ""
    if cosine < SAME_PIXELS:
        advice = (
            f"The embeddings in {source!r} are near those of {encoder!r} but not the same (cosine "
            f"{cosine:.3f} over {len(held)} images): other preprocessing, such as pictures that "
            "are squashed or not turned upright. Pictures drawn from them may differ; "
            "compute_latents makes exact ones in another field."
        )
    return model.name, cosine, float(made.norm), advice


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
    samples: SampleCollection,
    name: str,
    source: str,
    ids: list[str],
    rows: np.ndarray,
    identity: str,
    info: dict[str, Any],
    overwrite: bool,
    report: Callable[[float], None],
) -> int:
    dataset = samples._root_dataset
    known = {**info, **({} if identity == UNKNOWN else {"encoder": identity})}
    if name == source:
        if not isinstance(dataset.get_field(name), fo.VectorField):
            raise ValueError(
                f"{name!r} is no vector field, so it cannot become one in place; give another "
                "field to write"
            )
        describe(dataset, name, known)
        return len(ids)
    existing = dataset.get_field(name)
    if existing is not None and not isinstance(existing, fo.VectorField):
        raise ValueError(
            f"field {name!r} holds {type(existing).__name__} values, not vectors; choose another "
            "field for the latents"
        )
    held = 0 if existing is None else fields.everything(dataset).exists(name).count()
    if identity == UNKNOWN and held and not overwrite:
        raise ValueError(
            f"field {name!r} holds latents already and nobody knows which encoder made these, so "
            "they cannot be mixed; choose another field, name the encoder, or pass overwrite=True"
        )
    if check_encoder(samples, name, identity, overwrite):
        dataset.clear_sample_field(name)
    if existing is not None and not overwrite:
        kept = set(samples.exists(name).values("id"))
        chosen = [i for i, sample_id in enumerate(ids) if sample_id not in kept]
        ids, rows = [ids[i] for i in chosen], rows[chosen]
    declare_latents(dataset, name, {"encoder": UNKNOWN, **known})
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return len(fields.put(dataset, ids, name, rows, report))
