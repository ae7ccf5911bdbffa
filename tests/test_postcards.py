"""The embedded default: what is drawn, what its models make of it, and that trainings continue."""

import copy
import json

import numpy as np
import pytest
import torch

from fiftyone_smic.postcards.attributes import MAX_PEOPLE, TERRAIN_WORDS
from fiftyone_smic.postcards.draw import draw_postcard, iter_collection, write_collection
from fiftyone_smic.postcards.train_autoencoder import (
    PatchBasis,
    build_autoencoder,
    initialise_linear,
    psnr,
)
from fiftyone_smic.postcards.training import run_training


@pytest.fixture(scope="module")
def drawn():
    return [draw_postcard(i, 64) for i in range(120)]


def test_same_seed_same_picture_and_size_does_not_change_what_is_shown():
    small, attributes, caption = draw_postcard(7, 64)
    again, same, words = draw_postcard(7, 64)
    assert small.tobytes() == again.tobytes() and attributes == same and caption == words
    large, attributes_large, _ = draw_postcard(7, 256)
    assert large.size == (256, 256) and attributes_large == attributes
    shrunk = np.asarray(large.resize((64, 64)), float)
    assert np.abs(shrunk - np.asarray(small, float)).mean() < 6


def test_attributes_fit_the_picture(drawn):
    for _, a, _ in drawn:
        assert not a.boat or a.river or a.terrain == "sea"
        assert not (a.river and a.terrain == "sea")
        assert 0 <= a.people <= MAX_PEOPLE
        standing = a.house + a.tent + a.car + a.tree
        assert standing <= (4 - (a.people + 1) // 2 if a.terrain == "sea" else 4)


@pytest.mark.parametrize("name", ["house", "tent", "car", "boat", "balloon", "birds", "tree"])
def test_every_object_can_be_seen(name):
    from dataclasses import replace

    from fiftyone_smic.postcards.scene import Scene

    shown = 0
    for seed in range(400):
        _, attributes, _ = draw_postcard(seed, 16)
        if not getattr(attributes, name):
            continue
        # The same random choices without the object give a different picture.
        pictures = [
            np.asarray(Scene(a, np.random.default_rng(5), 64).draw(), float)
            for a in (attributes, replace(attributes, **{name: False}))
        ]
        assert np.abs(pictures[0] - pictures[1]).sum() > 1000, (seed, attributes)
        shown += 1
        if shown == 25:
            return
    pytest.fail(f"{name} hardly ever occurs")


def test_captions_name_the_terrain(drawn):
    for _, a, caption in drawn:
        assert any(words in caption for words in TERRAIN_WORDS[a.terrain])


def test_a_collection_is_continued_not_redrawn(tmp_path):
    paths = write_collection(tmp_path, 4, size=32)
    untouched = paths[1].stat().st_mtime_ns
    paths[2].unlink()
    done = []
    assert write_collection(tmp_path, 5, size=32, progress=done.append)[:4] == paths
    assert paths[1].stat().st_mtime_ns == untouched and paths[2].exists() and done[-1] == 1.0
    rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    expected = [(a.terrain, c) for _, a, c in iter_collection(5)]
    assert [(r["terrain"], r["caption"]) for r in rows] == expected


@pytest.mark.parametrize("arguments", [{"n": 0}, {"n": 2, "size": 3}])
def test_a_collection_out_of_range_is_refused(tmp_path, arguments):
    with pytest.raises(ValueError, match=r"a collection has|a postcard is"):
        write_collection(tmp_path / "new", **arguments)
    assert not (tmp_path / "new").exists()


def test_the_autoencoder_starts_as_the_linear_one(drawn):
    images = np.stack([np.asarray(p) for p, _, _ in drawn]).astype(np.float32) / 127.5 - 1
    basis = PatchBasis.fit(images)
    model = build_autoencoder()
    initialise_linear(model, images, basis)
    with torch.no_grad():
        decoded = model.decode(torch.from_numpy(basis.encode(images[:16]))).sample
    assert psnr(float(((decoded.permute(0, 2, 3, 1).numpy() - images[:16]) ** 2).mean())) > 30


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path):
    def run(name, *stops):
        for stop in stops:
            torch.manual_seed(0)
            model = torch.nn.Linear(3, 1)
            average = copy.deepcopy(model)
            optimizer = torch.optim.AdamW(model.parameters())

            def step(i, rng, model=model, optimizer=optimizer, average=average, stop=stop):
                if i == stop:
                    raise KeyboardInterrupt
                x = torch.from_numpy(rng.normal(size=(8, 3)).astype(np.float32))
                loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                with torch.no_grad():
                    average.weight.lerp_(model.weight, 0.5)
                return {"loss": loss.item()}

            try:
                run_training(
                    step,
                    {"model": model, "average": average},
                    optimizer,
                    steps=12,
                    peak_lr=0.1,
                    checkpoint=tmp_path / f"{name}.pt",
                    export=lambda: None,
                    every=4,
                )
            except KeyboardInterrupt:
                continue
        return model.weight, average.weight

    whole, parts = run("whole", 99), run("parts", 6, 99)
    assert torch.equal(whole[0], parts[0]) and torch.equal(whole[1], parts[1])


def test_the_dataset_has_what_a_postcard_shows_as_labels(tmp_path):
    """The App's sidebar filters labels, so every attribute must be one, or a number."""
    import fiftyone as fo
    from fiftyone import ViewField as F

    from fiftyone_smic import load_postcards
    from fiftyone_smic.postcards.attributes import FLAGS

    dataset = load_postcards(40, name="labelled", directory=tmp_path, size=32, progress=False)
    try:
        truth = [a for _, a, _ in iter_collection(40)]
        for name in ("time", "terrain", "weather", "season"):
            assert dataset.get_field(name).document_type is fo.Classification
            assert dataset.values(f"{name}.label") == [getattr(a, name) for a in truth]
        assert dataset.values("people") == [a.people for a in truth]
        shirts = dataset.values("shirt.label")
        assert shirts == [a.shirt if a.people else None for a in truth]
        things = dataset.values("things.classifications.label")
        shown = [[t for t in FLAGS if getattr(a, t)] for a in truth]
        assert [t or [] for t in things] == shown
        rivers = dataset.filter_labels("things", F("label") == "river")
        assert len(rivers) == sum(a.river for a in truth) > 0
    finally:
        dataset.delete()


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    from fiftyone_smic import load_encoder

    paths = write_collection(tmp_path_factory.mktemp("postcards"), 160, seed=1)
    encoder = load_encoder("postcards")
    return encoder, encoder.encode_images(paths).latents


@pytest.mark.parametrize(
    ("name", "phrases"),
    [
        ("time", {"day": "by day", "sunset": "at sunset", "night": "at night"}),
        ("terrain", {k: words[0] for k, words in TERRAIN_WORDS.items()}),
        ("people", {0: "a desert with no people", 4: "a desert with four people"}),
    ],
)
def test_the_shipped_clip_understands_captions(held_out, name, phrases):
    encoder, latents = held_out
    texts = encoder.encode_texts(list(phrases.values()))
    found = np.array(list(phrases))[(latents @ texts.T).argmax(1)]
    truth = np.array([getattr(a, name) for _, a, _ in iter_collection(160, seed=1)])
    known = np.isin(truth, list(phrases))
    assert (found == truth)[known].mean() > 0.9


def test_the_shipped_decoder_draws_what_the_latent_means(held_out, tmp_path):
    from fiftyone_smic import load_generator

    encoder, latents = held_out
    pictures = load_generator("postcards").generate(latents[:16], norm=1.0, steps=10, batch_size=16)
    paths = [tmp_path / f"{i}.png" for i in range(16)]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    drawn = encoder.encode_images(paths).latents
    similarity = drawn @ latents.T
    # Among 160 originals, the one it was drawn from is nearly always the nearest.
    assert (similarity.argmax(1) == np.arange(16)).mean() > 0.7
