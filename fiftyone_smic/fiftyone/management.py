"""Describe, compare, rename and delete the dictionaries of a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.codes import count_coded
from fiftyone_smic.fiftyone.places import place_of
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.fiftyone.swapping import remove, rename
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.semantics.names import nearest

#: Two atoms count as the same if their cosine is at least this.
SAME = 0.9


@dataclass(frozen=True)
class Description:
    """What is known of a stored dictionary.

    Attributes:
        key: Its key.
        created: When it was stored, UTC.
        encoder: Identity of the encoder of the latents.
        latents_field: Name of the field of latents.
        patches_field: Name of the field of the objects that it codes; None for whole images.
        dim: Dimension of the latents.
        n_atoms: Number of atoms.
        named: Number of atoms that have a name.
        lam: λ, the squared distance of unit-norm latents that one bit is worth.
        items: Number of samples that it was learned from.
        coded: Number of samples that have a code.
        drawn: Number of samples that have a regenerated picture.
        bits_per_item: Bits per sample, over all samples that have a code. Without codes, over the
            samples that it was learned from; None if that was not measured.
        explained_variance: Share of the variance that codes keep, over the same samples, or None.
        fields: Names of its sample fields.
    """

    key: str
    created: datetime
    encoder: str
    latents_field: str
    patches_field: str | None
    dim: int
    n_atoms: int
    named: int
    lam: float
    items: int
    coded: int
    drawn: int
    bits_per_item: float | None
    explained_variance: float | None
    fields: list[str]


def describe_dictionary(samples: SampleCollection, key: str) -> Description:
    """Describe the dictionary ``key``.

    Args:
        samples: A dataset or view; all samples of the dataset are counted.
        key: A dictionary of the dataset.

    Raises:
        ValueError: There is no such dictionary.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import describe_dictionary
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> describe_dictionary(dataset, "smic").dim
        128
    """
    dataset = samples._root_dataset
    config = runs.load_config(samples, key)
    held = fields.existing_fields(samples, key)
    everywhere = fields.everything(dataset)

    place = place_of(dataset, key, config.patches_field)
    learned = config.learned or {}
    bits, variance = learned.get("bits_per_item"), learned.get("explained_variance")
    if config.storage:
        bits = runs.stored_rate(config.storage).bits_per_item
        if config.storage["fidelity"]:
            variance = config.storage["fidelity"]["explained_variance"]
    return Description(
        key=key,
        created=dataset.get_run_info(key).timestamp,
        encoder=config.encoder,
        latents_field=config.latents_field,
        patches_field=config.patches_field,
        dim=config.dim,
        n_atoms=config.n_atoms,
        named=sum(name is not None for name in config.names or []),
        lam=config.settings["lam"],
        items=config.items,
        coded=count_coded(everywhere, key),
        drawn=len(place.held(fields.REGENERATED)) if place.has(fields.REGENERATED) else 0,
        bits_per_item=bits,
        explained_variance=variance,
        fields=held,
    )


@dataclass(frozen=True)
class Comparison:
    """Two dictionaries side by side.

    Attributes:
        one: Description of the first dictionary.
        other: Description of the second one.
        likeness: Cosine of an atom of ``one`` with the nearest atom of ``other``, averaged over the
            atoms of ``one``. None if their latents come from different encoders.
        shared: Number of atoms of ``one`` that ``other`` has too, or None.
    """

    one: Description
    other: Description
    likeness: float | None
    shared: int | None


def compare_dictionaries(samples: SampleCollection, key: str, other: str) -> Comparison:
    """Compare two dictionaries of a dataset.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        other: Another one.

    Raises:
        ValueError: There is no such dictionary, or they are the same.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import compare_dictionaries, learn_dictionary
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = learn_dictionary(dataset, "other", n_atoms=4, seed=1, progress=False)
        >>> compared = compare_dictionaries(dataset, "smic", "other")
        >>> compared.one.n_atoms == compared.other.n_atoms, 0 <= compared.likeness <= 1
        (True, True)
        >>> dataset.delete()
    """
    if key == other:
        raise ValueError(f"{key!r} is the same dictionary; choose two")
    both = describe_dictionary(samples, key), describe_dictionary(samples, other)
    atoms = [runs.load_dictionary(samples, name).atoms_ for name in (key, other)]
    encoders = [EncoderIdentity.parse(about.encoder) for about in both]
    comparable = encoders[0] == encoders[1] and both[0].dim == both[1].dim
    if not (comparable and all(map(len, atoms))):
        return Comparison(*both, None, None)
    _, cosines = nearest(*atoms)
    return Comparison(*both, float(cosines.mean()), int((cosines >= SAME).sum()))


@connected()
def rename_dictionary(samples: SampleCollection, key: str, new_key: str) -> None:
    """Give a dictionary another key; its sample fields follow.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        new_key: Its new key.

    Raises:
        ValueError: There is no such dictionary, the new key is taken or is no field name, or
            another process has changed the dictionary meanwhile.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import learn_dictionary, list_dictionaries
        >>> from fiftyone_smic.fiftyone import rename_dictionary
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> rename_dictionary(dataset, "smic", "first")
        >>> list_dictionaries(dataset)
        ['first']
        >>> dataset.delete()
    """
    runs.check_exists(samples, key)
    runs.check_free(samples, new_key, overwrite=False)
    rename(samples._root_dataset, key, new_key)


@connected()
def delete_dictionary(samples: SampleCollection, key: str) -> list[str]:
    """Delete a dictionary, its sample fields and its map. Pictures on the disk stay.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Returns:
        Names of the sample fields that were deleted.

    Raises:
        ValueError: There is no such dictionary, or another process has deleted or replaced it
            meanwhile.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import delete_dictionary, learn_dictionary
        >>> from fiftyone_smic.fiftyone import list_dictionaries
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> delete_dictionary(dataset, "smic"), list_dictionaries(dataset)
        ([], [])
        >>> dataset.delete()
    """
    runs.check_exists(samples, key)
    gone = fields.existing_fields(samples, key)
    remove(samples._root_dataset, key)
    return gone
