"""The words of the App's texts: numbers with their nouns, sizes, times, and terms explained."""

from __future__ import annotations

import re

#: Each term that the App shows, explained in one sentence for someone who reads nothing else.
TERMS = {
    "embedding": "An embedding is a list of numbers that says what an image shows, made by a model "
    "such as CLIP.",
    "concept": "A concept (atom) is one direction of meaning that many images share, such as "
    "“night”; an image can have it or lack it.",
    "dictionary": "A dictionary is the set of concepts learned from a collection.",
    "key": "The key is the name of a dictionary; its sample fields are named after it.",
    "code": "The code of an image is a short list of concepts, each with a whole number that says "
    "how strongly the image has or lacks it.",
    "detail": "More detail means more bits an image and codes that are closer to the embeddings.",
    "bits": "Bits that the code of this image takes; 8 bits are one byte.",
    "fidelity": "How close the code is to the image's embedding: 1 is exact, 0 is no better than "
    "the average image. It does not judge the drawn picture.",
    "drawn fidelity": "How close the drawn picture's embedding is to the original's: 1 is the "
    "same meaning, 0 is no better than the average image.",
    "variance": "The explained variance is the share of the differences between images that the "
    "codes keep.",
    "cosine": "The cosine is the similarity of the codes to the embeddings after the average image "
    "is removed: 1 is exact, 0 is unrelated.",
    "neighbours": "An image is found again if it is among the ten most similar ones both when "
    "embeddings are compared and when codes are.",
    "strength": "The mean whole number that the codes give to this concept where an image has it.",
    "share": "The share of this concept in the image's code.",
    "purity": "The most common label among the images that have the concept, and how common it is "
    "there.",
    "lift": "How many times more common that label is among the images that have the concept than "
    "in the whole dataset.",
    "near": "Similarity of two images: 1 is the same picture, 0 is no more alike than any two.",
    "q": "Of all statements with a q as small as this, at most that share is due to chance, with "
    "all tests that were made counted in.",
    "λ": "λ is the error that one bit must save: a higher λ makes the archive smaller and keeps "
    "less detail.",
}


#: What a term is called where it is explained.
LABELS = {
    "key": "name of a dictionary",
    "variance": "explained variance",
    "neighbours": "nearest found again",
    "near": "similarity",
}


def one(noun: str) -> str:
    """Return what a text calls what has a code where it is about pictures: "image" or "object".

    Args:
        noun: "sample" or "object".

    Example:
        >>> one("sample"), one("object")
        ('image', 'object')
    """
    return "image" if noun == "sample" else noun


def about(text: str, noun: str) -> str:
    """Return a text about images or samples as one about what was worked on.

    Args:
        text: It may be about images and samples.
        noun: "sample" leaves it as it is; "object" makes it one about objects.

    Example:
        >>> about("Bits an image, and how samples differ", "object")
        'Bits an object, and how objects differ'
    """
    return text if noun == "sample" else re.sub(r"\b(sample|image)(s?)\b", rf"{noun}\2", text)


def amount(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun, in the singular or the plural.

    Args:
        number: How many.
        noun: The noun, or a phrase that starts with it, for one.
        plural: The same for any other number; by default ``noun`` with an "s".

    Example:
        >>> amount(1, "sample"), amount(2000, "sample"), amount(2, "sample has", "samples have")
        ('1 sample', '2,000 samples', '2 samples have')
    """
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def size(number: float) -> str:
    """Return a number of bytes as one reads it.

    Example:
        >>> size(1293), size(7)
        ('1.29 kB', '7 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5 or unit == "GB":
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.3g} {unit}"
        number /= 1000
    raise AssertionError


def duration(seconds: float) -> str:
    """Return a time as one reads it.

    Example:
        >>> duration(0.2), duration(240), duration(7200)
        ('1 s', '4 min', '2.0 h')
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


def listed(names: list[str], most: int = 12) -> str:
    """Return names as one line, the first ``most`` of them.

    Example:
        >>> listed(["night", "snow", "sea"], most=2)
        'night, snow and 1 more'
    """
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def share(part: float) -> str:
    """Return a share as whole per cent, and a small one as what it is.

    Example:
        >>> share(0.41), share(0.004), share(0)
        ('41 %', '0.4 %', '0 %')
    """
    return f"{part:.1%}".replace("%", " %") if 0 < part < 0.01 else f"{part:.0%}".replace("%", " %")


def chance(value: float, letter: str = "q") -> str:
    """Return a p-value as one reads it; it is called q where it is corrected for many tests.

    Example:
        >>> chance(0.00004), chance(0.0312), chance(0.4, "p")
        ('q < .001', 'q = .031', 'p = .40')
    """
    if value < 0.001:
        return f"{letter} < .001"
    return f"{letter} = {value:.{3 if value < 0.1 else 2}f}".replace("0.", ".")
