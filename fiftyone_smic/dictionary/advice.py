"""What to tell someone whose collection is small."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

#: A prior is advised where mean and atoms take at least this share of the archive.
_WORTH = 0.25


def small_advice(dictionary: SemanticDictionary, items: int, total_bits: int) -> str | None:
    """Say that no atom pays for itself, and how many bits a prior could save.

    Args:
        dictionary: a dictionary that was just learned, whose mean and atoms know their bits.
        items: number of items of its archive.
        total_bits: bits of the archive.

    Returns:
        Full sentences, or None if there are atoms, and there is a prior or mean and atoms take
        less than a quarter.

    Example:
        >>> import numpy as np
        >>> from fiftyone_smic.dictionary import SemanticDictionary
        >>> latents = np.random.default_rng(0).normal(size=(50, 8)) + 3
        >>> dictionary = SemanticDictionary(4, lam=0.01).fit(latents)
        >>> bits = dictionary.mean_rows_.bits + dictionary.atom_rows_.bits
        >>> small_advice(dictionary, 50, round(2 * bits)).split(":")[0]
        'The dictionary takes 50 % of this small archive'
        >>> small_advice(dictionary, 50, round(9 * bits)) is None
        True
    """
    said = []
    if not dictionary.n_atoms_:
        said.append(
            f"No atom saves the {items} items more than it costs at lam {dictionary.lam_:.2g}, so "
            "the dictionary is the mean alone and all codes are alike. More items, a smaller lam "
            "or a prior give atoms"
        )
    bits = dictionary.mean_rows_.bits + dictionary.atom_rows_.bits
    if dictionary.prior_ is None and items and bits >= _WORTH * total_bits:
        said.append(
            f"The dictionary takes {bits / total_bits:.0%}".replace("%", " %") + " of this small "
            f"archive: {bits / items:.1f} of {total_bits / items:.1f} bits for each item. A prior "
            "can save most of them: of 50 to 200 photographs, one built from 261 others saves two "
            "thirds of all bits. Build one from a few hundred or thousand latents of the same "
            "encoder and of similar pictures (of quite different ones it saves little), with "
            "Prior.build(latents).save(file) or `fiftyone-smic prior build latents.npy -o file`, "
            "and pass it as prior"
        )
    return ". ".join(said) or None
