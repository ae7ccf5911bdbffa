"""Models of FiftyOne's zoo as encoders. The architecture is real, its weights are random: the zoo's
own would have to be downloaded."""

from __future__ import annotations

import fiftyone.utils.torch as fout
import fiftyone.zoo as foz
import numpy as np
import pytest
import torch
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.models.encoders import load_encoder, load_matching

NAME = "resnet18-imagenet-torch"


@pytest.fixture
def zoo(monkeypatch):
    """The zoo's way to a ResNet, without its download."""

    def load(name, **options):
        torch.manual_seed(0)
        config = {
            "entrypoint_fcn": "torchvision.models.resnet18",
            "entrypoint_args": {"weights": None},
            "embeddings_layer": "avgpool",
            "image_size": [64, 64],
            "use_half_precision": False,
            "device": options["device"],
        }
        return fout.TorchImageModel(fout.TorchImageModelConfig(config))

    monkeypatch.setattr(foz, "load_zoo_model", load)


def test_latents_are_those_of_the_model(zoo, pictures):
    encoder = load_encoder(f"zoo:{NAME}", device="cpu")
    found = encoder.encode_images(pictures[:3], batch_size=2)
    assert found.latents.shape == (3, 512)
    reference = foz.load_zoo_model(NAME, device="cpu")
    raw = np.stack([reference.embed(np.asarray(Image.open(p))).ravel() for p in pictures[:3]])
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(found.latents, expected, atol=1e-5)
    assert found.norm == pytest.approx(np.median(np.linalg.norm(raw, axis=1)), rel=1e-4)
    assert encoder.name.startswith(f"zoo:{NAME}@") and encoder.source == f"zoo:{NAME}"
    assert load_matching(encoder.name, device="cpu").name == encoder.name
    with pytest.raises(ValueError, match="knows images only"):
        encoder.encode_texts(["a dog"])


def test_a_dataset_is_coded_with_them(zoo, postcards):
    report = smic.compute_latents(postcards[:20], "zoo_latents", f"zoo:{NAME}", device="cpu")
    assert (report.computed, report.dim) == (20, 512)
    assert postcards.get_field("zoo_latents").info["source"] == f"zoo:{NAME}"


def test_what_the_zoo_does_not_have_is_said():
    with pytest.raises(ValueError, match=r"has no model 'resnet'.*with embeddings are"):
        load_encoder("zoo:resnet", device="cpu")
    with pytest.raises(ValueError, match="precision 'fp32'"):
        load_encoder(f"zoo:{NAME}", precision="bf16")
