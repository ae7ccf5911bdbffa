"""Images that a ``.smic`` file does not have yet are added to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fiftyone_smic.archive import (
    Archive,
    append_archive,
    archive_info,
    item_distortion,
    read_archive,
)
from fiftyone_smic.dictionary.priors import Prior, as_prior
from fiftyone_smic.metrics import Rate, item_fidelity
from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.pipelines.census import Census, take_census
from fiftyone_smic.pipelines.compress import reasons, require_images
from fiftyone_smic.pipelines.keeping import check_keep, metric_of_words
from fiftyone_smic.pipelines.latent_cache import LatentCache, encode_files
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.utils.files import check_replaceable, lock
from fiftyone_smic.utils.names import Known, find_known


@dataclass(frozen=True)
class Appended:
    """What :func:`append_folder` did.

    Attributes:
        items: How many images it added.
        bits_per_item: What each of these took, in bits.
        rate: Where the bits of the whole archive go now.
        known: How many images of the folder the archive held already.
        known_by_file_name: Those of them that were recognised by their file names alone, because
            the archive's names have no folders.
        centred_cosine: Mean of :func:`fiftyone_smic.metrics.item_fidelity` of the new latents,
            about the mean of the dictionary.
        census: What was in the folder, and which files were left out.
        notice: What a user must know about the encoder, or None.
    """

    items: int
    bits_per_item: float
    rate: Rate
    known: int
    known_by_file_name: list[str]
    centred_cosine: float
    census: Census
    notice: str | None

    @property
    def failures(self) -> dict[Path, str]:
        """File -> why it could not be read."""
        return self.census.unreadable


class NothingNew(ValueError):
    """The archive has all images of the folder.

    Attributes:
        census: What was in the folder.
        known: How many images of the folder the archive holds.
    """

    def __init__(self, message: str, census: Census) -> None:
        super().__init__(message)
        self.census = census
        self.known = len(census.images)


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
    assume_new: bool = False,
    keep: str = "everything",
) -> Appended:
    """Add the images below a folder to a ``.smic`` file, coded with the dictionary it has.

    What is in the file stays as it is. A file does not say what it was
    compressed to keep: the new images are coded by squared distance unless ``keep="words"`` is
    given here too.

    The new images have distortions if those in the file have. Images that the archive holds, by
    their names, are left out;
    see :func:`fiftyone_smic.utils.names.find_known` for when two names are the same. The names are
    looked at again when the file is written, under a lock, so that several processes may append at
    the same time.

    Args:
        folder: See :func:`~fiftyone_smic.pipelines.compress.compress_folder`, as for ``device``,
            ``precision``, ``batch_size`` and ``num_workers``.
        archive: The file to add to.
        encoder: Where to find the encoder that the archive was made with; None takes the archive's
            own, which only a local folder needs help with.
        prior: The prior that the archive was made with, if it is not shipped.
        assume_new: Add the images whose names cannot tell whether the archive holds them: all
            images, if the archive has no names, or those in subfolders, if its names have no
            folders.
        keep: What the bits of the new images are spent on first, ``"everything"`` or ``"words"``;
            see :func:`~fiftyone_smic.pipelines.compress.compress_folder`.

    Raises:
        ArchiveError: The file is not a sound archive, or its prior is missing.
        NothingNew: There is no new image.
        ValueError: The archive is unordered or has no names, the encoder is another, or no image
            can be read.
        OSError: The folder cannot be read, or the archive cannot be written.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.pipelines import append_folder, compress_folder
        >>> from fiftyone_smic.postcards.draw import write_collection
        >>> with tempfile.TemporaryDirectory() as work:
        ...     _ = write_collection(Path(work) / "first", 12, seed=1)
        ...     _ = write_collection(Path(work) / "more", 3, seed=2)
        ...     archive = Path(work) / "cards.smic"
        ...     _ = compress_folder(Path(work) / "first", archive, encoder="postcards")
        ...     appended = append_folder(Path(work) / "more", archive)
        >>> appended.items, appended.rate.items
        (3, 15)
    """
    check_keep(keep)
    public = as_prior(prior)
    content = read_archive(archive, public)
    check_replaceable(archive)
    if not archive_info(archive)["ordered"]:
        raise ValueError(
            "nothing can be appended to an unordered archive, which is one sorted set: "
            "compress all images again"
        )
    census = take_census(folder)
    require_images(census)
    if content.names is None and encoder is not None:  # a wrong encoder is the greater mistake
        load_matching(content.encoder, encoder, device=device, precision=precision)
    known = _known([census.name(p) for p in census.images], content, archive, assume_new)
    paths = [p for p, held in zip(census.images, known.files, strict=True) if not held]
    if not paths:
        # A run that was killed when it had written the archive has left its latents and its lock.
        with suppress(OSError), lock(archive, timeout=0):
            cache = LatentCache.beside(archive, content.encoder)
            cache.remove_if_of({census.name(path) for path in census.images})
        raise NothingNew(f"all images in {folder} are in {archive} already", census)
    seconds: dict[str, float] = {}
    with stage("Loading the encoder", seconds, "load"):
        model = load_matching(content.encoder, encoder, device=device, precision=precision)
    metric = metric_of_words(model) if keep == "words" else None
    cache = LatentCache.beside(archive, f"{model.name} {precision}")
    with stage("Encoding the images", seconds, "latents") as progress:
        found = encode_files(
            model,
            census,
            paths,
            cache,
            batch_size=batch_size,
            num_workers=num_workers,
            progress=progress,
        )
    if not found.paths:
        cache.remove()
        raise ValueError(f"none of the new images could be read{reasons(census)}")
    with stage("Writing the archive", seconds, "archive"), lock(archive):
        now = read_archive(archive, public)
        _require_same(content, now, archive)
        names = [census.name(path) for path in found.paths]
        left = [True] * len(names)
        if now.names is not None:
            left = [not held for held in _known(names, now, archive, assume_new).files]
        if not any(left):
            cache.remove()
            raise NothingNew(f"another process has just added all of {folder}", census)
        latents = found.latents[left]
        dictionary = now.dictionary
        if metric is not None:
            rebuilt = dictionary.inverse_transform(now.codes)
            dictionary = dictionary.with_metric(metric, rebuilt)
        codes = dictionary.transform(latents)
        added = [name for name, new in zip(names, left, strict=True) if new]
        measured = now.distortion is not None
        rate = append_archive(
            archive,
            codes,
            names=None if now.names is None else added,
            distortion=item_distortion(now.dictionary, latents, codes) if measured else None,
        )
    cache.remove()
    rebuilt = content.dictionary.inverse_transform(codes)
    fidelities = item_fidelity(latents, rebuilt, content.dictionary.mean_)
    return Appended(
        items=len(added),
        bits_per_item=(rate.total_bits - now.rate.total_bits) / len(added),
        rate=rate,
        known=sum(known.files) + left.count(False),
        known_by_file_name=known.by_file_name,
        centred_cosine=float(fidelities.mean()),
        census=census,
        notice=model.notice,
    )


def _known(
    names: Sequence[str], content: Archive, archive: str | os.PathLike[str], assume_new: bool
) -> Known:
    """Return which names the archive holds; raise ValueError where nothing tells it."""
    if content.names is None:
        if not assume_new and content.codes.shape[0]:
            raise ValueError(
                f"{os.fspath(archive)} holds {content.codes.shape[0]:,} items without names, so "
                f"nothing tells which of the {len(names):,} images are new: to add all of them, "
                "pass --assume-new (assume_new=True)"
            )
        return Known([False] * len(names))
    known = find_known(names, content.names)
    if assume_new:
        alone = set(known.by_file_name)
        files = [held and n not in alone for held, n in zip(known.files, names, strict=True)]
        return Known(files)
    if known.ambiguous:
        name, found = next(iter(known.ambiguous.items()))
        raise ValueError(
            f"the names in {os.fspath(archive)} have no folders, and {', '.join(found)} could all "
            f"be its {name}: to add them, pass --assume-new (assume_new=True)"
        )
    return known


def _require_same(before: Archive, now: Archive, archive: str | os.PathLike[str]) -> None:
    same = (
        before.encoder == now.encoder
        and before.dictionary.atoms_.shape == now.dictionary.atoms_.shape
        and (before.dictionary.atoms_ == now.dictionary.atoms_).all()
        and (before.names is None) == (now.names is None)
    )
    if not same:
        raise ValueError(
            f"{os.fspath(archive)} was replaced by another archive meanwhile: run the same again"
        )
