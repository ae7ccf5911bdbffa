"""A dictionary and codes with known structure."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_smic import SemanticDictionary
from fiftyone_smic.utils.vectors import unit


def topics(n=400, d=32, classes=8, seed=0, spread=0.35):
    """Unit latents (n, d) around a common mean, and the class (n,) of each."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(size=(classes + 1, d))
    place = rng.integers(0, classes, n)
    z = 1.5 * basis[-1] + basis[place] + spread * rng.normal(size=(n, d))
    return unit(z).astype(np.float32), place


@pytest.fixture(scope="session")
def collection():
    """Latents, classes, dictionary and codes of 400 items."""
    z, place = topics()
    dictionary = SemanticDictionary(lam=0.001, max_iter=6, n_swaps=0).fit(z)
    return z, place, dictionary, dictionary.transform(z)
