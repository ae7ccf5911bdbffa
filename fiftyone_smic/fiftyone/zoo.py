"""Models of FiftyOne's zoo as encoders: ``encoder="zoo:NAME"``."""

from __future__ import annotations

import hashlib
from typing import Any

import fiftyone.zoo as foz
import numpy as np
import torch
from PIL import Image

from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.encoders import Encoder

#: How the names of these encoders begin.
ZOO = "zoo:"


class ZooEncoder(Encoder):
    """A model with embeddings, as FiftyOne runs it.

    Pixels come from this package's reader, so transparency and orientation are as for any other
    encoder; the model's own transforms follow. A model that takes pictures of any size gets one at
    a time.

    Attributes:
        model: FiftyOne's model.
    """

    def __init__(self, model: Any, name: str, device: str) -> None:
        self.model = model
        transforms: Any = getattr(model, "transforms", None)
        self._batches = transforms is not None and not getattr(model, "ragged_batches", True)
        if self._batches:
            model.preprocess = False
        super().__init__(
            transforms if self._batches else self._embed,
            name=f"{name}@{weights_hash(model)}",
            source=name,
            device=device,
            crops_centre=self._batches and _crops_centre(transforms),
        )

    def _embed(self, image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(self.model.embed(np.asarray(image)), np.float32)).ravel()

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        """Raw embeddings (n, d), flattened where the model gives maps."""
        if not self._batches:
            return batch
        made = np.asarray(self.model.embed_all(batch), np.float32)
        return torch.from_numpy(made.reshape(len(batch), -1))

    def text_features(self, texts: list[str]) -> torch.Tensor:
        """Raw embeddings of texts.

        Raises:
            ValueError: the model has no text encoder.
        """
        if not getattr(self.model, "can_embed_prompts", False):
            return super().text_features(texts)
        return torch.from_numpy(np.asarray(self.model.embed_prompts(texts), np.float32))


def load_zoo_encoder(name: str, device: str | None, precision: str) -> Encoder:
    """Load ``"zoo:NAME"``; the model is downloaded if it is not here.

    Args:
        name: ``"zoo:"`` and a name of :func:`fiftyone.zoo.list_zoo_models`.
        device: as PyTorch writes it; None takes the best there is.
        precision: ``"fp32"``; the zoo's models choose their own.

    Raises:
        ValueError: the zoo has no such model, it has no embeddings, or ``precision`` is another.
        RuntimeError: it could not be loaded, for example without a network.
    """
    if precision != "fp32":
        raise ValueError(f"models of the zoo take precision 'fp32' only, not {precision!r}")
    asked = name.removeprefix(ZOO)
    embedding = foz.list_zoo_models(tags="embeddings")
    if asked not in foz.list_zoo_models():
        raise ValueError(
            f"FiftyOne's zoo has no model {asked!r}; models with embeddings are, for example, "
            f"{', '.join(embedding[:8])} (fiftyone.zoo.list_zoo_models(tags='embeddings') has all)"
        )
    device = device or default_device()
    try:
        # A model of our own: settings are changed that a cached one would keep for others.
        model = foz.load_zoo_model(asked, cache=False, device=device)
    except (OSError, RuntimeError, ImportError) as error:
        raise RuntimeError(f"the zoo's model {asked!r} could not be loaded: {error}") from error
    if not getattr(model, "has_embeddings", False):
        raise ValueError(
            f"the zoo's model {asked!r} has no embeddings; models that have some are, for example, "
            f"{', '.join(embedding[:8])}"
        )
    return ZooEncoder(model, name, device)


def weights_hash(model: Any) -> str:
    """The first 12 hex digits of the SHA-256 of a model's weights, by name, type and value."""
    network = getattr(model, "_model", model)
    digest = hashlib.sha256()
    if not isinstance(network, torch.nn.Module):
        digest.update(f"{type(model).__module__}.{type(model).__qualname__}".encode())
        return digest.hexdigest()[:12]
    for name, tensor in sorted(network.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _crops_centre(transforms: Any) -> bool:
    """Whether transforms scale the shorter side and then crop the centre."""
    import torchvision.transforms as tv

    steps = getattr(transforms, "transforms", [transforms])
    scales = any(isinstance(s, tv.Resize) and isinstance(s.size, int) for s in steps)
    return scales and any(isinstance(step, tv.CenterCrop) for step in steps)
