"""What a search is for: texts, samples and latents, all as latents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from bson import ObjectId
from fiftyone.core.sample import Sample, SampleView

from fiftyone_smic.fiftyone import fields
from fiftyone_smic.fiftyone.codes import rebuilt_latents
from fiftyone_smic.fiftyone.curated import Coded
from fiftyone_smic.fiftyone.similarity import text_encoder


def as_latents(coded: Coded, query: Any, device: str | None) -> tuple[np.ndarray, list[str]]:
    """Return (m, d) latents of what is searched for, and what each query is called.

    Args:
        coded: The samples that are searched.
        query: A text, the id of a sample, a sample, a latent, or a list of these.
        device: A torch device for the text encoder.

    Raises:
        ValueError: The query is none of these, or nothing can be compared with it.
    """
    if hasattr(query, "detach"):  # a tensor
        query = query.detach().cpu().float().numpy()
    if isinstance(query, np.ndarray):
        given: list[Any] = list(np.atleast_2d(query))
    elif isinstance(query, (str, Sample, SampleView, ObjectId)):
        given = [query]
    elif not isinstance(query, Iterable):
        raise ValueError(
            f"a search is for a text, the id of a sample, a sample, a latent, or a list of these, "
            f"not for {query!r}"
        )
    else:
        given = list(query)
        if given and isinstance(given[0], (int, float, np.number)):
            given = [np.asarray(given)]
    if not given or any(isinstance(one, str) and not one.strip() for one in given):
        raise ValueError(
            "there is nothing to search for; give a text, the id of a sample or a latent"
        )
    rows: dict[int, np.ndarray] = {}
    texts = {}
    called = []
    for place, one in enumerate(given):
        if isinstance(one, (Sample, SampleView)):
            one = one.id
        if isinstance(one, ObjectId) or (isinstance(one, str) and ObjectId.is_valid(one)):
            rows[place] = _sample_latent(coded, str(one))
            called.append(str(one))
        elif isinstance(one, str):
            texts[place] = one
            called.append(one)
        else:
            row = np.asarray(one, np.float32)
            if row.shape != (coded.config.dim,):
                raise ValueError(
                    f"a latent of dictionary {coded.key!r} has {coded.config.dim} numbers and the "
                    f"one searched for has shape {row.shape}; encode it with "
                    f"{coded.config.encoder!r}"
                )
            rows[place] = row
            called.append(f"latent {place}")
    if texts:
        encoder = text_encoder(coded.samples, coded.key, device)
        encoded = encoder.encode_texts(list(texts.values()))
        rows.update(zip(texts, encoded, strict=True))
    return np.stack([rows[i] for i in range(len(given))]), called


def _sample_latent(coded: Coded, sample_id: str) -> np.ndarray:
    """Return a sample's latent if it is there, else what its code rebuilds."""
    dataset = coded.samples._root_dataset
    name = coded.config.latents_field
    held = fields.read(dataset, [sample_id], [name] if dataset.has_sample_field(name) else [])
    if sample_id not in held:
        raise ValueError(
            f"dataset {dataset.name!r} has no sample {sample_id!r}; give the id of one of its "
            "samples"
        )
    if held[sample_id] and held[sample_id][0] is not None:
        latent = np.asarray(held[sample_id][0], np.float32).ravel()
        if latent.shape == (coded.config.dim,):
            return latent
    one = fields.everything(dataset).select(sample_id)
    return rebuilt_latents(one, coded.key)[1][0]
