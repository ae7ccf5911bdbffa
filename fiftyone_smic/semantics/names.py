"""Names for atoms: the text of a vocabulary, or the label, whose direction is nearest.

Texts lie apart from images in CLIP's space (Liang et al. 2022, "Mind the gap", arXiv 2203.02053),
so texts are compared by what tells them apart from each other: their mean is removed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.utils.vectors import unit

#: Built-in vocabularies: what photographs commonly show and how they look, and what the postcards
#: of the embedded demonstration show.
VOCABULARIES = Path(__file__).parent / "vocabularies"
PHOTOGRAPHS = VOCABULARIES / "photographs.txt"
POSTCARDS = VOCABULARIES / "postcards.txt"


def read_vocabulary(vocabulary: Sequence[str] | str | os.PathLike[str]) -> list[str]:
    """The different texts of a vocabulary: those given, or the lines of a text file.

    Raises:
        ValueError: fewer than two.
        OSError: the file cannot be read.
    """
    if isinstance(vocabulary, (str, os.PathLike)):
        vocabulary = Path(vocabulary).expanduser().read_text(encoding="utf-8").splitlines()
    texts = list(dict.fromkeys(text.strip() for text in vocabulary if text.strip()))
    if len(texts) < 2:
        raise ValueError(
            f"a vocabulary needs at least two texts and this one has {len(texts)}; give a list of "
            "texts, or a text file with one on each line"
        )
    return texts


def text_directions(texts: ArrayLike) -> NDArray[np.float32]:
    """What tells texts apart: their latents, the mean removed.

    Args:
        texts: (V, d) latents.

    Raises:
        ValueError: latents that are not finite.
    """
    # Not before it is needed: forms read words, and this loads numba.
    from fiftyone_smic.dictionary.validation import check_latents

    t = check_latents(texts)
    return t - t.mean(axis=0)


def nearest(
    atoms: ArrayLike, directions: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """The direction nearest to each atom.

    Args:
        atoms: (K, d).
        directions: (V, d).

    Returns:
        Its position (K,), and the cosine (K,) float32.
    """
    a, b = (unit(np.asarray(x, np.float32)) for x in (atoms, directions))
    cosines = a @ b.T
    best = cosines.argmax(axis=1)
    return best, cosines[np.arange(len(a)), best]


_NUMBER = re.compile(r" \(\d+\)$")


def stem(name: str) -> str:
    """A name without the number that :func:`distinct` gave it."""
    return _NUMBER.sub("", name)


def distinct(names: Sequence[str | None], taken: Sequence[str] = ()) -> list[str | None]:
    """Names of which no two are alike: the second "night" becomes "night (2)".

    Args:
        names: K names, the most important first; None stays None.
        taken: names that stand already.
    """
    used = set(taken)
    out: list[str | None] = []
    for name in names:
        chosen, count = name, 1
        while chosen is not None and chosen in used:
            count += 1
            chosen = f"{name} ({count})"
        if chosen is not None:
            used.add(chosen)
        out.append(chosen)
    return out
