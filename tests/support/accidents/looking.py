"""What must hold after an accident, and whether two runs ended alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.archive import read_archive
from fiftyone_smic.fiftyone import fields, objects, runs
from fiftyone_smic.fiftyone.code_columns import MADE_BY, MADE_OF, code_digest, tag
from fiftyone_smic.fiftyone.codes import read_codes
from fiftyone_smic.fiftyone.dataset_export import ABOUT, CODES, LABELS
from fiftyone_smic.fiftyone.visualization import load_map

from .scenes import Scene

#: What a picture can be.
MISSING, OTHER_CODE = "is missing", "a picture of another code"
#: What says when something was made, or is another in every run.
_WHEN = {
    *("_id", "created_at", "last_modified_at", "last_loaded_at", "last_deletion_at", "timestamp"),
    *("seconds", "_dataset_id", "sample_collection_name", "slug", "brain_run"),
}


def look(scene: Scene) -> list[str]:
    """Return what is wrong after an accident, before anything is started again."""
    found = []
    for name in fo.list_datasets(f"{scene.name}*"):
        found += [f"{name}: {what}" for what in of_dataset(fo.load_dataset(name))]
    return found + list(_of_files(scene.folder))


def of_dataset(dataset: fo.Dataset) -> Iterator[str]:
    keys = smic.list_dictionaries(dataset)
    for key in {*keys, *fields.keys_with_codes(dataset)}:
        try:
            n_atoms = int(smic.load_dictionary(dataset, key).n_atoms_)
            read_codes(dataset, key, n_atoms)
            load_map(dataset, key)
        except ValueError as error:
            if not any(name in str(error) for name in ("encode(", "adopt_dictionary", "learn_")):
                yield f"{key}: does not say what to do: {error}"
        except Exception as error:
            yield f"{key}: {type(error).__name__}: {error}"
        else:
            runs.atom_names(dataset, key)
        config = runs.load_config(dataset, key) if key in keys else None
        if config is not None and config.patches_field is not None:
            yield from _of_objects(dataset, key, config)
        else:
            yield from _of_codes(dataset, key, config)


def _of_objects(dataset: fo.Dataset, key: str, config: Any) -> Iterator[str]:
    """A label has all attributes of a code, or none."""
    names = [fields.field_name(key, spec.suffix) for spec in objects.CODE_SPECS]
    maker = fields.field_name(key, fields.MADE_BY)
    root = objects.root_of(dataset, config.patches_field).split(".")
    for row in dataset._sample_collection.find({}):
        for label in row[root[0]][root[1]]:
            held = [label.get(name) for name in (*names, maker)]
            if any(value is None for value in held) and any(value is not None for value in held):
                yield f"{key}: an object with a part of a code"
            atoms, levels = (label.get(f"{key}_{part}") for part in ("atoms", "coefficients"))
            if len(atoms or ()) != len(levels or ()):
                yield f"{key}: {atoms} and {levels}"
            if held[-1] not in (None, tag(config.digest)):
                yield f"{key}: codes of another dictionary"


def _of_codes(dataset: fo.Dataset, key: str, config: Any) -> Iterator[str]:
    names = fields.dictionary_fields(key)
    parts = [fields.ATOMS, fields.COEFFICIENTS, fields.BITS, fields.LABELS]
    for row in dataset._sample_collection.find({}):
        held = [row.get(names[part]) for part in parts]
        if all(value is None for value in held):
            if row.get(names[fields.REGENERATED]) is not None:
                yield f"{key}: a picture of no code"
            continue
        if any(value is None for value in held):
            missing = [part for part, value in zip(parts, held, strict=True) if value is None]
            yield f"{key}: a code without {missing}"
            continue
        atoms, levels, _, labels = held
        if len(atoms) != len(levels):
            yield f"{key}: {len(atoms)} atoms and {len(levels)} coefficients"
            continue
        digest = code_digest(atoms, levels)
        if labels.get(MADE_OF) != digest or len(labels["classifications"]) != len(atoms):
            yield f"{key}: labels of another code"
        if config is not None and labels.get(MADE_BY) != tag(config.digest):
            yield f"{key}: codes of another dictionary"
        picture = row.get(names[fields.REGENERATED])
        if picture is not None:
            if not picture.endswith(f"-{digest}.png"):
                yield f"{key}: {OTHER_CODE}"
            yield from _of_picture(Path(picture))


def _of_picture(path: Path) -> Iterator[str]:
    if not path.exists():
        yield f"{path.name} {MISSING}"
        return
    try:
        with Image.open(path) as image:
            image.load()
    except Exception as error:
        yield f"{path.name} is no whole picture: {error}"


def _of_files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.name.startswith(".") or "tmp" in path.relative_to(folder).parts:
            continue
        if path.suffix == ".smic":
            try:
                read_archive(path)
            except Exception as error:
                yield f"{path.name} is no whole archive: {error}"
        elif path.suffix == ".png":
            yield from _of_picture(path)
        elif path.name == ABOUT:
            yield from _of_export(path.parent)


def _of_export(folder: Path) -> Iterator[str]:
    """An export that says what it is must be whole."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        samples = json.loads((folder / LABELS / "samples.json").read_text())["samples"]
        json.loads((folder / LABELS / "metadata.json").read_text())
        items = read_archive(folder / CODES).codes.shape[0]
    except Exception as error:
        yield f"an export that is not whole: {type(error).__name__}: {error}"
        return
    if len(samples) != items or about["storage"]["items"] < items:
        yield f"an export with {items} codes and {len(samples)} samples"


def left_over(remove: bool = False) -> list[str]:
    """Return what lies in the database and belongs to nothing, but shows.

    Args:
        remove: Remove such datasets too, so that the next look does not find them again.
    """
    database = foo.get_db_conn()
    found, collections = [], set()
    for document in list(database.datasets.find({})):
        collections.add(document["sample_collection_name"])
        if not document.get("persistent"):
            found.append(f"dataset {document['name']} left")
            if remove:
                fo.delete_dataset(document["name"])
        for kind in ("runs", "brain_methods"):
            found += [f"{kind}: {key} left" for key in document.get(kind, {}) if "__" in key]
    for name in database.list_collection_names():
        if name.startswith("samples.") and name.count(".") == 1 and name not in collections:
            found.append("samples of no dataset left")
            if remove:
                database.drop_collection(name)
    return found


def clear_strays() -> int:
    """Remove documents that nothing in the database refers to, and return how many there were.

    FiftyOne writes a run, and the file of its results, before what refers to them. A process that
    is killed in between leaves the one, some kilobytes that nobody sees.
    """
    database = foo.get_db_conn()
    known, results = set(), set()
    for document in database.datasets.find({}):
        for kind in ("runs", "brain_methods"):
            known.update(document.get(kind, {}).values())
    for run in database.runs.find({}):
        results.add(run.get("results"))
    runs_of_none = [r["_id"] for r in database.runs.find({}, {"_id": 1}) if r["_id"] not in known]
    files = [f["_id"] for f in database["fs.files"].find({}, {"_id": 1})]
    stray = [file for file in files if file not in results]
    database.runs.delete_many({"_id": {"$in": runs_of_none}})
    database["fs.files"].delete_many({"_id": {"$in": stray}})
    return len(runs_of_none) + len(stray)


def snapshot(scene: Scene, locks: bool = True) -> dict[str, Any]:
    """Return all that a run left, to compare with what another one left.

    Samples that the run made have other ids in every run, and pictures of them are others too.

    Args:
        scene: Where it was.
        locks: Count the lock files, which the next run removes; a run that is whole but for one is
            not started again.
    """
    found: dict[str, Any] = {}
    names = {str(scene.folder): "FOLDER", scene.name: "NAME"}
    datasets = fo.list_datasets(f"{scene.name}*")
    for name in datasets:
        if name != scene.name:
            ids = fo.load_dataset(name).sort_by("filepath").values("id")
            names.update({sample_id: f"SAMPLE{i}" for i, sample_id in enumerate(ids)})
    for path in sorted(scene.folder.rglob("*")):
        if not locks and path.name.endswith(".lock"):
            continue
        content: Any = "folder"
        if path.suffix == ".json":
            content = _plain(_json(path), names)
        elif path.suffix == ".png" and len(names) > 2:
            content = "a picture"
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        found[_renamed(str(path.relative_to(scene.folder)), names)] = content
    for name in datasets:
        found[f"dataset{name.removeprefix(scene.name)}"] = _plain(_dataset(name), names)
    return found


def _json(path: Path) -> Any:
    """What a file holds; FiftyOne's exporter, which was killed, leaves files that are not whole."""
    text = path.read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except ValueError:
        return f"no JSON: {text}"


def _dataset(name: str) -> dict[str, Any]:
    dataset = fo.load_dataset(name)
    schema = dataset.get_field_schema(flat=True)
    vectors = [path for path, field in schema.items() if isinstance(field, fo.VectorField)]
    rows = list(dataset._sample_collection.find({}).sort("_id"))
    for row in rows:
        for path in vectors:  # they are compared as vectors
            row.pop(path, None)
    return {
        "fields": {
            path: [type(field).__name__, field.description, dict(field.info or {})]
            for path, field in schema.items()
        },
        "samples": rows,
        "latents": {path: dataset.values(path) for path in vectors},
        "indexes": sorted(dataset.list_indexes()),
        "app": dataset.app_config.to_dict(),
        "runs": {
            key: [run.config, _digest(dataset, key)] for key, run in dataset._doc.get_runs().items()
        },
        "brain": {
            key: [run.config, _points(dataset, key)]
            for key, run in dataset._doc.get_brain_methods().items()
        },
    }


def _digest(dataset: fo.Dataset, key: str) -> str:
    try:
        return str(dataset.load_run_results(key, load_view=False).digest)
    except Exception as error:  # the difference will tell
        return f"no results: {type(error).__name__}: {error}"


def _points(dataset: fo.Dataset, key: str) -> Any:
    try:
        return dataset.load_brain_results(key, load_view=False).points
    except Exception as error:  # the difference will tell
        return f"no results: {type(error).__name__}: {error}"


def _plain(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner, names) for key, inner in value.items() if str(key) not in _WHEN}
    if isinstance(value, (list, tuple)):
        return [_plain(inner, names) for inner in value]
    if isinstance(value, str):
        return _renamed(value, names)
    if isinstance(value, (bool, int, float, bytes, np.ndarray, type(None))):
        return value
    return _renamed(str(value), names)


def _renamed(text: str, names: dict[str, str]) -> str:
    for name, instead in names.items():
        text = text.replace(name, instead)
    return text


def differences(left: Any, right: Any, where: str = "") -> Iterator[str]:
    """Yield where two snapshots differ. Vectors may differ as much as float32 rounds."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key in left.keys() | right.keys():
            at = f"{where}/{key}"
            if key not in left or key not in right:
                yield f"{at} is {'missing' if key in left else 'too much'}"
            else:
                yield from differences(left[key], right[key], at)
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            yield from differences(a, b, f"{where}/{i}")
    elif isinstance(left, np.ndarray) or isinstance(right, np.ndarray):
        if np.shape(left) != np.shape(right) or not np.allclose(left, right, atol=1e-5):
            yield f"{where}: another vector"
    elif isinstance(left, float) and isinstance(right, float):
        if not np.isclose(left, right, rtol=1e-5, atol=1e-6):
            yield f"{where}: {left} and then {right}"
    elif left != right:
        yield f"{where}: {str(left)[:60]} and then {str(right)[:60]}"
