from dataclasses import astuple

import numpy as np
import pytest

from fiftyone_smic import metrics
from fiftyone_smic.metrics import Rate, fidelity, item_fidelity


@pytest.fixture
def latents():
    z = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32) + 2
    return z / np.linalg.norm(z, axis=1, keepdims=True)


def test_perfect_and_mean_only(latents):
    same = fidelity(latents, latents)
    assert (same.explained_variance, same.recall_at_10) == (
        1,
        1,
    ) and same.centred_cosine == pytest.approx(1)
    mean = np.broadcast_to(latents.mean(axis=0), latents.shape)
    flat = fidelity(latents, mean)
    assert flat.explained_variance == pytest.approx(0, abs=1e-6)
    assert flat.centred_cosine == pytest.approx(0, abs=1e-3)
    assert flat.cosine > 0.8  # which is why the cosine is no fidelity


def test_scaling_the_difference_hurts_variance_but_not_centred_cosine(latents):
    mean = latents.mean(axis=0)
    half = fidelity(latents, mean + 0.5 * (latents - mean))
    assert half.explained_variance == pytest.approx(0.75, abs=1e-4)
    assert half.centred_cosine == pytest.approx(1, abs=1e-4)


def test_recall_counts_shared_neighbours():
    angles = np.linspace(0, np.pi, 40)
    z = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    assert fidelity(z, z[::-1]).recall_at_10 < 0.3
    assert fidelity(z[:3], z[:3]).recall_at_10 == 1
    assert fidelity(z[:1], z[:1]).recall_at_10 == 1


def test_item_fidelity_is_zero_where_nothing_is_left(latents):
    mean = latents.mean(axis=0)
    rebuilt = latents.copy()
    rebuilt[3] = mean
    rebuilt[4] = 2 * mean - latents[4]
    values = item_fidelity(latents, rebuilt, mean)
    assert (
        values[3] == 0
        and values[4] == pytest.approx(-1, abs=1e-5)
        and values[0] == pytest.approx(1, abs=1e-5)
    )


def test_identical_items_are_explained_when_rebuilt():
    z = np.full((5, 4), 0.5, np.float32)
    assert fidelity(z, z).explained_variance == 1
    assert fidelity(z, -z).explained_variance == 0


def test_shapes_must_agree(latents):
    for bad in (latents[:5], latents[:, :3], latents[0]):
        with pytest.raises(ValueError, match="shape"):
            fidelity(latents, bad)


def test_rate_adds_up():
    rate = Rate(items=10, payload_bits=100, dictionary_bits=60, header_bits=40)
    assert (rate.total_bits, rate.total_bytes, rate.bits_per_item, rate.payload_bits_per_item) == (
        200,
        25,
        20,
        10,
    )
    assert rate.bits_per_pixel(1000) == 0.02
    with pytest.raises(ValueError, match="positive"):
        rate.bits_per_pixel(0)
    assert Rate(0, 0, 0, 8).bits_per_item == 0


def test_fidelity_in_parts(monkeypatch):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 8)).astype(np.float32)
    x = z + 0.5 * rng.normal(size=z.shape).astype(np.float32)
    whole = metrics.fidelity(z, x)
    assert 0.3 < whole.recall_at_10 < 1
    monkeypatch.setattr(metrics, "_BLOCK", 7)
    asked = []

    def rebuilt(rows):
        asked.append(len(x[rows]))
        return x[rows]

    for given in (x, rebuilt):
        assert astuple(metrics.fidelity(z, given)) == pytest.approx(astuple(whole))
    assert max(asked[:-1]) == 7  # and at last the items whose neighbours are looked up
    with pytest.raises(ValueError, match="non-empty"):
        metrics.fidelity(z[:0], rebuilt)
