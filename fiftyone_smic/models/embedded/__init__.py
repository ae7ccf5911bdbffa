"""The embedded default: two small models trained on drawn postcards, and where they lie.

They are a demonstration that runs where no model hub can be reached, and know nothing of
photographs: see :data:`NOTICE` and ``MODEL_CARD.md`` beside this file.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent
CLIP_DIR = WEIGHTS / "clip"
UNCLIP_DIR = WEIGHTS / "unclip"

NOTICE = (
    "The embedded 'postcards' models are a demonstration trained on drawn landscapes; they know "
    "nothing of photographs. Use an open_clip model and its unCLIP for real images."
)
