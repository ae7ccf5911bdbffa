"""What a collection takes otherwise: in image codecs, and at other points of rate and fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import coded_samples, count_coded, images_for
from fiftyone_smic.fiftyone.crops import crop_files
from fiftyone_smic.fiftyone.encoding import check_fit
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.objects import find_objects, noun
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.pipelines.image_codecs import image_baselines
from fiftyone_smic.utils.defaults import CURVE_FACTORS, KEY
from fiftyone_smic.utils.progress import Portion, stage


@dataclass(frozen=True)
class StorageReport:
    """What :func:`measure_storage` found.

    Attributes:
        key: Key of the dictionary.
        codecs: Name of a codec -> bytes of the pictures of all these samples at its smallest
            setting.
        pictures: Number of pictures that were encoded. If it is less than all, ``codecs`` is an
            estimate.
        curve: ``lam``, ``bits_per_item`` and ``explained_variance`` of dictionaries with other
            values of λ, the fewest bits first.
        latents: Number of latents that these dictionaries were learned on.
        kept: Whether the figures are stored with the dictionary. They are if they describe all
            samples that have a code.
    """

    key: str
    codecs: dict[str, int]
    pictures: int
    curve: list[dict[str, float]]
    latents: int
    kept: bool


@connected()
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

    Both are stored with the dictionary if they describe all samples that have a code. Measuring a
    view returns its figures and stores nothing. The curve has one dictionary for each factor of λ
    in :data:`~fiftyone_smic.utils.defaults.CURVE_FACTORS`; each is learned for it. In a larger
    collection a random part is measured, and all samples share the dictionary's bits. For a
    dictionary of objects, image codecs compress the crops.

    Args:
        samples: A dataset or view; samples without a code are left out.
        key: A dictionary of the dataset whose codes have been written.
        most_pictures: Largest number of pictures to encode.
        most_latents: Largest number of latents to learn on.
        seed: Seed of the random choice.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The figures for these samples.

    Raises:
        ValueError: The key is not known, there are no codes, or latents are missing or do not fit.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import measure_storage
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> report = measure_storage(dataset, progress=False)
        >>> report.pictures, "jpeg" in report.codecs, report.kept
        (12, True, True)
    """
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    patches_field = config.patches_field
    coded = coded_samples(samples, key)
    if patches_field is None:
        ids = coded.values("id")
    else:
        ids = find_objects(coded, patches_field, some=False).ids
    if not config.storage or not ids:
        raise ValueError(
            f"no {noun(patches_field)} has a code of dictionary {key!r} yet; run "
            f"fiftyone_smic.encode(dataset, key={key!r}) first"
        )
    whole = len(ids) == count_coded(fields.everything(samples._root_dataset), key)
    learned = runs.load_dictionary(samples, key)
    rng = np.random.default_rng(seed)
    with reporting(progress, len(CURVE_FACTORS) + 1) as report:
        chosen = [ids[i] for i in rng.permutation(len(ids))[:most_latents]]
        if patches_field is None:
            some = coded.select(chosen)
        else:
            some = coded.select_labels(ids=chosen, fields=patches_field)
        latents = read_latents(some, config.latents_field, patches_field)
        check_fit(latents, config, key)
        curve = []
        for done, factor in enumerate(CURVE_FACTORS):
            stage(report, f"Learning dictionary {done + 1} of {len(CURVE_FACTORS)}")
            curve.append(_point(latents.values, config, factor, learned, len(ids)))
            report(0.7 * (done + 1) / len(CURVE_FACTORS))
        if patches_field is None:
            files = coded.select(chosen[:most_pictures]).values("filepath")
        else:
            files = list(crop_files(coded, key, chosen[:most_pictures]).values())
        paths = [path for path in files if not is_placeholder(path)]
        stage(report, "Measuring JPEG, WebP and AVIF")
        sizes = image_baselines(paths, progress=Portion(report, 0.7, 0.99))
        report(1.0)
    original = sizes.pop("original")
    total = config.storage["original_bytes"] if whole else None
    scale = total / original if total and original else len(ids) / max(1, len(paths))
    codecs = {codec: round(size * scale) for codec, size in sizes.items()}
    found = StorageReport(key, codecs, len(paths), curve, len(latents.ids), whole)
    measured = {"codecs": codecs, "pictures": len(paths), "curve": curve}
    if whole:
        runs.update_config(
            samples, key, digest=config.digest, storage={**config.storage, **measured}
        )
    return found


def _point(
    latents: np.ndarray,
    config: runs.SMICRunConfig,
    factor: float,
    learned: SemanticDictionary,
    items: int,
) -> dict[str, float]:
    """Return bits and fidelity of a dictionary with another λ."""
    known = SemanticDictionary().get_params()
    settings: dict[str, Any] = {k: v for k, v in config.settings.items() if k in known}
    settings["lam"] = float(config.settings["lam"]) * factor
    if len(latents) < config.items:  # "auto" would choose the number of atoms for a part alone
        settings["n_atoms"] = config.n_atoms
    dictionary = SemanticDictionary(**settings, prior=learned.prior_, metric=learned.metric_)
    codes = dictionary.fit_transform(latents)
    rate = encode_archive(dictionary, codes, encoder=config.encoder)[1]
    shared = (rate.dictionary_bits + rate.header_bits) / items
    quality = fidelity(latents, dictionary.inverse_transform(codes), max_queries=1)
    return {
        "lam": settings["lam"],
        "bits_per_item": rate.payload_bits / len(latents) + shared,
        "explained_variance": float(quality.explained_variance),
    }
