"""A folder of images to a ``.smic`` file and back, without FiftyOne."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from .archive import Archive, read_archive, write_archive
from .encoders import EMBEDDED, load_encoder
from .generators import load_generator
from .metrics import Fidelity, Rate, fidelity
from .report import stage


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
    encoder: str = EMBEDDED,
    n_atoms: int | str = "auto",
    lam: float = 0.002,
    names: bool = True,
    device: str | None = None,
    precision: str = "fp32",
    batch_size: int = 32,
    num_workers: int = 0,
    seed: int = 0,
) -> Compressed:
    """Write the images below a folder as a ``.smic`` file, showing progress bars.

    Args:
        folder: searched with its subfolders; files that cannot be read are skipped and named.
        archive: the file to write; it appears whole or not at all.
        encoder: see :func:`fiftyone_smic.encoders.load_encoder`, as are ``device`` and
            ``precision``.
        n_atoms: size of the dictionary; "auto" follows the number of images.
        lam: distortion that one bit is worth; more means fewer bits.
        names: keep the files' names, relative to ``folder``.
        batch_size, num_workers: see :meth:`fiftyone_smic.encoders.Encoder.encode_images`.
        seed: of the dictionary's initialisation.

    Raises:
        ValueError: fewer than two readable images, or a setting out of range.
        OSError: the folder cannot be read or the archive not be written.
    """
    from .dictionary import SemanticDictionary

    folder = Path(folder)
    paths = find_images(folder)
    seconds: dict[str, float] = {}
    with stage("Loading the encoder", seconds, "load"):
        model = load_encoder(encoder, device=device, precision=precision)
    with stage("Encoding the images", seconds, "latents") as progress:
        found = model.encode_images(
            paths, batch_size=batch_size, num_workers=num_workers, progress=progress
        )
    failures = {paths[i]: reason for i, reason in found.failures.items()}
    if len(found.indices) < 2:
        raise ValueError(
            f"a dictionary needs at least two images, and {len(found.indices)} of {len(paths)} "
            "could be read" + "".join(f"\n  {p}: {why}" for p, why in list(failures.items())[:5])
        )
    kept = [paths[i] for i in found.indices]
    with stage("Learning the dictionary", seconds, "dictionary") as progress:
        dictionary = SemanticDictionary(n_atoms, lam=lam, random_state=seed)
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
            names=[path.relative_to(folder).as_posix() for path in kept] if names else None,
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


def decompress_archive(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    generator: str | None = None,
    limit: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
) -> Regenerated:
    """Draw the images of a ``.smic`` file into a folder as PNG, showing progress bars.

    Args:
        archive: the file; nothing else of the collection is needed.
        folder: where the pictures go; must be empty or not exist.
        generator: see :func:`fiftyone_smic.generators.load_generator`; None takes the one that
            was trained on the archive's encoder.
        limit: draw the first ``limit`` images only.
        seed: image i is drawn with noise seed + i.
        steps, guidance, batch_size, device: see :meth:`Generator.generate`.

    Raises:
        ArchiveError: the file is not a sound archive.
        ValueError: no generator fits, or a setting is out of range.
        FileExistsError: the folder is not empty.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty: choose a new folder")
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    seconds: dict[str, float] = {}
    with stage("Reading the archive", seconds, "read"):
        content = read_archive(archive)
        latents = content.latents()[:limit]
    with stage("Loading the generator", seconds, "load"):
        model = load_generator(generator, encoder=content.encoder, device=device)
    with stage("Drawing the images", seconds, "draw") as progress:
        images = model.generate(
            latents,
            norm=content.latent_norm,
            seeds=seed,
            batch_size=batch_size,
            steps=steps,
            guidance=guidance,
            progress=progress,
        )
    paths = [folder / name for name in file_names(content)[: len(images)]]
    for path, image in zip(paths, images, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return Regenerated(paths, model.name, model.notice, seconds)


def file_names(archive: Archive) -> list[str]:
    """A safe, relative and unique PNG file name for each item of an archive."""
    if archive.names is None:
        return safe_names([""] * archive.codes.shape[0])
    return safe_names(archive.names)


def safe_names(wanted: Sequence[str]) -> list[str]:
    """A safe, relative and unique PNG file name for each name.

    Names come out of a file that somebody else may have written: one that would leave the folder,
    or that is not a plain relative path, is replaced by the item's number.
    """
    used: set[str] = set()
    names = []
    for i, name in enumerate(wanted):
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
