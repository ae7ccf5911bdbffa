"""Datasets with more latents than fit in memory, to one ``.smic`` file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fiftyone as fo
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.cluster import compress
from fiftyone_smic.fiftyone.collections import image_samples
from fiftyone_smic.fiftyone.latent_rows import Latents, usable_latents
from fiftyone_smic.fiftyone.matching import relative_names
from fiftyone_smic.models.identity import UNKNOWN
from fiftyone_smic.pipelines.blocks import BlocksCompressed
from fiftyone_smic.utils.defaults import LATENTS_FIELD

#: Samples whose latents are read at a time.
SAMPLES = 8192


def compress_large(
    samples: SampleCollection,
    target: str | Path,
    *,
    latents_field: str | None = None,
    **settings: Any,
) -> BlocksCompressed:
    """Write a collection's latents as a ``.smic`` file, on a Ray cluster or in this process.

    The ids and files of the samples are held in memory, their latents are not. Nothing is written
    to the dataset.

    Args:
        samples: A dataset or view of images with latents; samples without one are left out.
        target: The file to write.
        latents_field: Field of the latents; None takes ``clip_latents``.
        settings: ``n_atoms``, ``lam``, ``passes``, ``seed``, ``prior``, ``names``, ``distortion``,
            ``keep``, ``work``, ``address`` and ``local`` of :func:`fiftyone_smic.cluster.compress`.

    Raises:
        ImportError: Ray or pyarrow is not installed.
        ValueError: There is no such field, or it holds no latents.
        OSError: The file cannot be written.

    Example:
        >>> import os, tempfile
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     done = compress_large(dataset, os.path.join(folder, "x.smic"), local=True)
        >>> done.rate.items
        40
        >>> dataset.delete()
    """
    field = latents_field or LATENTS_FIELD
    there = samples.get_field_schema().get(field)
    if not isinstance(there, fo.VectorField):
        raise ValueError(
            f"there is no field {field!r} of latents here; compute latents first with "
            f"fiftyone_smic.compute_latents(dataset, field={field!r})"
        )
    view = image_samples(samples).exists(field)
    about = there.info or {}
    return compress(
        ((part.values, names) for part, names in _batches(view, field, about)),
        target,
        encoder=about.get("encoder", UNKNOWN),
        latent_norm=float(about.get("latent_norm", 1.0)),
        **settings,
    )


def _batches(
    view: SampleCollection, field: str, about: dict[str, Any]
) -> Iterator[tuple[Latents, list[str]]]:
    """Yield the latents of some samples at a time, and the names of their files."""
    ids, paths = view.values(["id", "filepath"])
    names = relative_names(paths)
    dataset = view._dataset
    for first in range(0, len(ids), SAMPLES):
        part = slice(first, first + SAMPLES)
        rows = dataset.select(ids[part], ordered=True).values(field)
        found = usable_latents(
            zip(ids[part], paths[part], rows, strict=True), len(rows), field, about
        )
        known = dict(zip(ids[part], names[part], strict=True))
        yield found, [known[each] for each in found.ids]
