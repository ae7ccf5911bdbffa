"""The prior of the embedded encoder: ``python -m fiftyone_smic.postcards.build_prior --work DIR``.

Built from the latents of a collection of postcards that is used for nothing else. A new encoder
needs a new prior: the file carries the encoder's identity in its name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fiftyone_smic.dictionary.priors import FOLDER, Prior, shipped_prior_file
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.postcards.training import command_line, load_training_set, to_batch

COLLECTION = 902


def build_prior(work: Path, directory: Path = FOLDER, *, images: int = 4000) -> Path:
    """Draw postcards (kept in ``work``), encode them and write their prior; return its file."""
    encoder = load_encoder(device="cpu")
    drawn = load_training_set(work, images, COLLECTION).images
    latents = [
        encoder.encode_tensors(to_batch(drawn[i : i + 256]))[0] for i in range(0, images, 256)
    ]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / shipped_prior_file(encoder.name)
    Prior.build(np.concatenate(latents)).save(path)
    return path


if __name__ == "__main__":
    print(build_prior(**vars(command_line(str(__doc__).splitlines()[0], FOLDER, images=4000))))
