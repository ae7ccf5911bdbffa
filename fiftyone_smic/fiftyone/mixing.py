"""New pictures by arithmetic on latents: add and subtract samples, a text or an atom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import fiftyone as fo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.dictionary.estimator import SemanticDictionary
from fiftyone_smic.fiftyone import runs
from fiftyone_smic.fiftyone.codes import coded_samples, images_for, rebuilt_latents
from fiftyone_smic.fiftyone.collections import tell
from fiftyone_smic.fiftyone.gallery import dataset_gallery
from fiftyone_smic.fiftyone.names import encode_texts
from fiftyone_smic.fiftyone.objects import noun
from fiftyone_smic.fiftyone.pictures import default_folder, save_picture, writable
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.models.generators import load_generator
from fiftyone_smic.models.generators.registry import NEAREST
from fiftyone_smic.pipelines.keeping import default_vocabulary
from fiftyone_smic.semantics.directions import add, text_direction
from fiftyone_smic.semantics.names import read_vocabulary
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import stage

#: Number of samples that show along which directions the pictures of a collection vary.
MOST_LATENTS = 1000
#: Tag of samples that were made from a mix.
TAG = "smic mix"


@dataclass(frozen=True)
class Recipe:
    """What to mix.

    Attributes:
        start: Id of the sample to start from.
        plus: Id of a sample to add, or None.
        minus: Id of a sample to subtract, or None.
        text: A text that says what to add, or None.
        atom: An atom to subtract, or None.
        alpha: Weight of the mix in the last picture. At 1 the picture moves about as far as samples
            lie from their mean.
        pictures: Number of pictures; their weights go from 0 to ``alpha`` in equal steps.
        seed: Seed of the noise. All pictures have the same noise, so they differ by the mix alone.
    """

    start: str
    plus: str | None = None
    minus: str | None = None
    text: str | None = None
    atom: int | None = None
    alpha: float = 1.0
    pictures: int = 5
    seed: int = 0

    @property
    def alphas(self) -> list[float]:
        """Weight of the mix in each picture, from 0 to ``alpha``."""
        return np.linspace(0, self.alpha, self.pictures).round(4).tolist()


def mix_paths(
    samples: SampleCollection, key: str, recipe: Recipe, generator: str | None = None
) -> list[Path]:
    """Return the files of a recipe's pictures, which :func:`mix` draws.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        recipe: What to mix.
        generator: What draws it, see :func:`mix`.

    Raises:
        ValueError: There is no such dictionary.
    """
    digest = runs.load_config(samples, key).digest
    by = [generator] if generator else []
    said = json.dumps([digest, asdict(recipe), *by], sort_keys=True)
    name = "mix-" + hashlib.sha256(said.encode()).hexdigest()[:12]
    folder = default_folder(samples._root_dataset) / name
    return [folder / f"{i}.png" for i in range(recipe.pictures)]


@connected()
def mix(
    samples: SampleCollection,
    key: str = KEY,
    *,
    recipe: Recipe,
    generator: str | None = None,
    device: str | None = None,
    progress: Progress = None,
) -> list[Path]:
    """Draw a strip of pictures, from a sample towards a mix.

    The mix is computed on the latents that codes are decoded to. Every part is a direction away
    from a mean. A sample is taken relative to the mean of the collection, and a text relative to
    the mean of the built-in vocabulary; only the part of a text along which images vary is kept.
    Each direction is scaled to the distance of the first sample from the mean, so that none drowns
    the others (after Bachard and Maugey, arXiv 2412.05035, figures 4 and 5, who add raw latents).

    Args:
        samples: A dataset or view with codes.
        key: A dictionary of the dataset.
        recipe: What to mix. For a dictionary of objects the ids are those of labels.
        generator: A hub id, a local directory or "postcards"; by default the one that fits the
            encoder. "nearest" draws nothing: it takes the picture of the dataset whose latent is
            nearest to the mix.
        device: A torch device; None takes the best one available.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        ``recipe.pictures`` files, in the order of :attr:`Recipe.alphas`.

    Raises:
        ValueError: The key or atom is not known, a sample has no code, there is nothing to mix,
            or a text is given and the encoder is not known.
        OSError: The folder cannot be written.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import Recipe, mix
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> _ = smic.encode(dataset, progress=False)
        >>> recipe = Recipe(dataset.first().id, plus=dataset.last().id, pictures=2)
        >>> [path.name for path in mix(dataset, recipe=recipe, device="cpu", progress=False)]
        ['0.png', '1.png']
    """
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dictionary = runs.load_dictionary(samples, key)
    wanted = [i for i in (recipe.start, recipe.plus, recipe.minus) if i]
    everything = samples._root_dataset
    if config.patches_field is None:
        chosen = everything.select(wanted)
    else:
        chosen = everything.select_labels(ids=wanted, fields=config.patches_field)
    ids, latents = rebuilt_latents(chosen, key)
    found = dict(zip(ids, latents, strict=True))
    missing = [i for i in wanted if i not in found]
    if missing:
        raise ValueError(
            f"{len(missing)} of the {noun(config.patches_field)}s to mix have no code of "
            f"dictionary {key!r}; encode them first"
        )
    parts = []
    if recipe.plus:
        parts.append(found[recipe.plus] - dictionary.mean_)
    if recipe.minus:
        parts.append(dictionary.mean_ - found[recipe.minus])
    if recipe.text:
        parts.append(_said(samples, key, config, recipe.text, device))
    if recipe.atom is not None:
        parts.append(-_atom(dictionary, key, recipe.atom))
    if not parts:
        raise ValueError(
            f"there is nothing to mix: give another {noun(config.patches_field)}, a text or an atom"
        )
    length = float(np.linalg.norm(found[recipe.start] - dictionary.mean_))
    step = sum(length * part / max(float(np.linalg.norm(part)), 1e-12) for part in parts)
    start = found[recipe.start][None]
    mixed = np.concatenate([add(start, step, alpha) for alpha in recipe.alphas])
    paths = mix_paths(samples, key, recipe, generator)
    _draw(samples, key, mixed, paths, recipe.seed, generator, device, progress)
    return paths


def atom_path(samples: SampleCollection, key: str, atom: int, generator: str | None = None) -> Path:
    """Return the file of an atom's picture, which :func:`draw_atom` draws.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        atom: Number of the atom, counted from 0.
        generator: What draws it, see :func:`mix`.

    Raises:
        ValueError: There is no such dictionary.
    """
    folder = f"atoms-{runs.load_config(samples, key).digest[:12]}"
    if generator:
        folder += "-" + hashlib.sha256(generator.encode()).hexdigest()[:8]
    return default_folder(samples._root_dataset) / folder / f"{atom}.png"


@connected()
def draw_atom(
    samples: SampleCollection,
    key: str = KEY,
    *,
    atom: int,
    generator: str | None = None,
    device: str | None = None,
    progress: Progress = None,
) -> Path:
    """Draw what an atom stands for: the mean of the collection plus this one direction.

    The direction is scaled to the distance at which samples lie from the mean. For latents of unit
    norm with mean m this distance is sqrt(1 - |m|^2), as a root mean square.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.
        atom: Number of the atom, counted from 0.
        generator: What draws it, see :func:`mix`.
        device: A torch device; None takes the best one available.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The picture's file, see :func:`atom_path`.

    Raises:
        ValueError: The key or atom is not known, or no generator draws latents of this encoder.
        OSError: The folder cannot be written.

    Example:
        >>> import fiftyone_smic as smic
        >>> from fiftyone_smic.fiftyone import draw_atom
        >>> dataset = smic.load_postcards(12, overwrite=True, progress=False)
        >>> _ = smic.compute_latents(dataset, progress=False)
        >>> _ = smic.learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> draw_atom(dataset, atom=3, device="cpu", progress=False).name
        '3.png'
    """
    dictionary = runs.load_dictionary(samples, key)
    mean, direction = dictionary.mean_, _atom(dictionary, key, atom)
    length = np.sqrt(max(0.0, 1 - float(mean @ mean)))
    latent = add(mean[None], length * direction / max(float(np.linalg.norm(direction)), 1e-12))
    path = atom_path(samples, key, atom, generator)
    _draw(samples, key, latent, [path], 0, generator, device, progress)
    return path


def _atom(dictionary: SemanticDictionary, key: str, atom: int) -> np.ndarray:
    if not 0 <= atom < len(dictionary.atoms_):
        raise ValueError(
            f"dictionary {key!r} has atoms 0 to {len(dictionary.atoms_) - 1}, not {atom}"
        )
    return dictionary.atoms_[atom]


def _draw(
    samples: SampleCollection,
    key: str,
    latents: np.ndarray,
    paths: list[Path],
    seed: int,
    generator: str | None,
    device: str | None,
    progress: Progress,
) -> None:
    """Draw latents (N, d) to N files in one folder, all from the same noise."""
    writable(paths[0].parent)
    stage(progress, "Loading models")
    config = runs.load_config(samples, key)
    gallery = dataset_gallery(samples, key) if generator == NEAREST else None
    model = load_generator(generator, encoder=config.encoder, device=device, gallery=gallery)
    tell(model.notice)
    stage(progress, "Drawing")
    with reporting(progress, len(paths)) as report:
        images = model.generate(
            latents,
            norm=config.latent_norm,
            seeds=[seed] * len(latents),
            batch_size=1,  # with few pictures, seeing progress matters more than speed
            progress=report,
        )
        for image, path in zip(images, paths, strict=True):
            save_picture(image, path)


@connected()
def keep_picture(dataset: fo.Dataset, path: str | Path) -> fo.Sample:
    """Add a mixed picture to a dataset as a sample, unless the dataset has it already.

    Args:
        dataset: The dataset that gets the sample, tagged :data:`TAG`.
        path: The picture's file.

    Returns:
        The sample, the existing one if the dataset has this file.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.fiftyone import keep_picture
        >>> from PIL import Image
        >>> dataset = fo.Dataset()
        >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
        ...     Image.new("RGB", (64, 64)).save(file.name)
        ...     keep_picture(dataset, file.name).id == keep_picture(dataset, file.name).id
        True
        >>> dataset.delete()
    """
    there = dataset.match(fo.ViewField("filepath") == str(path))
    if len(there):
        return there.first()
    sample = fo.Sample(filepath=str(path), tags=[TAG])
    sample.compute_metadata()
    dataset.add_sample(sample)
    return sample


def _said(
    samples: SampleCollection,
    key: str,
    config: runs.SMICRunConfig,
    text: str,
    device: str | None,
) -> np.ndarray:
    """Return the direction (d,) of a text."""
    others: Sequence[str] = read_vocabulary(default_vocabulary(config.encoder))
    encoded = encode_texts([text, *others], config, key, device)
    _, some = rebuilt_latents(
        coded_samples(samples._root_dataset, key).take(MOST_LATENTS, seed=0), key
    )
    return text_direction(encoded[:1], encoded[1:], some if len(some) > 1 else None)
