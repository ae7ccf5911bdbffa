"""Pictures drawn again from the codes, as a second media field of the samples."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection
from PIL import Image
from scipy.sparse import csr_matrix

from fiftyone_smic.fiftyone import fields, placeholders, runs
from fiftyone_smic.fiftyone.codes import read_codes
from fiftyone_smic.fiftyone.collections import image_samples, tell
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.vectors import unit


@dataclass(frozen=True)
class RegenerateReport:
    """What ``regenerate`` did.

    Attributes:
        key: the dictionary
        drawn: pictures made now
        reused: pictures that were there already, of the same code, seed and settings
        without_code: samples that have no code and so no picture
        folder: where the pictures are
        generator: which model drew them
        seconds: wall time
    """

    key: str
    drawn: int
    reused: int
    without_code: int
    folder: str
    generator: str
    seconds: float


def regenerate(
    samples: SampleCollection,
    key: str = KEY,
    *,
    output_dir: str | Path | None = None,
    generator: str | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    batch_size: int = 8,
    device: str | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> RegenerateReport:
    """Draw samples again from nothing but their code.

    A picture's file name says its sample and code, its folder the dictionary, seed and settings,
    so one that is there is reused and an interrupted run continues. The field
    ``<key>_regenerated`` is registered as alternative media: the App can show it in the grid.

    Args:
        samples: a dataset or view; samples without a code are counted and left out
        key: a dictionary of the dataset
        output_dir: folder for the pictures, by default ``smic/<dataset>`` in FiftyOne's
            ``default_dataset_dir``
        generator: a hub id, a local directory or "postcards"; by default the one that fits the
            encoder
        seed: of the noise; each sample has its own stream, whatever its batch
        steps: denoising steps, by default the generator's own
        guidance: guidance scale, by default the generator's own
        batch_size: pictures at a time
        device: a torch device, by default the best there is
        overwrite: draw again what is there
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done

    Raises:
        ValueError: for an unknown key, no codes, or a generator that does not fit the encoder
        OSError: if the folder cannot be written
    """
    started = time.perf_counter()
    samples = image_samples(samples)
    dataset = samples._root_dataset
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    ids, files, codes = read_codes(samples, key, int(dictionary.n_atoms_))
    parent = writable(Path(output_dir) if output_dir else default_folder(dataset))
    model = load_generator(generator, encoder=config.encoder, device=device)
    tell(model.notice)
    settings: dict[str, Any] = {"steps": steps, "guidance": guidance}
    folder = writable(parent / _folder_name(config, model.identity, seed, settings))
    paths = [folder / _file_name(i, row) for i, row in zip(ids, _rows(codes), strict=True)]
    todo = [i for i, path in enumerate(paths) if overwrite or not path.exists()]
    began = time.perf_counter()
    with reporting(progress, len(todo)) as report:
        for start in range(0, len(todo), batch_size):
            batch = todo[start : start + batch_size]
            images = model.generate(
                unit(dictionary.inverse_transform(codes[batch])),
                norm=config.latent_norm,
                seeds=[_sample_seed(seed, ids[i]) for i in batch],
                batch_size=batch_size,
                **{name: value for name, value in settings.items() if value is not None},
            )
            for i, image in zip(batch, images, strict=True):
                save_picture(image, paths[i])
            report((start + len(batch)) / len(todo))
    drawing = (time.perf_counter() - began) / (steps or model.steps)
    runs.note_seconds(samples, key, "draw", drawing, len(todo), fewest=batch_size)
    register_pictures(dataset, key, ids, [str(path) for path in paths])
    placeholders.fill(files, [str(path) for path in paths])
    return RegenerateReport(
        key=key,
        drawn=len(todo),
        reused=len(ids) - len(todo),
        without_code=len(samples) - len(ids),
        folder=str(folder),
        generator=model.name,
        seconds=time.perf_counter() - started,
    )


def default_folder(dataset: fo.Dataset) -> Path:
    """Where pictures go unless the user says otherwise."""
    safe = re.sub(r"[^\w.-]+", "_", dataset.name)
    return Path(fo.config.default_dataset_dir) / "smic" / safe


def writable(folder: Path) -> Path:
    """Make the folder, and find out before hours of drawing whether it takes files."""
    folder = folder.expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"cannot write pictures to {str(folder)!r} ({error.strerror or error}); choose another "
            "folder with output_dir"
        ) from error
    return folder.resolve()


def _folder_name(
    config: runs.SMICRunConfig, generator: str, seed: int, settings: dict[str, Any]
) -> str:
    """The dictionary's identity rather than its key: pictures stay valid when it is renamed."""
    identity = json.dumps(
        [config.digest, config.latent_norm, generator, seed, settings], sort_keys=True
    )
    return f"seed{seed}-" + hashlib.sha256(identity.encode()).hexdigest()[:12]


def _rows(codes: csr_matrix) -> list[bytes]:
    return [
        codes.indices[a:b].astype("<i4").tobytes() + codes.data[a:b].astype("<i2").tobytes()
        for a, b in zip(codes.indptr[:-1], codes.indptr[1:], strict=True)
    ]


def _file_name(sample_id: str, code: bytes) -> str:
    return f"{sample_id}-{hashlib.sha256(code).hexdigest()[:8]}.png"


def _sample_seed(seed: int, sample_id: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {sample_id}".encode()).digest()[:4], "little")


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture so that a half-written file never has its name."""
    handle, aside = tempfile.mkstemp(suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            image.save(stream, format="PNG")
        os.chmod(aside, 0o644)
        os.replace(aside, path)
    except BaseException:
        os.unlink(aside)
        raise


def register_pictures(dataset: fo.Dataset, key: str, ids: list[str], paths: list[str]) -> None:
    """Write the paths of regenerated pictures, and let the App show them as other media.

    Args:
        dataset: the dataset
        key: the dictionary whose codes they were drawn from
        ids: N sample ids
        paths: N files
    """
    name = fields.field_name(key, fields.REGENERATED)
    new = not dataset.has_sample_field(name)
    try:
        fields.declare(dataset, key, [fields.REGENERATED])
        fields.write(dataset, ids, {name: paths})
    except BaseException:
        if new and dataset.has_sample_field(name):
            dataset.delete_sample_field(name)
        raise
    if name not in dataset.app_config.media_fields:
        dataset.app_config.media_fields.append(name)
        dataset.save()
