import numpy as np
import pytest

from fiftyone_smic.archive import write_archive
from fiftyone_smic.archive.rate_control import learn_to_target
from fiftyone_smic.metrics import fidelity


@pytest.fixture(scope="module")
def latents():
    rng = np.random.default_rng(0)
    z = rng.standard_t(4, size=(500, 10)) @ rng.normal(size=(10, 24)) + 4
    return (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("ordered", [True, False])
def test_bits_per_item_of_the_file(latents, tmp_path, ordered):
    dictionary = learn_to_target(latents, bits_per_item=14, ordered=ordered, max_iter=6)
    codes = dictionary.transform(latents)
    rate = write_archive(tmp_path / "x.smic", dictionary, codes, encoder="", ordered=ordered)
    assert rate.bits_per_item == pytest.approx(14, rel=0.05)


def test_explained_variance(latents):
    dictionary = learn_to_target(latents, explained_variance=0.6, max_iter=6)
    rebuilt = dictionary.inverse_transform(dictionary.transform(latents))
    assert fidelity(latents, rebuilt).explained_variance == pytest.approx(0.6, rel=0.05)


def test_targets_that_make_no_sense(latents):
    for targets in ({}, {"bits_per_item": 3, "explained_variance": 0.5}):
        with pytest.raises(ValueError, match="either"):
            learn_to_target(latents, **targets)
    with pytest.raises(ValueError, match="out of range"):
        learn_to_target(latents, explained_variance=1.2)
    with pytest.raises(ValueError, match=r"cannot be met: the nearest is"):
        learn_to_target(latents, bits_per_item=0.01, max_fits=3, max_iter=2)
