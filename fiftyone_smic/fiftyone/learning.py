"""Learning a dictionary on a collection, and storing it with the dataset."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.archive.rate_control import learn_to_target
from fiftyone_smic.dictionary.advice import small_advice
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior, as_prior, shipped_prior
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.encoding import code_all, fidelity_of
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.objects import images_of, noun
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.pipelines.keeping import check_keep, metric_of_words
from fiftyone_smic.utils.defaults import KEY, LAM, LATENTS_FIELD
from fiftyone_smic.utils.progress import Portion, stage

logger = logging.getLogger(__name__)


@connected()
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
    prior: Prior | str | os.PathLike[str] | None = None,
    keep: str = "everything",
    patches_field: str | None = None,
    overwrite: bool = False,
    progress: Progress = None,
) -> SemanticDictionary:
    """Learn a dictionary of atoms on the latents of a collection and store it as a custom run.

    A warning is logged where the collection is so small that the dictionary is much of its archive:
    it says what a prior would save and how to get one. Where no atom saves the samples more than it
    costs, the dictionary is the mean alone, and this is said too.

    Args:
        samples: A dataset or view of images.
        key: The run's key; sample fields will be named after it.
        latents_field: The vector field to learn from.
        n_atoms: Number of atoms, or "auto" to follow the number of samples.
        lam: Squared distance, of latents of unit norm, that one bit is worth. Larger means fewer
            bits. It is found by a few trials when one of the next two is given.
        bits_per_item: Target for the whole archive's bits (without names) per sample.
        explained_variance: Target for the share of the latents' variance that is kept, 0…1.
        max_nonzero: Atoms per sample at most.
        max_level: Largest absolute coefficient.
        nonnegative: Allow only positive coefficients.
        max_iter: Alternations of coding and dictionary update at most.
        seed: Seed of the initialisation.
        prior: Shared statistics of the encoder's latents, or their file, by default the shipped
            ones of the encoder. Whoever reads an archive of this dictionary needs the same.
        keep: What the bits are spent on first: ``"everything"`` that varies between the images, or
            ``"words"``, so that searches by text find more of what full latents find. ``"words"``
            takes the vocabulary of the encoder as the :class:`~fiftyone_smic.dictionary.Metric`,
            and samples that are encoded later are coded by it too.
        patches_field: Learn from the objects in this field of detections or polylines;
            ``latents_field`` is then an attribute of its labels.
        overwrite: Replace the dictionary of that key; its codes are dropped with it.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The dictionary, which is stored with the dataset.

    Raises:
        ValueError: The key is taken or is no field name, the collection is empty or holds no
            images, latents are missing or fewer than two, the prior does not fit them, a target
            cannot be met, the encoder has no texts for ``keep="words"``, or another process has
            stored the same key meanwhile.
        OSError: The prior's file cannot be read.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> dictionary = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> smic.list_dictionaries(dataset)
        ['smic']
    """
    started = time.perf_counter()
    runs.check_free(samples, key, overwrite)
    samples = images_of(samples, patches_field)
    given = as_prior(prior)
    check_keep(keep)
    settings: dict[str, Any] = {
        "max_nonzero": max_nonzero,
        "max_level": max_level,
        "nonnegative": nonnegative,
        "max_iter": max_iter,
        "random_state": seed,
    }
    target = {"bits_per_item": bits_per_item, "explained_variance": explained_variance}
    targeted = any(value is not None for value in target.values())
    with reporting(progress, len(samples)) as report:
        stage(report, "Reading the embeddings")
        latents = read_latents(samples, latents_field, patches_field, Portion(report, 0.0, 0.1))
        if len(latents.ids) < 2:
            raise ValueError(
                f"a dictionary is learned from what {noun(patches_field)}s have in common and "
                "there is only one here with a latent; choose a larger view, or compute the "
                f"latents of more {noun(patches_field)}s"
            )
        stage(report, "Learning the dictionary")
        known = given or shipped_prior(latents.encoder)
        metric = _words(latents.encoder, latents.source) if keep == "words" else None
        fitting = Portion(report, 0.1, 0.85)
        if not targeted:
            dictionary = SemanticDictionary(
                n_atoms, lam=lam, prior=known, metric=metric, **settings
            )
            dictionary.fit(latents.values, progress=fitting)
        else:
            dictionary = learn_to_target(
                latents.values,
                bits_per_item=bits_per_item,
                explained_variance=explained_variance,
                n_atoms=n_atoms,
                progress=fitting,
                prior=known,
                metric=metric,
                **settings,
            )
        stage(report, "Measuring rate and fidelity")
        codes = code_all(dictionary, latents.values, Portion(report, 0.85, 0.95))
        rate = encode_archive(dictionary, codes, encoder=latents.encoder)[1]
        quality = fidelity_of(dictionary, latents.values, codes, max_queries=1)
        config = runs.SMICRunConfig(
            latents_field=latents_field,
            patches_field=patches_field,
            encoder=latents.encoder,
            encoder_source=latents.source,
            latent_norm=latents.norm,
            dim=int(latents.values.shape[1]),
            n_atoms=int(dictionary.n_atoms_),
            items=len(latents.ids),
            settings={
                "n_atoms": n_atoms,
                "lam": dictionary.lam_,
                **target,
                "keep": keep,
                **settings,
            },
            digest=runs.digest(dictionary),
            learned={
                "bits_per_item": rate.bits_per_item,
                "explained_variance": quality.explained_variance,
            },
        )
        runs.save_dictionary(samples, key, dictionary, config, overwrite=overwrite)
        if not targeted:  # a target takes several fits, it is not known beforehand how many
            seconds = time.perf_counter() - started
            note_seconds(samples, key, "learn", seconds, len(latents.ids))
        report(1.0)
    if advice := small_advice(dictionary, len(latents.ids), rate.total_bits):
        logger.warning(advice)
    return dictionary


def _words(encoder: str, source: str | None) -> Metric:
    """The metric of the vocabulary of the encoder that made the latents."""
    if not EncoderIdentity.parse(encoder).known:
        raise ValueError(
            "these latents do not say which encoder made them, so there are no words to keep "
            "first; pass keep='everything'"
        )
    return metric_of_words(load_matching(encoder, source))
