"""The postcards as a FiftyOne dataset: the demonstration collection."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fiftyone as fo

from fiftyone_smic.fiftyone.latents import POSTCARDS
from fiftyone_smic.fiftyone.progress import Progress, reporting
from fiftyone_smic.postcards.attributes import FLAGS
from fiftyone_smic.postcards.draw import write_collection

CHOICES = ("time", "terrain", "weather", "season")


def load_postcards(
    n: int = 200,
    *,
    name: str | None = None,
    directory: str | Path | None = None,
    size: int = 128,
    seed: int = 0,
    persistent: bool = False,
    overwrite: bool = False,
    progress: Progress = None,
) -> fo.Dataset:
    """Draw postcards and make a dataset of them; labels say what each shows.

    Args:
        n: Number of postcards.
        name: Name of the dataset; None takes ``postcards-<n>``.
        directory: Folder of the pictures; None takes ``postcards`` in FiftyOne's
            ``default_dataset_dir``. Pictures that exist are kept.
        size: Width and height in pixels.
        seed: Which collection; each seed gives other pictures.
        persistent: Keep the dataset when FiftyOne's database is closed.
        overwrite: Replace a dataset that has this name.
        progress: None for FiftyOne's own setting, a bool, or a function of the fraction done.

    Returns:
        The dataset.

    Raises:
        ValueError: A dataset has this name and ``overwrite`` is off.

    Example:
        >>> import tempfile
        >>> from fiftyone_smic.fiftyone import load_postcards
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dataset = load_postcards(2, name="two", directory=folder, progress=False)
        >>> len(dataset), dataset.first().metadata.width
        (2, 128)
        >>> dataset.delete()
    """
    name = name or f"postcards-{n}"
    if fo.dataset_exists(name) and not overwrite:
        raise ValueError(
            f"there is a dataset {name!r}; load it with fiftyone.load_dataset({name!r}), choose "
            "another name, or pass overwrite=True"
        )
    folder = Path(directory or Path(fo.config.default_dataset_dir) / "postcards")
    folder = folder.expanduser().resolve() / f"seed{seed}-{size}px"
    with reporting(progress, n) as report:
        paths = write_collection(folder, n, size=size, seed=seed, progress=report)
    with (folder / "captions.jsonl").open(encoding="utf-8") as lines:
        described = [json.loads(line) for line in lines]
    dataset = fo.Dataset(name, overwrite=overwrite, persistent=persistent)
    dataset.info[POSTCARDS] = True
    dataset.save()
    dataset.add_samples(
        [_sample(path, about) for path, about in zip(paths, described, strict=False)],
        progress=False,
    )
    dataset.compute_metadata(num_workers=1, progress=False)
    return dataset


def _sample(path: Path, about: dict[str, Any]) -> fo.Sample:
    labels = {choice: fo.Classification(label=about[choice]) for choice in CHOICES}
    if about["people"]:
        labels["shirt"] = fo.Classification(label=about["shirt"])
    things = [thing for thing in FLAGS if about[thing]]
    return fo.Sample(
        filepath=str(path),
        caption=about["caption"],
        people=about["people"],
        things=fo.Classifications(classifications=[fo.Classification(label=t) for t in things]),
        **labels,
    )
