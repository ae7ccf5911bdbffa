"""Find samples by an expression of atoms, as ``night & !snow``."""

from __future__ import annotations

from fiftyone.core.collections import SampleCollection

from fiftyone_smic import curation
from fiftyone_smic.fiftyone.curated import Coded, CurationReport, check_tag
from fiftyone_smic.utils.defaults import KEY


def match(
    samples: SampleCollection, expression: str, key: str = KEY, *, tag: str | None = None
) -> CurationReport:
    """Find the samples whose atoms satisfy an expression.

    Args:
        samples: A dataset or view; samples without a code are left out.
        expression: Names of atoms, joined by ``&``, ``|`` and ``!`` or ``and``, ``or`` and ``not``,
            with parentheses; ``-night`` stands for samples that lack what is common, and
            ``3*night`` counts three times in the order, see
            :func:`fiftyone_smic.curation.match`.
        key: A dictionary of the dataset.
        tag: Tag the samples that are found.

    Returns:
        A report whose ``view`` holds the samples that match, those with most of it first.

    Raises:
        ValueError: The view is empty or has no codes, the key is not known, or the expression has a
            mistake; the message shows its place and what is spelled alike.

    Example:
        >>> import fiftyone_smic as smic
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> either = smic.match(dataset, "atom 0 | !atom 0")
        >>> len(either.view)
        12
    """
    check_tag(tag)
    coded = Coded.read(samples, key)
    found = curation.match(coded.codes, expression, coded.names)
    return coded.report(found, found.indices, tag=tag)
