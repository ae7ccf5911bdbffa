"""Sums over more items than float64 can count the squares of."""

from __future__ import annotations

import numpy as np

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.dictionary.statistics import Statistics, grid_sum


def sums_of(z: np.ndarray, dictionary: SemanticDictionary) -> Statistics:
    return Statistics.of_pursuit(dictionary._pursuit(), z, 4, 16)


def test_squares_of_a_billion_items_stay_exact() -> None:
    z = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    dictionary = SemanticDictionary(4, max_iter=2, n_swaps=0).fit(z)
    one, some = sums_of(z[:1], dictionary), sums_of(z, dictionary)
    many = Statistics.empty(dictionary.n_atoms_, 8, 4, 16)
    many.energy = 10**9 << 30  # a billion items of unit norm: beyond 2**53
    assert (many + one).energy - many.energy == one.energy
    assert (many + some + one).same(one + (some + many))
    dictionary._stream = None
    arrays = dictionary.to_arrays(stream=True)
    arrays["stream_known_energy"] = np.array((10**9 << 30) + 1)
    again = SemanticDictionary.from_arrays(arrays)
    assert again._the_stream().known.energy == (10**9 << 30) + 1
    arrays["stream_known_energy"] = np.array(float(1 << 40))  # as earlier versions stored it
    assert SemanticDictionary.from_arrays(arrays)._the_stream().known.energy == 1 << 40


def test_sums_of_latents_do_not_depend_on_the_order() -> None:
    z = np.random.default_rng(1).normal(size=(5000, 6)).astype(np.float32)
    whole = grid_sum(z)
    parts = [grid_sum(z[i : i + 700]) for i in range(0, 5000, 700)]
    assert np.array_equal(whole, sum(parts[::-1])) and np.array_equal(whole, grid_sum(z[::-1]))
    assert np.allclose(whole / 2**20, z.sum(axis=0, dtype=np.float64), atol=5000 * 2**-21)
