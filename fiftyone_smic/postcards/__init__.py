"""The embedded default: a drawn collection ("postcards") and two tiny models trained on it.

Everything here is a demonstration that runs where no model hub can be reached. The models know
nothing of photographs; see :data:`NOTICE` and ``weights/MODEL_CARD.md``.
"""

from __future__ import annotations

from pathlib import Path

WEIGHTS = Path(__file__).parent / "weights"
CLIP_DIR = WEIGHTS / "clip"
UNCLIP_DIR = WEIGHTS / "unclip"

NOTICE = (
    "The embedded 'postcards' models are a demonstration trained on drawn landscapes; they know "
    "nothing of photographs. Use an open_clip model and its unCLIP for real images."
)
