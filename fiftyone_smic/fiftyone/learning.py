"""Learning a dictionary on a collection, and writing its codes into sample fields."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fiftyone.core.collections import SampleCollection
from scipy.sparse import csr_matrix

from fiftyone_smic.archive import encode_archive, write_archive
from fiftyone_smic.control import learn_to_target
from fiftyone_smic.dictionary import SemanticDictionary
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import code_columns, write_codes
from fiftyone_smic.fiftyone.reading import Latents, Progress, image_samples, read_latents, reporting
from fiftyone_smic.metrics import Fidelity, Rate, fidelity
from fiftyone_smic.priors import shipped_prior


def learn_dictionary(
    samples: SampleCollection,
    key: str = "smic",
    latents_field: str = "clip_latents",
    *,
    n_atoms: int | str = "auto",
    lam: float = 0.002,
    bits_per_item: float | None = None,
    explained_variance: float | None = None,
    max_nonzero: int = 16,
    max_level: int = 4,
    nonnegative: bool = False,
    max_iter: int = 20,
    seed: int = 0,
    overwrite: bool = False,
    progress: Progress = None,
) -> SemanticDictionary:
    """Learn a dictionary of atoms on the latents of a collection and store it as a custom run.

    Args:
        samples: a dataset or view of images
        key: the run's key; sample fields will be named after it
        latents_field: the vector field to learn from
        n_atoms: number of atoms, or "auto" to follow the number of samples
        lam: rate against distortion, larger means fewer bits; found by a few trials when one of
            the next two is given
        bits_per_item: target for the whole archive's bits (without names) per sample
        explained_variance: target for the share of the latents' variance that is kept, 0…1
        max_nonzero: atoms per sample at most
        max_level: largest absolute coefficient
        nonnegative: allow only positive coefficients
        max_iter: alternations of coding and dictionary update at most
        seed: of the initialisation
        overwrite: replace the dictionary of that key; its codes are dropped with it
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done

    Raises:
        ValueError: for a key that is taken or is no field name, a collection that is empty or
            holds no images, missing latents or fewer than two of them, or a target that cannot be
            met
    """
    started = time.perf_counter()
    runs.check_free(samples, key, overwrite)
    samples = image_samples(samples)
    latents = read_latents(samples, latents_field)
    if len(latents.ids) < 2:
        raise ValueError(
            "a dictionary is learned from what samples have in common and there is only one here "
            "with a latent; choose a larger view, or compute the latents of more samples"
        )
    settings: dict[str, Any] = {
        "max_nonzero": max_nonzero,
        "max_level": max_level,
        "nonnegative": nonnegative,
        "max_iter": max_iter,
        "random_state": seed,
    }
    target = {"bits_per_item": bits_per_item, "explained_variance": explained_variance}
    targeted = any(value is not None for value in target.values())
    prior = shipped_prior(latents.encoder)
    with reporting(progress, len(latents.ids)) as report:

        def fitting(fraction: float) -> None:
            report(0.95 * fraction)

        if not targeted:
            dictionary = SemanticDictionary(n_atoms, lam=lam, prior=prior, **settings)
            dictionary.fit(latents.values, progress=fitting)
        else:
            dictionary = learn_to_target(
                latents.values,
                bits_per_item=bits_per_item,
                explained_variance=explained_variance,
                n_atoms=n_atoms,
                progress=fitting,
                prior=prior,
                **settings,
            )
        codes = dictionary.transform(latents.values)
        rate = encode_archive(dictionary, codes, encoder=latents.encoder)[1]
        quality = fidelity(latents.values, dictionary.inverse_transform(codes), max_queries=1)
        config = runs.SMICRunConfig(
            latents_field=latents_field,
            encoder=latents.encoder,
            encoder_source=latents.source,
            latent_norm=latents.norm,
            dim=int(latents.values.shape[1]),
            n_atoms=int(dictionary.n_atoms_),
            items=len(latents.ids),
            settings={"n_atoms": n_atoms, "lam": dictionary.lam, **target, **settings},
            digest=runs.digest(dictionary),
            learned={
                "bits_per_item": rate.bits_per_item,
                "explained_variance": quality.explained_variance,
            },
        )
        runs.save_dictionary(samples, key, dictionary, config)
        if not targeted:  # a target takes several fits, it is not known beforehand how many
            seconds = time.perf_counter() - started
            runs.note_seconds(samples, key, "learn", seconds, len(latents.ids))
        report(1.0)
    return dictionary


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
    key: str = "smic",
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
    known = "unknown" not in (latents.encoder, config.encoder)
    if known and latents.encoder != config.encoder:
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
