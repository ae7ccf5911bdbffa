"""A folder of images to a ``.smic`` file and back, without FiftyOne."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from fiftyone_smic.archive import Archive, append_archive, read_archive, write_archive
from fiftyone_smic.dictionary.priors import Prior, as_prior, shipped_prior
from fiftyone_smic.metrics import Fidelity, Rate, fidelity, item_fidelity
from fiftyone_smic.models.encoders import (
    Encoder,
    ImageLatents,
    default_encoder,
    load_encoder,
    load_matching,
)
from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.utils.defaults import LAM


@dataclass(frozen=True)
class Compressed:
    """What :func:`compress_folder` did.

    Attributes:
        rate: where the bits of the archive go.
        fidelity: how well the archive's latents match.
        pixels_per_item: mean number of pixels of an image.
        original_bytes: size of the image files that were read.
        encoder: identity of the encoder.
        notice: what a user must know about the encoder, or None.
        failures: file -> why it was skipped.
        seconds: per stage.
    """

    rate: Rate
    fidelity: Fidelity
    pixels_per_item: float
    original_bytes: int
    encoder: str
    notice: str | None
    failures: dict[Path, str]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Appended:
    """What :func:`append_folder` did.

    Attributes:
        items: how many images it added.
        bits_per_item: what each of these took.
        rate: where the bits of the whole archive go now.
        known: how many images the archive held already, by their names.
        centred_cosine: mean of :func:`metrics.item_fidelity` of the new latents, about the mean of
            the dictionary.
        failures: file -> why it was skipped.
        notice: what a user must know about the encoder, or None.
    """

    items: int
    bits_per_item: float
    rate: Rate
    known: int
    centred_cosine: float
    failures: dict[Path, str]
    notice: str | None


@dataclass(frozen=True)
class Regenerated:
    """What :func:`decompress_archive` did: the files it wrote, the generator, its notice."""

    paths: list[Path]
    generator: str
    notice: str | None
    seconds: dict[str, float]


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """All files below ``folder`` with a suffix Pillow knows as an image, sorted.

    Raises:
        NotADirectoryError: there is no such folder.
        ValueError: there is no image in it.
    """
    from PIL import Image

    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is not a folder")
    known = Image.registered_extensions()
    readable = {suffix for suffix, kind in known.items() if kind in Image.OPEN}
    paths = [p for p in sorted(folder.rglob("*")) if p.suffix.lower() in readable and p.is_file()]
    if not paths:
        raise ValueError(f"no images in {folder}")
    return paths


def compress_folder(
    folder: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    n_atoms: int | str = "auto",
    lam: float = LAM,
    names: bool = True,
    device: str | None = None,
    precision: str = "fp32",
    batch_size: int = 32,
    num_workers: int = 0,
    seed: int = 0,
    prior: Prior | str | os.PathLike[str] | None = None,
) -> Compressed:
    """Write the images below a folder as a ``.smic`` file, showing progress bars.

    Args:
        folder: searched with its subfolders; files that cannot be read are skipped and named.
        archive: the file to write; it appears whole or not at all.
        encoder: see :func:`fiftyone_smic.models.encoders.load_encoder`, as are ``device`` and
            ``precision``; None takes what suits the pictures, see
            :func:`fiftyone_smic.models.encoders.default_encoder`.
        n_atoms: size of the dictionary; "auto" follows the number of images.
        lam: distortion that one bit is worth; more means fewer bits.
        names: keep the files' names, relative to ``folder``.
        batch_size, num_workers: see :meth:`fiftyone_smic.models.encoders.Encoder.encode_images`.
        seed: of the dictionary's initialisation.
        prior: see :mod:`fiftyone_smic.dictionary.priors`, a Prior or its file,
            which reading then needs again;
            by default the one shipped for the encoder, if there is one.

    Raises:
        ValueError: fewer than two readable images, or a setting out of range.
        OSError: the folder cannot be read or the archive not be written.
    """
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    folder = Path(folder)
    seconds: dict[str, float] = {}
    paths = find_images(folder)
    encoder = encoder or default_encoder(paths)
    load = partial(load_encoder, encoder, device=device, precision=precision)
    done = _encode(paths, load, seconds, batch_size, num_workers)
    model, found, kept, failures = done
    if len(kept) < 2:
        raise ValueError(
            f"a dictionary needs at least two images, and {len(kept)} of "
            f"{len(kept) + len(failures)} could be read" + _reasons(failures)
        )
    with stage("Learning the dictionary", seconds, "dictionary") as progress:
        prior = as_prior(prior) or shipped_prior(model.name)
        dictionary = SemanticDictionary(n_atoms, lam=lam, random_state=seed, prior=prior)
        dictionary.fit(found.latents, progress=progress)
    with stage("Writing the archive", seconds, "archive"):
        codes = dictionary.transform(found.latents)
        pixels = float(np.mean([_pixels(path) for path in kept]))
        rate = write_archive(
            archive,
            dictionary,
            codes,
            encoder=model.name,
            latent_norm=found.norm,
            names=_names(kept, folder) if names else None,
            pixels_per_item=pixels,
        )
    return Compressed(
        rate=rate,
        fidelity=fidelity(found.latents, dictionary.inverse_transform(codes)),
        pixels_per_item=pixels,
        original_bytes=sum(path.stat().st_size for path in kept),
        encoder=model.name,
        notice=model.notice,
        failures=failures,
        seconds=seconds,
    )


class NothingNew(ValueError):
    """The archive has all images of the folder."""


def append_folder(
    folder: str | os.PathLike[str],
    archive: str | os.PathLike[str],
    *,
    encoder: str | None = None,
    device: str | None = None,
    precision: str = "fp32",
    batch_size: int = 32,
    num_workers: int = 0,
    prior: Prior | str | os.PathLike[str] | None = None,
) -> Appended:
    """Add the images below a folder to a ``.smic`` file, coded with the dictionary it has.

    What is in the file stays as it is. Images whose names the archive holds already are left out.

    Args:
        folder, archive: see :func:`compress_folder`.
        encoder: the one the archive was made with, which is also what None takes; to be given if
            that is a local folder.
        device, precision, batch_size, num_workers: see :func:`compress_folder`.
        prior: the one the archive was made with, if that is not shipped.

    Raises:
        ArchiveError: the file is not a sound archive, or its prior is missing.
        NothingNew: there is no new image.
        ValueError: the archive is unordered, or the encoder is another.
        OSError: the folder cannot be read or the archive not be written.
    """
    folder = Path(folder)
    seconds: dict[str, float] = {}
    content = read_archive(archive, prior)
    known = set(content.names or ())
    there = find_images(folder)
    paths = [p for p in there if p.relative_to(folder).as_posix() not in known]
    if not paths:
        raise NothingNew(f"all images in {folder} are in {archive} already")
    load = partial(load_matching, content.encoder, encoder, device=device, precision=precision)
    done = _encode(paths, load, seconds, batch_size, num_workers)
    model, found, kept, failures = done
    if not kept:
        raise ValueError(f"none of the images could be read{_reasons(failures)}")
    with stage("Writing the archive", seconds, "archive"):
        codes = content.dictionary.transform(found.latents)
        names = None if content.names is None else _names(kept, folder)
        rate = append_archive(archive, codes, names=names)
    rebuilt = content.dictionary.inverse_transform(codes)
    fidelities = item_fidelity(found.latents, rebuilt, content.dictionary.mean_)
    return Appended(
        items=len(kept),
        bits_per_item=(rate.total_bits - content.rate.total_bits) / len(kept),
        rate=rate,
        known=len(there) - len(paths),
        centred_cosine=float(fidelities.mean()),
        failures=failures,
        notice=model.notice,
    )


def _encode(
    paths: list[Path],
    load: Callable[[], Encoder],
    seconds: dict[str, float],
    batch_size: int,
    num_workers: int,
) -> tuple[Encoder, ImageLatents, list[Path], dict[Path, str]]:
    """The encoder, latents, and which files they are of and which could not be read."""
    with stage("Loading the encoder", seconds, "load"):
        model = load()
    with stage("Encoding the images", seconds, "latents") as progress:
        found = model.encode_images(
            paths, batch_size=batch_size, num_workers=num_workers, progress=progress
        )
    failures = {paths[i]: reason for i, reason in found.failures.items()}
    return model, found, [paths[i] for i in found.indices], failures


def _reasons(failures: dict[Path, str]) -> str:
    return "".join(f"\n  {path}: {why}" for path, why in list(failures.items())[:5])


def _names(paths: list[Path], folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def decompress_archive(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    generator: str | None = None,
    start: int = 0,
    stop: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    prior: Prior | str | os.PathLike[str] | None = None,
) -> Regenerated:
    """Draw the images of a ``.smic`` file into a folder as PNG, showing progress bars.

    Args:
        archive: the file; nothing else of the collection is needed.
        folder: where the pictures go; must be empty or not exist.
        generator: see :func:`fiftyone_smic.models.generators.load_generator`; None takes the
            one that was trained on the archive's encoder.
        start, stop: draw items start..stop-1 only; by default all.
        seed: image i is drawn with noise seed + i.
        steps, guidance, batch_size, device: see :meth:`Generator.generate`.
        prior: the one the archive was made with, if that is not shipped.

    Raises:
        ArchiveError: the file is not a sound archive, or its prior is missing.
        ValueError: the archive does not have these items, no generator fits, or a setting is out
            of range.
        FileExistsError: the folder is not empty.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: choose a new folder")
    seconds: dict[str, float] = {}
    with stage("Reading the archive", seconds, "read"):
        content = read_archive(archive, prior, start=start, stop=stop)
        latents = content.latents()
    with stage("Loading the generator", seconds, "load"):
        model = load_generator(generator, encoder=content.encoder, device=device)
    with stage("Drawing the images", seconds, "draw") as progress:
        images = model.generate(
            latents,
            norm=content.latent_norm,
            seeds=seed + start,
            batch_size=batch_size,
            steps=steps,
            guidance=guidance,
            progress=progress,
        )
    paths = [folder / name for name in file_names(content)]
    for path, image in zip(paths, images, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return Regenerated(paths, model.name, model.notice, seconds)


def file_names(archive: Archive) -> list[str]:
    """A safe, relative and unique PNG file name for each item of an archive."""
    if archive.names is None:
        return safe_names([""] * archive.codes.shape[0], archive.first)
    return safe_names(archive.names, archive.first)


def safe_names(wanted: Sequence[str], first: int = 0) -> list[str]:
    """A safe, relative and unique PNG file name for each name.

    Names come out of a file that somebody else may have written: one that would leave the folder,
    or that is not a plain relative path, is replaced by the item's number, counted from ``first``.
    """
    used: set[str] = set()
    names = []
    for i, name in enumerate(wanted, first):
        # Windows' separators and drives count on every system: the same file, the same names.
        path = PurePosixPath(name.replace("\\", "/"))
        safe = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
        safe = safe and ":" not in name and name.isprintable()
        chosen = str(path.with_suffix(".png")) if safe else f"{i:06d}.png"
        while chosen.lower() in used:
            chosen = f"{i:06d}-{PurePosixPath(chosen).name}"
        used.add(chosen.lower())
        names.append(chosen)
    return names


def _pixels(path: Path) -> int:
    from PIL import Image

    with Image.open(path) as image:
        return image.width * image.height
