"""What the bits of a dictionary are to keep: everything that varies, or what words can say."""

from __future__ import annotations

from pathlib import Path

from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.models.encoders import Encoder, describe
from fiftyone_smic.semantics.names import VOCABULARIES, read_vocabulary

#: What a dictionary can keep first.
CHOICES = ("everything", "words")


def check_keep(keep: str) -> None:
    """Raise ValueError for what is not one of :data:`CHOICES`.

    Args:
        keep: ``"everything"`` or ``"words"``.

    Example:
        >>> check_keep("words")
    """
    if keep not in CHOICES:
        raise ValueError(f"keep must be 'everything' or 'words', got {keep!r}")


def default_vocabulary(encoder: str) -> Path | list[str]:
    """Return the texts that suit an encoder.

    Args:
        encoder: Its identity.

    Returns:
        The file of a built-in list, or all texts of an encoder that knows only certain texts.

    Example:
        >>> default_vocabulary("postcards").name
        'postcards.txt'
    """
    about = describe(encoder)
    return about.texts() if about.texts else VOCABULARIES / f"{about.vocabulary}.txt"


def metric_of_words(encoder: Encoder) -> Metric:
    """Build the metric by which what words can say is kept: of the encoder's own vocabulary.

    Args:
        encoder: A loaded encoder that reads texts.

    Raises:
        ValueError: The encoder has no texts.

    Example:
        >>> from fiftyone_smic.models.encoders import load_encoder
        >>> metric_of_words(load_encoder("postcards")).dim
        128
    """
    texts = read_vocabulary(default_vocabulary(encoder.name))
    try:
        latents = encoder.encode_texts(texts)
    except ValueError as e:
        raise ValueError(
            f"the encoder {encoder.name!r} has no words to keep first: pass keep='everything', or "
            f"choose an encoder that reads texts ({e})"
        ) from e
    return Metric.of_texts(latents)
