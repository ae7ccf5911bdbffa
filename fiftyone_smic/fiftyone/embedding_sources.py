"""Where embeddings that are there already are read: fields of numbers, and runs of the brain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fiftyone_smic.fiftyone.holders import Holder, holds_numbers
from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity


@dataclass(frozen=True)
class Source:
    """Embeddings that are there.

    Attributes:
        rows: Id, file and embedding, or None, of each sample or object.
        encoder: The name of the encoder that they are said to be of, or None.
        note: How the model that made them differs from that encoder, or "".
        path: Where FiftyOne finds the field or attribute they are read from; None for an index.
    """

    rows: Iterable[tuple[str, str, Any]]
    encoder: str | None
    note: str = ""
    path: str | None = None


def read_source(holder: Holder, source: str) -> Source:
    """Return the embeddings of a field, an attribute or a brain key.

    Args:
        holder: What the embeddings are of.
        source: See :func:`fiftyone_smic.fiftyone.adoption.adopt_latents`.

    Raises:
        ValueError: There is no such source, or it holds no embeddings of these.
    """
    dataset = holder.dataset
    known = holder.field(source) if isinstance(source, str) and source else None
    if known is not None and holds_numbers(known):
        info = known.info or {}
        said = EncoderIdentity.parse(info.get("encoder", UNKNOWN))
        encoder = info.get("source", said.name) if said.known else None
        return Source(holder.rows(source), encoder, path=holder.path(source))
    if source in dataset.list_brain_runs():
        return _read_run(holder, source)
    if known is None and isinstance(source, str) and holder.has_undeclared(source):
        return Source(holder.rows(source), None, path=holder.path(source))
    what = "is not there" if known is None else f"holds {type(known).__name__} values"
    raise ValueError(
        f"{source!r} {what}, and embeddings of {holder.noun}s are wanted; there are the vector "
        f"fields {holder.vectors()} and the brain runs {dataset.list_brain_runs()}"
        + holder.hint(source)
    )


def _read_run(holder: Holder, key: str) -> Source:
    """Read the embeddings of a similarity or visualization run."""
    dataset = holder.dataset
    config = dataset.get_brain_info(key).config
    _check_of_these(holder, key, config)
    encoder, note = zoo_encoder(
        getattr(config, "model", None), getattr(config, "model_kwargs", None) or {}
    )
    stored = getattr(config, "embeddings_field", None)
    if stored and holder.field(stored) is not None:
        return Source(holder.rows(stored), encoder, note, holder.path(stored))
    if config.type == "similarity":
        index = dataset.load_brain_results(key)
        try:
            rows, sample_ids, label_ids = index.get_embeddings()
        except Exception as error:  # every backend has its own
            raise ValueError(
                f"the index of brain run {key!r} does not give its embeddings back ({error}); "
                "compute them again with embeddings_field=…, and adopt that field"
            ) from error
        ids = [str(i) for i in (sample_ids if label_ids is None else label_ids)]
        if not holder.any_of(ids):
            raise ValueError(
                f"brain run {key!r} has no embedding of any of these {len(holder)} {holder.noun}s: "
                "it was computed on others; name another run, or other samples"
            )
        return Source(holder.rows_of(dict(zip(ids, rows, strict=True))), encoder, note)
    raise ValueError(
        f"brain run {key!r} is of the kind {config.type!r} and keeps no embeddings, only what was "
        "made from them; adopt the field they were in, or run it again with embeddings_field=…"
    )


def _check_of_these(holder: Holder, key: str, config: Any) -> None:
    """Raise ``ValueError`` if a brain run has embeddings of something else than these."""
    if averaged := getattr(config, "roi_field", None):
        raise ValueError(
            f"brain run {key!r} holds for each image the mean over its objects in {averaged!r}, "
            "which no encoder makes of a picture; adopt the embeddings of the objects with "
            f"patches_field={averaged!r}, or name a run on whole images"
        )
    of_objects = getattr(config, "patches_field", None)
    if of_objects and of_objects != holder.patches_field:
        wanted = (
            f"the objects in {holder.patches_field!r}" if holder.patches_field else "whole images"
        )
        raise ValueError(
            f"brain run {key!r} holds embeddings of the objects in {of_objects!r}, and those of "
            f"{wanted} are wanted; pass patches_field={of_objects!r}, or name another run"
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
        return _of_hub(arguments.get("name_or_path", "openai/clip-vit-large-patch14")), ""
    if isinstance(model, str) and model:
        return _of_hub(arguments.get("name_or_path")) or f"zoo:{model}", ""
    return None, ""


def _of_hub(repository: Any) -> str | None:
    """The encoder whose weights a repository of the hub holds, or None if nobody knows."""
    name = EncoderIdentity.parse(str(repository)).name
    return name if repository and name != repository else None
