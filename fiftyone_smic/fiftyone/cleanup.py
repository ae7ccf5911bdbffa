"""What this plugin has left in a dataset and on the disk, with sizes, and how it is removed."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo

from fiftyone_smic.fiftyone import fields, runs
from fiftyone_smic.fiftyone.crops import FOLDER as CROPS
from fiftyone_smic.fiftyone.pictures import default_folder
from fiftyone_smic.fiftyone.progress import connected
from fiftyone_smic.fiftyone.swapping import remove

logger = logging.getLogger(__name__)

#: Kind of thing -> what a form says of it.
KINDS = {
    "latents": "Embeddings that were computed here",
    "dictionaries": "Dictionaries with their codes and names",
    "maps": "Maps of samples and concepts",
    "drawings": "Pictures drawn from codes or concepts",
    "mixes": "Pictures of mixes",
    "crops": "Pictures of objects, cut out for the panel",
    "temporary": "Files that a stopped run has left",
    "exports": "Archives and other exports in the dataset's folder",
}
#: What is removed unless the caller chooses. An export was asked for by name, and once dictionaries
#: and codes are gone it may be all that is left of them.
DEFAULT = tuple(kind for kind in KINDS if kind != "exports")
_DRAWINGS = re.compile(r"(seed\d+|atoms)-[0-9a-f]{12}")
_MIXES = re.compile(r"mix-[0-9a-f]{12}")
_TEMPORARY = re.compile(r"\.smic-.*|.*\.part")


@dataclass(frozen=True)
class Remnant:
    """One thing that can be removed.

    Attributes:
        kind: One of :data:`KINDS`.
        name: A sample field, the key of a dictionary or brain run, or the path of a file or folder.
        bytes: What it takes in the database or on the disk.
    """

    kind: str
    name: str
    bytes: int


@dataclass(frozen=True)
class Removal:
    """What :func:`remove_all` removed, or would remove.

    Attributes:
        remnants: What was chosen.
        bytes: The sum of their bytes.
        kept: Path -> why it stays, for files that samples use and files that could not be deleted.
        dry_run: Whether nothing was touched.
    """

    remnants: list[Remnant]
    bytes: int
    kept: dict[str, str] = field(default_factory=dict)
    dry_run: bool = False

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """Return kind -> (number of things, bytes), in the order of :data:`KINDS`."""
        found = {kind: [r.bytes for r in self.remnants if r.kind == kind] for kind in KINDS}
        return {kind: (len(sizes), sum(sizes)) for kind, sizes in found.items() if sizes}


@connected()
def remove_all(
    dataset: fo.Dataset, what: Collection[str] | None = None, *, dry_run: bool = False
) -> Removal:
    """Remove what this plugin has left in a dataset and in its folder.

    Files that are the media of a sample, of this dataset or another, stay: the pictures of an
    imported dataset, and mixes that were kept as samples. So do all files outside the dataset's
    folder, except pictures that samples have in ``<key>_regenerated``. Exports in the dataset's
    folder are removed only where ``what`` names them.

    Args:
        dataset: A dataset.
        what: Kinds to remove, of "latents", "dictionaries", "maps", "drawings", "mixes", "crops",
            "temporary" and "exports"; by default all but the last.
        dry_run: Only list what would be removed.

    A removal that was killed leaves samples that name pictures which are gone; the next one, or
    :func:`fiftyone_smic.regenerate`, mends that.

    Returns:
        What was removed or would be, with its bytes.

    Raises:
        ValueError: A kind is unknown, or ``dataset`` is a view.

    Example:
        >>> import fiftyone as fo, numpy as np
        >>> from fiftyone_smic.fiftyone import learn_dictionary, remove_all
        >>> rng = np.random.default_rng(0)
        >>> dataset = fo.Dataset()
        >>> _ = dataset.add_samples(
        ...     [fo.Sample(f"/data/{i}.jpg", clip_latents=rng.normal(size=8)) for i in range(40)],
        ...     progress=False,
        ... )
        >>> _ = learn_dictionary(dataset, n_atoms=4, progress=False)
        >>> [(remnant.kind, remnant.name) for remnant in remove_all(dataset, dry_run=True).remnants]
        [('dictionaries', 'smic')]
        >>> remove_all(dataset).bytes > 0, dataset.list_runs()
        (True, [])
        >>> dataset.delete()
    """
    if not isinstance(dataset, fo.Dataset):
        raise ValueError("a whole dataset is needed, since dictionaries belong to all its samples")
    unknown = sorted(set(what or ()) - KINDS.keys())
    if unknown:
        raise ValueError(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    wanted = set(DEFAULT if what is None else what)
    kept: dict[str, str] = {}
    found = [r for r in _stored(dataset) if r.kind in wanted]
    files = [r for r in _files(dataset, kept) if r.kind in wanted]
    kept = {path: why for path, why in kept.items() if _kind(path, dataset) in wanted}
    chosen = [*found, *files]
    if not dry_run:
        paths = [r.name for r in files]
        if "drawings" in wanted:  # an earlier removal may have been killed after it deleted files
            paths += [path for path in _drawn(dataset) if not os.path.lexists(path)]
        for path in paths:
            _delete_file(Path(path), default_folder(dataset), kept)
        _delete_empty_folders(default_folder(dataset))
        gone = set(paths) - kept.keys()
        _delete_stored(dataset, found, gone)
        if "maps" in wanted:
            _forget_maps(dataset)
    removed = chosen if dry_run else [r for r in chosen if r.name not in kept]
    return Removal(removed, sum(r.bytes for r in removed), kept, dry_run)


def _stored(dataset: fo.Dataset) -> Iterable[Remnant]:
    """What is in the database."""
    for name, schema in dataset.get_field_schema(ftype=fo.VectorField).items():
        if "latent_norm" in (schema.info or {}):  # compute_latents says so of its own
            yield Remnant("latents", name, _field_bytes(dataset, [name]))
    for key in runs.list_dictionaries(dataset):
        held = _field_bytes(dataset, fields.existing_fields(dataset, key))
        yield Remnant("dictionaries", key, held + _results_bytes(dataset._doc.get_runs()[key]))
        brain_key = runs.load_config(dataset, key).brain_key
        if brain_key in dataset.list_brain_runs():
            size = _results_bytes(dataset._doc.get_brain_methods()[brain_key])
            yield Remnant("maps", brain_key, size)


def _field_bytes(dataset: fo.Dataset, names: list[str]) -> int:
    """Bytes that sample fields take in the database, as MongoDB counts them."""
    if not names:
        return 0
    held = {name: f"${name}" for name in names}
    pipeline = [{"$group": {"_id": None, "bytes": {"$sum": {"$bsonSize": held}}}}]
    found = list(dataset._sample_collection.aggregate(pipeline))
    return int(found[0]["bytes"]) if found else 0


def _results_bytes(run: object) -> int:
    """Bytes of a run's results, which the database keeps as a file."""
    return int(getattr(getattr(run, "results", None), "length", None) or 0)


def _files(dataset: fo.Dataset, kept: dict[str, str]) -> list[Remnant]:
    """What is on the disk; files that samples use are added to ``kept``."""
    paths = {*_below(default_folder(dataset)), *_drawn(dataset)}
    used = _used(paths)
    remnants = []
    for path in sorted(paths):
        if path in used:
            kept[path] = "a sample's media"
            continue
        try:
            size = os.lstat(path).st_size
        except OSError:
            continue
        remnants.append(Remnant(_kind(path, dataset), path, size))
    return remnants


def _drawn(dataset: fo.Dataset) -> Iterable[str]:
    """The pictures that samples name as drawn from their codes, whether they are there or not."""
    for key in runs.list_dictionaries(dataset):
        name = fields.field_name(key, fields.REGENERATED)
        if dataset.has_sample_field(name):
            drawn = fields.everything(dataset).exists(name).distinct(name)
            yield from (path for path in drawn if _DRAWINGS.fullmatch(Path(path).parent.name))


def _below(folder: Path) -> Iterable[str]:
    for parent, _, names in os.walk(folder):
        yield from (os.path.join(parent, name) for name in names)


def _kind(path: str, dataset: fo.Dataset) -> str:
    """What a file in the dataset's folder is, by our own names."""
    file = Path(path)
    if _TEMPORARY.fullmatch(file.name):
        return "temporary"
    if file.parent == default_folder(dataset) / CROPS:
        return "crops"
    folders = [parent.name for parent in file.parents]
    if any(map(_DRAWINGS.fullmatch, folders)):
        return "drawings"
    return "mixes" if any(map(_MIXES.fullmatch, folders)) else "exports"


def _used(paths: Collection[str]) -> set[str]:
    """Those of the files that are the media of a sample of any dataset."""
    found: set[str] = set()
    every = list(paths)
    database = foo.get_db_conn()
    for document in database.datasets.find({}, {"sample_collection_name": True}):
        samples = database[document["sample_collection_name"]]
        for start in range(0, len(every), 10_000):  # far below MongoDB's limit of 16 MB
            part = every[start : start + 10_000]
            query = {"filepath": {"$in": part}}
            found.update(row["filepath"] for row in samples.find(query, {"filepath": True}))
    return found


def _delete_file(path: Path, folder: Path, kept: dict[str, str]) -> None:
    """Delete a file, and those of its folders that are ours and empty then."""
    try:
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        kept[str(path)] = error.strerror or str(error)
        return
    for parent in path.parents:
        ours = parent.is_relative_to(folder) or _DRAWINGS.fullmatch(parent.name)
        try:
            if not ours:
                return
            parent.rmdir()
        except OSError:  # it is not empty
            return


def _delete_empty_folders(folder: Path) -> None:
    """Delete what a removal that was killed has left of a folder and those in it."""
    for path, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # it is not empty
            os.rmdir(path)


def _delete_stored(dataset: fo.Dataset, found: list[Remnant], gone: set[str]) -> None:
    chosen = [(r.kind, r.name) for r in found]
    for key in runs.list_dictionaries(dataset):
        name = fields.field_name(key, fields.REGENERATED)
        if ("dictionaries", key) not in chosen and gone and dataset.has_sample_field(name):
            _forget(dataset, key, name, gone)
    for kind, name in chosen:
        if kind == "maps":
            if name in dataset.list_brain_runs():  # it may have gone with its dictionary
                dataset.delete_brain_run(name)
        elif kind == "dictionaries":
            remove(dataset, name)
        elif kind == "latents":
            dataset.delete_sample_field(name)
    mend_app_config(dataset)


def _forget_maps(dataset: fo.Dataset) -> None:
    """Let no dictionary name a map that is gone.

    The map goes before this: nobody would find one that no dictionary names.
    """
    there = dataset.list_brain_runs()
    for key in runs.list_dictionaries(dataset):
        if runs.load_config(dataset, key).brain_key not in (None, *there):
            runs.update_config(dataset, key, brain_key=None, atom_points=None)


def _forget(dataset: fo.Dataset, key: str, name: str, gone: set[str]) -> None:
    """Clear what samples say of drawings that were deleted."""
    view = fields.everything(dataset).exists(name)
    ids = [i for i, path in zip(*view.values(["id", name]), strict=True) if path in gone]
    if len(ids) == len(view):
        made = [fields.field_name(key, suffix) for suffix in fields.DRAWING_SUFFIXES]
        fields.delete(dataset, made)
    elif ids:
        made = [fields.field_name(key, suffix) for suffix in fields.DRAWING_SUFFIXES]
        nothing = {n: [None] * len(ids) for n in made if dataset.has_sample_field(n)}
        fields.write(dataset, ids, nothing)


def mend_app_config(dataset: fo.Dataset) -> None:
    """Let the App show no media field and no group of ours whose fields are gone."""
    config = dataset.app_config
    config.media_fields = [name for name in config.media_fields if dataset.has_field(name)]
    for name in ("grid_media_field", "modal_media_field"):
        if getattr(config, name) not in config.media_fields:
            setattr(config, name, "filepath")
    ours = {spec.group for spec in fields.SPECS}
    if config.sidebar_groups:
        for group in config.sidebar_groups:
            if group.name in ours:
                group.paths = [path for path in group.paths if dataset.has_field(path)]
        config.sidebar_groups = [g for g in config.sidebar_groups if g.name not in ours or g.paths]
    dataset.save()
