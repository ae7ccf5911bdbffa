"""What an encoder is called, so that latents of one are never taken for latents of another."""

from __future__ import annotations

from dataclasses import dataclass

#: The embedded demonstration encoder.
EMBEDDED = "postcards"
#: What a collection of latents says that does not know which encoder made it.
UNKNOWN = "unknown"
#: Encoders in a folder are named ``local-dir:FOLDER``.
LOCAL = "local-dir:"

_QUICK = "-quickgelu"

# The same weights under the names of their repositories.
_ALIASES = {
    "openai/clip-vit-base-patch32": "ViT-B-32/openai",
    "openai/clip-vit-base-patch16": "ViT-B-16/openai",
    "openai/clip-vit-large-patch14": "ViT-L-14/openai",
    "openai/clip-vit-large-patch14-336": "ViT-L-14-336/openai",
    "laion/clip-vit-b-32-laion2b-s34b-b79k": "ViT-B-32/laion2b_s34b_b79k",
    "laion/clip-vit-b-16-laion2b-s34b-b88k": "ViT-B-16/laion2b_s34b_b88k",
    "laion/clip-vit-l-14-laion2b-s32b-b82k": "ViT-L-14/laion2b_s32b_b82k",
    "laion/clip-vit-h-14-laion2b-s32b-b79k": "ViT-H-14/laion2b_s32b_b79k",
    "laion/clip-vit-g-14-laion2b-s12b-b42k": "ViT-g-14/laion2b_s12b_b42k",
    "laion/clip-vit-g-14-laion2b-s34b-b88k": "ViT-g-14/laion2b_s34b_b88k",
    "laion/clip-vit-bigg-14-laion2b-39b-b160k": "ViT-bigG-14/laion2b_s39b_b160k",
}


@dataclass(frozen=True)
class EncoderIdentity:
    """The identity of an encoder: a name, and for encoders read from a file its weights' hash.

    Attributes:
        name: ``"MODEL/PRETRAINED"`` as open_clip lists it, ``"local-dir:FOLDER"``,
            ``"photographs"``, ``"postcards"``, ``"zoo:NAME"``, or ``"unknown"``.
        hash: the first 12 hex digits of the weights' SHA-256, or "" where the name says it all.

    Example:
        >>> EncoderIdentity.parse("ViT-L-14-quickgelu/openai") == EncoderIdentity.parse(
        ...     "openai/clip-vit-large-patch14"
        ... )
        True
        >>> str(EncoderIdentity.parse("local-dir:clip@v2@0123456789ab"))
        'local-dir:clip@v2@0123456789ab'
        >>> EncoderIdentity.parse("postcards").matches("postcards@0123456789ab")
        True
    """

    name: str
    hash: str = ""

    @classmethod
    def parse(cls, text: str) -> EncoderIdentity:
        """Read an identity as latents, archives and declarations store it.

        Only a last part of 12 hex digits after ``@`` is a hash, so that folders with an ``@`` in
        their names keep it. ``MODEL-quickgelu/TAG`` is the same encoder as ``MODEL/TAG``: the tag
        decides which activation the weights were trained with. Names of model repositories that
        hold the same weights, such as ``openai/clip-vit-large-patch14``, become open_clip's.

        Args:
            text: an identity, or the name of an encoder.
        """
        name, at, tail = text.rpartition("@")
        if not (at and len(tail) == 12 and set(tail) <= set("0123456789abcdef")):
            name, tail = text, ""
        if not name.startswith(LOCAL):
            name = _ALIASES.get(name.lower(), name)
            model, slash, tag = name.partition("/")
            if slash:
                name = model.removesuffix(_QUICK) + slash + tag
        return cls(name or UNKNOWN, tail)

    def __str__(self) -> str:
        return f"{self.name}@{self.hash}" if self.hash else self.name

    @property
    def known(self) -> bool:
        """Whether it says which encoder it is."""
        return self.name != UNKNOWN

    @property
    def embedded(self) -> bool:
        """Whether it is the embedded demonstration encoder, of any version."""
        return self.name == EMBEDDED

    @property
    def local(self) -> bool:
        """Whether the encoder lies in a folder; the identity does not say where that is."""
        return self.name.startswith(LOCAL)

    @property
    def source(self) -> str:
        """The name by which ``load_encoder`` finds the encoder.

        A local folder is known by its last name only, so its hash stays: ``load_encoder`` then
        asks for the folder instead of looking for one of that name in the current directory.
        """
        return str(self) if self.local else self.name

    def matches(self, other: EncoderIdentity | str) -> bool:
        """Whether latents of the two can be used together: the hash counts if both give one.

        An unknown encoder matches no other.
        """
        if isinstance(other, str):
            other = EncoderIdentity.parse(other)
        if not (self.known and other.known):
            return False
        if self.name == other.name:
            return not (self.hash and other.hash) or self.hash == other.hash
        # A folder may be called "clip@0123456789ab", which reads like a name and a hash.
        return self.local and (str(self) == other.name or self.name == str(other))
