"""Encoders: what open_clip gives, whatever the name it was loaded by."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from fiftyone_smic.models.embedded import CLIP_DIR
from fiftyone_smic.models.encoders import embedded_identity, load_encoder
from fiftyone_smic.models.images import load_image


def test_latents_are_float32_of_unit_norm(encoder, pictures):
    found = encoder.encode_images(pictures, batch_size=5)
    assert found.latents.shape == (12, encoder.dim)
    assert found.latents.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found.latents, axis=1), 1, atol=1e-5)
    assert found.indices.tolist() == list(range(12))
    assert found.failures == {}
    texts = encoder.encode_texts(["a river", "two people", "night"], batch_size=2)
    assert texts.shape == (3, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)


def test_batches_and_workers_do_not_change_a_latent(encoder, pictures):
    together = encoder.encode_images(pictures, batch_size=12).latents
    alone = encoder.encode_images(pictures, batch_size=1).latents
    workers = encoder.encode_images(pictures, batch_size=4, num_workers=1).latents
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, workers, atol=1e-5)


def test_norm_is_the_median_raw_length(encoder, pictures):
    import torch

    batch = torch.stack([encoder.preprocess(load_image(path)) for path in pictures])
    with torch.inference_mode():
        raw = encoder.model.encode_image(batch).numpy()
    expected = np.median(np.linalg.norm(raw, axis=1))
    assert encoder.encode_images(pictures).norm == pytest.approx(expected, rel=1e-4)


def test_unreadable_images_are_skipped_and_named(encoder, pictures, tmp_path):
    text = tmp_path / "not-an-image.png"
    text.write_text("hello")
    cut = tmp_path / "cut.png"
    cut.write_bytes(pictures[1].read_bytes()[:2000])
    paths = [pictures[0], text, tmp_path / "missing.png", cut, pictures[2]]
    seen = []
    found = encoder.encode_images(paths, batch_size=2, progress=seen.append)
    assert found.indices.tolist() == [0, 4]
    assert sorted(found.failures) == [1, 2, 3]
    assert found.failures[2] == "there is no such file"
    whole = encoder.encode_images([pictures[0], pictures[2]]).latents
    np.testing.assert_allclose(found.latents, whole, atol=1e-5)
    assert seen == sorted(seen) and seen[-1] == 1


def test_nothing_readable_is_not_an_error(encoder, tmp_path):
    for paths in ([], [tmp_path / "missing.png"]):
        found = encoder.encode_images(paths)
        assert found.latents.shape == (0, encoder.dim)
        assert len(found.failures) == len(paths)


def test_exif_orientation_is_respected(tmp_path):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20] = 255  # white above black
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by 90 degrees clockwise to see it upright"
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    upright = load_image(tmp_path / "turned.png")
    assert upright.size == (40, 60)
    assert upright.getpixel((5, 30)) == (0, 0, 0)
    assert upright.getpixel((35, 30)) == (255, 255, 255)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "1", "I;16"])
def test_every_colour_mode_is_read(tmp_path, mode, encoder):
    path = tmp_path / ("picture.tiff" if mode == "CMYK" else "picture.png")
    if mode == "I;16":
        image = Image.fromarray(np.full((32, 32), 0x8000, np.uint16))
    else:
        image = Image.new("RGB", (32, 32), (128, 128, 128)).convert(mode)
    image.save(path)
    assert load_image(path).mode == "RGB"
    if mode == "I;16":
        assert load_image(path).getpixel((0, 0)) == (128, 128, 128)
    assert encoder.encode_images([path]).failures == {}


def test_identity_of_a_local_folder_follows_its_weights(tmp_path, encoder):
    assert encoder.name == embedded_identity()
    folder = tmp_path / "my-clip"
    shutil.copytree(CLIP_DIR, folder)
    mine = load_encoder(f"local-dir:{folder}", device="cpu")
    assert mine.name == "local-dir:my-clip@" + encoder.name.split("@")[1]

    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "open_clip_model.safetensors")
    weights["logit_scale"] = weights["logit_scale"] + 1
    save_file(weights, folder / "open_clip_model.safetensors")
    assert load_encoder(f"local-dir:{folder}", device="cpu").name != mine.name


def test_half_precision_gives_nearly_the_same_latents(encoder, pictures):
    exact = encoder.encode_images(pictures).latents
    half = load_encoder(device="cpu", precision="bf16").encode_images(pictures).latents
    assert half.dtype == np.float32
    assert (exact * half).sum(1).min() > 0.99


@pytest.fixture(scope="module")
def full_clip(tmp_path_factory):
    """An untrained ViT-B-32 of full size, which stands in for the models a hub would give.

    open_clip's own model and preprocessing, and what our code loads from the folder it was saved
    to.
    """
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    model, _, preprocess = open_clip.create_model_and_transforms("ViT-B-32")
    model.eval()
    folder = tmp_path_factory.mktemp("clip") / "mine"
    folder.mkdir()
    save_file(
        {name: tensor.half().contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}})
    )
    return model, preprocess, load_encoder(f"local-dir:{folder}", device="cpu")


def test_a_full_open_clip_model_saved_to_a_folder_gives_open_clips_own_latents(full_clip, pictures):
    import open_clip
    import torch

    model, preprocess, mine = full_clip
    assert mine.dim == 512
    found = mine.encode_images(pictures[:2])
    with torch.inference_mode():
        raw = model.encode_image(torch.stack([preprocess(load_image(p)) for p in pictures[:2]]))
        expected = torch.nn.functional.normalize(raw, dim=1).numpy()
        tokens = open_clip.get_tokenizer("ViT-B-32")(["a dog"])
        text = torch.nn.functional.normalize(model.encode_text(tokens), dim=1).numpy()
    assert (found.latents * expected).sum(1).min() > 0.999
    assert (mine.encode_texts(["a dog"]) * text).sum() > 0.999


def test_its_latents_are_drawn_by_a_pipeline_that_declares_it(full_clip, pictures, tmp_path):
    """Pictures to pictures on full CLIP latents, and again with the pipeline saved once more."""
    from fiftyone_smic.models.generators import load_generator
    from tests.support.tiny_pipelines import save_unclip

    mine = full_clip[2]
    assert mine.name.startswith("local-dir:mine@")
    found = mine.encode_images(pictures[:2])
    declared = json.dumps({"encoder": "local-dir:mine", "steps": 2, "guidance": 3.0})
    folder, again = tmp_path / "first", tmp_path / "again"
    save_unclip(folder, mine.dim)
    (folder / "smic.json").write_text(declared)
    generator = load_generator(str(folder), encoder=mine.name, device="cpu")
    generator.pipeline.save_pretrained(again)
    (again / "smic.json").write_text(declared)
    reloaded = load_generator(str(again), encoder=mine.name, device="cpu")

    def draw(by, latents):
        images = by.generate(latents, norm=found.norm)
        return np.stack([np.asarray(image) for image in images]).astype(int)

    drawn = draw(generator, found.latents)
    assert drawn.shape == (2, generator.size, generator.size, 3)
    assert (draw(reloaded, found.latents) == drawn).all()
    # Another latent and the same noise give another picture: the latent does reach the network.
    assert np.abs(draw(generator, found.latents[[0, 0]])[1] - drawn[1]).max() > 0


def test_a_tag_trained_with_quickgelu_is_loaded_with_quickgelu(monkeypatch):
    """open_clip 3 only warns when the two differ, and the latents are then wrong."""
    import open_clip

    seen = {}

    def fake(source, **options):
        seen[source, options["pretrained"]] = options["force_quick_gelu"]
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "create_model_and_transforms", fake)
    for name in ("ViT-L-14/openai", "ViT-H-14/laion2b_s32b_b79k"):
        with pytest.raises(RuntimeError, match="no network"):
            load_encoder(name, device="cpu")
    assert seen == {("ViT-L-14", "openai"): True, ("ViT-H-14", "laion2b_s32b_b79k"): False}


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("ViT-Z-99/openai", ValueError, "not an encoder"),
        ("ViT-B-32/never", ValueError, "it has: .*laion2b_s34b_b79k"),
        ("ViT-B-32", ValueError, "it has: .*openai"),
        ("local-dir:/nowhere", FileNotFoundError, "open_clip_config.json"),
    ],
)
def test_unknown_names_say_what_is_known(name, error, message):
    with pytest.raises(error, match=message):
        load_encoder(name, device="cpu")


def test_pickled_weights_are_refused(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(FileNotFoundError, match="safetensors"):
        load_encoder(f"local-dir:{tmp_path}", device="cpu")


def test_settings_out_of_range_are_refused(encoder, pictures):
    with pytest.raises(ValueError, match="precision"):
        load_encoder(precision="int8")
    with pytest.raises(ValueError, match="batch_size"):
        encoder.encode_images(pictures, batch_size=0)
