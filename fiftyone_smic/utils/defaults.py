"""The defaults that several parts of the library share, each said once."""

from __future__ import annotations

#: Price of one bit in squared distance, for unit-norm latents: "balanced".
LAM = 0.002
#: Key of a dataset's dictionary; its sample fields are named after it.
KEY = "smic"
#: Sample field of latents.
LATENTS_FIELD = "clip_latents"
