import numpy as np
import pytest

from fiftyone_smic.archive import encode_archive, write_archive
from fiftyone_smic.archive.rate_control import learn_to_target
from fiftyone_smic.metrics import fidelity

#: Learning that is good enough to meet a target.
QUICK = {"max_iter": 6, "n_swaps": 0}


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(0)
    z = rng.standard_t(4, size=(500, 10)) @ rng.normal(size=(10, 24)) + 4
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("ordered", [True, False])
def test_bits_per_item_of_the_file(latents, tmp_path, ordered):
    dictionary = learn_to_target(latents, bits_per_item=14, ordered=ordered, **QUICK)
    codes = dictionary.transform(latents)
    rate = write_archive(tmp_path / "x.smic", dictionary, codes, encoder="", ordered=ordered)
    assert rate.bits_per_item == pytest.approx(14, rel=0.05)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_sample_is_judged_as_the_collection_that_it_is_of(ordered):
    """800 latents stand for 4,000: the file of all 4,000 meets the target."""
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(10, 24))
    z = rng.standard_t(4, size=(4000, 10)) @ mixing + 4
    z = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)
    dictionary = learn_to_target(
        z[:800], bits_per_item=20, n_items=4000, ordered=ordered, max_iter=4, n_swaps=0
    )
    codes = dictionary.transform(z)
    rate = encode_archive(dictionary, codes, encoder="", ordered=ordered)[1]
    assert rate.bits_per_item == pytest.approx(20, rel=0.1)


def test_explained_variance(latents):
    dictionary = learn_to_target(latents, explained_variance=0.6, **QUICK)
    rebuilt = dictionary.inverse_transform(dictionary.transform(latents))
    assert fidelity(latents, rebuilt).explained_variance == pytest.approx(0.6, rel=0.05)


def test_targets_that_make_no_sense(latents):
    for targets in ({}, {"bits_per_item": 3, "explained_variance": 0.5}):
        with pytest.raises(ValueError, match="either"):
            learn_to_target(latents, **targets)
    for target in ({"explained_variance": 1.2}, {"bits_per_item": 0}, {"bits_per_item": np.inf}):
        with pytest.raises(ValueError, match="out of range"):
            learn_to_target(latents, **target)
    for n_items in (0, -1, 499, 1e6):
        with pytest.raises(ValueError, match="n_items"):
            learn_to_target(latents, bits_per_item=20, n_items=n_items)
    with pytest.raises(ValueError, match=r"cannot be met: the nearest is"):
        learn_to_target(latents, bits_per_item=0.01, max_fits=3, max_iter=2)
