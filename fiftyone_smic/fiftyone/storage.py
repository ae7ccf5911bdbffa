"""What else the same collection could take: image codecs, and other points of rate and fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import shipped_prior
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.encoding import check_fit
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.pipelines.image_codecs import image_baselines
from fiftyone_smic.utils.defaults import KEY

#: What the dictionary's λ is multiplied with, from few bits to many.
FACTORS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)


@dataclass(frozen=True)
class StorageReport:
    """What ``measure_storage`` found.

    Attributes:
        key: the dictionary
        codecs: codec -> bytes of all encoded samples' pictures at its smallest setting
        pictures: how many pictures that was measured on; with fewer than all it is an estimate
        curve: ``lam``, ``bits_per_item`` and ``explained_variance`` of dictionaries that give more
            or less to a bit, few bits first
        latents: how many latents they were learned on
    """

    key: str
    codecs: dict[str, int]
    pictures: int
    curve: list[dict[str, float]]
    latents: int


def measure_storage(
    samples: SampleCollection,
    key: str = KEY,
    *,
    most_pictures: int = 300,
    most_latents: int = 2000,
    seed: int = 0,
    progress: Progress = None,
) -> StorageReport:
    """Measure what image codecs take, and the rate–fidelity curve of this collection.

    Both are kept with the run, beside what ``encode`` measured, until the next ``encode``. The
    curve learns a dictionary anew for each of :data:`FACTORS`. Of a larger collection a random
    part is measured, and the dictionary's bits are shared by all samples that have a code.

    Args:
        samples: a dataset or view; samples without a code are left out
        key: a dictionary of the dataset whose codes have been written
        most_pictures: encode at most so many pictures
        most_latents: learn on at most so many latents
        seed: of the choice
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done

    Raises:
        ValueError: for an unknown key, no codes, or latents that are missing or do not fit
    """
    samples = image_samples(samples)
    config = runs.load_config(samples, key)
    name = fields.field_name(key, fields.ATOMS)
    if not config.storage or name not in samples.get_field_schema():
        raise ValueError(
            f"no sample has a code of dictionary {key!r} yet; run "
            f"fiftyone_smic.encode(dataset, key={key!r}) first"
        )
    coded = samples.exists(name)
    ids = coded.values("id")
    rng = np.random.default_rng(seed)
    with reporting(progress, len(FACTORS) + 1) as report:
        chosen = [ids[i] for i in rng.permutation(len(ids))[:most_latents]]
        latents = read_latents(coded.select(chosen), config.latents_field)
        check_fit(latents, config, key)
        curve = []
        for done, factor in enumerate(FACTORS):
            curve.append(_point(latents.values, config, factor))
            report((done + 1) / (len(FACTORS) + 1))
        paths = coded.select(chosen[:most_pictures]).values("filepath")
        sizes = image_baselines(paths)
        report(1.0)
    original = sizes.pop("original")
    whole = config.storage["original_bytes"]
    scale = whole / original if whole and original else len(ids) / max(1, len(paths))
    codecs = {codec: round(size * scale) for codec, size in sizes.items()}
    found = StorageReport(key, codecs, len(paths), curve, len(latents.ids))
    measured = {"codecs": codecs, "pictures": len(paths), "curve": curve}
    runs.update_config(samples, key, storage={**config.storage, **measured})
    return found


def _point(latents: np.ndarray, config: runs.SMICRunConfig, factor: float) -> dict[str, float]:
    """Bits and fidelity of a dictionary with another λ."""
    known = SemanticDictionary().get_params()
    settings: dict[str, Any] = {k: v for k, v in config.settings.items() if k in known}
    settings["lam"] = float(config.settings["lam"]) * factor
    if len(latents) < config.items:  # "auto" would learn fewer atoms than all samples need
        settings["n_atoms"] = config.n_atoms
    dictionary = SemanticDictionary(**settings, prior=shipped_prior(config.encoder))
    codes = dictionary.fit_transform(latents)
    rate = encode_archive(dictionary, codes, encoder=config.encoder)[1]
    shared = (rate.dictionary_bits + rate.header_bits) / config.storage["items"]
    quality = fidelity(latents, dictionary.inverse_transform(codes), max_queries=1)
    return {
        "lam": settings["lam"],
        "bits_per_item": rate.payload_bits / len(latents) + shared,
        "explained_variance": float(quality.explained_variance),
    }
