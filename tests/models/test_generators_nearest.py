"""The generator that answers with pictures of a gallery."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fiftyone_smic.models.generators import NearestGenerator, load_generator
from fiftyone_smic.models.images import load_image


@pytest.fixture(scope="module")
def gallery(encoder, tmp_path_factory):
    """Sixteen real postcards, encoded by the real encoder."""
    from fiftyone_smic.postcards.draw import draw_postcard

    folder = tmp_path_factory.mktemp("gallery")
    paths = []
    for i in range(16):
        paths.append(folder / f"{i:02d}.png")
        draw_postcard(i)[0].save(paths[-1])
    return encoder.encode_images(paths).latents, paths


@pytest.fixture(scope="module")
def nearest(gallery, encoder):
    return load_generator("nearest", encoder=encoder.name, gallery=gallery)


def same(a, b):
    return (np.asarray(a) == np.asarray(b)).all()


def test_a_latent_finds_its_own_picture_at_its_own_size(nearest, gallery):
    latents, paths = gallery
    found = nearest.generate(7 * latents, batch_size=5, seeds=3, steps=9, guidance=4)
    assert all(same(a, load_image(path)) for a, path in zip(found, paths, strict=True))
    assert nearest.find(latents).tolist() == list(range(16))


def test_a_picture_is_never_drawn_from_itself(nearest, gallery):
    latents, paths = gallery
    found = nearest.find(latents, exclude=paths)
    cosines = latents @ latents.T
    np.fill_diagonal(cosines, -2)
    assert found.tolist() == cosines.argmax(1).tolist()
    drawn = nearest.generate(latents, exclude=[str(path) for path in paths], batch_size=3)
    assert all(same(a, load_image(paths[i])) for a, i in zip(drawn, found, strict=True))
    some = [paths[0], None, *[None] * 14]
    assert nearest.find(latents, exclude=some)[:2].tolist() == [found[0], 1]


def test_the_same_file_under_other_names_is_the_picture_itself(gallery, tmp_path):
    latents, paths = gallery
    link = tmp_path / "link.png"
    link.symlink_to(paths[3])
    around = f"{paths[3].parent}/../{paths[3].parent.name}/{paths[3].name}"
    twice = NearestGenerator(np.concatenate([latents, latents[3:4]]), [*paths, link], "unknown")
    for own in (paths[3], link, around):
        assert twice.find(latents[3:4], exclude=[own])[0] not in (3, 16)
    assert twice.find(latents[3:4])[0] == 3  # the first of equals


def test_a_copy_is_another_picture(gallery, tmp_path):
    latents, paths = gallery
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[3].read_bytes())
    twice = NearestGenerator(np.concatenate([latents, latents[3:4]]), [*paths, copy], "unknown")
    assert twice.find(latents[3:4], exclude=[paths[3]]).tolist() == [16]


def test_blocks_of_memory_change_nothing(gallery, monkeypatch):
    from fiftyone_smic.models.generators import nearest as module

    rng = np.random.default_rng(0)
    many = rng.normal(size=(4000, 24)).astype(np.float32)
    asked = rng.normal(size=(300, 24)).astype(np.float32)
    paths = [f"/nowhere/{i}.png" for i in range(4000)]
    own = [paths[i] for i in rng.integers(4000, size=300)]
    generator = NearestGenerator(many, paths, "unknown")
    whole = generator.find(asked, exclude=own)
    monkeypatch.setattr(module, "_SEARCH_MEMORY", 1)  # 32 rows of 4,000 distances
    assert (generator.find(asked, exclude=own) == whole).all()
    cosines = asked @ (many / np.linalg.norm(many, axis=1, keepdims=True)).T
    cosines[np.arange(300), [paths.index(path) for path in own]] = -np.inf
    assert (whole == cosines.argmax(1)).all()


def test_codes_find_pictures_like_their_own(gallery, nearest, encoder):
    """What the generator is for: a rebuilt latent, which is near its own picture's."""
    from fiftyone_smic.dictionary import SemanticDictionary

    latents, paths = gallery
    dictionary = SemanticDictionary(n_atoms=8, random_state=0).fit(latents)
    rebuilt = dictionary.inverse_transform(dictionary.transform(latents))
    found = nearest.find(rebuilt)
    assert (found == np.arange(16)).mean() > 0.3
    other = nearest.find(rebuilt, exclude=paths)
    assert (other != np.arange(16)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"latents": np.zeros((0, 3)), "paths": []}, "at least one"),
        ({"latents": np.ones(3), "paths": ["a"]}, "shape .N, d"),
        ({"latents": np.ones((2, 3)), "paths": ["a"]}, "1 paths for 2 latents"),
        ({"latents": np.zeros((1, 3)), "paths": ["a"]}, "all-zero rows"),
    ],
)
def test_a_wrong_gallery_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        NearestGenerator(**arguments, encoder="unknown")


def test_requests_are_checked_before_any_picture_is_read(nearest, gallery):
    latents, paths = gallery
    with pytest.raises(ValueError, match=r"shape \(n, 128\)"):
        nearest.generate_batches(latents[:, :5])
    with pytest.raises(ValueError, match="2 paths for 16 latents"):
        nearest.generate_batches(latents, exclude=paths[:2])
    with pytest.raises(ValueError, match="adds no noise"):
        nearest.generate_batches(latents, noise_level=3)
    alone = NearestGenerator(latents[:1], paths[:1], "unknown")
    with pytest.raises(ValueError, match=r"nothing but .*00\.png itself"):
        alone.generate_batches(latents[:1], exclude=[paths[0]])


def test_a_picture_that_went_missing_is_named(gallery, tmp_path):
    latents, _ = gallery
    lost = NearestGenerator(latents[:1], [tmp_path / "lost.png"], "unknown")
    with pytest.raises(OSError, match=r"lost\.png cannot be read"):
        lost.generate(latents[:1])


def test_it_is_loaded_by_name_with_a_gallery(gallery):
    with pytest.raises(ValueError, match=r"pass gallery=\(latents, paths\)"):
        load_generator("nearest")
    with pytest.raises(ValueError, match="only the generator 'nearest' takes a gallery"):
        load_generator("postcards", gallery=gallery)


def test_the_identity_follows_the_gallery(gallery):
    latents, paths = gallery
    names = {
        NearestGenerator(rows, files, "unknown").identity
        for rows, files in [
            (latents, paths),
            (latents[::-1], paths),
            (latents, paths[::-1]),
            (latents[:5], paths[:5]),
        ]
    }
    assert len(names) == 4
    assert NearestGenerator(latents, paths, "unknown").identity in names


def test_no_latents_no_pictures(nearest):
    assert nearest.generate(np.zeros((0, 128))) == []


def test_a_picture_is_upright_rgb(tmp_path):
    image = Image.new("L", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.png", exif=exif)
    drawn = NearestGenerator([[1.0]], [tmp_path / "turned.png"], "unknown").generate([[1.0]])[0]
    assert (drawn.size, drawn.mode) == ((2, 4), "RGB")
