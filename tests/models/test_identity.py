"""Identities of encoders, and the registry that finds encoders by them."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fiftyone_smic.models.embedded import CLIP_DIR
from fiftyone_smic.models.encoders import (
    ENCODERS,
    Encoder,
    EncoderInfo,
    default_encoder,
    describe,
    embedded_identity,
    is_postcards,
    load_encoder,
    load_matching,
    photographs,
    problem,
    register_encoder,
    registry,
)
from fiftyone_smic.models.identity import EncoderIdentity

HASH = "0123456789ab"


@pytest.mark.parametrize(
    ("text", "name", "digest"),
    [
        ("ViT-L-14/openai", "ViT-L-14/openai", ""),
        ("ViT-L-14-quickgelu/openai", "ViT-L-14/openai", ""),
        ("openai/clip-vit-large-patch14", "ViT-L-14/openai", ""),
        ("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "ViT-H-14/laion2b_s32b_b79k", ""),
        ("postcards", "postcards", ""),
        (f"postcards@{HASH}", "postcards", HASH),
        (f"local-dir:clip@v2@{HASH}", "local-dir:clip@v2", HASH),
        ("local-dir:clip@v2", "local-dir:clip@v2", ""),
        ("local-dir:my-quickgelu/x", "local-dir:my-quickgelu/x", ""),
        (f"zoo:resnet50-imagenet-torch@{HASH}", "zoo:resnet50-imagenet-torch", HASH),
        ("", "unknown", ""),
    ],
)
def test_identities_are_read_and_printed(text, name, digest):
    identity = EncoderIdentity.parse(text)
    assert (identity.name, identity.hash) == (name, digest)
    assert EncoderIdentity.parse(str(identity)) == identity


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ViT-L-14-quickgelu/openai", "ViT-L-14/openai", True),
        ("ViT-L-14/openai", "ViT-L-14/laion2b_s32b_b82k", False),
        ("postcards", f"postcards@{HASH}", True),
        (f"postcards@{HASH}", "postcards@ba9876543210", False),
        ("local-dir:clip@v2", f"local-dir:clip@v2@{HASH}", True),
        (f"local-dir:clip@{HASH}", f"local-dir:clip@{HASH}@ba9876543210", True),
        ("local-dir:clip", f"local-dir:clip@v2@{HASH}", False),
        ("unknown", "unknown", False),
        ("unknown", "postcards", False),
    ],
)
def test_identities_match(one, other, same):
    assert EncoderIdentity.parse(one).matches(other) == same
    assert EncoderIdentity.parse(other).matches(one) == same


@pytest.mark.parametrize("folder", ["clip@v2", f"clip@{HASH}", "plain"])
def test_a_declared_folder_matches_its_own_encoder(tmp_path, folder):
    shutil.copytree(CLIP_DIR, tmp_path / folder)
    encoder = load_encoder(f"local-dir:{tmp_path / folder}", device="cpu")
    assert EncoderIdentity.parse(f"local-dir:{folder}").matches(encoder.name)


def test_a_local_folder_is_asked_for_and_never_looked_up_here(tmp_path, monkeypatch):
    shutil.copytree(CLIP_DIR, tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder("local-dir:mine", device="cpu")
    assert encoder.source == f"local-dir:{tmp_path / 'mine'}"  # it holds in other folders too
    with pytest.raises(FileNotFoundError, match="encoder='local-dir:/path/to/mine'"):
        load_matching(encoder.name, device="cpu")
    again = load_matching(encoder.name, "local-dir:mine", device="cpu")
    assert again.name == encoder.name
    with pytest.raises(ValueError, match="this machine has 'postcards@"):
        load_matching(encoder.name, "postcards", device="cpu")
    with pytest.raises(ValueError, match="do not say which encoder"):
        load_matching("unknown")


def test_quickgelu_names_load_the_same_encoder(monkeypatch):
    import open_clip

    model, _, preprocess = open_clip.create_model_and_transforms("RN50")
    monkeypatch.setattr(
        open_clip, "create_model_and_transforms", lambda *a, **k: (model, None, preprocess)
    )
    names = {load_encoder(n, device="cpu").name for n in ("RN50/openai", "RN50-quickgelu/openai")}
    assert names == {"RN50/openai"}


def test_the_default_fits_the_pictures(monkeypatch, tmp_path):
    from fiftyone_smic.postcards.draw import write_collection

    cards = write_collection(tmp_path, 2, size=16)
    assert is_postcards(cards) and default_encoder(cards) == "postcards"
    assert default_encoder([*cards, tmp_path / "dog.jpg"]) == "photographs"
    assert default_encoder() == "photographs"
    assert default_encoder(["dog.jpg"], postcards=True) == "postcards"
    monkeypatch.setattr(photographs, "installed", lambda: False)
    assert default_encoder(["dog.jpg"]) == "ViT-L-14/openai"
    # Tests are offline: the weights cannot be had, and the message lists the ways.
    with pytest.raises(RuntimeError, match=r"fiftyone_smic\[photographs\].*local-dir"):
        load_encoder(default_encoder(["dog.jpg"]), device="cpu")


def test_the_registry_knows_what_it_lists():
    for name, about in ENCODERS.items():
        assert about.label and about.licence and about.seconds > 0, name
        assert problem(name) is None
        assert describe(f"{name}@{HASH}") is about
    for name in ("photographs", "postcards"):
        assert load_encoder(name, device="cpu").dim == describe(name).dim
    assert describe(embedded_identity()).vocabulary == "postcards"
    assert "no folder" in problem("local-dir:/nowhere")
    assert "is not an encoder" in problem("resnet")


def test_an_encoder_of_ones_own(pictures, monkeypatch):
    import torchvision.transforms.functional as F

    class Colours(Encoder):
        def image_features(self, batch):
            return batch.mean(dim=(2, 3)) + 0.1

    monkeypatch.setattr(registry, "_LOADERS", dict(registry._LOADERS))
    monkeypatch.setattr(registry, "ENCODERS", dict(registry.ENCODERS))
    info = EncoderInfo("colours", "Mean colours")
    register_encoder(
        "colours",
        lambda name, device, precision: Colours(
            lambda image: F.to_tensor(image.resize((8, 8))), name=name
        ),
        info=info,
    )
    encoder = load_encoder("colours")
    found = encoder.encode_images(pictures[:3])
    assert found.latents.shape == (3, 3)
    assert np.isfinite(found.norm) and describe("colours") is info
    with pytest.raises(ValueError, match="knows images only"):
        encoder.encode_texts(["red"])
    with pytest.raises(ValueError, match="there is an encoder 'colours'"):
        register_encoder("colours", lambda *a: encoder)
    with pytest.raises(ValueError, match="cannot name an encoder"):
        register_encoder("my/colours", lambda *a: encoder)
