"""Generators: diffusers' unCLIP pipeline, the right one for each encoder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fiftyone_smic.models.generators import Generator, fits, generators_for, load_generator
from fiftyone_smic.models.generators.registry import (
    FAMILIES,
    draws_from,
    find_family,
    published,
)
from tests.support.tiny_pipelines import DIM, save_unclip

DECLARED = {"encoder": "ViT-Tiny/none", "guidance": 3.0, "steps": 3}


@pytest.fixture(scope="module")
def pipeline_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipeline")
    save_unclip(folder, DIM)
    (folder / "smic.json").write_text(json.dumps(DECLARED))
    return folder


@pytest.fixture(scope="module")
def tiny(pipeline_folder):
    return load_generator(str(pipeline_folder), encoder="ViT-Tiny/none", device="cpu")


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(size=(4, DIM)).astype(np.float32)


def pixels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


def test_a_picture_depends_on_its_seed_and_not_on_its_batch(tiny, latents):
    seeds = [11, 12, 13, 14]
    together = pixels(tiny.generate(latents, norm=10, seeds=seeds, batch_size=4))
    alone = pixels(tiny.generate(latents, norm=10, seeds=seeds, batch_size=1))
    one = pixels(tiny.generate(latents[2:3], norm=10, seeds=[13]))
    assert together.shape == (4, tiny.size, tiny.size, 3)
    # Batched arithmetic may round differently: one level of 255.
    assert np.abs(together - alone).max() <= 1
    assert np.abs(together[2] - one[0]).max() <= 1
    other = pixels(tiny.generate(latents, norm=10, seeds=[11, 12, 99, 14], batch_size=4))
    assert np.abs(together[2] - other[2]).max() > 10
    assert np.abs(together[3] - other[3]).max() <= 1


def test_one_seed_stands_for_a_run_of_seeds(tiny, latents):
    run = pixels(tiny.generate(latents, norm=10, seeds=5))
    listed = pixels(tiny.generate(latents, norm=10, seeds=[5, 6, 7, 8]))
    assert (run == listed).all()


def test_the_pipeline_gets_the_latent_at_the_trained_length(tiny, latents, monkeypatch):
    seen = []
    original = tiny.pipeline.noise_image_embeddings

    def spy(image_embeds, **options):
        seen.append(image_embeds.clone())
        return original(image_embeds=image_embeds, **options)

    monkeypatch.setattr(tiny.pipeline, "noise_image_embeddings", spy)
    tiny.generate(7 * latents, norm=12.5, steps=1)
    assert len(seen) == 1
    np.testing.assert_allclose(np.linalg.norm(seen[0].numpy(), axis=1), 12.5, rtol=1e-5)
    unit = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    np.testing.assert_allclose(seen[0].numpy(), 12.5 * unit, rtol=1e-4, atol=1e-5)


def test_a_latent_given_is_the_latent_of_an_image_given(tiny, pipeline_folder):
    """image_embeds must enter the pipeline exactly where its own image encoder's output does."""
    import torch
    from diffusers import StableUnCLIPImg2ImgPipeline
    from PIL import Image

    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 255, (32, 32, 3)).astype(np.uint8))
    pipe = StableUnCLIPImg2ImgPipeline.from_pretrained(pipeline_folder)
    inputs = pipe.feature_extractor(images=image, return_tensors="pt").pixel_values
    with torch.no_grad():
        raw = pipe.image_encoder(inputs).image_embeds.numpy()
    by_image = pipe(
        image=image,
        prompt="",
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(3),
    ).images
    mine = tiny.generate(raw, norm=float(np.linalg.norm(raw)), seeds=[3], steps=3, guidance=3.0)
    assert np.abs(pixels(by_image) - pixels(mine)).max() <= 1


def test_the_declared_length_wins_over_the_archives(pipeline_folder, tmp_path, latents):
    folder = tmp_path / "declared"
    shutil.copytree(pipeline_folder, folder)
    (folder / "smic.json").write_text(json.dumps({**DECLARED, "latent_norm": 8.0}))
    declared = load_generator(str(folder), device="cpu")
    assert (declared.steps, declared.guidance, declared.latent_norm) == (3, 3.0, 8.0)
    with_norm = pixels(declared.generate(latents, norm=99.0))
    without = pixels(declared.generate(latents))
    assert (with_norm == without).all()


def test_half_precision_runs(pipeline_folder, latents):
    half = load_generator(str(pipeline_folder), device="cpu", dtype="bfloat16")
    assert len(half.generate(latents[:1], norm=10)) == 1


def test_progress_counts_pictures(tiny, latents):
    seen = []
    tiny.generate(latents, norm=10, batch_size=2, steps=1, progress=seen.append)
    assert seen == [0.5, 1.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"latents": np.zeros((2, DIM + 1))}, "shape .n, 32.*What fits"),
        ({"latents": np.zeros((2, DIM))}, "zero rows"),
        ({"latents": np.full((2, DIM), np.nan)}, "NaN"),
        ({"seeds": [1]}, "1 seeds for 4 latents"),
        ({"norm": None}, "norm"),
        ({"norm": 0.0}, "norm"),
        ({"steps": 0}, "steps"),
        ({"norm": np.inf}, "norm"),
        ({"steps": 1001}, "steps must be an integer, 1 to 1000"),
        ({"steps": 2.5}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"seeds": [1, 2, 3, 4.5]}, "one integer per latent"),
        ({"seeds": 0.5}, "one integer"),
        ({"seeds": "1234"}, "one integer"),
        ({"seeds": [0, 1, 2, 2**64]}, "between"),
        ({"guidance": np.nan}, "guidance"),
        ({"noise_level": 1000}, "noise_level must be an integer, 0 to 999"),
        ({"noise_level": -1}, "noise_level"),
        ({"exclude": ["a.png"]}, "1 paths for 4 latents"),
    ],
)
def test_bad_input_is_refused_before_anything_is_drawn(tiny, latents, change, message, monkeypatch):
    monkeypatch.setattr(tiny, "_draw", lambda *_: pytest.fail("it draws"))
    arguments = {"latents": latents, "norm": 10.0, **change}
    with pytest.raises(ValueError, match=message):
        # Not iterated over: the error must not wait for the first batch.
        tiny.generate_batches(arguments.pop("latents"), **arguments)


@pytest.mark.parametrize(
    "seeds",
    [
        np.arange(5, 9),
        np.arange(5, 9, dtype=np.uint8),
        range(5, 9),
        (5, 6, 7, 8),
        [np.int64(5), 6, 7, 8],
        np.int64(5),
        np.array(5),
    ],
)
def test_seeds_are_any_integers(tiny, latents, seeds):
    expected = pixels(tiny.generate(latents, norm=10, seeds=[5, 6, 7, 8], steps=1))
    assert (pixels(tiny.generate(latents, norm=10, seeds=seeds, steps=1)) == expected).all()


@pytest.mark.parametrize("noise_level", [0, 999])
def test_the_promised_noise_levels_are_accepted(tiny, latents, noise_level):
    assert len(tiny.generate(latents[:1], norm=10, steps=1, noise_level=noise_level)) == 1


def test_pictures_come_as_they_are_drawn(tiny, latents, monkeypatch):
    drawn, seen = [], []
    original = tiny._draw

    def spy(part, *others):
        drawn.append(len(part))
        return original(part, *others)

    monkeypatch.setattr(tiny, "_draw", spy)
    batches = tiny.generate_batches(latents, norm=10, batch_size=3, steps=1, progress=seen.append)
    assert drawn == []
    first = next(batches)
    assert (len(first), drawn, seen) == (3, [3], [])
    second = next(batches)
    assert (len(second), drawn, seen) == (1, [3, 1], [0.75])
    assert list(batches) == []
    assert seen == [0.75, 1.0]
    whole = pixels(tiny.generate(latents, norm=10, batch_size=3, steps=1))
    assert (pixels(first + second) == whole).all()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_length_given_does_not_matter(tiny, latents, scale):
    expected = pixels(tiny.generate(latents, norm=10, steps=1))
    assert np.abs(pixels(tiny.generate(latents * scale, norm=10, steps=1)) - expected).max() <= 1


def test_no_latents_no_pictures(tiny):
    assert tiny.generate(np.zeros((0, DIM)), norm=10) == []


@pytest.mark.parametrize(
    ("encoder", "name"),
    [
        ("ViT-H-14/laion2b_s32b_b79k", "stabilityai/stable-diffusion-2-1-unclip"),
        ("ViT-L-14/openai", "stabilityai/stable-diffusion-2-1-unclip-small"),
    ],
)
def test_the_reverse_default_of_an_encoder_is_found(monkeypatch, encoder, name):
    """Without a hub: which names are asked for, in which order, and what the user is told."""
    from diffusers import StableUnCLIPImg2ImgPipeline

    asked = []

    def offline(source, **options):
        assert options["use_safetensors"] is True
        asked.append(source)
        raise OSError("no network")

    monkeypatch.setattr(StableUnCLIPImg2ImgPipeline, "from_pretrained", offline)
    with pytest.raises(OSError, match="Download it once"):
        load_generator(encoder=encoder)
    assert asked[:2] == [name, name.replace("stabilityai", "sd2-community")]
    assert asked[2].startswith("fusing/stable-unclip-2-1-")
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("name", "encoder"),
    [
        ("stabilityai/stable-diffusion-2-1-unclip", "ViT-L-14/openai"),
        ("sd2-community/stable-diffusion-2-1-unclip-small", "ViT-H-14/laion2b_s32b_b79k"),
        ("postcards", "ViT-L-14/openai"),
        ("postcards", "postcards@000000000000"),
        (None, "ViT-B-32/openai"),
        (None, None),
        ("someone/else", None),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(name, encoder):
    with pytest.raises(ValueError) as caught:
        load_generator(name, encoder=encoder)
    for part in (
        "ViT-H-14/laion2b_s32b_b79k -> stabilityai/stable-diffusion-2-1-unclip;",
        "ViT-L-14/openai -> stabilityai/stable-diffusion-2-1-unclip-small",
        "postcards -> postcards",
        "smic.json",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"encoder": "a/b", "steps": "many"}'])
def test_a_folder_must_declare_its_encoder(tmp_path, content):
    with pytest.raises(ValueError, match=r"model_index\.json"):
        load_generator(str(tmp_path))
    (tmp_path / "model_index.json").write_text("{}")
    if content is not None:
        (tmp_path / "smic.json").write_text(content)
    with pytest.raises(ValueError, match="encoder"):
        load_generator(str(tmp_path))


@pytest.mark.parametrize(
    ("declared", "encoder", "fitting"),
    [
        ("local-dir:mine", "local-dir:mine@0123456789ab", True),
        ("local-dir:mine@0123456789ab", "local-dir:mine@0123456789ab", True),
        ("local-dir:mine@0123456789ab", "local-dir:mine@ffffffffffff", False),
        ("local-dir:clip@v2", "local-dir:clip@v2@0123456789ab", True),
        ("ViT-L-14/openai", "ViT-L-14-quickgelu/openai", True),
        ("ViT-L-14/openai", "openai/clip-vit-large-patch14", True),
        ("ViT-L-14/openai", "ViT-L-14/laion2b_s32b_b82k", False),
        (
            "ViT-H-14/laion2b_s32b_b79k",
            "xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k",
            True,
        ),
    ],
)
def test_which_encoders_are_the_same_for_a_generator(declared, encoder, fitting):
    assert draws_from(declared, encoder) == fitting


@pytest.mark.parametrize(
    ("encoder", "names"),
    [
        ("postcards", ["postcards"]),
        ("postcards@0123456789ab", ["postcards"]),
        ("unknown", []),
        (
            "ViT-bigG-14/laion2b_s39b_b160k",
            [
                "kandinsky-community/kandinsky-2-2-decoder",
                "h94/IP-Adapter/sdxl_models/ip-adapter_sdxl",
                "h94/IP-Adapter/models/ip-adapter_sd15_vit-G",
            ],
        ),
        (
            "xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k",
            [
                "stabilityai/stable-diffusion-2-1-unclip",
                "h94/IP-Adapter/sdxl_models/ip-adapter_sdxl_vit-h",
                "h94/IP-Adapter/models/ip-adapter_sd15",
                "h94/IP-Adapter/models/ip-adapter_sd15_light",
            ],
        ),
    ],
)
def test_the_generators_of_an_encoder_in_order(encoder, names):
    found = generators_for(encoder)
    assert [info.name for info in found] == [*names, "nearest"]
    for info in found:
        assert info.licence and info.note
        assert f"-> {info.name}" in fits() or info.name == "nearest"


@pytest.mark.parametrize("info", published(), ids=lambda info: info.name)
def test_every_entry_of_the_registry_has_its_family(info):
    family = next(family for family in FAMILIES if info in family.published)
    assert info.family == family.module
    assert issubclass(family.load(), Generator)
    if info.pipeline:
        assert find_family(info.pipeline) is family
        import diffusers

        assert hasattr(diffusers, info.pipeline)


def hub(monkeypatch, pipeline, answer):
    """Stand in for the hub, which no test may reach: what is asked for, with which options."""
    import diffusers

    asked = []

    def from_pretrained(place, **options):
        asked.append((place, options))
        return answer(place, options)

    monkeypatch.setattr(getattr(diffusers, pipeline), "from_pretrained", from_pretrained)
    return asked


def test_half_precision_files_are_asked_for_first_and_then_the_others(monkeypatch, pipeline_folder):
    from diffusers import StableUnCLIPImg2ImgPipeline

    real = StableUnCLIPImg2ImgPipeline.from_pretrained

    def answer(place, options):
        if options.pop("variant") or place.startswith("stabilityai"):
            raise OSError("not there")
        return real(pipeline_folder, **options)

    asked = hub(monkeypatch, "StableUnCLIPImg2ImgPipeline", answer)
    generator = load_generator(
        "stabilityai/stable-diffusion-2-1-unclip", device="cpu", dtype="bfloat16"
    )
    owners = [place.split("/")[0] for place, _ in asked]
    assert owners == ["stabilityai", "stabilityai", "sd2-community", "sd2-community"]
    assert type(generator.pipeline.scheduler).__name__ == "DPMSolverMultistepScheduler"
    for _, options in asked:  # what only encodes images is not loaded
        assert sum(p.numel() for p in options["image_encoder"].parameters()) < 1000
        assert options["feature_extractor"] is None
    assert generator.identity.endswith("unclip+DPMSolverMultistepScheduler")


def test_a_repository_and_its_adapter_are_asked_for(monkeypatch):
    def answer(place, options):
        raise OSError("no network")

    asked = hub(monkeypatch, "StableDiffusionXLPipeline", answer)
    with pytest.raises(OSError, match="Download it once"):
        load_generator(
            encoder="ViT-bigG-14/laion2b_s39b_b160k",
            device="cpu",
            name="h94/IP-Adapter/sdxl_models/ip-adapter_sdxl",
        )
    assert [place for place, _ in asked] == ["stabilityai/stable-diffusion-xl-base-1.0"]
    assert asked[0][1]["add_watermarker"] is False
    asked = hub(monkeypatch, "StableDiffusionImageVariationPipeline", answer)
    with pytest.raises(OSError, match="Download it once"):
        load_generator("lambdalabs/sd-image-variations-diffusers", device="cpu")
    assert asked[0][1]["revision"] == "v2.0"
    assert asked[0][1]["safety_checker"] is None


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_folder_with_half_precision_files_alone_is_loaded(
    pipeline_folder, tmp_path, latents, dtype
):
    load_generator(str(pipeline_folder), device="cpu", dtype="bfloat16").pipeline.save_pretrained(
        tmp_path, variant="fp16"
    )
    assert list(tmp_path.glob("unet/*.fp16.safetensors"))
    (tmp_path / "smic.json").write_text(json.dumps(DECLARED))
    generator = load_generator(str(tmp_path), device="cpu", dtype=dtype)
    assert str(generator.pipeline.unet.dtype) == f"torch.{dtype}"
    assert len(generator.generate(latents[:1], norm=10, steps=1)) == 1


def test_the_identity_says_what_decides_the_pictures(pipeline_folder, tmp_path):
    names = set()
    for i, change in enumerate(
        [{}, {"steps": 5}, {"latent_norm": 3.0}, {"scheduler": "UniPCMultistepScheduler"}]
    ):
        folder = tmp_path / str(i)
        shutil.copytree(pipeline_folder, folder)
        (folder / "smic.json").write_text(json.dumps({**DECLARED, **change}))
        identity = load_generator(str(folder), device="cpu").identity
        names.add(identity.rpartition("@")[2])
    assert len(names) == 4


def test_a_small_gpu_is_noticed(tiny):
    """Whether the weights and three gigabytes to work in fit; moving parts needs a GPU."""
    from fiftyone_smic.models.generators import diffusion

    assert diffusion._is_small(tiny.pipeline, 3 * 2**30)
    assert not diffusion._is_small(tiny.pipeline, 4 * 2**30)


def test_the_embedded_pair_works_together(encoder, generator, pictures):
    assert generator.encoder == encoder.name
    assert generator.dim == encoder.dim
    assert generator.size >= 64
    assert "photographs" in generator.notice
    assert load_generator(encoder=encoder.name, device="cpu").name == "postcards"
    found = encoder.encode_images(pictures[:2])
    images = generator.generate(found.latents, norm=found.norm, steps=2)
    assert [image.size for image in images] == [(generator.size,) * 2] * 2


def test_loading_a_folder_is_quiet_and_leaves_logging_as_it_was(pipeline_folder, capfd):
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    logs = (diffusers_logging, transformers_logging)
    before = [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    load_generator(str(pipeline_folder), device="cpu")
    assert [(log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs] == before
    assert capfd.readouterr().err == ""
