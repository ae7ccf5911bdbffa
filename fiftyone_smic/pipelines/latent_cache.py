"""Latents of image files, kept on the disk while a folder is encoded.

A run over many images can be killed. It writes what it has every 2,000 images or 60 seconds, and
the next run with the same encoder goes on there. The parts lie in a folder beside the archive that
is being made, and are removed when the archive is there.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fiftyone_smic.models.encoders import Encoder
from fiftyone_smic.models.images import UnreadableImage, image_size
from fiftyone_smic.pipelines.census import Census
from fiftyone_smic.utils.arrays import read_arrays
from fiftyone_smic.utils.files import check_space, lock, replace_file, with_note
from fiftyone_smic.utils.progress import Progress

#: A part is written after this many images, or after this many seconds.
IMAGES, SECONDS = 2000, 60.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Row:
    """The latent of one file, and what the file was like when it was read.

    Attributes:
        latent: (d,) float32 of unit norm.
        norm: Length of the encoder's raw output.
        pixels: Width times height of the image.
        bytes: Size of the file.
        modified: When the file was changed last, in nanoseconds.
    """

    latent: NDArray[np.float32]
    norm: float
    pixels: int
    bytes: int
    modified: int


@dataclass
class EncodedFiles:
    """The latents of the files of a folder that could be encoded.

    Attributes:
        paths: n files.
        latents: (n, d) float32, every row of unit norm.
        norm: Median length of the encoder's raw output; 1.0 if there are no files.
        pixels: (n,) int64, width times height.
        bytes: (n,) int64, size of the files.
        resumed: How many of the latents an earlier run had left.
    """

    paths: list[Path]
    latents: NDArray[np.float32]
    norm: float
    pixels: NDArray[np.int64]
    bytes: NDArray[np.int64]
    resumed: int


@dataclass
class LatentCache:
    """The parts that a run leaves beside an archive.

    Attributes:
        folder: Where the parts lie.
        encoder: What must be alike for a latent to be used again.
    """

    folder: Path
    encoder: str
    _waiting: dict[str, Row] = field(default_factory=dict)
    _written: float = field(default_factory=time.monotonic)

    @classmethod
    def beside(cls, archive: str | os.PathLike[str], encoder: str) -> LatentCache:
        """Return the cache of an archive that is being made."""
        path = Path(os.path.realpath(archive))
        return cls(path.with_name(f"{path.name}.part"), encoder)

    def read(self) -> dict[str, Row]:
        """Return what an earlier run left: name -> row. Damaged parts are left out."""
        rows: dict[str, Row] = {}
        for file in sorted(self.folder.glob("*.npz")):
            try:
                part = read_arrays(file)
                about = json.loads(part["about"].tobytes())
                columns = [part[name] for name in ("latents", "norms", "numbers")]
                if about["encoder"] == self.encoder:
                    for name, z, norm, numbers in zip(about["names"], *columns, strict=True):
                        rows[name] = Row(z, float(norm), *map(int, numbers))
            except (OSError, ValueError, KeyError, TypeError):
                logger.warning("%s cannot be read, its images are encoded again", file)
        return rows

    def add(self, name: str, row: Row) -> None:
        """Keep a row; it is written with the next part."""
        self._waiting[name] = row
        if len(self._waiting) >= IMAGES or time.monotonic() - self._written >= SECONDS:
            self.flush()

    @property
    def waiting(self) -> int:
        """How many rows are not written yet."""
        return len(self._waiting)

    def flush(self) -> None:
        """Write the rows that wait as one part."""
        rows = list(self._waiting.values())
        if rows:
            self.folder.mkdir(exist_ok=True)
            about = json.dumps({"encoder": self.encoder, "names": list(self._waiting)})
            buffer = io.BytesIO()
            np.savez(
                buffer,
                about=np.frombuffer(about.encode(), np.uint8),
                latents=np.stack([row.latent for row in rows]),
                norms=np.array([row.norm for row in rows]),
                numbers=np.array([(row.pixels, row.bytes, row.modified) for row in rows]),
            )
            number = sum(1 for _ in self.folder.glob("*.npz"))
            while (part := self.folder / f"{number:06d}.npz").exists():
                number += 1
            replace_file(part, buffer.getvalue())
        self._waiting, self._written = {}, time.monotonic()

    def remove(self) -> None:
        """Remove all parts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_of(self, names: set[str]) -> None:
        """Remove all parts if they are of these images only, and nobody is writing them."""
        if not self.folder.is_dir():
            return
        with suppress(TimeoutError), lock(self.folder, timeout=0):
            held: set[str] = set()
            for file in self.folder.glob("*.npz"):
                with suppress(OSError, ValueError, KeyError, TypeError):  # it is damaged
                    held.update(json.loads(read_arrays(file)["about"].tobytes())["names"])
            if held <= names:
                self.remove()


def encode_files(
    model: Encoder,
    census: Census,
    paths: list[Path],
    cache: LatentCache,
    *,
    batch_size: int,
    num_workers: int,
    progress: Progress | None = None,
) -> EncodedFiles:
    """Encode image files, going on where an earlier run stopped.

    Files that cannot be read, and files that were changed or removed before the end, are noted in
    ``census.unreadable``.

    Args:
        model: The encoder.
        census: The folder that the files are of.
        paths: Files of it.
        cache: Where latents are kept until the archive is there.
        batch_size: See :meth:`fiftyone_smic.models.encoders.Encoder.encode_images`.
        num_workers: Likewise.
        progress: Called with the fraction done, from 0 to 1.

    Raises:
        ValueError: ``batch_size`` or ``num_workers`` is out of range.
        OSError: The cache cannot be written.
    """
    with lock(cache.folder):
        before = cache.read()
        found: dict[Path, Row] = {}
        for path in paths:
            row = before.get(census.name(path))
            if row is not None and _state(path) == (row.bytes, row.modified):
                found[path] = row
        resumed, new = len(found), [path for path in paths if path not in found]
        check_space(cache.folder, 4 * model.dim * len(new), "the latents of all images")
        if resumed:
            logger.warning(
                "%d of %d images were encoded by an earlier run and are not encoded again",
                resumed,
                len(paths),
            )
        try:
            for batch in model.iter_images(
                new,
                batch_size=batch_size,
                num_workers=num_workers,
                progress=progress
                and (lambda part: progress((resumed + part * len(new)) / len(paths))),
            ):
                census.unreadable.update({new[i]: why for i, why in batch.failures.items()})
                for i, z, norm in zip(batch.indices, batch.latents, batch.norms, strict=True):
                    row = _row(new[i], z, float(norm))
                    if row is None:
                        census.unreadable[new[i]] = "it was removed or changed while it was encoded"
                    else:
                        found[new[i]] = row
                        cache.add(census.name(new[i]), row)
        except BaseException as error:
            with suppress(OSError):
                cache.flush()
            note = (
                f"{len(found) - cache.waiting:,} of {len(paths):,} images are encoded and kept in "
                f"{cache.folder}: run the same again to go on"
            )
            if isinstance(error, OSError) and error.errno is not None:
                raise with_note(error, note) from error
            if found:
                logger.warning(note)
            raise
    kept = [path for path in paths if path in found]
    for path in [p for p in kept if _state(p) != (found[p].bytes, found[p].modified)]:
        census.unreadable[path] = "it was removed or changed after it was encoded"
        kept.remove(path)
    rows = [found[path] for path in kept]
    return EncodedFiles(
        kept,
        np.stack([row.latent for row in rows]) if rows else np.zeros((0, model.dim), np.float32),
        float(np.median([row.norm for row in rows])) if rows else 1.0,
        np.array([row.pixels for row in rows], np.int64),
        np.array([row.bytes for row in rows], np.int64),
        resumed,
    )


def _row(path: Path, latent: NDArray[np.float32], norm: float) -> Row | None:
    state = _state(path)
    if state is None:
        return None
    try:
        width, height = image_size(path)
    except UnreadableImage:  # the file is no longer the image that was encoded
        return None
    return Row(latent, norm, width * height, *state)


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of the last change; None for a file that is not there."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
