"""Compare and explain samples by the atoms of their codes: the library's tests on views."""

from __future__ import annotations

from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic import curation
from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.curated import Coded, CurationReport, check_tag
from fiftyone_smic.utils.defaults import KEY

#: Most atoms, slices or associations that get a view of their own, the most significant first.
MOST_VIEWS = 50


def find_label_issues(
    samples: SampleCollection,
    label_field: str,
    key: str = KEY,
    *,
    field: bool = False,
    tag: str | None = None,
) -> CurationReport:
    """Find labels that look wrong, by what the codes of the other samples suggest.

    Args:
        samples: A dataset or view in which every sample has a label.
        label_field: A field of classifications, strings, whole numbers or truth values.
        key: A dictionary of the dataset.
        field: Write the doubt of every sample into ``<key>_label_doubt`` and the most probable
            label into ``<key>_suggested_label``.
        tag: Tag the samples that are found.

    Returns:
        A report whose ``view`` holds samples with another label than the most probable one, the
        most doubtful first; ``views`` are by "given, rather suggested".

    Raises:
        ValueError: The view is empty or has no codes, the key or field is not known, or labels are
            missing, all alike, or too many.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(40, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=8, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> report = smic.find_label_issues(dataset, "time")
        >>> report.result.scores.shape
        (40,)
    """
    check_tag(tag)
    coded = Coded.read(samples, key)
    found = curation.label_issues(
        coded.codes, coded.labels(label_field), dictionary=coded.dictionary
    )
    wrong: dict[str, list[int]] = {}
    for i in found.indices:
        name = f"{found.labels[i]}, rather {found.suggested[i]}"
        wrong.setdefault(name, []).append(int(i))
    columns: dict[str, list[Any]] = {
        fields.LABEL_DOUBT: [None if np.isnan(s) else float(s) for s in found.scores],
        fields.SUGGESTED_LABEL: [str(label) for label in found.suggested],
    }
    return coded.report(found, found.indices, wrong, columns=columns, field=field, tag=tag)


def explain_labels(
    samples: SampleCollection, label_field: str, key: str = KEY, *, null: int = 0
) -> CurationReport:
    """Test which atoms go together with which label.

    An association that should not be there is a spurious correlation.

    Args:
        samples: A dataset or view in which every sample has a label.
        label_field: A field of classifications, strings, whole numbers or truth values.
        key: A dictionary of the dataset.
        null: How many runs with permuted labels to make beside it.

    Returns:
        A report. For each label that has more of an atom than the rest, ``views`` has an entry such
        as ``"'night' in 'beach'"`` with the samples of that label that use it; ``view`` holds all
        of these.

    Raises:
        ValueError: The view is empty or has no codes, the key or field is not known, or labels are
            missing, all alike, or too many.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(40, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=8, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> report = smic.explain_labels(dataset, "time")
        >>> report.result.atoms[0].label in dataset.distinct("time.label")
        True
    """
    coded = Coded.read(samples, key)
    labels = coded.labels(label_field)
    found = curation.associations(coded.codes, labels, names=coded.names, null=null)
    views = {
        f"{coded.atom(row.atom, row.sign)!r} in {row.label!r}": [
            int(i) for i in coded.uses(row.atom, row.sign) if labels[i] == row.label
        ]
        for row in [row for row in found.found if row.difference > 0][:MOST_VIEWS]
    }
    return coded.report(found, _together(views), views)


def find_weak_slices(
    samples: SampleCollection,
    errors: str,
    key: str = KEY,
    *,
    labels: str | None = None,
    smallest: int = 10,
    null: int = 0,
) -> CurationReport:
    """Test in which atoms, and pairs of atoms, a model errs more than elsewhere.

    Args:
        samples: A dataset or view of samples that were evaluated.
        errors: The key of an evaluation of the dataset, or a field that is true, or above 0, where
            the model errs. An evaluation of detections counts a sample with any false positive or
            false negative as an error.
        key: A dictionary of the dataset.
        labels: A label field to hold constant: an atom that merely goes together with a hard class
            then does not count.
        smallest: Slices of fewer samples are not tested.
        null: How many runs with permuted errors to make beside it.

    Returns:
        A report. ``views`` holds the samples of each slice that is found, which can be saved with
        ``dataset.save_view`` and used as scenarios; ``view`` holds the errors in these.

    Raises:
        ValueError: The view is empty or has no codes, the key or field is not known, or all samples
            are right, or all wrong.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(40, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=8, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> wrong = [label == "night" for label in dataset.values("time.label")]
        >>> dataset.set_values("wrong", wrong)
        >>> smic.find_weak_slices(dataset, "wrong").result.errors == sum(wrong)
        True
    """
    coded = Coded.read(samples, key)
    wrong = _errors(coded, errors)
    held = None if labels is None else coded.labels(labels)
    found = curation.weak_slices(
        coded.codes, wrong, held, names=coded.names, smallest=smallest, null=null
    )
    views = {}
    for row in found.found[:MOST_VIEWS]:
        inside = [set(coded.uses(a, s)) for a, s in zip(row.atoms, row.signs, strict=True)]
        views[found.named(row)] = sorted(int(i) for i in set.intersection(*inside))
    return coded.report(found, [i for i in _together(views) if wrong[i]], views)


def _errors(coded: Coded, name: str) -> np.ndarray:
    """(N,) whether the model errs, from an evaluation or a field."""
    dataset = coded.samples._root_dataset
    if not isinstance(name, str):
        raise ValueError(f"errors are the key of an evaluation or a field's name, not {name!r}")
    evaluated = name in dataset.list_evaluations()
    paths = [name]
    if evaluated:
        kind = dataset.get_evaluation_info(name).config.type
        if kind not in ("classification", "detection"):
            raise ValueError(
                f"evaluation {name!r} is of the kind {kind!r}, which does not say of a sample "
                "whether the model errs; give a field that is true where it does, such as where "
                "the error is above a bar of yours"
            )
        if kind == "detection":
            paths = [f"{name}_fp", f"{name}_fn"]
    absent = [path for path in paths if dataset.get_field(path) is None]
    if absent:
        raise ValueError(
            f"there is neither an evaluation nor a field {name!r}; evaluate the model first, as "
            f"with dataset.evaluate_classifications(..., eval_key={name!r}), or give a field that "
            f"is true where it errs; evaluations here: {dataset.list_evaluations()}"
        )
    columns = [coded.values(path) for path in paths]
    missing = sum(
        any(v is None or (isinstance(v, float) and v != v) for v in row)
        for row in zip(*columns, strict=True)
    )
    if missing:
        raise ValueError(
            f"{missing} of {len(coded.ids)} samples were not evaluated ({paths[0]!r} is empty, or "
            f"NaN); leave them out, as with view.exists({paths[0]!r})"
        )
    if len(paths) == 1 and evaluated:
        # FiftyOne writes True where a classification is right, of two classes "TP" and the like.
        return np.array([v in (False, "FP", "FN") for v in columns[0]])
    try:
        return np.array([any(float(v) > 0 for v in row) for row in zip(*columns, strict=True)])
    except (TypeError, ValueError):
        raise ValueError(
            f"field {name!r} does not say where the model errs; give a field of truth values or "
            "of numbers of errors, or the key of an evaluation"
        ) from None


def compare(
    view_a: SampleCollection, view_b: SampleCollection, key: str = KEY, *, null: int = 0
) -> CurationReport:
    """Test whether two views differ, and in which atoms.

    Args:
        view_a: A dataset or view.
        view_b: Another one, of the same dataset or of one whose codes the same dictionary made. No
            sample may be in both.
        key: A dictionary of both.
        null: How many runs with permuted sides to make beside it.

    Returns:
        A report. For each atom that differs ``views`` has two entries, such as ``"'night' in a"``
        and ``"'night' in b"``, with the samples of each side that use it. ``view`` holds the
        samples of ``view_b`` that use any such atom.

    Raises:
        ValueError: A view is empty or has fewer than two codes, the key is not known, the
            dictionaries differ, or a sample is in both.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(40, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=8, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> 0 < smic.compare(dataset[:20], dataset[20:]).result.p <= 1
        True
    """
    a, b = _two(view_a, view_b, key)
    found = curation.compare(a.codes, b.codes, names=b.names, null=null)
    views: dict[str, fo.DatasetView] = {}
    differing: set[int] = set()
    for row in found.found[:MOST_VIEWS]:
        name = repr(b.atom(row.atom, row.sign))
        of_b = b.uses(row.atom, row.sign)
        views[f"{name} in a"] = a.view(a.uses(row.atom, row.sign))
        views[f"{name} in b"] = b.view(of_b)
        differing.update(of_b.tolist())
    return CurationReport(key, b.view(sorted(differing)), found, tuple([*a.ids, *b.ids]), views)


def _two(view_a: SampleCollection, view_b: SampleCollection, key: str) -> tuple[Coded, Coded]:
    """Read two views that one dictionary has coded and that share no sample."""
    a, b = Coded.read(view_a, key), Coded.read(view_b, key)
    if a.config.digest != b.config.digest:
        raise ValueError(
            f"the two datasets have different dictionaries {key!r}, so their atoms mean different "
            "things; code both with one: fiftyone_smic.adopt_dictionary takes it over, and "
            "fiftyone_smic.encode writes the codes"
        )
    both = set(a.ids) & set(b.ids)
    if both:
        raise ValueError(
            f"{len(both)} samples are in both views, so they would be compared with themselves; "
            "leave them out of one: view_b.exclude(view_a.values('id'))"
        )
    return a, b


def find_novel(
    samples: SampleCollection,
    reference: SampleCollection,
    key: str = KEY,
    *,
    field: bool = False,
    tag: str | None = None,
) -> CurationReport:
    """Find samples that a dictionary explains worse than it explains its own kind.

    Where both collections still have all their latents these are used, else codes alone.

    Args:
        samples: The new samples, a dataset or view.
        reference: Samples that are known; better not those the dictionary was learned from. No
            sample may be in both.
        key: A dictionary of both.
        field: Write the distance of every new sample into ``<key>_novelty``.
        tag: Tag the samples that are found.

    Returns:
        A report whose ``view`` holds the novel samples, the newest first; ``views`` are groups
        with the same strongest atom.

    Raises:
        ValueError: A view is empty or has no codes, the key is not known, the dictionaries differ,
            or a sample is in both.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(40, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset[:20], n_atoms=8, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> smic.find_novel(dataset[30:], dataset[20:30]).result.measured
        True
    """
    check_tag(tag)
    known, new = _two(reference, samples, key)
    sides: tuple[Any, Any] = (known.codes, new.codes)
    if known.latents is not None and new.latents is not None:
        sides = (known.latents, new.latents)
    found = curation.novelty(new.dictionary, *sides)
    groups = {f"group {i}": group for i, group in enumerate(found.groups)}
    columns = {fields.NOVELTY: found.scores.tolist()}
    return new.report(found, found.indices, groups, columns=columns, field=field, tag=tag)


def _together(views: dict[str, list[int]]) -> list[int]:
    return sorted({i for items in views.values() for i in items})
