"""An archive of any size is drawn on a Ray cluster, in parts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fiftyone_smic.archive import archive_info
from fiftyone_smic.cluster.mapping import RayMap, connect, has_gpu
from fiftyone_smic.pipelines.blocks import Each
from fiftyone_smic.pipelines.decompress import STATE, decompress_archive
from fiftyone_smic.pipelines.report import stage


@dataclass(frozen=True)
class Drawn:
    """What :func:`decompress` did.

    Attributes:
        pictures: How many pictures of the archive are there now.
        folders: In how many folders they lie.
        resumed: How many of them an earlier run had drawn, in folders that were finished.
        seconds: Duration of each stage.
    """

    pictures: int
    folders: int
    resumed: int
    seconds: dict[str, float]


@dataclass(frozen=True)
class Draw:
    """A job that draws some items of an archive into a folder of their own.

    Attributes:
        archive: The file, which every node must reach.
        folder: Where the folders lie; likewise.
        part: Items of a folder.
        stop: Item after the last one.
        settings: Passed to :func:`fiftyone_smic.pipelines.decompress_archive`.
    """

    archive: str
    folder: str
    part: int
    stop: int
    settings: dict[str, Any]

    def __call__(self, start: int) -> tuple[int, bool]:
        """Return how many pictures there are, and whether an earlier run drew them."""
        stop = min(start + self.part, self.stop)
        place = Path(self.folder, f"{start:09d}")
        if place.is_dir() and not (place / STATE).exists():
            found = sum(1 for _ in place.rglob("*.png"))
            if found >= stop - start:
                return found, True
        done = decompress_archive(self.archive, place, start=start, stop=stop, **self.settings)
        return len(done.paths), False


def decompress(
    archive: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    start: int = 0,
    stop: int | None = None,
    part: int = 1000,
    address: str | None = None,
    local: bool = False,
    **settings: Any,
) -> Drawn:
    """Draw the images of an archive on a Ray cluster.

    The pictures of items 5000 … 5999 lie in the folder ``000005000``, and so on. Each node reads
    the blocks of its items only. A run that stopped goes on where it was.

    Args:
        archive: The file. Every node must reach it, and ``folder``.
        folder: Where the folders of pictures go.
        start: First item to draw, counted from 0.
        stop: Item after the last one to draw; None draws to the end.
        part: Items of a folder.
        address: See :func:`fiftyone_smic.cluster.compress`, as for ``local``.
        settings: ``generator``, ``seed``, ``steps``, ``guidance``, ``batch_size``, ``device``,
            ``prior``, ``gallery`` and ``encoder`` of
            :func:`fiftyone_smic.pipelines.decompress_archive`.

    Raises:
        ImportError: Ray is not installed.
        ArchiveError: The file is not a sound archive, or its prior is missing.
        ValueError: The archive does not have these items, or a setting is out of range.
        FileExistsError: A folder holds something else.
        OSError: The folder cannot be written.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.pipelines import compress_folder
        >>> from fiftyone_smic.postcards.draw import write_collection
        >>> with tempfile.TemporaryDirectory() as work:
        ...     _ = write_collection(Path(work) / "cards", 12)
        ...     archive = Path(work) / "cards.smic"
        ...     _ = compress_folder(Path(work) / "cards", archive, encoder="postcards")
        ...     out = Path(work) / "again"
        ...     drawn = decompress(archive, out, stop=3, part=2, steps=1, local=True)
        ...     drawn.pictures, sorted(os.listdir(out))
        (3, ['000000000', '000000002'])
    """
    items = archive_info(archive)["items"]
    end = items if stop is None else stop
    if not 0 <= start <= end <= items:
        raise ValueError(f"items {start} to {end} were asked for, the archive has {items}")
    if part < 1:
        raise ValueError(f"part must be at least 1, not {part}")
    each: Each = map
    if not local:
        connect(address)
        each = RayMap(gpus=int(has_gpu() and settings.get("device") in (None, "cuda")))
    job = Draw(os.path.abspath(archive), os.path.abspath(folder), part, end, settings)
    starts = range(start, end, part)
    pictures = resumed = 0
    seconds: dict[str, float] = {}
    with stage("Drawing the images", seconds, "draw") as progress:
        for i, (found, before) in enumerate(each(job, starts), 1):
            pictures += found
            resumed += found * before
            progress(i / len(starts))
    return Drawn(pictures, len(starts), resumed, seconds)
