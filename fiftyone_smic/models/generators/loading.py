"""Find a generator by its name, its folder or its encoder, and load it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from numpy.typing import ArrayLike

from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.embedded import UNCLIP_DIR
from fiftyone_smic.models.encoders import embedded_identity
from fiftyone_smic.models.generators.base import Generator
from fiftyone_smic.models.generators.declaration import Declaration, read_declaration
from fiftyone_smic.models.generators.nearest import NearestGenerator
from fiftyone_smic.models.generators.registry import (
    ANY,
    DECLARATION,
    FAMILIES,
    NEAREST,
    GeneratorInfo,
    draws_from,
    find_family,
    fits,
    generators_for,
    published,
)
from fiftyone_smic.models.generators.source import Source
from fiftyone_smic.models.identity import EMBEDDED, UNKNOWN

_DTYPES = ("float32", "float16", "bfloat16")


def load_generator(
    name: str | None = None,
    *,
    encoder: str | None = None,
    device: str | None = None,
    dtype: str | None = None,
    scheduler: str | None = None,
    gallery: tuple[ArrayLike, Sequence[str | os.PathLike[str]]] | None = None,
) -> Generator:
    """Load a generator.

    Args:
        name: A name of the registry, a repository of the hub that the registry lists, a local
            folder with a pipeline and a ``smic.json``, ``"postcards"`` or ``"nearest"``. None
            takes the preferred generator for ``encoder``, see :func:`generators_for`.
        encoder: Identity of the encoder the latents come from. A generator that was trained on
            another one is refused before anything is loaded.
        device: As PyTorch writes it; None takes cuda, else mps, else cpu.
        dtype: ``"float32"``, ``"float16"`` or ``"bfloat16"``; None takes float16 on cuda and
            float32 elsewhere.
        scheduler: A sampler of diffusers to use instead of the generator's own, for example
            ``"DPMSolverMultistepScheduler"``.
        gallery: For ``"nearest"`` only: (N, d) latents and N image files to answer with.

    Returns:
        The generator, ready to draw.

    Raises:
        ValueError: No generator is known for ``encoder``, ``name`` is not known, the two do not
            fit, or a ``smic.json`` is wrong; the message lists what fits.
        ImportError: diffusers is not installed.
        OSError: The weights could not be found or downloaded.

    Example:
        >>> generator = load_generator("postcards", device="cpu")
        >>> generator.dim, generator.size, generator.steps
        (128, 64, 20)
    """
    if name == NEAREST:
        return _load_nearest(encoder, gallery)
    if gallery is not None:
        raise ValueError(f"only the generator {NEAREST!r} takes a gallery, not {name!r}")
    source = _find_fitting(name, encoder)
    if scheduler is not None:
        source = replace(source, scheduler=scheduler)
    device = device or default_device()
    if dtype is None:
        dtype = "float16" if device.startswith("cuda") else "float32"
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be {', '.join(_DTYPES)}, not {dtype!r}")
    import torch

    family = find_family(source.pipeline)
    assert family is not None  # _find refuses pipelines of no family
    return family.load()(source, device, getattr(torch, dtype))  # type: ignore[call-arg]


def problem(name: str, encoder: str) -> str | None:
    """Why a name cannot lead to a generator, as far as that is known without loading; else None.

    Args:
        name: As for :func:`load_generator`.
        encoder: Identity of the encoder the latents come from.

    Example:
        >>> problem("postcards", "postcards") is None
        True
        >>> problem("/nowhere", "ViT-L-14/openai")[:55]
        "'/nowhere' is neither a known generator nor a directory"
    """
    if name == NEAREST:
        return None
    try:
        _find_fitting(name, encoder)
    except ValueError as error:
        return str(error)
    return None


def _find_fitting(name: str | None, encoder: str | None) -> Source:
    """What is known of a generator before it is loaded; one for another encoder is refused."""
    source = _find(name, encoder)
    if encoder is not None and not draws_from(source.encoder, encoder):
        raise ValueError(
            f"generator {source.name!r} was trained on {source.encoder} and cannot draw from "
            f"latents of {encoder}. {fits()}"
        )
    return source


def _load_nearest(
    encoder: str | None, gallery: tuple[ArrayLike, Sequence[str | os.PathLike[str]]] | None
) -> NearestGenerator:
    if gallery is None:
        raise ValueError(
            f"the generator {NEAREST!r} answers with pictures of a gallery: pass "
            "gallery=(latents, paths)"
        )
    latents, paths = gallery
    return NearestGenerator(latents, paths, encoder or UNKNOWN)


def _find(name: str | None, encoder: str | None) -> Source:
    """What is known of a generator before it is loaded."""
    if name is None:
        if encoder is None:
            raise ValueError(
                f"give the name of a generator, or the encoder to find it by. {fits()}"
            )
        found = [info.name for info in generators_for(encoder) if info.encoder != ANY]
        if not found:
            raise ValueError(f"no generator is known for {encoder}. {fits()}")
        name = found[0]
    if name == EMBEDDED:
        # The two embedded models are trained and shipped together: an archive written with another
        # version of the encoder must not be drawn by this version of the generator.
        declared = replace(read_declaration(UNCLIP_DIR), encoder=embedded_identity())
        return _from_folder(name, UNCLIP_DIR, declared)
    for info in published():
        if name == info.name or (name in info.places and info.adapter is None):
            return _from_hub(name, info)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return _from_folder(name, folder, read_declaration(folder))
    raise ValueError(
        f"{name!r} is neither a known generator nor a directory. {fits()} A pipeline from the hub "
        f"that is not listed can be downloaded and declared with a {DECLARATION}."
    )


def _from_hub(name: str, info: GeneratorInfo) -> Source:
    places = info.places
    if name in places:  # a name is tried as given first, so that a copy in the cache is used
        places = (name, *(place for place in places if place != name))
    return Source(
        name=name,
        pipeline=info.pipeline,
        places=places,
        encoder=info.encoder,
        scheduler=info.scheduler,
        adapter=info.adapter,
        revision=info.revision,
    )


def _from_folder(name: str, folder: Path, declared: Declaration) -> Source:
    if find_family(declared.pipeline) is None:
        known = [pipeline for family in FAMILIES for pipeline in family.pipelines]
        raise ValueError(
            f"{folder} holds a {declared.pipeline}, which does not draw from latents of images; "
            f"local folders may hold a {', '.join(known)}"
        )
    adapter = None
    if declared.ip_adapter is not None:
        file = folder / declared.ip_adapter
        adapter = (str(folder), file.parent.relative_to(folder).as_posix(), file.name)
    return Source(
        name=name,
        pipeline=declared.pipeline,
        places=(str(folder),),
        encoder=declared.encoder,
        steps=declared.steps,
        guidance=declared.guidance,
        latent_norm=declared.latent_norm,
        notice=declared.notice,
        scheduler=declared.scheduler,
        negative=declared.negative,
        adapter=adapter,
        folder=folder,
    )
