"""The ``smic.json`` of a local pipeline: what it may say, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest

from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.models.generators.declaration import read_declaration
from tests.support.tiny_pipelines import DIM, declare


@pytest.fixture
def folder(tmp_path):
    """A pipeline without weights: everything here is decided before weights are read."""
    (tmp_path / "model_index.json").write_text(
        json.dumps({"_class_name": "KandinskyV22Pipeline", "unet": ["diffusers", "UNet"]})
    )
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps({"encoder_hid_dim": DIM}))
    return tmp_path


def test_all_entries_are_read(folder):
    (folder / "ip.safetensors").touch()
    negative = [0.5] * DIM
    declare(
        folder,
        steps=7,
        guidance=2,
        latent_norm=3.5,
        notice="x",
        scheduler="DPMSolverMultistepScheduler",
        negative=negative,
        ip_adapter="ip.safetensors",
    )
    found = read_declaration(folder)
    assert found.encoder == "ViT-Tiny/none"
    assert (found.steps, found.guidance, found.latent_norm, found.notice) == (7, 2.0, 3.5, "x")
    assert found.scheduler == "DPMSolverMultistepScheduler"
    assert found.negative is not None and found.negative.tolist() == negative
    assert (found.ip_adapter, found.pipeline) == ("ip.safetensors", "KandinskyV22Pipeline")


def test_null_means_not_given(folder):
    names = ("steps", "guidance", "latent_norm", "notice", "scheduler", "negative", "ip_adapter")
    declare(folder, **dict.fromkeys(names))
    found = read_declaration(folder)
    assert all(getattr(found, name) is None for name in names)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"encoder": ""}, "encoder must be a text"),
        ({"encoder": 5}, "encoder must be a text"),
        ({"encoder": None}, "names no encoder"),
        ({"steps": 0}, "steps must be an integer, 1 to 1000"),
        ({"steps": 1001}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"steps": True}, "steps"),
        ({"steps": "20"}, "steps"),
        ({"guidance": float("nan")}, "guidance must be a finite number"),
        ({"guidance": "strong"}, "guidance"),
        ({"latent_norm": 0}, "latent_norm must be above 0"),
        ({"latent_norm": float("inf")}, "latent_norm must be a finite number"),
        ({"notice": ["a"]}, "notice must be a text"),
        ({"scheduler": "EulerAncestralScheduler"}, "scheduler must be one of DDIMScheduler"),
        ({"scheduler": ["DDIMScheduler"]}, "scheduler"),
        ({"negative": 0}, "negative must be a list"),
        ({"negative": [1, "a"]}, "negative must be a finite number"),
        ({"negative": [float("inf")] * DIM}, "negative"),
        ({"negative": [0.0] * (DIM + 1)}, "33 numbers, but the pipeline takes latents of 32"),
        ({"guidence": 3}, "unknown entries guidence; known are encoder, steps"),
        ({"ip_adapter": "ip.bin"}, "pickled weights"),
        ({"ip_adapter": "missing.safetensors"}, "not in the folder"),
        ({"ip_adapter": 3}, "ip_adapter"),
    ],
)
def test_what_is_wrong_is_refused(folder, entries, message):
    declare(folder, **entries)
    with pytest.raises(ValueError, match=message):
        load_generator(str(folder), device="cpu")


@pytest.mark.parametrize("how", ["up", "absolute", "link"])
def test_a_path_may_not_leave_the_folder(folder, how):
    inside = folder / "pipeline"
    shutil.copytree(folder, inside, ignore=shutil.ignore_patterns("pipeline"))
    outside = folder / "out.safetensors"
    outside.touch()
    path = {"up": "../out.safetensors", "absolute": str(outside), "link": "in.safetensors"}[how]
    if how == "link":
        (inside / path).symlink_to(outside)
    declare(inside, ip_adapter=path)
    with pytest.raises(ValueError, match="must lie inside the folder"):
        load_generator(str(inside), device="cpu")


def test_an_adapter_or_a_negative_that_nothing_uses_is_refused(tiny_folders, tmp_path):
    shutil.copytree(tiny_folders["unclip"], tmp_path, dirs_exist_ok=True)
    declare(tmp_path, negative=[0.0] * DIM)
    with pytest.raises(ValueError, match="has its own: remove the entry"):
        load_generator(str(tmp_path), device="cpu")
    (tmp_path / "ip.safetensors").touch()
    declare(tmp_path, ip_adapter="ip.safetensors")
    with pytest.raises(ValueError, match="names an ip_adapter, but is a StableUnCLIPImg2Img"):
        load_generator(str(tmp_path), device="cpu")


def test_a_text_to_image_model_needs_an_adapter(tiny_folders, tmp_path):
    from safetensors.numpy import save_file

    shutil.copytree(tiny_folders["sd15"], tmp_path, dirs_exist_ok=True)
    declare(tmp_path)
    with pytest.raises(ValueError, match="which draws from texts: add the IP-Adapter"):
        load_generator(str(tmp_path), device="cpu")
    import numpy as np

    save_file({"image_proj.latents": np.zeros((1, 4))}, tmp_path / "plus.safetensors")
    declare(tmp_path, ip_adapter="plus.safetensors")
    with pytest.raises(ValueError, match="no IP-Adapter for a global latent"):
        load_generator(str(tmp_path), device="cpu")
    (tmp_path / "plus.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match="no sound safetensors file"):
        load_generator(str(tmp_path), device="cpu")


def test_a_pipeline_of_no_family_is_refused(folder):
    declare(folder)
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ValueError, match=r"holds a FluxPipeline.*may hold a StableUnCLIP"):
        load_generator(str(folder), device="cpu")


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"_class_name": ["mine", "Pipeline"]}, "must name a class of diffusers"),
        ({"_class_name": "KandinskyV22Pipeline", "unet": ["evil", "Net"]}, "comes from 'evil'"),
        ([], "must be a JSON object"),
    ],
)
def test_code_of_others_is_never_run(folder, index, message):
    declare(folder)
    (folder / "unet/evil.py").write_text("raise SystemExit('it runs')")
    (folder / "mine.py").write_text("raise SystemExit('it runs')")
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        load_generator(str(folder), device="cpu")


def test_pickled_weights_are_not_read(tiny_folders, tmp_path):
    shutil.copytree(tiny_folders["kandinsky22"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "unet/diffusion_pytorch_model.safetensors").rename(
        tmp_path / "unet/diffusion_pytorch_model.bin"
    )
    with pytest.raises(OSError, match="safetensors"):
        load_generator(str(tmp_path), device="cpu")


def test_a_folder_without_a_configuration_is_an_error(folder):
    declare(folder)
    (folder / "unet/config.json").unlink()
    with pytest.raises(ValueError, match=r"no unet/config\.json"):
        load_generator(str(folder), device="cpu")
    (folder / "unet/config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"unet/config\.json.*encoder_hid_dim"):
        load_generator(str(folder), device="cpu")


def test_damaged_or_foreign_weights_are_an_error_that_says_so(tiny_folders, tmp_path):
    shutil.copytree(tiny_folders["kandinsky22"], tmp_path / "cut")
    weights = tmp_path / "cut/unet/diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(OSError, match="could not be loaded"):
        load_generator(str(tmp_path / "cut"), device="cpu")
    weights.write_bytes((tiny_folders["sd15"] / "unet" / weights.name).read_bytes())
    with pytest.raises(OSError, match="could not be loaded"):
        load_generator(str(tmp_path / "cut"), device="cpu")
    shutil.copytree(tiny_folders["sdxl"], tmp_path / "foreign")
    adapter = "adapter/ip.safetensors"
    (tmp_path / "foreign" / adapter).write_bytes((tiny_folders["sd15"] / adapter).read_bytes())
    with pytest.raises(OSError, match="could not be loaded into a StableDiffusionXLPipeline"):
        load_generator(str(tmp_path / "foreign"), device="cpu")
