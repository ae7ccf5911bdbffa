"""Names for the atoms of a dictionary: found, given by hand, stored, and shown in the labels."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import images_for, relabel
from fiftyone_smic.fiftyone.collections import tell
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.objects import find_objects
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.models.encoders import load_matching
from fiftyone_smic.models.identity import EncoderIdentity
from fiftyone_smic.pipelines.keeping import default_vocabulary
from fiftyone_smic.semantics.names import (
    chance,
    distinct,
    nearest,
    read_vocabulary,
    text_directions,
)
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import Portion, stage

#: Largest number of labels that atoms are named after; the most frequent ones are taken.
MOST_LABELS = 1000


@dataclass(frozen=True)
class NamesReport:
    """What :func:`name_atoms` did.

    Attributes:
        key: Key of the dictionary.
        names: K names, "concept 7" for an atom that nothing fits.
        cosines: (K,) float32: cosine between each atom and the nearest text or label; NaN for names
            given by hand.
        needed: Cosine that a name needed; -1 if every atom was to be named.
        candidates: Number of texts or labels to choose from.
        kept: Number of names that were given by hand and stay.
    """

    key: str
    names: list[str]
    cosines: np.ndarray
    candidates: int
    kept: int
    needed: float = -1.0


@connected()
def name_atoms(
    samples: SampleCollection,
    key: str = KEY,
    vocabulary: Sequence[str] | str | Path | None = None,
    *,
    labels: str | None = None,
    weak: bool = False,
    overwrite: bool = False,
    encoder: str | None = None,
    device: str | None = None,
    progress: Progress = None,
) -> NamesReport:
    """Name each atom after the nearest text of a vocabulary, or the nearest label.

    Something is always nearest. An atom gets the name only where it fits better than by chance: it
    is nearer than the nearest names of three of four random mixtures of the dictionary's atoms.
    The other atoms stay "concept 7".

    Names are stored with the dictionary and appear in the field ``<key>_labels``, where a negative
    coefficient reads "not night". Names given by hand (:func:`set_atom_names`) stay.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        vocabulary: Texts, or a text file with one text on each line. None takes the built-in list
            that suits the encoder, or all texts of an encoder that knows only certain texts.
        labels: Name of a label field, a field of strings, or "tags", to use instead of texts. An
            atom is named after the value whose samples lie in its direction from the mean of all
            samples. This compares images with images and needs no text encoder. For a dictionary
            of objects it is the field of the objects, whose own labels are taken.
        weak: Name every atom, however badly the nearest text or label fits.
        overwrite: Replace names given by hand too.
        encoder: The name to load the encoder by. It is needed if a ``local-dir:`` encoder has moved
            or the dictionary comes from an archive made with one.
        device: A torch device for the text encoder; None takes the best one available.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The names and how well they fit.

    Raises:
        ValueError: The key is not known, both a vocabulary and labels are given, there are fewer
            than two candidates, the field holds nothing to name atoms after, or the encoder cannot
            be loaded by its name.
        OSError: The vocabulary's file cannot be read.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import learn_dictionary, name_atoms
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [
        ...         fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8), day=str(i % 2))
        ...         for i in range(40)
        ...     ],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> report = name_atoms(dataset, labels="day", progress=False)
        >>> report.candidates, len(report.names)
        (2, 4)
        >>> dataset.delete()
    """
    if vocabulary is not None and labels is not None:
        raise ValueError("give either a vocabulary or labels to name atoms after, not both")
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    with reporting(progress, int(dictionary.n_atoms_)) as report:
        if labels is not None:
            part = Portion(report, 0.0, 0.8)
            found, directions = _label_directions(samples, labels, config, part)
        else:
            found = read_vocabulary(
                default_vocabulary(config.encoder) if vocabulary is None else vocabulary
            )
            report(0.1)
            stage(report, "Loading models")
            directions = text_directions(encode_texts(found, config, key, device, encoder))
        report(0.8)
        stage(report, "Writing the names")
        best, cosines = nearest(dictionary.atoms_, directions)
        needed = -1.0 if weak else chance(dictionary.atoms_, directions)
        own = {} if overwrite else _own_names(config)
        names = distinct(
            [
                found[j] if cosines[i] > needed and i not in own else None
                for i, j in enumerate(best)
            ],
            list(own.values()),
        )
        for i, name in own.items():
            names[i] = name
            cosines[i] = np.nan
        _store(samples, key, names, sorted(own), Portion(report, 0.8, 0.99))
        report(1.0)
    return NamesReport(key, runs.atom_names(samples, key), cosines, len(found), len(own), needed)


@connected()
def set_atom_names(samples: SampleCollection, key: str, names: Mapping[int, str | None]) -> None:
    """Name atoms by hand; :func:`name_atoms` keeps these names.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        names: Number of an atom -> its name; None or "" removes the name.

    Raises:
        ValueError: The key is not known, or there is no such atom.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import atom_names, learn_dictionary, set_atom_names
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [
        ...         fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8), day=str(i % 2))
        ...         for i in range(40)
        ...     ],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> set_atom_names(dataset, "smic", {0: "sunset"})
        >>> atom_names(dataset, "smic")[:2]
        ['sunset', 'concept 1']
        >>> dataset.delete()
    """
    config = runs.load_config(samples, key)
    wrong = [i for i in names if not (isinstance(i, int) and 0 <= i < config.n_atoms)]
    if wrong:
        raise ValueError(
            f"dictionary {key!r} has atoms 0 to {config.n_atoms - 1} and no atom {wrong[0]!r}"
        )
    given = {i: (name or "").strip() or None for i, name in names.items()}
    kept = list(config.names or [None] * config.n_atoms)
    for i, name in given.items():
        kept[i] = name
    own = {*config.own_names, *given} - {i for i, name in given.items() if name is None}
    _store(samples, key, kept, sorted(own))


def _own_names(config: runs.SMICRunConfig) -> dict[int, str]:
    return {i: config.names[i] for i in config.own_names}


def _store(
    samples: SampleCollection,
    key: str,
    names: list[str | None],
    own_names: list[int],
    report: Callable[[float], None] = lambda fraction: None,
) -> None:
    config = runs.load_config(samples, key)
    former = {"names": config.names, "own_names": config.own_names}
    runs.update_config(samples, key, names=names, own_names=own_names)
    started = time.perf_counter()
    try:
        coded = relabel(samples._root_dataset, key, runs.atom_names(samples, key), report)
    except BaseException:
        runs.update_config(samples, key, **former)
        raise
    note_seconds(samples, key, "name", time.perf_counter() - started, coded)


def encode_texts(
    texts: list[str],
    config: runs.SMICRunConfig,
    key: str,
    device: str | None,
    encoder: str | None = None,
) -> np.ndarray:
    """Encode texts with the encoder that made the latents of a dictionary.

    Args:
        texts: V texts.
        config: The dictionary's stored configuration.
        key: Its key.
        device: A torch device; None takes the best one available.
        encoder: The name to load the encoder by; None takes the dictionary's own.

    Returns:
        (V, d) float32 latents.

    Raises:
        ValueError: That encoder is not known, or it is not installed here.
    """
    if encoder is None and not EncoderIdentity.parse(config.encoder).known:
        raise ValueError(
            f"the latents of dictionary {key!r} do not say which encoder made them, so texts "
            "cannot be compared with its atoms; name atoms after labels: "
            f"name_atoms(dataset, {key!r}, labels='<label field>')"
        )
    model = load_matching(config.encoder, encoder or config.encoder_source, device=device)
    tell(model.notice)
    return model.encode_texts(texts)


def label_path(samples: SampleCollection, field: str) -> str:
    """Return the path of the values that ``labels=field`` names atoms after.

    Args:
        samples: A dataset or view.
        field: Name of the field.

    Raises:
        ValueError: There is no such field, or it holds neither labels nor strings.
    """
    path = _label_path(samples, field)
    if path is None:
        missing = samples.get_field(field) is None
        offered = [name for name in samples.get_field_schema() if _label_path(samples, name)]
        raise ValueError(
            f"atoms cannot be named after {field!r}: "
            + ("there is no such field" if missing else "it holds neither labels nor strings")
            + f"; these fields do: {offered}"
        )
    return path


def _label_path(samples: SampleCollection, field: str) -> str | None:
    import fiftyone as fo

    known = samples.get_field(field)
    if isinstance(known, fo.EmbeddedDocumentField) and issubclass(known.document_type, fo.Label):
        try:
            return samples._get_label_field_path(field, "label")[1]
        except ValueError:
            return None
    if isinstance(known, fo.ListField):
        known = known.field
    return field if isinstance(known, (fo.StringField, fo.BooleanField, fo.IntField)) else None


def _label_directions(
    samples: SampleCollection,
    field: str,
    config: runs.SMICRunConfig,
    report: Callable[[float], None],
) -> tuple[list[str], np.ndarray]:
    """Return V values of a field, and (V, d): the mean latent of each less the mean of all."""
    patches_field = config.patches_field
    if patches_field not in (None, field):
        raise ValueError(
            f"this dictionary codes the objects in {patches_field!r}, so its atoms are named after "
            f"their labels: pass labels={patches_field!r}"
        )
    path = label_path(samples, field)
    latents = read_latents(samples, config.latents_field, patches_field, report)
    if patches_field is None:
        ids, held_values = samples.values(["id", path])
    else:
        objects = find_objects(samples, patches_field)
        ids, held_values = objects.ids, objects.values("label")
    values = dict(zip(ids, held_values, strict=True))
    held = [_texts(values[sample_id], field) for sample_id in latents.ids]
    counts = Counter(text for texts in held for text in texts)
    found = [text for text, n in counts.most_common() if 1 < n < len(held)][:MOST_LABELS]
    if len(found) < 2:
        raise ValueError(
            f"{field!r} has {len(found)} values that several samples have and others have not, "
            "and names need at least two; choose another field, or name atoms after a vocabulary"
        )
    place = {text: i for i, text in enumerate(found)}
    sums = np.zeros((len(found), latents.values.shape[1]))
    for texts, row in zip(held, latents.values, strict=True):
        for text in texts & place.keys():
            sums[place[text]] += row
    sums /= np.array([counts[text] for text in found])[:, None]
    return found, (sums - latents.values.mean(axis=0)).astype(np.float32)


def _texts(value: Any, field: str) -> set[str]:
    """Return the values of one sample as texts; a number or True is written with its field."""
    several = value if isinstance(value, (list, tuple)) else [value]
    present = [one for one in several if one is not None and one is not False]
    return {
        one if isinstance(one, str) else field if one is True else f"{field} {one}"
        for one in present
    }
