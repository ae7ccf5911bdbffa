"""The defaults that several parts of the library share, each said once."""

from __future__ import annotations

#: Price of one bit in squared distance, for unit-norm latents: "balanced".
LAM = 0.002
#: Key of a dataset's dictionary; its sample fields are named after it.
KEY = "smic"
#: Sample field of latents.
LATENTS_FIELD = "clip_latents"
#: Factors of λ at which the curve of detail against bits is measured, from few bits to many.
CURVE_FACTORS = (8.0, 4.0, 2.0, 1.0, 0.5, 0.25)
