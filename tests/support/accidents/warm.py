"""Imported once by the process that forks all others: it loads and compiles what steps need."""

from __future__ import annotations

import os
import warnings

import numpy as np

from fiftyone_smic.archive import encode_archive
from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.generators import load_generator

from . import looking as looking
from . import scenes, steps  # noqa: F401

#: Steps that draw pictures.
DRAWING = {"regenerate", "import_archive", "decompress (command)"}


def _warm(names: list[str]) -> None:
    latents = np.random.default_rng(0).normal(size=(40, 128)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    dictionary = SemanticDictionary(4, max_iter=2).fit(latents)
    encode_archive(dictionary, dictionary.transform(latents), encoder="warm")
    load_encoder("postcards", device="cpu")
    if DRAWING.intersection(names):
        load_generator("postcards", device="cpu")
    if "visualize_atoms" in names:
        import umap

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            umap.UMAP(metric="cosine", random_state=0).fit(latents)


_warm(os.environ.get("SMIC_WARM", "").split(","))
scenes.disconnect()
