"""What a run shows: progress bars, a table of sizes, a contact sheet."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fiftyone_smic.metrics import Fidelity, Rate

if TYPE_CHECKING:
    from PIL import Image

NAMES = {
    "original": "the files as they are",
    "jpeg": "JPEG, smallest setting",
    "webp": "WebP, smallest setting",
    "avif": "AVIF, smallest setting",
    "float32_latents": "latents, float32",
}


@contextmanager
def stage(label: str, seconds: dict[str, float], key: str) -> Iterator[Callable[[float], None]]:
    """Show a progress bar while a stage runs, or a line after it, and note how long it took.

    The bar is for terminals; a log gets one line per stage.

    Args:
        label: Text in front of the bar.
        seconds: Mapping that gets the duration in seconds.
        key: Key of the duration in that mapping.

    Yields:
        A function to call with the fraction done, from 0 to 1.
    """
    from tqdm import tqdm

    started = time.perf_counter()
    bar_format = "{desc:<34}{percentage:4.0f}% |{bar:30}| {elapsed}"
    with tqdm(total=1.0, desc=label, bar_format=bar_format, disable=None) as bar:

        def update(fraction: float) -> None:
            bar.update(max(0.0, min(1.0, fraction) - bar.n))

        yield update
        update(1.0)
    seconds[key] = round(time.perf_counter() - started, 2)
    if bar.disable:
        print(f"{label:<34}{seconds[key]:8.1f} s", file=sys.stderr)


def size_table(
    rate: Rate,
    baselines: Mapping[str, int],
    pixels_per_item: float,
    quality: Fidelity | None = None,
) -> str:
    """Return a table of the bytes that a collection takes in each form.

    Args:
        rate: Rate of the archive.
        baselines: Name of a form -> bytes of the whole collection, in the order of the table.
        pixels_per_item: Mean number of pixels of an original.
        quality: Fidelity of the archive's latents; None leaves it out.

    Returns:
        Lines of at most 80 columns.
    """

    def line(label: str, bits: float) -> str:
        per_item = bits / rate.items
        return f"{label:<34}{bits / 8:>14,.0f}{per_item:>14,.2f}{per_item / pixels_per_item:>16.3g}"

    lines = [
        f"{rate.items:,} images of {pixels_per_item:,.0f} pixels on average",
        "",
        f"{'':<34}{'bytes':>14}{'bits/item':>14}{'bits/pixel':>16}",
        *(line(NAMES.get(name, name), 8 * size) for name, size in baselines.items()),
        line("SMIC archive", rate.total_bits),
        line("    codes (payload)", rate.payload_bits),
        line("    dictionary and mean", rate.dictionary_bits),
        line("    headers, names, checksums", rate.header_bits),
    ]
    if quality is not None:
        lines += [
            "",
            "Fidelity of the latents that come back:",
            f"    explained variance {quality.explained_variance:.3f}   "
            f"centred cosine {quality.centred_cosine:.3f}   cosine {quality.cosine:.3f}   "
            f"recall@10 {quality.recall_at_10:.3f}",
        ]
    return "\n".join(lines)


def contact_sheet(
    originals: Sequence[Image.Image],
    regenerated: Sequence[Image.Image],
    *,
    columns: int = 8,
    cell: int = 128,
) -> Image.Image:
    """Return one picture that shows each original above its regenerated picture.

    Args:
        originals: n images of any size; each is fitted into its cell.
        regenerated: n images of any size, in the same order.
        columns: Number of pairs in a row.
        cell: Width and height of a picture on the sheet, in pixels.

    Raises:
        ValueError: There are no images, or the two numbers differ.
    """
    from PIL import Image, ImageOps

    if not originals or len(originals) != len(regenerated):
        raise ValueError(
            f"{len(originals)} originals and {len(regenerated)} regenerated images: give as many "
            "of one as of the other, and at least one"
        )
    gap = max(2, cell // 16)
    columns = min(columns, len(originals))
    rows = -(-len(originals) // columns)
    sheet = Image.new(
        "RGB", (columns * (cell + gap) + gap, rows * (2 * cell + 2 * gap) + gap), "white"
    )
    for i, pair in enumerate(zip(originals, regenerated, strict=True)):
        x = gap + (i % columns) * (cell + gap)
        y = gap + (i // columns) * (2 * cell + 2 * gap)
        for j, image in enumerate(pair):
            fitted = ImageOps.pad(image.convert("RGB"), (cell, cell), color="white")
            sheet.paste(fitted, (x, y + j * cell))
    return sheet
