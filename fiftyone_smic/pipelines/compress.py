"""A folder of images becomes a ``.smic`` file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fiftyone_smic.archive import item_distortion, write_archive
from fiftyone_smic.dictionary.advice import small_advice
from fiftyone_smic.dictionary.priors import Prior, as_prior, shipped_prior
from fiftyone_smic.metrics import Fidelity, Rate, fidelity
from fiftyone_smic.models.encoders import default_encoder, load_encoder
from fiftyone_smic.pipelines.census import Census, take_census
from fiftyone_smic.pipelines.keeping import check_keep, metric_of_words
from fiftyone_smic.pipelines.latent_cache import LatentCache, encode_files
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.utils.defaults import LAM
from fiftyone_smic.utils.files import check_replaceable


@dataclass(frozen=True)
class Compressed:
    """What :func:`compress_folder` did.

    Attributes:
        rate: Where the bits of the archive go.
        fidelity: How well the archive's latents match.
        pixels_per_item: Mean number of pixels of an image.
        original_bytes: Size of the image files that were read.
        encoder: Identity of the encoder.
        notice: What a user must know about the encoder, or None.
        census: What was in the folder, and which files are not in the archive.
        resumed: How many images an earlier, interrupted run had encoded.
        seconds: Duration of each stage.
        advice: What a prior would save and how to get one, where the dictionary is much of the
            archive; else None.
    """

    rate: Rate
    fidelity: Fidelity
    pixels_per_item: float
    original_bytes: int
    encoder: str
    notice: str | None
    census: Census
    resumed: int
    seconds: dict[str, float]
    advice: str | None = None

    @property
    def failures(self) -> dict[Path, str]:
        """File -> why it could not be read."""
        return self.census.unreadable


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
    distortion: bool = False,
    keep: str = "everything",
) -> Compressed:
    """Write the images below a folder as a ``.smic`` file, showing progress bars.

    What can fail is tried before the work. A run that was interrupted while it encoded images goes
    on where it stopped: until the archive is written, its latents lie in a folder ``ARCHIVE.part``
    beside it.

    Args:
        folder: It is searched with its subfolders, see
            :func:`fiftyone_smic.pipelines.census.take_census`. Files that cannot be read are
            skipped and named.
        archive: The file to write. It appears whole or not at all; an old one is replaced.
        encoder: A name for :func:`fiftyone_smic.models.encoders.load_encoder`; None takes what
            suits the pictures.
        n_atoms: Size of the dictionary; "auto" follows the number of images.
        lam: Price of one bit in squared distance. More means fewer bits and less fidelity.
        names: Keep the files' names, relative to ``folder``.
        device: As PyTorch writes it; None takes cuda, else mps, else cpu.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``, what the encoder computes in.
        batch_size: Images per pass of the encoder.
        num_workers: Processes that read images; 0 reads them in this one.
        seed: Seed of the dictionary's initialisation.
        prior: What is public about the encoder's latents, as a
            :class:`~fiftyone_smic.dictionary.priors.Prior` or its file. Reading the archive needs
            it again. None takes the one shipped for the encoder, if there is one.
        distortion: Keep each image's distortion, which takes about 4 bits; see
            :attr:`fiftyone_smic.archive.Archive.distortion`.
        keep: What the bits are spent on first: ``"everything"`` that varies between the images, or
            ``"words"``, so that searches by text find more of what full latents find. ``"words"``
            takes the encoder's own vocabulary as the :class:`~fiftyone_smic.dictionary.Metric`.
            The archive is read alike either way.

    Raises:
        ValueError: Fewer than two images can be read, or a setting is out of range.
        OSError: The folder cannot be read, or the archive cannot be written.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.postcards.draw import write_collection
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = write_collection(folder, 4, size=64)
        ...     done = compress_folder(folder, Path(folder, "x.smic"), encoder="postcards")
        >>> done.rate.items
        4
    """
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    check_replaceable(archive)
    check_keep(keep)
    public = as_prior(prior)
    dictionary = SemanticDictionary(n_atoms, lam=lam, random_state=seed, prior=public)
    dictionary._validate_params()
    if batch_size < 1 or num_workers < 0:
        raise ValueError(
            f"batch_size must be at least 1 and num_workers at least 0, not {batch_size} and "
            f"{num_workers}"
        )
    census = take_census(folder)
    require_images(census)
    seconds: dict[str, float] = {}
    with stage("Loading the encoder", seconds, "load"):
        label = encoder or default_encoder(census.images)
        model = load_encoder(label, device=device, precision=precision)
        metric = metric_of_words(model) if keep == "words" else None
    cache = LatentCache.beside(archive, f"{model.name} {precision}")
    with stage("Encoding the images", seconds, "latents") as progress:
        found = encode_files(
            model,
            census,
            census.images,
            cache,
            batch_size=batch_size,
            num_workers=num_workers,
            progress=progress,
        )
    if len(found.paths) < 2:
        cache.remove()
        raise ValueError(
            f"a dictionary needs at least two images, and {len(found.paths)} of "
            f"{len(census.images)} could be read{reasons(census)}"
        )
    with stage("Learning the dictionary", seconds, "dictionary") as progress:
        dictionary.set_params(prior=public or shipped_prior(model.name), metric=metric)
        dictionary.fit(found.latents, progress=progress)
    with stage("Writing the archive", seconds, "archive"):
        codes = dictionary.transform(found.latents)
        pixels = float(found.pixels.mean())
        rate = write_archive(
            archive,
            dictionary,
            codes,
            encoder=model.name,
            latent_norm=found.norm,
            names=[census.name(path) for path in found.paths] if names else None,
            pixels_per_item=pixels,
            distortion=item_distortion(dictionary, found.latents, codes) if distortion else None,
        )
    cache.remove()
    return Compressed(
        rate=rate,
        fidelity=fidelity(found.latents, dictionary.inverse_transform(codes)),
        pixels_per_item=pixels,
        original_bytes=int(found.bytes.sum()),
        encoder=model.name,
        notice=model.notice,
        census=census,
        resumed=found.resumed,
        seconds=seconds,
        advice=small_advice(dictionary, len(found.paths), rate.total_bits),
    )


def require_images(census: Census) -> None:
    """Raise ValueError, with the census, if a folder has no images."""
    if not census.images:
        raise ValueError("\n".join([f"no images in {census.folder}", *census.lines()[1:]]))


def reasons(census: Census) -> str:
    """Return the first reasons why files could not be read, one on each line."""
    some = list(census.unreadable.items())[:5]
    return "".join(f"\n  {census.name(path)}: {why}" for path, why in some)
