"""The steps that are killed, one for each thing that writes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fiftyone_smic as smic
from fiftyone_smic import cli, cluster
from fiftyone_smic.archive import append_archive, read_archive
from fiftyone_smic.fiftyone import (
    Recipe,
    delete_dictionary,
    list_dictionaries,
    measure_drawings,
    mix,
    remove_all,
    rename_dictionary,
)
from fiftyone_smic.fiftyone.types import SMICDataset
from fiftyone_smic.fiftyone.visualization import store_map

from .looking import MISSING, OTHER_CODE
from .scenes import DRAWN, Scene


@dataclass(frozen=True)
class Step:
    """One thing that a user starts.

    Attributes:
        run: Does it.
        of: The dataset that it works on, see ``scenes.build``; None if it needs none.
        prepare: Puts files into its folder first.
        until_again: What may hold after a kill, until the step is done again.
        of_fiftyone: Whether it is a function of FiftyOne, which says in its own words that the
            database is lost.
    """

    run: Callable[[Scene], Any]
    of: str | None = "full"
    prepare: Callable[[Scene], Any] = lambda scene: None
    until_again: str | None = None
    of_fiftyone: bool = False


def _command(*arguments: Any) -> None:
    """Run the command line in this process; its errors are ours."""
    sys.argv = ["fiftyone-smic", *map(str, arguments)]
    try:
        cli.main()
    except SystemExit as stopped:
        if stopped.code:
            raise RuntimeError(f"the command ends with code {stopped.code}") from stopped


def _old_archive(scene: Scene) -> None:
    shutil.copy(scene.base / "old.smic", scene.folder / "a.smic")


def _store_map(scene: Scene) -> None:
    dataset = scene.dataset
    ids, rng = dataset.values("id"), np.random.default_rng(1)
    atoms = rng.normal(size=(smic.load_dictionary(dataset).n_atoms_, 2)).astype(np.float32)
    store_map(dataset, "smic", "smic_umap", ids, rng.normal(size=(len(ids), 2)), atoms)


def _append(scene: Scene) -> None:
    more = read_archive(scene.base / "more.smic")
    append_archive(scene.folder / "a.smic", more.codes, names=more.names)


def _append_folder(scene: Scene) -> None:
    # What is named is what the archive does not have: images it has already are no error.
    _command("append", scene.base / "more", scene.folder / "a.smic", "--batch-size", 4)


def _rename(scene: Scene) -> None:
    if "smic" in list_dictionaries(scene.dataset):  # else it has its new key already
        rename_dictionary(scene.dataset, "smic", "renamed")


def _delete(scene: Scene) -> None:
    if "smic" in list_dictionaries(scene.dataset):
        delete_dictionary(scene.dataset, "smic")


def _own_pictures(scene: Scene) -> None:
    """Give the dataset pictures that it may remove."""
    drawn = scene.dataset.exists("smic_regenerated")
    paths = [Path(path) for path in drawn.values("smic_regenerated")]
    own = [scene.folder / "drawn" / path.parent.name / path.name for path in paths]
    for path, copy in zip(paths, own, strict=True):
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    drawn.set_values("smic_regenerated", list(map(str, own)))


def _mix(scene: Scene) -> None:
    ids = scene.dataset.values("id")
    mix(scene.dataset, recipe=Recipe(ids[0], plus=ids[1], pictures=4), generator="nearest")


def _apply(scene: Scene) -> None:
    model = smic.load_model("smic", scene.dataset, device="cpu")
    scene.dataset.apply_model(model, label_field="smic", batch_size=4, num_workers=0)


STEPS = {
    "compute_latents": Step(
        lambda s: smic.compute_latents(s.dataset, encoder="postcards", batch_size=4),
        of="plain",
    ),
    "learn_dictionary": Step(
        lambda s: smic.learn_dictionary(
            s.dataset, n_atoms=4, max_iter=2, lam=0.003, overwrite=True
        ),
    ),
    "encode": Step(lambda s: smic.encode(s.dataset), of="half"),
    "apply_model": Step(_apply, of="half", until_again=OTHER_CODE, of_fiftyone=True),
    "latents of objects": Step(
        lambda s: smic.compute_latents(
            s.dataset,
            "third",
            encoder="postcards",
            batch_size=1,
            patches_field="objects",
            force_square=True,
        ),
        of="boxed",
    ),
    "codes of objects": Step(lambda s: smic.encode(s.dataset, "things"), of="boxed"),
    "rename_dictionary": Step(_rename),
    "delete_dictionary": Step(_delete),
    "remove_all": Step(lambda s: remove_all(s.dataset), prepare=_own_pictures, until_again=MISSING),
    "regenerate": Step(
        lambda s: smic.regenerate(
            s.dataset[:DRAWN], output_dir=s.folder / "drawn", steps=1, batch_size=1
        ),
    ),
    "measure_drawings": Step(lambda s: measure_drawings(s.dataset, batch_size=1)),
    "mix": Step(_mix),
    "name_atoms": Step(lambda s: smic.name_atoms(s.dataset, weak=True)),
    "visualize_atoms": Step(lambda s: smic.visualize_atoms(s.dataset)),
    "store_map": Step(_store_map),
    "export_archive": Step(
        lambda s: smic.export_archive(s.dataset, "smic", s.folder / "a.smic"),
        prepare=_old_archive,
    ),
    "import_codes": Step(
        lambda s: smic.import_codes(s.dataset, s.base / "other.smic", overwrite=True),
    ),
    "import_archive": Step(
        lambda s: smic.import_archive(
            s.base / "few.smic",
            f"{s.name}-made",
            output_dir=s.folder / "drawn",
            persistent=True,
            steps=1,
            batch_size=1,
        ),
        of=None,
    ),
    "export of a dataset": Step(
        lambda s: s.dataset.export(export_dir=str(s.folder / "export"), dataset_type=SMICDataset),
        prepare=lambda s: shutil.copytree(s.base / "export", s.folder / "export"),
        of_fiftyone=True,
    ),
    "append_archive": Step(_append, of=None, prepare=_old_archive),
    "append (command)": Step(_append_folder, of=None, prepare=_old_archive),
    "compress (command)": Step(
        lambda s: _command(
            *("compress", s.base / "cards", s.folder / "a.smic", "--overwrite"),
            *("--batch-size", 4, "--atoms", 4),
        ),
        of=None,
    ),
    "compress on a cluster": Step(
        lambda s: cluster.compress(
            s.base / "cards",
            s.folder / "a.smic",
            encoder="postcards",
            n_atoms=4,
            passes=1,
            batch_size=4,
            local=True,
        ),
        of=None,
    ),
    "decompress (command)": Step(
        lambda s: _command(
            *("decompress", s.base / "few.smic", s.folder / "drawn"),
            *("--steps", 1, "--batch-size", 1),
        ),
        of=None,
    ),
}
