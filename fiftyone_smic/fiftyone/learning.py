"""Learning a dictionary on a collection, and writing its codes into sample fields."""

from __future__ import annotations

import time
from typing import Any

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.archive.rate_control import learn_to_target
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.priors import shipped_prior
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.metrics import fidelity
from fiftyone_smic.utils.defaults import KEY, LAM, LATENTS_FIELD


def learn_dictionary(
    samples: SampleCollection,
    key: str = KEY,
    latents_field: str = LATENTS_FIELD,
    *,
    n_atoms: int | str = "auto",
    lam: float = LAM,
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
            settings={"n_atoms": n_atoms, "lam": dictionary.lam_, **target, **settings},
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
