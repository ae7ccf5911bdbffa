"""Latents and codes of every kind that a caller may hold, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_smic import SemanticDictionary


@pytest.fixture(scope="module")
def learned():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(8, 12))[rng.integers(0, 8, 120)] + 0.3 * rng.normal(size=(120, 12))
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    return z, SemanticDictionary(6, lam=5e-4, max_iter=2, n_swaps=0).fit(z)


def test_latents_of_every_kind_give_the_same_codes(learned, tmp_path):
    import torch

    z, dictionary = learned
    np.save(tmp_path / "z.npy", z)
    fixed, wide = z.copy(), np.zeros((240, 24), np.float32)
    fixed.flags.writeable = False
    wide[::2, ::2] = z
    kinds = {
        "float64": z.astype(np.float64),
        "big-endian": z.astype(">f4"),
        "column order": np.asfortranarray(z),
        "read-only": fixed,
        "memory-mapped": np.load(tmp_path / "z.npy", mmap_mode="r"),
        "strided": wide[::2, ::2],
        "reversed": z[::-1].copy()[::-1],
        "objects": z.astype(object),
        "lists": z.tolist(),
        "a tensor": torch.tensor(z),
        "a tensor with gradients": torch.tensor(z, requires_grad=True),
    }
    codes = dictionary.transform(z).toarray()
    for kind, latents in kinds.items():
        assert np.array_equal(dictionary.transform(latents).toarray(), codes), kind
        again = SemanticDictionary(6, lam=5e-4, max_iter=2, n_swaps=0).fit(latents)
        assert np.array_equal(again.atoms_, dictionary.atoms_), kind
    rough = dictionary.transform(torch.tensor(z).bfloat16()).toarray()
    assert (rough == codes).mean() > 0.98


@pytest.mark.parametrize("scale", [1e18, 1e30])
def test_a_damaged_latent_is_named(learned, scale):
    z, dictionary = learned
    wrong = z.copy()
    wrong[70] *= np.float32(scale)
    before = dictionary.atoms_.copy()
    for learn in (SemanticDictionary(6, max_iter=1).fit, dictionary.partial_fit):
        with pytest.raises(ValueError, match="row 70 has the norm"):
            learn(wrong)
    assert np.array_equal(dictionary.atoms_, before)
    with pytest.raises(ValueError, match="masked"):
        dictionary.transform(np.ma.masked_array(z, mask=np.eye(*z.shape) > 0))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1j, "a", None])
def test_codes_that_are_no_numbers(learned, value):
    dictionary = learned[1]
    codes = np.full((2, dictionary.n_atoms_), value)
    for use in (dictionary.inverse_transform, dictionary.code_bits):
        with pytest.raises(ValueError, match=r"codes must be an \(N, K\) matrix|NaN or infinite"):
            use(codes)


@pytest.mark.parametrize("value, what", [(0.5, "whole"), (1e30, "max_level"), (-128, "max_level")])
def test_codes_that_cannot_be_counted(learned, value, what):
    dictionary = learned[1]
    with pytest.raises(ValueError, match=what):
        dictionary.code_bits(np.full((2, dictionary.n_atoms_), value))
    with pytest.raises(ValueError, match="more than any collection"):
        dictionary.fit(learned[0], n_items=10**30)
