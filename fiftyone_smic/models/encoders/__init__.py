"""Images and texts to latents.

``base`` says what every encoder does, ``registry`` which there are, and each family has a file:
``clip`` for open_clip's models, local folders and the embedded one, ``photographs`` for the encoder
that comes from PyPI. Models of FiftyOne's zoo are in ``fiftyone_smic.fiftyone.zoo``.
"""

from fiftyone_smic.models.encoders.base import PRECISIONS, Encoder, ImageBatch, ImageLatents
from fiftyone_smic.models.encoders.clip import embedded_identity, fingerprint
from fiftyone_smic.models.encoders.registry import (
    ENCODERS,
    EncoderInfo,
    default_encoder,
    describe,
    is_postcards,
    load_encoder,
    load_matching,
    problem,
    register_encoder,
)
from fiftyone_smic.models.identity import EMBEDDED, UNKNOWN, EncoderIdentity

__all__ = [
    "EMBEDDED",
    "ENCODERS",
    "PRECISIONS",
    "UNKNOWN",
    "Encoder",
    "EncoderIdentity",
    "EncoderInfo",
    "ImageBatch",
    "ImageLatents",
    "default_encoder",
    "describe",
    "embedded_identity",
    "fingerprint",
    "is_postcards",
    "load_encoder",
    "load_matching",
    "problem",
    "register_encoder",
]
