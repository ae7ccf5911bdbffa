"""A two-dimensional map of samples and atoms, made by UMAP."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
from fiftyone.core.collections import SampleCollection

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.atom_views import match_atom
from fiftyone_smic.fiftyone.codes import images_for, objects_of, rebuilt_latents
from fiftyone_smic.fiftyone.collections import count, listed
from fiftyone_smic.fiftyone.durations import note_seconds
from fiftyone_smic.fiftyone.encoding import check_fit
from fiftyone_smic.fiftyone.latents import read_latents
from fiftyone_smic.fiftyone.map_figure import AtomsVisualization
from fiftyone_smic.fiftyone.map_layout import directions_of, lay_out
from fiftyone_smic.fiftyone.objects import find_objects, images_of, noun, root_of
from fiftyone_smic.fiftyone.progress import Progress, connected, reporting
from fiftyone_smic.fiftyone.statistics import atom_statistics
from fiftyone_smic.utils.defaults import KEY
from fiftyone_smic.utils.progress import Portion, stage

#: A map needs at least this many samples and atoms together.
FEWEST = 5
#: Number of cells along the longer side of the map; with many samples, each cell shows one dot.
CELLS = 60


@dataclass(frozen=True)
class AtomsMap:
    """The map that :func:`visualize_atoms` stored, thinned so that a browser can show it.

    Attributes:
        atoms: (K, 2) float64: positions of the atoms.
        dots: (M, 2) float32: positions of samples that each stand for the samples around them.
        dot_of: (N,) int64: the dot that stands for each sample.
        ids: N ids of the samples that existed when the map was made, or of labels for a dictionary
            of objects.
    """

    atoms: np.ndarray
    dots: np.ndarray
    dot_of: np.ndarray
    ids: np.ndarray


def has_map(samples: SampleCollection, key: str = KEY) -> bool:
    """Tell whether a dictionary has a complete map.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Raises:
        ValueError: There is no such dictionary.
    """
    config = runs.load_config(samples, key)
    dataset = samples._root_dataset
    if not config.atom_points or config.brain_key not in dataset.list_brain_runs():
        return False
    # A process that was killed between the two has stored samples and not the atoms among them.
    return config.brain_run in (None, str(dataset._doc.brain_methods[config.brain_key].id))


def load_map(samples: SampleCollection, key: str = KEY) -> AtomsMap | None:
    """Return the stored map of a dictionary, or None if it has none.

    A map of many samples is divided into cells (:data:`CELLS`), and each cell shows one sample.

    Args:
        samples: A dataset or view.
        key: A dictionary of the dataset.

    Raises:
        ValueError: There is no such dictionary.
    """
    if not has_map(samples, key):
        return None
    config = runs.load_config(samples, key)
    dataset = samples._root_dataset
    results = dataset.load_brain_results(config.brain_key, load_view=False)
    points = np.asarray(results.points)
    first = dot_of = np.arange(len(points))
    if len(points) > CELLS**2 // 2:
        low = points.min(axis=0)
        side = max(float((points.max(axis=0) - low).max()), 1e-9) / CELLS
        column, row = ((points - low) / side).astype(np.int64).T
        _, first, dot_of = np.unique(
            column * (CELLS + 1) + row, return_index=True, return_inverse=True
        )
    ids = results.sample_ids if config.patches_field is None else results.label_ids
    return AtomsMap(np.array(config.atom_points), points[first], dot_of, ids)


def samples_on_map(
    samples: SampleCollection, key: str, dots: Sequence[int], atoms: Sequence[int]
) -> fo.DatasetView | None:
    """Return the samples that were chosen on the map of a dictionary.

    Args:
        samples: A dataset, or the view to choose from.
        key: A dictionary that has a map.
        dots: Positions in :attr:`AtomsMap.dots`. The samples that they stand for are chosen.
        atoms: Numbers of atoms. If no dots are given, the samples that have any of these atoms are
            chosen.

    Returns:
        A view, or None if nothing was chosen.
    """
    there = load_map(samples, key)
    if there is None:
        return None
    if len(dots):
        ids = there.ids[np.isin(there.dot_of, dots)].tolist()
        patches_field = objects_of(samples, key)
        if patches_field is None:
            return listed(samples, ids, ordered=False)
        images = images_of(samples, patches_field)
        return images.select_labels(ids=ids, fields=patches_field)
    if len(atoms):
        return match_atom(samples, atoms, key)
    return None


@connected()
def visualize_atoms(
    samples: SampleCollection,
    key: str = KEY,
    *,
    brain_key: str | None = None,
    seed: int = 0,
    progress: Progress = None,
) -> AtomsVisualization:
    """Put the samples and the atoms of a dictionary on one map, by UMAP.

    A dataset that was made from an archive has no latents; its samples are placed by the latents
    that their codes are decoded to.

    Atoms are directions away from the collection's mean. Samples are therefore compared with them
    after the mean is subtracted, by cosine. The Embeddings panel shows the samples under
    ``brain_key``. The positions of the atoms are stored with the dictionary for the SMIC panel.

    Args:
        samples: A dataset or view with the latents that the dictionary was learned on.
        key: A dictionary of the dataset.
        brain_key: Key of the brain run; None takes ``<key>_umap``. An earlier map of this
            dictionary is replaced.
        seed: Seed of UMAP.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The positions of samples and atoms.

    Raises:
        ValueError: The key is not known, the brain key is in use, latents are missing, or there
            are too few of them.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import learn_dictionary, visualize_atoms
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
        >>> shown = visualize_atoms(dataset, progress=False)
        >>> shown.points.shape, shown.atoms.shape[1], dataset.list_brain_runs()
        ((40, 2), 2, ['smic_umap'])
        >>> dataset.delete()
    """
    samples = images_for(samples, key)
    config = runs.load_config(samples, key)
    dataset = samples._root_dataset
    brain_key = brain_key or f"{key}_umap"
    fields.check_key(brain_key)
    if brain_key in dataset.list_brain_runs() and brain_key != config.brain_key:
        raise ValueError(
            f"brain key {brain_key!r} is in use; choose another with brain_key, or delete it with "
            f"dataset.delete_brain_run({brain_key!r})"
        )
    dictionary = runs.load_dictionary(samples, key)
    atoms = directions_of(dictionary.atoms_)
    with reporting(progress, len(samples)) as report:
        stage(report, "Reading the embeddings")
        ids, values, skipped = _latents(samples, config, key, Portion(report, 0.0, 0.1))
        values -= dictionary.mean_
        directions = directions_of(values)
        del values
        if len(directions) + len(atoms) < FEWEST:
            raise ValueError(
                f"a map needs at least {FEWEST} {noun(config.patches_field)}s and atoms together "
                f"and there are {len(directions)} and {len(atoms)}; choose a larger view"
            )
        stage(report, "Loading models")
        import umap  # noqa: F401  (not measured: its time does not depend on the map)

        started = time.perf_counter()
        atom_points, points = lay_out(atoms, directions, seed, report)
        report(0.95)
        stage(report, "Storing the map")
        store_map(samples, key, brain_key, ids, points, atom_points)
        note_seconds(samples, key, "map", time.perf_counter() - started, len(ids))
        report(1.0)
    return AtomsVisualization(
        key=key,
        brain_key=brain_key,
        atoms=atom_points,
        points=points,
        ids=ids,
        uses=_uses(samples, key, len(atoms)),
        skipped=skipped,
        noun=noun(config.patches_field),
    )


def _latents(
    samples: SampleCollection, config: runs.SMICRunConfig, key: str, report: Portion
) -> tuple[list[str], np.ndarray, dict[str, str]]:
    """Return ids, latents (N, d), and why samples have none; codes stand for latents that went."""
    root = root_of(samples._root_dataset, config.patches_field)
    path = f"{root}.{config.latents_field}" if root else config.latents_field
    if not samples._root_dataset.has_field(path):
        return (*rebuilt_latents(samples, key), {})
    latents = read_latents(samples, config.latents_field, config.patches_field, report)
    check_fit(latents, config, key)
    return latents.ids, latents.values, latents.skipped


@connected()
def store_map(
    samples: SampleCollection,
    key: str,
    brain_key: str,
    ids: list[str],
    points: np.ndarray,
    atom_points: np.ndarray,
) -> None:
    """Store a map: the samples as a brain run, and the atoms with their dictionary.

    The former map is deleted when the new one is complete. Samples that were deleted in the
    meantime are left out.

    Args:
        samples: A dataset or view.
        key: Key of the dictionary.
        brain_key: Key of the brain run: a free one, or that of an earlier map of this dictionary.
        ids: N ids of samples, or of labels for a dictionary of objects.
        points: (N, 2) floats, where they are.
        atom_points: (K, 2) floats, where the atoms are.

    Raises:
        ValueError: All samples were deleted meanwhile.
    """
    import fiftyone.brain as fob

    dataset = samples._root_dataset
    aside = f"{brain_key}__new"
    patches_field = runs.load_config(samples, key).patches_field
    if patches_field is None:
        there = set(fields.read(dataset, ids, ["id"]))
    else:
        there = set(find_objects(fields.everything(dataset), patches_field).ids)
    kept = [i for i, item in enumerate(ids) if item in there]
    if not kept:
        raise ValueError(f"all {noun(patches_field)}s of the map were deleted while it was made")
    chosen: SampleCollection = samples
    placed: Any = points[kept]
    if patches_field is not None:
        placed = {ids[i]: points[i] for i in kept}
    elif len(kept) < count(samples):
        chosen = listed(fields.everything(dataset), [ids[i] for i in kept])
    former = {runs.load_config(samples, key).brain_key, brain_key}
    try:
        if aside in dataset.list_brain_runs():  # a run that was killed has left it
            dataset.delete_brain_run(aside)
        fob.compute_visualization(
            chosen, patches_field=patches_field, points=placed, brain_key=aside
        )
    except BaseException:
        if aside in dataset.list_brain_runs():
            dataset.delete_brain_run(aside)
        raise
    made = _swap_in(dataset, aside, brain_key)
    for name in former.intersection(dataset.list_brain_runs()) - {brain_key}:
        dataset.delete_brain_run(name)
    runs.update_config(
        samples,
        key,
        brain_key=brain_key,
        brain_run=made,
        atom_points=np.round(atom_points.astype(float), 4).tolist(),
    )


def _swap_in(dataset: fo.Dataset, aside: str, brain_key: str) -> str:
    """Give a complete brain run its key in one database operation, and delete the one it replaces.

    Returns:
        The database's id of the run.
    """
    dataset.reload()
    new, old = dataset._doc.brain_methods[aside], dataset._doc.brain_methods.get(brain_key)
    database = foo.get_db_conn()
    database.runs.update_one({"_id": new.id}, {"$set": {"key": brain_key}})
    database.datasets.update_one(
        {"_id": dataset._doc.id},
        {
            "$set": {f"brain_methods.{brain_key}": new.id},
            "$unset": {f"brain_methods.{aside}": ""},
        },
    )
    if old is not None:
        if old.results:
            old.results.delete()
        old.delete()
    for name in (aside, brain_key):
        dataset._brain_cache.pop(name, None)
    dataset.reload()
    return str(new.id)


def _uses(samples: SampleCollection, key: str, n_atoms: int) -> np.ndarray:
    """Count the samples that have each atom; zeros where nothing is encoded."""
    try:
        return atom_statistics(samples, key).has
    except ValueError:  # no sample here has a code
        return np.zeros(n_atoms, dtype=np.int64)
