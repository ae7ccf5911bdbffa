"""The images of a ``.smic`` file are drawn again into a folder."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fiftyone_smic.archive import Archive, read_archive
from fiftyone_smic.dictionary.priors import Prior
from fiftyone_smic.models.generators import Generator, load_generator
from fiftyone_smic.models.generators.base import check_settings
from fiftyone_smic.models.generators.registry import NEAREST
from fiftyone_smic.pipelines.gallery import encode_gallery, find_gallery, pictures_of
from fiftyone_smic.pipelines.latent_cache import LatentCache
from fiftyone_smic.pipelines.picture_names import picture_name, safe_names, size_on_disk
from fiftyone_smic.pipelines.report import stage
from fiftyone_smic.utils.files import (
    check_replaceable,
    check_space,
    is_aside,
    lock,
    remove_abandoned,
    replace_file,
    with_note,
)
from fiftyone_smic.utils.names import path_of

#: Says which run a folder belongs to while the run is not finished.
STATE = ".smic-unfinished.json"
#: Lists the pictures whose names had to change.
NAMES = "names.csv"

# A system says so where a file system cannot hold a name.
_UNHOLDABLE = {errno.EILSEQ, errno.EINVAL, errno.ENAMETOOLONG}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Regenerated:
    """What :func:`decompress_archive` did.

    Attributes:
        paths: The pictures, in the order of the items.
        generator: Name of the generator.
        notice: What a user must know about the generator, or None.
        seconds: Duration of each stage.
        resumed: How many of the pictures an earlier, interrupted run had drawn.
        renamed: File -> name in the archive, for those whose names had to change; the file
            ``names.csv`` beside the pictures lists them too.
    """

    paths: list[Path]
    generator: str
    notice: str | None
    seconds: dict[str, float]
    resumed: int = 0
    renamed: dict[str, str] = field(default_factory=dict)


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
    gallery: str | os.PathLike[str] | None = None,
    encoder: str | None = None,
) -> Regenerated:
    """Draw the images of a ``.smic`` file into a folder as PNG, showing progress bars.

    Settings and the folder are checked before anything is drawn. Each picture is written as soon as
    it is drawn, whole. A run that was interrupted goes on where it stopped when the same is asked
    for again.

    Args:
        archive: The file; nothing else of the collection is needed.
        folder: Where the pictures go. It is empty, or new, or left by an interrupted run of the
            same archive with the same settings.
        generator: A name for :func:`fiftyone_smic.models.generators.load_generator`; None takes
            the generator that was trained on the archive's encoder.
        start: First item to draw, counted from 0.
        stop: Item after the last one to draw; None draws to the end.
        seed: Image i is drawn with noise seed + i.
        steps: Denoising steps; None takes the generator's own, as for ``guidance``.
        guidance: Scale of classifier-free guidance.
        batch_size: Pictures per pass.
        device: As PyTorch writes it; None takes cuda, else mps, else cpu.
        prior: The prior that the archive was made with, if it is not shipped.
        gallery: For the generator ``"nearest"``: a folder of pictures. Each item is answered with
            the picture whose latent is nearest to the item's, but never with the picture that has
            the item's own name.
        encoder: For a gallery: where to find the encoder that the archive was made with; None takes
            the archive's own, which only a local folder needs help with.

    Raises:
        ArchiveError: The file is not a sound archive, or its prior is missing.
        ValueError: The archive does not have these items, no generator fits, or a setting is out
            of range.
        FileExistsError: There is something else in the folder.
        OSError: The folder cannot be written, or the disk is full. What was drawn stays.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.pipelines import compress_folder, decompress_archive
        >>> from fiftyone_smic.postcards.draw import write_collection
        >>> with tempfile.TemporaryDirectory() as work:
        ...     _ = write_collection(Path(work) / "cards", 12)
        ...     archive = Path(work) / "cards.smic"
        ...     _ = compress_folder(Path(work) / "cards", archive, encoder="postcards")
        ...     found = decompress_archive(archive, Path(work) / "again", stop=2, steps=1)
        ...     [path.name for path in found.paths]
        ['postcard-0-000000-128.png', 'postcard-0-000001-128.png']
    """
    folder = Path(folder)
    _check_folder(folder)
    check_settings(batch_size=batch_size, steps=steps, guidance=guidance, seed=seed)
    if (gallery is not None) != (generator == NEAREST):
        raise ValueError(
            f"the generator {NEAREST!r} and a gallery go together: give a folder of pictures as "
            f"the gallery (--gallery), and {NEAREST!r} as the generator (--generator)"
        )
    census = None if gallery is None else find_gallery(gallery, folder)
    seconds: dict[str, float] = {}
    with stage("Reading the archive", seconds, "read"):
        content = read_archive(archive, prior, start=start, stop=stop)
        latents = content.latents()
        digest = _digest(Path(archive))
    run = {
        "archive": digest,
        "start": start,
        "items": len(latents),
        "seed": seed,
        "steps": steps,
        "guidance": guidance,
        "generator": generator,
    }
    if gallery is not None:
        run["gallery"] = os.path.realpath(gallery)
    _check_left(folder, run)
    cache = LatentCache.beside(folder, content.encoder)
    own: list[Path | None] | None = None
    model: Generator
    if census is None:
        with stage("Loading the generator", seconds, "load"):
            model = load_generator(generator, encoder=content.encoder, device=device)
    else:
        model = encode_gallery(
            census, content.encoder, cache, seconds, source=encoder, device=device
        )
        own = pictures_of(content.names, census)
    names = _names(content)
    pictures = _Pictures(folder, names, content)
    there = [pictures.find(i) is not None for i in range(len(names))]
    missing = [i for i, drawn in enumerate(there) if not drawn]
    batches = model.generate_batches(
        latents[missing],
        norm=content.latent_norm,
        seeds=[seed + start + i for i in missing],
        batch_size=batch_size,
        steps=steps,
        guidance=guidance,
        exclude=own and [own[i] for i in missing],
    )
    check_space(folder, len(missing) * model.size**2 // 4, "the pictures")
    folder.mkdir(parents=True, exist_ok=True)
    with stage("Drawing the images", seconds, "draw") as progress, lock(folder / STATE):
        remove_abandoned(folder)
        replace_file(folder / STATE, json.dumps(run, indent=1).encode(), sweep=False)
        done = len(names) - len(missing)
        with _saying_what_is_missing(folder, pictures):
            for batch, first in zip(batches, range(0, len(missing), batch_size), strict=True):
                for i, image in zip(missing[first : first + batch_size], batch, strict=True):
                    pictures.write(i, image)
                done += len(batch)
                progress(done / len(names))
            renamed = pictures.list_names()
    # What says that the folder is not finished goes last, after the lock.
    (folder / STATE).unlink(missing_ok=True)
    if census is not None:
        cache.remove()
    paths = [found for i in range(len(names)) if (found := pictures.find(i))]
    return Regenerated(paths, model.name, model.notice, seconds, len(names) - len(missing), renamed)


#: Of a file larger than this, only the ends are read to tell it from others: the checksum at the
#: end is of all that is before it.
_LARGE = 64 << 20


def _digest(path: Path) -> str:
    if path.stat().st_size <= _LARGE:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with open(path, "rb") as file:
        content = hashlib.sha256(file.read(_LARGE // 2))
        file.seek(-_LARGE // 2, os.SEEK_END)
        content.update(file.read())
    content.update(str(path.stat().st_size).encode())
    return content.hexdigest()


class _Pictures:
    """The files of the pictures of one run."""

    def __init__(self, folder: Path, names: list[str], content: Archive) -> None:
        self.folder = folder
        self.names = names
        self.first = content.first
        self.wanted = content.names or [""] * len(names)
        self._taken = set(names)

    def _places(self, i: int) -> tuple[Path, Path]:
        """Where picture i goes, and where if the file system cannot hold that name."""
        instead = f"{self.first + i:06d}~"
        while f"{instead}.png" in self._taken:
            instead += "~"
        return self.folder / path_of(self.names[i]), self.folder / f"{instead}.png"

    def find(self, i: int) -> Path | None:
        """The file of picture i if it is drawn; files appear whole, so it is complete."""
        for path in self._places(i):
            try:
                if path.is_file():
                    return path
            except (OSError, ValueError):
                continue
        return None

    def write(self, i: int, image: Any) -> None:
        data = io.BytesIO()
        image.save(data, format="PNG")
        path, instead = self._places(i)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, data.getvalue(), sweep=False)
        except OSError as error:
            if error.errno not in _UNHOLDABLE:
                raise
            replace_file(instead, data.getvalue(), sweep=False)

    def list_names(self) -> dict[str, str]:
        """Write the list of the pictures whose names had to change, if there are any."""
        renamed = {}
        for i, wanted in enumerate(self.wanted):
            path, instead = self._places(i)
            file = self.names[i] if self.find(i) == path else instead.name
            if wanted and file != picture_name(wanted):
                renamed[file] = wanted
        if renamed:
            text = io.StringIO()
            csv.writer(text).writerows([("file", "name in the archive"), *renamed.items()])
            replace_file(self.folder / NAMES, text.getvalue().encode(), sweep=False)
        return renamed


def _names(content: Archive) -> list[str]:
    wanted = content.names or [""] * content.codes.shape[0]
    return safe_names(wanted, content.first, size=size_on_disk)


def _check_folder(folder: Path) -> None:
    """Refuse a folder that is a file, that cannot be made, or that cannot be written."""
    nearest = folder.absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "this is a file, not a folder", str(nearest))
    held = folder.is_dir() and not all(is_aside(entry.name) for entry in folder.iterdir())
    if held and not (folder / STATE).exists():
        raise FileExistsError(f"{folder} is not empty: choose a new folder")
    check_replaceable(nearest / "picture.png")


def _check_left(folder: Path, run: dict[str, Any]) -> None:
    """Refuse a folder with an unfinished run of something else."""
    try:
        left = json.loads((folder / STATE).read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        left = None
    if left != run:
        differing = [
            name for name in run if not isinstance(left, dict) or left.get(name) != run[name]
        ]
        raise FileExistsError(
            f"{folder} holds an unfinished run with another {', '.join(differing)}: ask for the "
            "same again to finish it, or choose a new folder"
        )


@contextmanager
def _saying_what_is_missing(folder: Path, pictures: _Pictures) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        n = len(pictures.names)
        drawn = sum(pictures.find(i) is not None for i in range(n))
        note = (
            f"{drawn:,} of {n:,} pictures are in {folder} and {n - drawn:,} are missing: run the "
            "same again to draw them"
        )
        if isinstance(error, OSError) and error.errno is not None:
            raise with_note(error, note) from error
        logger.warning(note)
        raise
