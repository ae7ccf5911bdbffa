"""Every family of generators, on tiny pipelines that are saved and loaded through the real code."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.models.generators.registry import SCHEDULERS
from tests.support.tiny_pipelines import DIM, FAMILIES, declare, save_kandinsky22

ALL = sorted(FAMILIES)
SEEDS = [11, 12, 13]


@pytest.fixture(scope="module")
def latents():
    return np.random.default_rng(0).normal(size=(3, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def half(tiny_folders):
    return {
        family: load_generator(str(folder), device="cpu", dtype="bfloat16")
        for family, folder in tiny_folders.items()
    }


def pixels(images):
    return np.stack([np.asarray(image) for image in images]).astype(int)


def unit(latents):
    return latents / np.linalg.norm(latents, axis=1, keepdims=True)


@pytest.mark.parametrize("family", ALL)
def test_a_batch_of_three_is_three_single_pictures(tiny_generators, latents, family):
    generator = tiny_generators[family]
    together = pixels(generator.generate(latents, norm=10, seeds=SEEDS, steps=2))
    alone = [
        pixels(generator.generate(latents[i : i + 1], norm=10, seeds=SEEDS[i : i + 1], steps=2))
        for i in range(3)
    ]
    assert together.shape == (3, generator.size, generator.size, 3)
    assert np.abs(together - np.concatenate(alone)).max() <= 1
    # The latent decides the picture, so that a blend of the three would be seen.
    same_noise = pixels(generator.generate(latents, norm=10, seeds=[11, 11, 11], steps=2))
    assert np.abs(same_noise[0] - same_noise[1]).max() > 20


@pytest.mark.parametrize("guidance", [1.0, None])
@pytest.mark.parametrize("family", ALL)
def test_half_precision_draws_with_and_without_guidance(half, latents, family, guidance):
    generator = half[family]
    assert {str(p.dtype) for p in parameters(generator.pipeline)} == {"torch.bfloat16"}
    images = pixels(generator.generate(latents, norm=10, seeds=SEEDS, steps=2, guidance=guidance))
    assert images.shape == (3, generator.size, generator.size, 3)
    assert images.std() > 5


def parameters(pipeline):
    import torch

    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            yield from part.parameters()


def condition_of(family, options):
    """The part of the network's arguments that holds the latents, one row each."""
    if family == "unclip":
        return options["class_labels"][:, :DIM]
    if family == "karlo":
        return options["class_labels"]
    if family == "variations":
        return options["encoder_hidden_states"][:, 0]
    found = options["added_cond_kwargs"]["image_embeds"]
    return found[0][:, 0] if family in ("sd15", "sdxl") else found


@pytest.mark.parametrize("family", [f for f in ALL if f not in ("karlo", "unclip")])
def test_the_network_gets_the_latents_and_the_right_negative(tiny_generators, latents, family):
    generator = tiny_generators[family]
    expected = 10 * unit(latents)
    plain = condition_of(family, reach(generator, family, latents, 1.0)).numpy()
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-5)
    negative, positive = np.split(
        condition_of(family, reach(generator, family, latents, 3.0)).numpy(), 2
    )
    np.testing.assert_allclose(positive, expected, rtol=1e-5, atol=1e-5)
    wanted = FAMILIES[family][1].get("negative", np.zeros(DIM))
    np.testing.assert_allclose(negative, np.broadcast_to(wanted, (3, DIM)), rtol=1e-6)


def test_unclips_negative_is_zeros_and_its_noise_is_small(tiny_generators, latents):
    negative, positive = np.split(
        condition_of("unclip", reach(tiny_generators["unclip"], "unclip", latents, 3.0)).numpy(), 2
    )
    assert (negative == 0).all()
    # A noise level of 0 still adds a little, in units of the pipeline's own standardisation.
    np.testing.assert_allclose(positive, 10 * unit(latents), atol=0.05)
    assert np.abs(positive - 10 * unit(latents)).max() > 0


def test_karlos_negative_is_learned(tiny_generators, latents):
    import torch

    generator = tiny_generators["karlo"]
    projection = generator.pipeline.text_proj
    options = reach(generator, "karlo", latents, 3.0)
    with torch.no_grad():
        tokens = generator.pipeline.tokenizer(
            [""], padding="max_length", max_length=16, return_tensors="pt"
        )
        text = projection.embedding_proj(
            generator.pipeline.text_encoder(tokens.input_ids).text_embeds
        )
        learned = projection.learned_classifier_free_guidance_embeddings[None]
        expected = [
            text + projection.clip_image_embeddings_project_to_time_embeddings(rows)
            for rows in (learned.expand(3, -1), torch.from_numpy(10 * unit(latents)))
        ]
    np.testing.assert_allclose(
        condition_of("karlo", options).numpy(), torch.cat(expected).numpy(), rtol=1e-4, atol=1e-4
    )


def reach(generator, family, latents, guidance):
    """What reaches the network in the first step, with the guidance given."""
    seen = []
    pipeline = generator.pipeline
    network = pipeline.decoder if family == "karlo" else pipeline.unet
    handle = network.register_forward_pre_hook(
        lambda module, arguments, options: seen.append(options), with_kwargs=True
    )
    try:
        generator.generate(latents, norm=10, seeds=SEEDS, steps=2, guidance=guidance)
    finally:
        handle.remove()
    return seen[0]


@pytest.mark.parametrize("family", ALL)
def test_a_picture_is_what_diffusers_draws(tiny_folders, tiny_generators, latents, family):
    """The same pipeline without anything of ours, called as its makers call it, for one picture."""
    import diffusers
    import torch

    folder = tiny_folders[family]
    name = json.loads((folder / "model_index.json").read_text())["_class_name"]
    unwatched = {"safety_checker": None} if family in ("sd15", "variations") else {}
    pipeline = getattr(diffusers, name).from_pretrained(folder, **unwatched)
    pipeline.set_progress_bar_config(disable=True)
    embeds = torch.from_numpy(10 * unit(latents)[:1])
    noise = {"generator": torch.Generator().manual_seed(5)}
    steps = {"num_inference_steps": 2, "guidance_scale": 3.0}
    if family == "unclip":
        images = pipeline(prompt="", image_embeds=embeds, **steps, **noise).images
    elif family == "variations":
        pipeline.image_encoder.forward = lambda given: type("Out", (), {"image_embeds": given})
        images = pipeline(embeds, **steps, **noise).images
    elif family == "karlo":
        images = pipeline(
            image_embeddings=embeds,
            decoder_num_inference_steps=2,
            decoder_guidance_scale=3.0,
            **noise,
        ).images
    elif family.startswith("sd"):
        pipeline.load_ip_adapter(
            str(folder),
            subfolder="adapter",
            weight_name="ip.safetensors",
            image_encoder_folder=None,
        )
        both = torch.stack([torch.zeros_like(embeds), embeds])
        images = pipeline("", ip_adapter_image_embeds=[both], **steps, **noise).images
    else:
        negative = torch.tensor(FAMILIES[family][1]["negative"])[None]
        size = {"height": 32, "width": 32}
        text = {"prompt": ""} if family == "kandinsky21" else {}
        images = pipeline(
            image_embeds=embeds, negative_image_embeds=negative, **size, **text, **steps, **noise
        ).images
    mine = tiny_generators[family].generate(latents[:1], norm=10, seeds=5, steps=2, guidance=3.0)
    assert np.abs(pixels(mine) - pixels(images)).max() <= 1


@pytest.mark.parametrize("family", ALL)
def test_a_wrong_encoder_or_dimension_is_refused_before_weights_are_read(
    tiny_folders, tmp_path, family
):
    folder = tmp_path / family
    shutil.copytree(tiny_folders[family], folder)
    for file in folder.glob("*/*.safetensors"):
        if file.parent.name != "adapter":
            file.unlink()
    with pytest.raises(ValueError, match="trained on ViT-Tiny/none and cannot draw"):
        load_generator(str(folder), encoder="ViT-L-14/openai", device="cpu")
    declare(folder, **{**FAMILIES[family][1], "encoder": "ViT-L-14/openai"})
    with pytest.raises(ValueError, match="768 dimensions, but it takes latents of 32"):
        load_generator(str(folder), device="cpu")
    # The weights are what is missing, so anything that reads them fails otherwise.
    declare(folder, **FAMILIES[family][1])
    with pytest.raises(OSError, match="could not be loaded"):
        load_generator(str(folder), device="cpu")


@pytest.mark.parametrize("family", ALL)
def test_a_picture_that_overflows_is_drawn_again_in_float32(half, latents, family, caplog):
    """The network of one picture gives NaN in half precision, as an overflow does."""
    import torch

    generator = half[family]
    pipeline = generator.pipeline
    network = pipeline.decoder if family == "karlo" else pipeline.unet
    draw = {"norm": 10, "seeds": SEEDS, "steps": 2, "guidance": 1.0}
    sound = pixels(generator.generate(latents, **draw))
    with generator._in_float32():
        exact = pixels(generator.generate(latents, **draw))

    def overflow(module, arguments, output):
        first = output[0] if isinstance(output, tuple) else output.sample
        if first.dtype == torch.bfloat16:
            first[1] = torch.nan

    handle = network.register_forward_hook(overflow)
    try:
        found = pixels(generator.generate(latents, **draw))
    finally:
        handle.remove()
    assert "1 pictures overflow" in caplog.text
    assert (found[[0, 2]] == sound[[0, 2]]).all()
    assert np.abs(found[1] - exact[1]).max() <= 1
    assert {str(p.dtype) for p in parameters(pipeline)} == {"torch.bfloat16"}


def test_a_real_overflow_of_float16_is_drawn_again(tiny_folders, latents, caplog):
    import torch

    generator = load_generator(str(tiny_folders["unclip"]), device="cpu", dtype="float16")
    with torch.no_grad():  # activations above 65,504
        generator.pipeline.vae.decoder.conv_in.weight.mul_(3e4)
    found = pixels(generator.generate(latents[:1], norm=10, steps=2))
    assert "overflow in torch.float16" in caplog.text
    assert found.std() > 5


def test_damaged_weights_are_an_error_and_no_black_picture(tiny_folders, latents):
    import torch

    generator = load_generator(str(tiny_folders["unclip"]), device="cpu")
    with torch.no_grad():
        generator.pipeline.unet.conv_out.weight[0] = torch.nan
    with pytest.raises(FloatingPointError, match="not finite, for the seeds"):
        generator.generate(latents[:1], norm=10, seeds=7, steps=2)


def test_empty_prompts_are_encoded_once(tiny_folders, latents):
    for family in ("unclip", "kandinsky21", "sd15", "sdxl", "karlo"):
        generator = load_generator(str(tiny_folders[family]), device="cpu")
        calls = []
        handle = generator.pipeline.text_encoder.register_forward_pre_hook(
            lambda *_, calls=calls: calls.append(1)
        )
        generator.generate(latents, norm=10, steps=2, batch_size=1)
        handle.remove()
        assert 1 <= len(calls) <= 2, family  # the prompt and the negative prompt


@pytest.mark.parametrize("family", ALL)
def test_the_fewest_steps_are_enough(tiny_generators, latents, family):
    generator = tiny_generators[family]
    assert len(generator.generate(latents[:1], norm=10, steps=generator.min_steps)) == 1


@pytest.mark.parametrize(
    ("family", "scheduler", "message"),
    [
        ("karlo", "DDIMScheduler", "it can use none but its own"),
        ("kandinsky22", "UniPCMultistepScheduler", "it can use DDIMScheduler, DDPMScheduler"),
        ("unclip", "EulerAncestralDiscreteScheduler", "it can use DDIMScheduler"),
        ("unclip", "os.system", "it can use DDIMScheduler"),
    ],
)
def test_a_sampler_that_does_not_fit_is_refused(tiny_folders, family, scheduler, message):
    with pytest.raises(ValueError, match=message):
        load_generator(str(tiny_folders[family]), device="cpu", scheduler=scheduler)


def test_karlo_needs_two_steps(tiny_generators, latents):
    with pytest.raises(ValueError, match="steps must be an integer, 2 to 1000, not 1"):
        tiny_generators["karlo"].generate_batches(latents, norm=10, steps=1)


@pytest.mark.parametrize(
    ("family", "scheduler"),
    [
        (family, scheduler)
        for family in ("unclip", "kandinsky22", "kandinsky21", "sdxl", "variations")
        for scheduler in SCHEDULERS
        if not (family.startswith("kandinsky") and scheduler == "UniPCMultistepScheduler")
    ],
)
def test_another_sampler_keeps_pictures_apart(tiny_folders, latents, family, scheduler):
    generator = load_generator(str(tiny_folders[family]), device="cpu", scheduler=scheduler)
    assert type(generator.pipeline.scheduler).__name__ == scheduler
    generator.generate(latents[:1], norm=10, steps=1)
    together = pixels(generator.generate(latents, norm=10, seeds=SEEDS, steps=3))
    alone = generator.generate(latents[1:2], norm=10, seeds=SEEDS[1:2], steps=3)
    assert np.abs(together[1] - pixels(alone)[0]).max() <= 1


def test_karlo_is_refused_on_mps(tiny_folders):
    with pytest.raises(ValueError, match="cannot run on mps: its pictures are incoherent"):
        load_generator(str(tiny_folders["karlo"]), device="mps")


@pytest.mark.parametrize("family", ["kandinsky22", "karlo", "sd15", "variations"])
def test_noise_levels_are_for_unclip_only(tiny_generators, latents, family):
    with pytest.raises(ValueError, match="adds no noise to latents"):
        tiny_generators[family].generate(latents, norm=10, noise_level=1)


def test_the_negative_of_kandinsky_is_encoded_if_it_is_not_declared(tmp_path, encoder):
    """Through the embedded encoder, which can be loaded anywhere."""
    import torch

    save_kandinsky22(tmp_path, dim=encoder.dim)
    declare(tmp_path, encoder="postcards")
    generator = load_generator(str(tmp_path), encoder=encoder.name, device="cpu")
    latents = np.random.default_rng(1).normal(size=(3, encoder.dim)).astype(np.float32)
    options = reach(generator, "kandinsky22", latents, 3.0)
    from PIL import Image

    blank = torch.zeros_like(encoder.preprocess(Image.new("RGB", (9, 9))))[None]
    with torch.no_grad():
        expected = encoder.model.encode_image(blank).numpy()
    negative = condition_of("kandinsky22", options).numpy()[:3]
    np.testing.assert_allclose(negative, expected.repeat(3, axis=0), rtol=1e-4, atol=1e-4)
    assert np.linalg.norm(expected) > 2  # at raw length


def test_a_negative_that_nobody_knows_is_an_error_before_anything_is_drawn(tmp_path, latents):
    save_kandinsky22(tmp_path)
    declare(tmp_path, encoder="local-dir:mine")
    generator = load_generator(str(tmp_path), device="cpu")
    with pytest.raises(ValueError, match='Pass guidance=1, or write the 32 numbers as "negative"'):
        generator.generate_batches(latents, norm=10)
    assert len(generator.generate(latents, norm=10, steps=1, guidance=1)) == 3


@pytest.mark.parametrize("family", ALL)
def test_a_small_gpu_holds_only_the_part_that_computes(
    tiny_folders, tiny_generators, latents, family, monkeypatch
):
    import torch
    from diffusers import DiffusionPipeline

    offload = DiffusionPipeline.enable_model_cpu_offload
    asked = []

    def on_cpu(self, gpu_id=None, device=None):
        asked.append(str(device))
        offload(self, device="cpu")  # accelerate's real hooks, which need no GPU

    monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", on_cpu)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1 << 30, 2 << 30))
    small = load_generator(str(tiny_folders[family]), device="cuda", dtype="float32")
    assert asked == ["cuda"]
    parts = [p for p in small.pipeline.components.values() if isinstance(p, torch.nn.Module)]
    assert any(hasattr(part, "_hf_hook") for part in parts)
    small.device = "cpu"  # where its hooks put what computes
    drawn = pixels(small.generate(latents, norm=10, seeds=SEEDS, steps=2))
    whole = pixels(tiny_generators[family].generate(latents, norm=10, seeds=SEEDS, steps=2))
    assert np.abs(drawn - whole).max() <= 1


def test_a_large_gpu_holds_all_parts(tiny_folders, monkeypatch):
    import torch
    from diffusers import DiffusionPipeline

    moved = []
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 << 30, 80 << 30))
    monkeypatch.setattr(
        DiffusionPipeline, "to", lambda self, *where, **_: moved.append(str(where[0])) or self
    )
    monkeypatch.setattr(DiffusionPipeline, "enable_model_cpu_offload", None)
    load_generator(str(tiny_folders["unclip"]), device="cuda", dtype="float32")
    assert moved == ["cuda"]
