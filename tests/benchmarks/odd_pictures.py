"""A thousand odd image files: ``python -m tests.benchmarks.odd_pictures [--count N] [--keep DIR]``.

Every file goes through the reader and through the embedded encoder. The run ends with a census that
adds up, the most memory that was used, and every silent difference: a latent whose cosine with that
of the same picture saved plainly as PNG is below .99, or .9 for formats that lose detail. It fails
if there is one, or if a file that shows a picture was refused.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.images import UnreadableImage, load_image
from tests.support.odd_pictures import OddPicture, odd_pictures

# By whether the format keeps every pixel; the drawings are small, and JPEG's loss shows in latents.
LIKENESS = {True: 0.99, False: 0.9}


def differences(pictures: list[OddPicture]) -> tuple[int, dict[str, int], list[str]]:
    """How many files were read and which reasons the others gave, and what is wrong."""
    read, reasons, wrong = 0, dict[str, int](), list[str]()
    for picture in pictures:
        try:
            pixels = np.asarray(load_image(picture.path)).astype(float)
        except UnreadableImage as error:
            reason = str(error).partition("(")[0].strip()
            reasons[reason] = reasons.get(reason, 0) + 1
            if picture.shows is not None:
                wrong.append(f"refused: {picture.about}: {error}")
            continue
        read += 1
        if picture.shows is None:
            wrong.append(f"read though it is broken: {picture.about}")
        elif pixels.shape != picture.shows.shape:
            wrong.append(f"shape {pixels.shape} for {picture.shows.shape}: {picture.about}")
        elif (off := np.abs(pixels - picture.shows).mean()) > picture.tolerance:
            wrong.append(f"{off:.1f} levels off: {picture.about}")
    return read, reasons, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="write the files here and keep them")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.keep or Path(temporary)
        plain = Path(temporary) / "plain"
        folder.mkdir(parents=True, exist_ok=True)
        plain.mkdir()
        pictures = list(odd_pictures(folder, chosen.count, chosen.seed))
        shown = [i for i, picture in enumerate(pictures) if picture.shows is not None]
        for i in shown:
            Image.fromarray(pictures[i].shows).save(plain / f"{i:06d}.png")
        encoder = load_encoder("postcards", device="cpu")
        encoder.encode_images([plain / f"{shown[0]:06d}.png"])
        before = _memory()
        read, reasons, wrong = differences(pictures)
        odd = encoder.encode_images([picture.path for picture in pictures])
        same = encoder.encode_images([plain / f"{i:06d}.png" for i in shown])
        rows = dict(zip(odd.indices.tolist(), odd.latents, strict=True))
        cosines = {
            i: float(rows[i] @ z) for i, z in zip(shown, same.latents, strict=True) if i in rows
        }
        wrong += [
            f"cosine {c:.4f} with the plain picture: {pictures[i].about}"
            for i, c in cosines.items()
            if c < LIKENESS[pictures[i].tolerance <= 2]
        ]
        after = _memory()
    print(f"{len(pictures)} files: {read} read, {sum(reasons.values())} not")
    for reason, count in sorted(reasons.items()):
        print(f"  {count:4d}  {reason}")
    print(f"encoded: {len(odd.indices)}, left out and named: {len(odd.failures)}")
    print(f"cosine with the plain picture: lowest {min(cosines.values()):.4f}")
    print(f"memory: {after - before:.0f} MB more than before the first file was read")
    adds_up = len(odd.indices) + len(odd.failures) == len(pictures) == read + sum(reasons.values())
    print("\n".join(["", *wrong]) if wrong else "no silent difference")
    return int(bool(wrong) or not adds_up)


def _memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
