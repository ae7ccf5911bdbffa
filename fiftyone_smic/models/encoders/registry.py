"""Which encoders there are: the one list that forms, the command line and documentation read."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module

from fiftyone_smic.models.embedded import NOTICE
from fiftyone_smic.models.encoders import clip, photographs
from fiftyone_smic.models.encoders.base import PRECISIONS, Encoder
from fiftyone_smic.models.identity import EMBEDDED, LOCAL, UNKNOWN, EncoderIdentity

#: Loads an encoder: (name, device or None, precision) -> encoder.
Loader = Callable[[str, "str | None", str], Encoder]


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of an encoder before it is loaded.

    Attributes:
        name: what :func:`load_encoder` takes.
        label: one line for a form.
        licence: of the weights.
        dim: d, the number of dimensions of a latent; 0 where it is not known before loading.
        seconds: per image on two cores of a CPU, without reading the file.
        measured: whether ``seconds`` was measured here, else it is estimated from the model's size.
        vocabulary: the built-in list of texts that suits it, ``"photographs"`` or ``"postcards"``;
            "" for an encoder with texts of its own, see :attr:`texts`.
        texts: gives the texts it knows, if it knows only some, without loading it; else None.
        notice: what a user must know about it, or None.
    """

    name: str
    label: str
    licence: str = ""
    dim: int = 0
    seconds: float = 0.5
    measured: bool = False
    vocabulary: str = "photographs"
    texts: Callable[[], list[str]] | None = None
    notice: str | None = None


#: The encoders that forms offer, by name. Any other that open_clip lists can be loaded too.
ENCODERS: dict[str, EncoderInfo] = {
    about.name: about
    for about in (
        EncoderInfo(
            photographs.PHOTOGRAPHS,
            "Photographs: EfficientNet-Lite0, works offline, names by ImageNet classes",
            licence="Apache-2.0",
            dim=photographs.DIM,
            seconds=0.025,
            measured=True,
            vocabulary="",
            texts=photographs.class_names,
            notice=photographs.NOTICE,
        ),
        EncoderInfo(
            "ViT-B-32/laion2b_s34b_b79k",
            "ViT-B-32 (LAION-2B): fast, any text, cannot be drawn",
            licence="MIT",
            dim=512,
            seconds=0.1,
        ),
        EncoderInfo(
            "ViT-L-14/openai",
            "ViT-L-14 (OpenAI): any text, can be drawn again",
            licence="MIT",
            dim=768,
            seconds=0.8,
        ),
        EncoderInfo(
            "ViT-H-14/laion2b_s32b_b79k",
            "ViT-H-14 (LAION-2B): any text, can be drawn again, best quality",
            licence="MIT",
            dim=1024,
            seconds=2.5,
        ),
        EncoderInfo(
            "ViT-bigG-14/laion2b_s39b_b160k",
            "ViT-bigG-14 (LAION-2B): any text, can be drawn again, very large",
            licence="MIT",
            dim=1280,
            seconds=8.0,
        ),
        EncoderInfo(
            EMBEDDED,
            "Postcards: the small built-in demonstration, knows nothing of photographs",
            licence="Apache-2.0",
            dim=128,
            seconds=0.002,
            measured=True,
            vocabulary="postcards",
            notice=NOTICE,
        ),
    )
}

_LOADERS: dict[str, Loader] = {
    EMBEDDED: clip.load_embedded,
    photographs.PHOTOGRAPHS: photographs.load_photographs,
}
_FAMILIES: dict[str, Loader] = {LOCAL: clip.load_local}
# Families of which this package must not import the code before it is asked for.
_MODULES = {"zoo:": "fiftyone_smic.fiftyone.zoo"}

#: The encoder of photographs where the extra ``photographs`` is not installed.
BEST_CLIP = "ViT-L-14/openai"

# The files that ``fiftyone-smic postcards draw`` writes, also after they were copied or renamed.
_POSTCARD = re.compile(r"postcard-\d+-\d{6,}-\d+\.\w+")


def load_encoder(
    name: str = EMBEDDED, *, device: str | None = None, precision: str = "fp32"
) -> Encoder:
    """Load an encoder.

    Args:
        name: ``"MODEL/PRETRAINED"`` of open_clip, ``"photographs"``, ``"postcards"``,
            ``"local-dir:/path"``, ``"zoo:NAME"`` for a model of FiftyOne's zoo, or a name given to
            :func:`register_encoder`. The identity of an encoder is a name too: a hash in it must be
            that of the weights.
        device: as PyTorch writes it; None takes cuda, else mps, else cpu.
        precision: ``"fp32"``, ``"fp16"`` or ``"bf16"``, what the model computes in. Latents are
            always float32.

    Raises:
        ValueError: the name or the precision is not known, or the weights here have another hash;
            the message lists what would work.
        FileNotFoundError: a local folder lacks its configuration or its weights.
        ImportError: the encoder needs an extra that is not installed.
        RuntimeError: open_clip could not get the weights, for example without a network.

    Example:
        >>> encoder = load_encoder("postcards", device="cpu")
        >>> encoder.name.startswith("postcards@"), encoder.dim
        (True, 128)
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if not isinstance(name, str):
        raise ValueError(f"an encoder is named by a text like 'ViT-L-14/openai', not {name!r}")
    wanted = EncoderIdentity.parse(name)
    encoder = _loader(wanted)(str(wanted) if wanted.local else wanted.name, device, precision)
    if wanted.hash and not wanted.local and not EncoderIdentity.parse(encoder.name).matches(wanted):
        raise ValueError(
            f"{name!r} was asked for and this machine has {encoder.name!r}; install the same "
            f"weights, or ask for {wanted.name!r} to use those that are here"
        )
    return encoder


def load_matching(
    identity: str,
    source: str | None = None,
    *,
    device: str | None = None,
    precision: str = "fp32",
) -> Encoder:
    """Load the encoder that made some latents.

    Args:
        identity: the encoder's identity, as fields, dictionaries and archives store it.
        source: a name to load it by where the identity is not enough: the folder of a
            ``local-dir:`` encoder. None takes the one the identity gives.
        device: as for :func:`load_encoder`.
        precision: as for :func:`load_encoder`.

    Raises:
        ValueError: the identity is unknown, or the encoder found here has another identity.
        FileNotFoundError: the encoder is a local folder and ``source`` does not say where it lies.

    Example:
        >>> load_matching("postcards", device="cpu").dim
        128
        >>> load_matching("local-dir:clip@0123456789ab")
        Traceback (most recent call last):
        ...
        FileNotFoundError: the encoder 'local-dir:clip@0123456789ab' is a local folder, and its...
    """
    wanted = EncoderIdentity.parse(identity)
    if not wanted.known and source in (None, UNKNOWN):
        raise ValueError(
            "these latents do not say which encoder made them, so nothing new can be encoded for "
            "them; give the encoder, or compute latents with fiftyone_smic.compute_latents"
        )
    encoder = load_encoder(
        wanted.source if source in (None, UNKNOWN) else source, device=device, precision=precision
    )
    if wanted.known and not wanted.matches(encoder.name):
        raise ValueError(
            f"these latents were made with the encoder {identity!r} and this machine has "
            f"{encoder.name!r}, whose latents are not comparable; install the same weights, or "
            "start again with the encoder that is here"
        )
    return encoder


def register_encoder(
    name: str, load: Loader, *, info: EncoderInfo | None = None, replace: bool = False
) -> None:
    """Give an encoder of your own a name, under which everything here finds it.

    Args:
        name: the name, or with a colon at its end the start of the names of a family, such as
            ``"mine:"``.
        load: called as ``load(name, device, precision)``; returns an :class:`Encoder`. Its ``name``
            is the identity that is stored with latents, and should start with the registered name.
        info: offers the encoder in forms.
        replace: replace an encoder of this name.

    Raises:
        ValueError: the name is taken or cannot be told from open_clip's.

    Example:
        >>> import torchvision.transforms.functional as F
        >>> class Brightness(Encoder):
        ...     def image_features(self, batch):
        ...         return batch.mean(dim=(2, 3)) + 0.01
        >>> def load(name, device, precision):
        ...     return Brightness(lambda image: F.to_tensor(image.resize((8, 8))), name=name)
        >>> register_encoder("brightness", load, replace=True)
        >>> load_encoder("brightness").dim
        3
    """
    if not name or "/" in name or "@" in name:
        raise ValueError(f"{name!r} cannot name an encoder: leave out '/' and '@'")
    taken = {*_LOADERS, *_FAMILIES, *_MODULES}
    if name in taken and not replace:
        raise ValueError(f"there is an encoder {name!r}; choose another name or pass replace=True")
    (_FAMILIES if name.endswith(":") else _LOADERS)[name] = load
    if info is not None:
        ENCODERS[name] = info


def describe(name: str) -> EncoderInfo:
    """What is known of an encoder, by its name or identity, without loading it.

    Example:
        >>> describe("ViT-L-14-quickgelu/openai").dim
        768
    """
    identity = EncoderIdentity.parse(name)
    return ENCODERS.get(identity.name) or EncoderInfo(identity.name, identity.name)


def is_postcards(paths: Iterable[str | os.PathLike[str]]) -> bool:
    """Whether image files are drawn postcards, by their names, and nothing else.

    Example:
        >>> is_postcards(["cards/postcard-0-000001-128.png"]), is_postcards(["dog.jpg"])
        (True, False)
    """
    names = [os.path.basename(os.fspath(path)) for path in paths]
    return bool(names) and all(_POSTCARD.fullmatch(name) for name in names)


def default_encoder(
    paths: Iterable[str | os.PathLike[str]] = (), *, postcards: bool = False
) -> str:
    """The encoder to take for images when nobody chose one.

    The demonstration model is for postcards only. For anything else it is ``photographs`` where
    that extra is installed, else the CLIP model that is the best compromise.

    Args:
        paths: the image files.
        postcards: whether they are known to be postcards.

    Returns:
        A name for :func:`load_encoder`.
    """
    if postcards or is_postcards(paths):
        return EMBEDDED
    return photographs.PHOTOGRAPHS if photographs.installed() else BEST_CLIP


def problem(name: str) -> str | None:
    """Why a name cannot lead to an encoder, as far as that is known without loading; else None."""
    identity = EncoderIdentity.parse(name)
    if identity.local and not os.path.isdir(os.path.expanduser(name.removeprefix(LOCAL))):
        return f"there is no folder {name.removeprefix(LOCAL)!r}"
    if identity.name == photographs.PHOTOGRAPHS and not photographs.installed():
        return f"it needs its extra: {photographs.INSTALL}"
    if _loader(identity) is _load_listed and "/" not in identity.name:
        return f"{name!r} is not an encoder. {ways()}"
    return None


def _loader(identity: EncoderIdentity) -> Loader:
    if identity.name in _LOADERS:
        return _LOADERS[identity.name]
    for start, module in _MODULES.items():
        if identity.name.startswith(start) and start not in _FAMILIES:
            _FAMILIES[start] = import_module(module).load_zoo_encoder
    for start, load in _FAMILIES.items():
        if identity.name.startswith(start):
            return load
    return _load_listed


def _load_listed(name: str, device: str | None, precision: str) -> Encoder:
    import open_clip

    if name.partition("/")[0] not in open_clip.list_models():
        raise ValueError(f"{name!r} is not an encoder. {ways()}")
    return clip.load_listed(name, device, precision)


def ways() -> str:
    """A sentence that lists what an encoder can be."""
    own = [f"'{name}'" for name in _LOADERS if name not in (EMBEDDED, photographs.PHOTOGRAPHS)]
    extra = "" if photographs.installed() else f" ({photographs.INSTALL})"
    listed = [
        "'MODEL/PRETRAINED' as open_clip.list_pretrained() has it, for example 'ViT-L-14/openai' "
        "(downloaded once)",
        f"'photographs'{extra}",
        "'local-dir:/path' for an open_clip folder",
        "'zoo:NAME' for a model of FiftyOne's zoo",
        *own,
        f"'{EMBEDDED}' for the drawn demonstration",
    ]
    return f"Give {', '.join(listed[:-1])}, or {listed[-1]}"
