"""A folder of pictures that the generator ``nearest`` answers with."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.models.generators import NearestGenerator
from fiftyone_smic.pipelines.census import Census, take_census
from fiftyone_smic.pipelines.compress import reasons, require_images
from fiftyone_smic.pipelines.latent_cache import LatentCache, encode_files
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.utils.names import find_known, name_key

logger = logging.getLogger(__name__)


def encode_gallery(
    census: Census,
    encoder: str,
    cache: LatentCache,
    seconds: dict[str, float],
    *,
    source: str | None = None,
    device: str | None = None,
) -> NearestGenerator:
    """Encode the pictures of a folder with the encoder of an archive.

    Args:
        census: The folder's pictures.
        encoder: Identity of the archive's encoder.
        cache: Keeps latents for the next run if this one is interrupted.
        seconds: Gets the duration of the stages "encoder" and "gallery".
        source: Where to find the encoder, for one that is a local folder.
        device: As PyTorch writes it; None takes cuda, else mps, else cpu.

    Raises:
        ValueError: The encoder is another or not known, or no picture can be read.
    """
    with stage("Loading the encoder", seconds, "encoder"):
        model = load_matching(encoder, source, device=device)
    with stage("Encoding the gallery", seconds, "gallery") as progress:
        found = encode_files(
            model, census, census.images, cache, batch_size=32, num_workers=0, progress=progress
        )
    if not found.paths:
        raise ValueError(f"none of the pictures of the gallery could be read{reasons(census)}")
    return NearestGenerator(found.latents, found.paths, model.name)


def find_gallery(folder: str | os.PathLike[str], output: str | os.PathLike[str]) -> Census:
    """Look for the pictures of a gallery.

    Args:
        folder: The gallery; its subfolders count.
        output: Where the answers go, which must not be in the gallery: they would be found there.

    Raises:
        ValueError: There are no pictures, or ``output`` is in the gallery.
        OSError: The folder cannot be read.
    """
    if Path(output).resolve().is_relative_to(Path(folder).resolve()):
        raise ValueError(f"the pictures cannot go into the gallery {folder} itself: choose another")
    census = take_census(folder)
    require_images(census)
    return census


def pictures_of(names: Sequence[str] | None, census: Census) -> list[Path | None] | None:
    """Find the picture of the gallery that each item of an archive was made from.

    Args:
        names: n names of items, or None for an archive without names.
        census: The gallery.

    Returns:
        n files, None for items whose picture the gallery does not hold; or None without names.
    """
    if names is None:
        logger.warning(
            "the archive holds no names, so a picture that is in the gallery answers for itself"
        )
        return None
    there = {name_key(census.name(path)): path for path in census.images}
    known = find_known([census.name(path) for path in census.images], names)
    alone = {
        name_key(name).rpartition("/")[2]: there[name_key(name)] for name in known.by_file_name
    }
    if known.ambiguous:
        logger.warning(
            "several files of the gallery could be %s, and may answer for themselves",
            ", ".join(list(known.ambiguous)[:5]),
        )
    return [there.get(key) or alone.get(key) for key in map(name_key, names)]
