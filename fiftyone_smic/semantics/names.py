"""Names for atoms: the text or label whose direction is nearest to the atom.

Texts lie apart from images in CLIP's space (Liang et al. 2022, "Mind the gap", arXiv 2203.02053),
so texts are compared by what tells them apart from each other: their mean is subtracted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fiftyone_smic.utils.vectors import unit

#: Folder of the built-in vocabularies.
VOCABULARIES = Path(__file__).parent / "vocabularies"
#: What photographs commonly show, and how they look.
PHOTOGRAPHS = VOCABULARIES / "photographs.txt"
#: What the postcards of the embedded demonstration show.
POSTCARDS = VOCABULARIES / "postcards.txt"

#: Number of random mixtures of atoms that names are compared with.
MIXTURES = 500
#: An atom gets a name that is nearer to it than this share of the mixtures are to theirs.
CHANCE = 0.75


def read_vocabulary(vocabulary: Sequence[str] | str | os.PathLike[str]) -> list[str]:
    """Return the different texts of a vocabulary.

    Args:
        vocabulary: texts, or the path of a text file with one text on each line (UTF-8).

    Raises:
        ValueError: there are fewer than two texts.
        OSError: the file cannot be read.

    Example:
        >>> read_vocabulary(["a dog", "a cat ", "a dog", ""])
        ['a dog', 'a cat']
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
    """Return what tells texts apart: their latents less the mean.

    Args:
        texts: (V, d) latents.

    Returns:
        (V, d) float32.

    Raises:
        ValueError: latents that are not finite.

    Example:
        >>> text_directions([[1.0, 0.0], [0.0, 1.0]]).tolist()
        [[0.5, -0.5], [-0.5, 0.5]]
    """
    # Not before it is needed: forms read words, and this loads numba.
    from fiftyone_smic.dictionary.validation import check_latents

    t = check_latents(texts)
    return t - t.mean(axis=0)


def nearest(
    atoms: ArrayLike, directions: ArrayLike
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the direction that is nearest to each atom.

    Args:
        atoms: (K, d).
        directions: (V, d).

    Returns:
        The position (K,) of the direction, and its cosine with the atom (K,) float32.

    Example:
        >>> positions, cosines = nearest([[0.0, 2.0]], [[1.0, 0.0], [0.0, 1.0]])
        >>> positions.tolist(), cosines.tolist()
        ([1], [1.0])
    """
    a, b = (unit(np.asarray(x, np.float32)) for x in (atoms, directions))
    cosines = a @ b.T
    best = cosines.argmax(axis=1)
    return best, cosines[np.arange(len(a)), best]


def chance(atoms: ArrayLike, directions: ArrayLike) -> float:
    """Return the cosine that a name reaches by chance.

    Among many texts one is always nearest, and on a small collection even the nearest may say
    nothing. Three of four random mixtures of the atoms have no text nearer than the cosine
    returned; an atom whose own text is no nearer fits it no better than such a mixture does.

    Args:
        atoms: (K, d).
        directions: (V, d).

    Returns:
        The cosine; -1 for a single atom, of which there are no mixtures.

    Example:
        >>> round(chance([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [-1.0, 0.0]]), 2)
        0.93
    """
    a = np.asarray(atoms, np.float32)
    if len(a) < 2:
        return -1.0
    mixtures = np.random.default_rng(0).standard_normal((MIXTURES, len(a)), np.float32) @ a
    return float(np.quantile(nearest(mixtures, directions)[1], CHANCE))


_NUMBER = re.compile(r" \(\d+\)$")


def stem(name: str) -> str:
    """Return a name without the number that :func:`distinct` gave it.

    Example:
        >>> stem("night (2)")
        'night'
    """
    return _NUMBER.sub("", name)


def distinct(names: Sequence[str | None], taken: Sequence[str] = ()) -> list[str | None]:
    """Return names of which no two are alike: the second "night" becomes "night (2)".

    Args:
        names: K names, the most important first; None stays None.
        taken: names that are in use already.

    Example:
        >>> distinct(["night", None, "night"])
        ['night', None, 'night (2)']
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
