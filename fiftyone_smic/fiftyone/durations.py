"""How long each step took on a dataset, for the estimates of the next run."""

from __future__ import annotations

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import runs

#: A run over fewer samples than this says nothing about longer runs, because loading and compiling
#: take most of its time.
FEWEST_MEASURED = 500


def measured(samples: SampleCollection, what: str, encoder: str | None = None) -> float | None:
    """Return the seconds per sample that ``what`` last took on this dataset.

    Args:
        samples: A dataset or view.
        what: One of the names in ``seconds``.
        encoder: Look only at dictionaries of its latents, as other latents need another generator.
    """
    configs = [runs.load_config(samples, key) for key in reversed(runs.list_dictionaries(samples))]
    fitting = [config.seconds for config in configs if encoder in (None, config.encoder)]
    return next((seconds[what] for seconds in fitting if what in seconds), None)


def note_seconds(
    samples: SampleCollection,
    key: str,
    what: str,
    seconds: float,
    n: int,
    fewest: int = FEWEST_MEASURED,
) -> None:
    """Store how long a step took for the next estimate, unless it had too few samples.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        what: One of the names in ``seconds`` of :class:`fiftyone_smic.fiftyone.runs.SMICRunConfig`.
        seconds: Wall time of the step.
        n: Number of samples.
        fewest: With fewer samples than this nothing is stored.
    """
    if n >= fewest:
        known = runs.load_config(samples, key).seconds
        runs.update_config(samples, key, seconds={**known, what: seconds / n})
