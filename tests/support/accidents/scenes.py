"""What the steps work on: a few datasets and files that are copied for every run."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np

import fiftyone_smic as smic
from fiftyone_smic.archive import write_archive
from fiftyone_smic.cluster import encoding
from fiftyone_smic.fiftyone import drawings, latent_rows, regeneration
from fiftyone_smic.fiftyone.types import SMICDataset
from fiftyone_smic.fiftyone.visualization import store_map
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.pipelines import latent_cache
from fiftyone_smic.postcards.draw import write_collection

#: Postcards of each dataset, and how many there are in the folder that is added to an archive.
CARDS, MORE = 40, 8
#: Pictures that are drawn; each takes half a second.
DRAWN = 3


@dataclass(frozen=True)
class Scene:
    """Where one run happens.

    Attributes:
        name: Name of its dataset; what it makes has a name that begins so.
        folder: Its files. Temporary files of Python go below it too.
        base: Files that all runs read and none changes.
    """

    name: str
    folder: Path
    base: Path

    @property
    def dataset(self) -> fo.Dataset:
        """The dataset as the database has it."""
        return fo.load_dataset(self.name)

    def enter(self) -> None:
        """Write a small collection in as many parts as a large one, all below the folder."""
        latent_rows.WRITE_EVERY, latent_rows.PART_SECONDS = 8, 0.0
        latent_cache.IMAGES = 8
        regeneration.REGISTER_EVERY = 0.0
        drawings.WRITE_EVERY = 1
        encoding.PICTURES = 8
        aside = self.folder / "tmp"
        aside.mkdir(parents=True, exist_ok=True)
        tempfile.tempdir = str(aside)
        fo.config.default_dataset_dir = str(self.folder / "datasets")
        fo.config.show_progress_bars = False


def connect() -> None:
    """Connect to the database in a process that was forked from one that is not connected."""
    foo.database._connect()


def disconnect() -> None:
    """Give the connection up, so that no other process inherits it."""
    foo.database._disconnect()


def build(base: Path) -> None:
    """Make the datasets "plain", "half", "full" and "boxed", and the files.

    "plain" has no latents. "half" has a dictionary, and half of its samples have a code, of other
    latents than it has now; two of these are drawn. "full" has everything: codes, names, a map,
    drawings. "boxed" frames two objects in each of some samples, and half of these have a code of
    other latents than they have now.
    """
    Scene("", base / "aside", base).enter()
    plain = smic.load_postcards(
        CARDS, name="plain", directory=base / "cards", persistent=True, progress=False
    )
    write_collection(base / "more", MORE, seed=1)
    half = plain.clone("half", persistent=True)
    smic.compute_latents(half, encoder="postcards", progress=False)
    smic.learn_dictionary(half, n_atoms=6, max_iter=3, progress=False)
    full = half.clone("full", persistent=True)

    half.add_sample_field("blurred", fo.VectorField)
    latents = np.stack(half.values("clip_latents"))
    noise = np.random.default_rng(0).normal(0, 0.05, latents.shape)
    half.set_values("blurred", list((latents + noise).astype(np.float32)))
    drawing = {"generator": "nearest", "output_dir": base / "drawn", "progress": False}
    smic.encode(half[: CARDS // 2], latents_field="blurred", progress=False)
    smic.regenerate(half[:2], **drawing)

    smic.encode(full, progress=False)
    smic.name_atoms(full, labels="terrain", weak=True, progress=False)
    smic.regenerate(full[:2], seed=1, **drawing)
    ids, rng = full.values("id"), np.random.default_rng(0)
    n_atoms = smic.load_dictionary(full).n_atoms_
    places = rng.normal(size=(n_atoms, 2)).astype(np.float32)
    store_map(full, "smic", "smic_umap", ids, rng.normal(size=(CARDS, 2)), places)

    smic.learn_dictionary(full, "other", n_atoms=5, max_iter=3, lam=0.004, progress=False)
    smic.encode(full, "other", progress=False)
    smic.export_archive(full, "other", base / "other.smic")
    smic.export_archive(full[:DRAWN], "other", base / "few.smic")
    smic.export_archive(full[: CARDS // 2], "other", base / "old.smic")
    full[: CARDS // 2].export(export_dir=str(base / "export"), dataset_type=SMICDataset)
    _build_boxed(plain)
    # What is appended: codes of images that "old.smic" does not have.
    model = load_encoder("postcards", device="cpu")
    files = sorted((base / "more").glob("*.png"))
    codes = smic.load_dictionary(full, "other").transform(model.encode_images(files).latents)
    write_archive(
        base / "more.smic",
        smic.load_dictionary(full, "other"),
        codes,
        encoder=model.name,
        names=[file.name for file in files],
    )


def _build_boxed(plain: fo.Dataset) -> None:
    boxed = plain[: CARDS // 4].clone("boxed", persistent=True)
    boxes = [[0, 0, 0.5, 0.5], [0.25, 0.5, 0.5, 0.5]]
    objects = [
        fo.Detections(detections=[fo.Detection(label="x", bounding_box=box) for box in boxes])
        for _ in boxed
    ]
    boxed.set_values("objects", objects)
    settings = {"patches_field": "objects", "progress": False}
    smic.compute_latents(boxed, encoder="postcards", **settings)
    smic.learn_dictionary(boxed, "things", n_atoms=4, max_iter=3, **settings)
    smic.compute_latents(boxed, "other", encoder="postcards", alpha=0.5, **settings)
    half = boxed[: CARDS // 8]
    smic.encode(half, "things", latents_field="other", progress=False)


def copy(scene: Scene, of: str | None) -> None:
    """Give a run a copy of a dataset of its own, if it needs one."""
    os.makedirs(scene.folder, exist_ok=True)
    if of is not None:
        fo.load_dataset(of).clone(scene.name, persistent=True)


def remove(scene: Scene) -> None:
    """Delete the datasets of a run."""
    for name in fo.list_datasets(f"{scene.name}*"):
        fo.delete_dataset(name)
