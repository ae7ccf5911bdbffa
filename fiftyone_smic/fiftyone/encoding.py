"""Writing the codes of a collection into sample fields."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import write_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import code_columns, write_codes
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.latents import Latents, read_latents
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.metrics import Fidelity, Rate, fidelity
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.utils.defaults import KEY


@dataclass(frozen=True)
class EncodeReport:
    """What ``encode`` did.

    Attributes:
        key: the dictionary
        encoded: samples that got a code
        rate: bits of the ``.smic`` file of exactly these samples
        fidelity: how well the rebuilt latents match
        skipped: sample id -> file and reason, for samples without a usable latent
        seconds: wall time
    """

    key: str
    encoded: int
    rate: Rate
    fidelity: Fidelity
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


def encode(
    samples: SampleCollection,
    key: str = KEY,
    *,
    latents_field: str | None = None,
    progress: Progress = None,
) -> EncodeReport:
    """Write the code of each sample into the fields of ``key``.

    The rate is measured on a real ``.smic`` file, written aside and removed. It is kept with the
    run for the Storage tab. Pictures regenerated from another code are forgotten.

    Args:
        samples: a dataset or view of images
        key: a dictionary of the dataset
        latents_field: where the latents are, by default where the dictionary was learned
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done

    Raises:
        ValueError: for an unknown key, missing latents, or latents that do not fit the dictionary
    """
    started = time.perf_counter()
    samples = image_samples(samples)
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    latents = read_latents(samples, latents_field or config.latents_field)
    check_fit(latents, config, key)
    with reporting(progress, len(latents.ids)) as report:
        codes = dictionary.transform(latents.values)
        report(0.4)
        names = runs.atom_names(samples, key)
        columns = code_columns(dictionary, codes, latents.values, names)
        sources = _sources(samples, latents.ids)
        rate = _measure(dictionary, codes, config, sources)
        quality = fidelity(latents.values, dictionary.inverse_transform(codes))
        report(0.6)
        write_codes(samples._root_dataset, key, latents.ids, columns)
        report(1.0)
    storage = {
        "items": len(latents.ids),
        "original_bytes": sources["bytes"],
        "float32_bytes": int(latents.values.nbytes),
        "pixels_per_item": sources["pixels_per_item"],
        "payload_bits": int(rate.payload_bits),
        "dictionary_bits": int(rate.dictionary_bits),
        "header_bits": int(rate.header_bits),
        "fidelity": {name: float(value) for name, value in asdict(quality).items()},
    }
    runs.update_config(samples, key, storage=storage)
    seconds = time.perf_counter() - started
    runs.note_seconds(samples, key, "encode", seconds, len(latents.ids))
    return EncodeReport(
        key=key,
        encoded=len(latents.ids),
        rate=rate,
        fidelity=quality,
        skipped=latents.skipped,
        seconds=seconds,
    )


def check_fit(latents: Latents, config: runs.SMICRunConfig, key: str) -> None:
    """Raise ``ValueError`` if a dictionary cannot code these latents."""
    dim = latents.values.shape[1]
    if dim != config.dim:
        raise ValueError(
            f"dictionary {key!r} codes latents of {config.dim} dimensions ({config.encoder}) and "
            f"these have {dim} ({latents.encoder}); encode {config.latents_field!r}, or learn a "
            "dictionary on these latents under another key"
        )
    made_by, learned_on = map(EncoderIdentity.parse, (latents.encoder, config.encoder))
    if made_by.known and learned_on.known and not made_by.matches(learned_on):
        raise ValueError(
            f"dictionary {key!r} was learned on latents of {config.encoder!r} and these are of "
            f"{latents.encoder!r}; compute latents with the same encoder, or learn a dictionary "
            "on these under another key"
        )


def _sources(samples: SampleCollection, ids: list[str]) -> dict[str, Any]:
    """Bytes and mean pixels of the image files, from metadata where it is there."""
    chosen = set(ids)
    columns = ["id", "filepath", "metadata.size_bytes", "metadata.width", "metadata.height"]
    total = pixels = 0
    measured = 0
    for sample_id, path, size, width, height in zip(*samples.values(columns), strict=True):
        if sample_id not in chosen:
            continue
        try:
            total += size if size is not None else os.path.getsize(path)
            if width is None or height is None:
                width, height = _dimensions(path)
        except OSError:  # latents can outlive their file
            continue
        pixels += width * height
        measured += 1
    return {
        "bytes": int(total) if measured == len(ids) else None,
        "pixels_per_item": pixels / measured if measured == len(ids) else None,
    }


def _dimensions(path: str) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path) as image:  # reads the header only
        return image.size


def _measure(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    config: runs.SMICRunConfig,
    sources: dict[str, Any],
) -> Rate:
    """The rate of the real archive, which is written aside."""
    with tempfile.TemporaryDirectory(prefix="smic-") as aside:
        return write_archive(
            Path(aside) / "measured.smic",
            dictionary,
            codes,
            encoder=config.encoder,
            latent_norm=config.latent_norm,
            pixels_per_item=sources["pixels_per_item"],
        )
