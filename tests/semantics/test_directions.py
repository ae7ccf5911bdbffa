"""Arithmetic on latents: directions find the one thing, donors bring the rest along."""

import numpy as np
import pytest

from fiftyone_smic.semantics.directions import add, concept_direction, text_direction

D = 16


@pytest.fixture
def world():
    """Latents that are a sum of what each item shows; "fog" comes mostly with "night"."""
    rng = np.random.default_rng(0)
    parts = np.linalg.qr(rng.normal(size=(D, D)))[0][:4]
    night = rng.random(2000) < 0.5
    fog = rng.random(2000) < np.where(night, 0.8, 0.2)
    people = rng.random(2000) < 0.4
    shown = np.column_stack([np.ones(2000), night, fog, people]).astype(float)
    return parts, shown, shown @ parts + 0.01 * rng.normal(size=(2000, D))


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_what_occurs_together_is_kept_apart(world):
    parts, shown, latents = world
    plain = concept_direction(latents, shown[:, 2])
    means = [latents[shown[:, 2] == v].mean(0) for v in (1, 0)]
    np.testing.assert_allclose(plain, means[0] - means[1], atol=1e-5)
    assert plain @ parts[1] > 0.4  # night comes along with fog
    alone = concept_direction(latents, shown[:, 2], shown[:, [1, 3]])
    np.testing.assert_allclose(alone, parts[2], atol=0.02)


def test_adding_and_removing_undo_each_other_and_keep_unit_norm(world):
    parts, _, latents = world
    unit = latents[:5] / np.linalg.norm(latents[:5], axis=1, keepdims=True)
    there = add(unit, parts[3], 0.7)
    np.testing.assert_allclose(np.linalg.norm(there, axis=1), 1, atol=1e-6)
    lengths = np.linalg.norm(unit + 0.7 * parts[3], axis=1, keepdims=True)
    np.testing.assert_allclose(add(there * lengths, parts[3], -0.7), unit, atol=1e-5)
    each = add(unit, np.tile(parts[3], (5, 1)), 0.7)
    np.testing.assert_allclose(each, there)


def test_a_text_direction_is_kept_to_where_images_vary(world):
    parts, _, latents = world
    gap = np.linalg.qr(np.random.default_rng(1).normal(size=(D, D)))[0][:1]
    gap -= (gap @ parts.T) @ parts
    absent = np.tile(5 * gap + parts[0], (3, 1))
    present = absent + parts[3] + 2 * gap
    whole = text_direction(present, absent)
    assert cosine(whole, parts[3]) < 0.6
    assert cosine(text_direction(present, absent, latents), parts[3]) > 0.97


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda z: add(z, np.ones(D + 1)), "does not fit"),
        (lambda z: add(z, -z, 1.0), "nothing of some"),
        (lambda z: concept_direction(z, np.ones(len(z))), "that do not"),
        (lambda z: concept_direction(z, [True]), "one for each"),
        (lambda z: concept_direction(z, np.arange(len(z)) > 2, np.ones(len(z))), r"\(N, k\)"),
        (lambda z: text_direction(z, z[:, :3]), "do not fit"),
        (lambda z: text_direction(z[:0], z), "do not fit"),
        (lambda z: add(np.full((2, D), np.nan), np.ones(D)), "NaN"),
    ],
)
def test_bad_input_is_refused(world, call, message):
    with pytest.raises(ValueError, match=message):
        call(world[2][:10])
