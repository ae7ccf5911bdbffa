"""Find, choose and clean samples by their codes: the library's functions on views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from fiftyone.core.collections import SampleCollection
from fiftyone.core.sample import Sample, SampleView

from fiftyone_smic import curation
from fiftyone_smic.curation.selection import Method
from fiftyone_smic.curation.surprise import REMARKABLE
from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.collections import MOST_LISTED, image_samples
from fiftyone_smic.fiftyone.curated import Coded, CurationReport, check_tag
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.fiftyone.queries import as_latents
from fiftyone_smic.fiftyone.splits import split_of_each
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import stage

#: A search of more samples than this does not read their latents to compare with.
MOST_COMPARED = 5000


def search(
    samples: SampleCollection,
    query: Any,
    key: str = KEY,
    k: int | None = None,
    *,
    by: str = "cosine",
    field: bool = False,
    tag: str | None = None,
    device: str | None = None,
    progress: Progress = None,
) -> CurationReport:
    """Find the samples whose codes are nearest to a text, a sample or a latent.

    Args:
        samples: A dataset or view; samples without a code are left out.
        query: A text, the id of a sample of the dataset, a sample, a latent (d,), or a list of
            these. With several, a sample counts by the one it is nearest to.
        key: A dictionary of the dataset.
        k: How many samples to find, for each query; by default all are sorted.
        by: ``"cosine"`` or ``"product"``, see :func:`fiftyone_smic.curation.search`. With a
            dictionary that keeps what words can say, the product finds more.
        field: Write the score into ``<key>_search_score``.
        tag: Tag the samples that are found.
        device: A torch device for the text encoder, by default the best there is.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        A report whose ``view`` is sorted by score, best first, and whose ``views`` are by query.
        Where at most 5,000 samples still have their latents and ``k`` is less than all, it says how
        many of those found full latents find too.

    Raises:
        ValueError: The view is empty or has no codes, the key is not known, k is too large, or
            nothing can be compared with the query, as the encoder has no texts or the sample no
            code. More than 350,000 samples are sorted only for one query and with ``field``.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> len(smic.search(dataset, "a house at night", k=3).view)
        3
    """
    check_tag(tag)
    coded = _read(samples, key, progress)
    queries, called = as_latents(coded, query, device)
    n = len(coded.ids)
    if k is not None:
        curation.inputs.check_k(k, n)
    if (n if k is None else k) > MOST_LISTED and not (field and len(called) == 1):
        raise ValueError(
            f"{n if k is None else k:,} samples are too many for a view that lists them in order; "
            "give a smaller k, or search for one thing with field=True: the view is then sorted by "
            "the field of scores"
        )
    compared = coded.latents if k is not None and k < n <= MOST_COMPARED else None
    found = curation.search(
        coded.dictionary, coded.codes, queries, n if k is None else k, latents=compared, by=by
    )
    best = np.full(n, -np.inf)
    for row, scores in zip(found.indices, found.scores, strict=True):
        best[row] = np.maximum(best[row], scores)
    order = [int(i) for i in np.argsort(-best, kind="stable") if np.isfinite(best[i])]
    scores = [float(s) if np.isfinite(s) else None for s in best]
    return coded.report(
        found,
        order,
        dict(zip(called, found.indices, strict=True)),
        columns={fields.SEARCH_SCORE: scores},
        field=field,
        tag=tag,
        by=fields.SEARCH_SCORE,
    )


def _read(samples: SampleCollection, key: str, progress: Progress) -> Coded:
    """Read codes, which of many samples takes longer than what is computed on them."""
    samples = image_samples(samples)
    with reporting(progress, len(samples)) as report:
        stage(report, "Reading the codes")
        coded = Coded.read(samples, key, report)
        stage(report, "Computing")
    return coded


def find_near_duplicates(
    samples: SampleCollection,
    key: str = KEY,
    threshold: float = 0.95,
    *,
    field: bool = False,
    tag: str | None = None,
) -> CurationReport:
    """Find near duplicates, in groups round the sample to keep.

    Codes choose which pairs are worth a look. Where all samples still have their latents, these
    decide; without them the groups are of the same meaning, and the report says so.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        threshold: Cosine, 0..1, from which two samples are near.
        field: Write the id of the sample to keep into ``<key>_duplicate_of``, for all samples of
            groups; ``report.view.group_by("<key>_duplicate_of")`` shows the groups.
        tag: Tag the samples that can go.

    Returns:
        A report. Its ``view`` holds the groups one after the other, the kept sample first;
        ``views["keep"]`` has one sample of each and ``views["remove"]`` has the others.

    Raises:
        ValueError: The view is empty or has fewer than two codes, the key is not known, or the
            threshold is outside 0..1.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> smic.find_near_duplicates(dataset, threshold=0.999).result.verified
        True
    """
    check_tag(tag)
    coded = Coded.read(samples, key)
    found = curation.near_duplicates(coded.dictionary, coded.codes, threshold, coded.latents)
    kept: list[str | None] = [None] * len(coded.ids)
    for group in found.groups:
        for i in group:
            kept[i] = coded.ids[group[0]]
    every = np.concatenate(found.groups) if found.groups else np.zeros(0, int)
    return coded.report(
        found,
        every,
        {"keep": found.kept, "remove": found.removable},
        columns={fields.DUPLICATE_OF: kept},
        field=field,
        tag=tag,
        tagged=found.removable,
    )


def select_subset(
    samples: SampleCollection,
    k: int | None,
    method: Method = "representative",
    key: str = KEY,
    *,
    preselected: SampleCollection | Iterable[Any] | None = None,
    field: bool = False,
    tag: str | None = None,
    progress: Progress = None,
) -> CurationReport:
    """Choose k samples that stand for a collection, or differ, or balance or cover its atoms.

    Args:
        samples: A dataset or view.
        k: How many; None with ``"covering"`` chooses as many as it takes.
        method: ``"representative"``, ``"diverse"``, ``"balanced"`` or ``"covering"``, see
            :func:`fiftyone_smic.curation.select`.
        key: A dictionary of the dataset.
        preselected: A view, samples or ids of samples that are chosen already, as those labelled
            before: they count and are not chosen again.
        field: Write the place in the order of choice into ``<key>_subset_place``.
        tag: Tag the chosen samples.
        progress: ``None`` for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        A report whose ``view`` holds the chosen samples in the order chosen.

    Raises:
        ValueError: The view is empty or has no codes, the key or method is not known, or k is
            larger than the number of samples.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> _ = smic.select_subset(dataset, 5, tag="to label")
        >>> len(dataset.match_tags("to label"))
        5
    """
    check_tag(tag)
    coded = _read(samples, key, progress)
    before = None
    if preselected is not None:
        ids = _ids(preselected)
        place = {sample_id: i for i, sample_id in enumerate(coded.ids)}
        outside = [i for i in ids if i not in place]
        if outside:
            raise ValueError(
                f"{len(outside)} preselected samples are not in the view or have no code (the "
                f"first: {outside[0]}); select from a view that holds them too"
            )
        before = [place[i] for i in ids]
    found = curation.select(coded.dictionary, coded.codes, k, method, before)
    places: list[int | None] = [None] * len(coded.ids)
    for rank, i in enumerate(found.indices):
        places[i] = rank
    return coded.report(
        found,
        found.indices,
        columns={fields.SUBSET_PLACE: places},
        field=field,
        tag=tag,
    )


def _ids(given: SampleCollection | Iterable[Any]) -> list[str]:
    """The ids of a view, or of what may be samples or ids of both kinds."""
    if isinstance(given, SampleCollection):
        return list(given.values("id"))
    each = [given] if isinstance(given, (str, Sample, SampleView)) else given
    return [str(one.id if isinstance(one, (Sample, SampleView)) else one) for one in each]


def find_outliers(
    samples: SampleCollection,
    key: str = KEY,
    k: int | None = None,
    *,
    field: bool = False,
    tag: str | None = None,
) -> CurationReport:
    """Find the samples that fit their collection least.

    Where all samples still have their latents the true distortion is used, else what the code says.

    Args:
        samples: A dataset or view of at least three samples with codes.
        key: A dictionary of the dataset.
        k: How many to find; by default all that lie more than 5 robust standard deviations out.
        field: Write the score of every sample into ``<key>_outlier_score``.
        tag: Tag the samples that are found.

    Returns:
        A report whose ``view`` is sorted by score, the least fitting first; ``views`` are by cause:
        ``"unexplained"``, of which the atoms leave much, and ``"far"``, far from the mean.

    Raises:
        ValueError: The view is empty or has fewer than three codes, the key is not known, or k is
            larger than the number of samples.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> len(smic.find_outliers(dataset, k=2).view)
        2
    """
    check_tag(tag)
    coded = Coded.read(samples, key)
    if k is not None:
        curation.inputs.check_k(k, len(coded.ids))
    found = curation.outliers(coded.dictionary, coded.codes, coded.distortion)
    most = int((found.scores > REMARKABLE).sum()) if k is None else k
    first = found.indices[:most]
    causes = found.causes()
    return coded.report(
        found,
        first,
        {c: [i for i in first if causes[i] == c] for c in sorted({causes[i] for i in first})},
        columns={fields.OUTLIER_SCORE: found.scores.tolist()},
        field=field,
        tag=tag,
    )


def find_leaks(
    samples: SampleCollection,
    splits: str | Sequence[str] | Mapping[str, SampleCollection | str],
    key: str = KEY,
    threshold: float = 0.95,
    *,
    tag: str | None = None,
) -> CurationReport:
    """Find near duplicates that lie in different splits, and how many chance would put there.

    Args:
        samples: A dataset or view that holds the splits.
        splits: A field that says the split, a list of tags, or a dict of split -> view or tag.
            Samples of no split are left out.
        key: A dictionary of the dataset.
        threshold: Cosine, 0..1, from which two samples are near.
        tag: Tag the samples that leak.

    Returns:
        A report. Its ``view`` holds the pairs one after the other, the nearest first;
        ``views[split]`` has those samples of a split that have a near duplicate in another one.

    Raises:
        ValueError: The view is empty or has no codes, the key is not known, there is one split
            only, or a sample lies in two.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> report = smic.find_leaks(dataset, {"train": dataset[:8], "test": dataset[8:]})
        >>> set(report.views) <= {"train", "test"}
        True
    """
    check_tag(tag)
    if isinstance(splits, str):
        coded = Coded.read(samples, key)
        given = coded.labels(splits)
    else:
        where = split_of_each(image_samples(samples), splits)
        coded = Coded.read(samples, key).of(where)
        given = [where[i] for i in coded.ids]
    found = curation.leaks(coded.dictionary, coded.codes, given, threshold, coded.latents)
    pairs = found.pairs[np.argsort(-found.cosines, kind="stable")]
    leaking = {str(split): found.items(split) for split in sorted(set(given), key=str)}
    return coded.report(
        found,
        list(dict.fromkeys(pairs.ravel().tolist())),
        {split: items for split, items in leaking.items() if len(items)},
        tag=tag,
    )
