"""What an encoder is called, so that latents of one are never taken for latents of another."""

from __future__ import annotations

from dataclasses import dataclass

#: The embedded demonstration encoder.
EMBEDDED = "postcards"
#: What a collection of latents says that does not know which encoder made it.
UNKNOWN = "unknown"

_QUICK = "-quickgelu"


@dataclass(frozen=True)
class EncoderIdentity:
    """The identity of an encoder: a name, and for files the hash of their weights.

    Attributes:
        name: ``"MODEL/PRETRAINED"`` as open_clip lists it, ``"local-dir:FOLDER"``, ``"postcards"``,
            or ``"unknown"``.
        hash: the first 12 hex digits of the weights' SHA-256, or "" where the name says it all.

    Example:
        >>> EncoderIdentity.parse("ViT-L-14-quickgelu/openai") == EncoderIdentity.parse(
        ...     "ViT-L-14/openai"
        ... )
        True
        >>> str(EncoderIdentity.parse("local-dir:clip@v2@0123456789ab"))
        'local-dir:clip@v2@0123456789ab'
    """

    name: str
    hash: str = ""

    @classmethod
    def parse(cls, text: str) -> EncoderIdentity:
        """Read an identity as latents, archives and declarations store it.

        Only a last part of 12 hex digits after ``@`` is a hash, so that folders with an ``@`` in
        their names keep it. ``MODEL-quickgelu/TAG`` is the same encoder as ``MODEL/TAG``: the tag
        decides which activation the weights were trained with.
        """
        name, at, tail = text.rpartition("@")
        if not (at and len(tail) == 12 and set(tail) <= set("0123456789abcdef")):
            name, tail = text, ""
        model, slash, tag = name.partition("/")
        if slash and not name.startswith("local-dir:"):
            name = model.removesuffix(_QUICK) + slash + tag
        return cls(name, tail)

    def __str__(self) -> str:
        return f"{self.name}@{self.hash}" if self.hash else self.name

    @property
    def known(self) -> bool:
        """Whether it says which encoder it is."""
        return self.name not in ("", UNKNOWN)

    @property
    def embedded(self) -> bool:
        """Whether it is the embedded demonstration encoder, of any version."""
        return self.name == EMBEDDED

    def matches(self, other: EncoderIdentity | str) -> bool:
        """Whether latents of the two can be used together: the hash counts if both give one."""
        if isinstance(other, str):
            other = EncoderIdentity.parse(other)
        return self.name == other.name and (
            not (self.hash and other.hash) or self.hash == other.hash
        )
