"""Writing the codes of a collection into sample fields."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix, vstack

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import fields, object_latents, objects, runs
from fiftyone_smic.fiftyone.code_columns import code_columns, tag
from fiftyone_smic.fiftyone.codes import coded_samples, images_for, read_coded, write_codes
from fiftyone_smic.fiftyone.collections import count
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.latents import Latents, read_latents
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.fiftyone.settling import settle_codes
from fiftyone_smic.metrics import Fidelity, Rate, fidelity
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.models.images import UnreadableImage, image_size
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import Portion, stage

#: Latents that are coded between two reports of the progress.
CODED_AT_ONCE = 16_384


@dataclass(frozen=True)
class EncodeReport:
    """What ``encode`` did.

    Attributes:
        key: The dictionary.
        encoded: Samples, or objects, that got a code.
        rate: Bits of the ``.smic`` file of exactly these samples.
        fidelity: How well the rebuilt latents of these samples match.
        skipped: Id of a sample, or label -> file and reason, where there is no usable latent.
        seconds: Wall time.
    """

    key: str
    encoded: int
    rate: Rate
    fidelity: Fidelity
    skipped: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@connected()
def encode(
    samples: SampleCollection,
    key: str = KEY,
    *,
    latents_field: str | None = None,
    progress: Progress = None,
) -> EncodeReport:
    """Write the code of each sample into the fields of ``key``.

    The rate is measured on a real archive, which is made in memory. What is kept with the
    dictionary is about all samples that have a code, also where only some of them are encoded now.
    Pictures that were drawn from another code are forgotten. A dictionary that was learned on
    objects writes the codes of objects, as attributes of their labels.

    Args:
        samples: A dataset or view of images.
        key: A dictionary of the dataset.
        latents_field: Where the latents are, by default where the dictionary was learned.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        What was done, and the rate and fidelity of these samples alone.

    Raises:
        ValueError: The key is not known, latents are missing or do not fit the dictionary, or the
            dictionary was replaced meanwhile.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> smic.encode(dataset, progress=False).encoded
        12
    """
    started = time.perf_counter()
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    field_of_latents = latents_field or config.latents_field
    if config.patches_field is not None:
        return _encode_objects(samples, key, field_of_latents, progress)
    dataset = samples._root_dataset
    with reporting(progress, len(samples)) as report:
        stage(report, "Reading the embeddings")
        latents = read_latents(samples, field_of_latents, report=Portion(report, 0.0, 0.2))
        check_fit(latents, config, key)
        stage(report, "Encoding")
        codes = code_all(dictionary, latents.values, Portion(report, 0.2, 0.35))
        names = runs.atom_names(samples, key)
        stage(report, "Measuring the fidelity")
        quality = fidelity_of(dictionary, latents.values, codes)
        stage(report, "Measuring the rate")
        storage = None
        if _all_coded(samples, latents.ids, key, config.digest):
            files = _files(samples)
            storage = _storage(config, dictionary, codes, _sources(files), _as_numbers(quality))
            rate = runs.stored_rate(storage)
        stage(report, "Writing the codes")

        def columns(part: slice) -> dict[str, list[Any]]:
            coded, z = codes[part], latents.values[part]
            return code_columns(dictionary, coded, z, names, digest=config.digest, stored=True)

        written = write_codes(
            dataset,
            key,
            latents.ids,
            columns,
            digest=config.digest,
            report=Portion(report, 0.4, 0.9),
        )
        stage(report, "Measuring the collection")
        if storage is None or len(written) < len(latents.ids):
            settle_codes(dataset, key)
            storage = measure_collection(dataset, key, latents_field=latents_field)
            rate = runs.stored_rate(storage)
            if len(written) < storage["items"]:
                rate = _measure(dictionary, codes, config, storage["pixels_per_item"])
        runs.update_config(samples, key, digest=config.digest, storage=storage)
        seconds = time.perf_counter() - started
        note_seconds(samples, key, "encode", seconds, len(latents.ids))
        report(1.0)
    return EncodeReport(
        key=key,
        encoded=len(written),
        rate=rate,
        fidelity=quality,
        skipped=latents.skipped,
        seconds=seconds,
    )


def code_all(
    dictionary: SemanticDictionary, latents: np.ndarray, report: Callable[[float], None]
) -> csr_matrix:
    """Code latents a part at a time: what :meth:`SemanticDictionary.transform` returns for all.

    Args:
        dictionary: A fitted dictionary.
        latents: (N, d) float32.
        report: Gets the fraction done.
    """
    parts = []
    for start in range(0, len(latents), CODED_AT_ONCE):
        parts.append(dictionary.transform(latents[start : start + CODED_AT_ONCE]))
        report(min(1.0, (start + CODED_AT_ONCE) / len(latents)))
    return vstack(parts, format="csr")


def fidelity_of(
    dictionary: SemanticDictionary, latents: np.ndarray, codes: csr_matrix, **how: Any
) -> Fidelity:
    """Compare latents with what their codes rebuild, a part at a time."""
    return fidelity(latents, lambda rows: dictionary.inverse_transform(codes[rows]), **how)


def _all_coded(samples: SampleCollection, ids: Sequence[str], key: str, digest: str) -> bool:
    """Whether no other sample of the dataset will have a code of this dictionary than these.

    Only of a whole dataset, whose samples come in the order in which all codes are read.
    """
    if not isinstance(samples, fo.Dataset):
        return False
    if len(ids) == count(samples):
        return True
    others = set(coded_samples(samples, key, digest).values("id"))
    return others <= set(ids)


def _encode_objects(
    samples: SampleCollection, key: str, latents_field: str, progress: Progress
) -> EncodeReport:
    """Write the codes of objects as attributes of their labels, as :func:`encode` does."""
    started = time.perf_counter()
    config, dictionary = runs.load_config(samples, key), runs.load_dictionary(samples, key)
    made_by = tag(config.digest)
    found, latents = object_latents.read(samples, config.patches_field, latents_field)
    check_fit(latents, config, key)

    def check() -> None:
        runs.check_current(samples, key, config.digest)

    with reporting(progress, len(latents.ids)) as report:
        codes = code_all(dictionary, latents.values, Portion(report, 0.0, 0.4))
        columns = code_columns(dictionary, codes, latents.values, digest=config.digest)
        quality = fidelity_of(dictionary, latents.values, codes)
        rate = _measure(dictionary, codes, config, None)
        report(0.6)
        rows = object_latents.positions(found, latents.ids)
        objects.write_codes(found, key, rows.tolist(), columns, made_by, check)
        storage = measure_collection(samples._root_dataset, key, latents_field=latents_field)
        runs.update_config(samples, key, digest=config.digest, storage=storage)
        report(1.0)
    seconds = time.perf_counter() - started
    return EncodeReport(key, len(rows), rate, quality, latents.skipped, seconds)


def measure_collection(
    dataset: fo.Dataset, key: str, *, latents_field: str | None = None
) -> dict[str, Any]:
    """Measure all samples that have a code, of every view and group slice.

    What :func:`fiftyone_smic.fiftyone.measure_storage` measured is kept; the bytes of image codecs
    follow the number of samples.

    Args:
        dataset: A dataset with codes.
        key: A dictionary of the dataset.
        latents_field: Where the latents are, by default where the dictionary was learned.

    Returns:
        What a run keeps as ``storage``.
    """
    config = runs.load_config(dataset, key)
    dictionary = runs.load_dictionary(dataset, key)
    everywhere = coded_samples(fields.everything(dataset), key, config.digest)
    whole = config.patches_field is None
    # The files of objects hold more than the objects.
    about = ["filepath", *(f"metadata.{name}" for name in _METADATA)] if whole else []
    (ids, *files), codes = read_coded(everywhere, key, int(dictionary.n_atoms_), ["_id", *about])
    none = {"bytes": None, "pixels_per_item": None}
    sources = _sources(zip(*files, strict=True)) if whole else none
    name, boxed = latents_field or config.latents_field, config.patches_field
    quality = _fidelity(everywhere, dictionary, ids, codes, name, boxed)
    return _storage(config, dictionary, codes, sources, quality)


def _storage(
    config: runs.SMICRunConfig,
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    sources: dict[str, Any],
    quality: dict[str, float] | None,
) -> dict[str, Any]:
    """Return what a run keeps as ``storage``."""
    rate = _measure(dictionary, codes, config, sources["pixels_per_item"])
    items = int(codes.shape[0])
    former = config.storage or {}
    kept = {name: former[name] for name in ("codecs", "pictures", "curve") if name in former}
    if kept.get("codecs") and former["items"] != items:
        scale = items / former["items"]
        kept["codecs"] = {codec: round(size * scale) for codec, size in kept["codecs"].items()}
    return {
        **kept,
        "items": items,
        "original_bytes": sources["bytes"],
        "float32_bytes": 4 * items * int(config.dim),
        "pixels_per_item": sources["pixels_per_item"],
        "payload_bits": int(rate.payload_bits),
        "dictionary_bits": int(rate.dictionary_bits),
        "header_bits": int(rate.header_bits),
        "fidelity": quality,
    }


def _fidelity(
    samples: SampleCollection,
    dictionary: SemanticDictionary,
    ids: Sequence[Any],
    codes: csr_matrix,
    latents_field: str,
    patches_field: str | None,
) -> dict[str, float] | None:
    """Compare the codes of all samples or objects with their latents, where both are there."""
    root = objects.root_of(samples._root_dataset, patches_field)
    path = f"{root}.{latents_field}" if root else latents_field
    if not samples._root_dataset.has_field(path) or not samples.count(path):
        return None
    latents = read_latents(samples, latents_field, patches_field)
    place = {str(sample_id): i for i, sample_id in enumerate(ids)}
    rows = np.array([place.get(sample_id, -1) for sample_id in latents.ids])
    if not (rows >= 0).any():
        return None
    known = rows >= 0
    values = latents.values if known.all() else latents.values[known]
    return _as_numbers(fidelity_of(dictionary, values, codes[rows[known]]))


def _as_numbers(quality: Fidelity) -> dict[str, float]:
    return {name: float(value) for name, value in asdict(quality).items()}


def check_fit(latents: Latents, config: runs.SMICRunConfig, key: str) -> None:
    """Raise ``ValueError`` if a dictionary cannot code these latents."""
    dim = latents.values.shape[1]
    if dim != config.dim:
        raise ValueError(
            f"dictionary {key!r} codes latents of {config.dim} dimensions ({config.encoder}) and "
            f"these have {dim} ({latents.encoder}); encode {config.latents_field!r}, or learn a "
            "dictionary on these latents under another key"
        )
    ours, theirs = EncoderIdentity.parse(config.encoder), EncoderIdentity.parse(latents.encoder)
    if ours.known and theirs.known and not ours.matches(theirs):
        raise ValueError(
            f"dictionary {key!r} was learned on latents of {config.encoder!r} and these are of "
            f"{latents.encoder!r}; compute latents with the same encoder, or learn a dictionary "
            "on these under another key"
        )


#: What FiftyOne's metadata say of a picture's file.
_METADATA = ("size_bytes", "width", "height")


def _files(samples: SampleCollection) -> Iterator[tuple[Any, ...]]:
    """Yield path, bytes, width and height of each sample, as far as they are known."""
    shown = {"filepath": True, **{f"metadata.{name}": True for name in _METADATA}}
    found = samples._dataset._sample_collection.aggregate(
        samples._pipeline(pipeline=[{"$project": shown}]), allowDiskUse=True
    )
    for row in found:
        known = row.get("metadata") or {}
        yield (row["filepath"], *(known.get(name) for name in _METADATA))


def _sources(files: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Return bytes and mean pixels of the image files, from metadata where it is there.

    Args:
        files: Path, bytes, width and height of each.
    """
    total = pixels = number = 0
    for path, size, width, height in files:
        try:
            if is_placeholder(path):
                return {"bytes": None, "pixels_per_item": None}
            total += size if size is not None else os.path.getsize(path)
            if width is None or height is None:
                width, height = image_size(path)
        except (OSError, UnreadableImage):  # latents can outlive their file
            return {"bytes": None, "pixels_per_item": None}
        pixels += width * height
        number += 1
    return {"bytes": int(total), "pixels_per_item": pixels / number}


def _measure(
    dictionary: SemanticDictionary,
    codes: csr_matrix,
    config: runs.SMICRunConfig,
    pixels_per_item: float | None,
) -> Rate:
    """Return the rate of the real archive, which is made in memory."""
    return encode_archive(
        dictionary,
        codes,
        encoder=config.encoder,
        latent_norm=config.latent_norm,
        pixels_per_item=pixels_per_item,
    )[1]
