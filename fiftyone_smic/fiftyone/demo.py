"""The whole way once, on a collection this package draws itself: what ``make demo`` runs."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from fiftyone_smic.models.embedded import NOTICE
from fiftyone_smic.models.images import load_image
from fiftyone_smic.pipelines.image_codecs import image_baselines
from fiftyone_smic.pipelines.report import contact_sheet, size_table, stage
from fiftyone_smic.utils.defaults import KEY, LATENTS_FIELD

DATASET = "smic-demo"


def default_directory() -> Path:
    """``demo`` in this package's cache folder, wherever the system keeps those."""
    from platformdirs import user_cache_path

    return user_cache_path("fiftyone_smic", appauthor=False) / "demo"


def run_demo(
    directory: Path | None = None,
    *,
    items: int = 2000,
    regenerate: int = 64,
    seed: int = 0,
    app: bool = False,
) -> dict[str, Any]:
    """Draw a collection, compress it in FiftyOne, draw part of it again from the archive alone.

    Running it again replaces its results; postcards that are drawn already are kept.

    Args:
        directory: where everything goes; None takes :func:`default_directory`.
        items: number of postcards.
        regenerate: how many of them are drawn again.
        seed: which collection, and of all randomness after it.
        app: open the FiftyOne App at the end and wait until it is closed.

    Returns:
        What is written to ``report.json``.

    Raises:
        ValueError: FiftyOne has a dataset of the demo's name that the demo did not make.
    """
    import fiftyone as fo

    from fiftyone_smic import fiftyone as smic

    if fo.dataset_exists(DATASET) and not fo.load_dataset(DATASET).info.get("smic_demo"):
        raise ValueError(f"there is another dataset {DATASET!r}: rename or delete it first")
    directory = Path(directory or default_directory()).expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True)
    print(f"{NOTICE}\nEverything goes to {directory}\n")

    seconds: dict[str, float] = {}
    with stage("Drawing postcards", seconds, "collection") as progress:
        dataset = smic.load_postcards(
            items,
            name=DATASET,
            directory=directory / "postcards",
            seed=seed,
            persistent=True,
            overwrite=True,
            progress=progress,
        )
        dataset.info["smic_demo"] = True
        dataset.save()
    with stage("CLIP latents of the images", seconds, "latents") as progress:
        smic.compute_latents(dataset, LATENTS_FIELD, progress=progress)
    with stage("Learning the dictionary", seconds, "dictionary") as progress:
        smic.learn_dictionary(dataset, KEY, LATENTS_FIELD, seed=seed, progress=progress)
    with stage("Codes into sample fields", seconds, "codes") as progress:
        encoded = smic.encode(dataset, KEY, progress=progress)
    archive = directory / "postcards.smic"
    with stage("Writing the archive", seconds, "archive"):
        rate = smic.export_archive(dataset, KEY, archive)
    pictures, pixels = _draw_again(dataset, archive, directory, regenerate, seed, seconds)
    with stage("JPEG, WebP and AVIF to compare", seconds, "baselines") as progress:
        paths = dataset.values("filepath")
        baselines = image_baselines(paths, progress=progress)
    with stage("Map of samples and atoms (UMAP)", seconds, "map") as progress:
        atoms = smic.visualize_atoms(dataset, KEY, seed=seed, progress=progress)
        atoms.save(directory / "atoms.png")

    original = baselines.pop("original")
    baselines["float32_latents"] = 4 * rate.items * len(dataset.first()[LATENTS_FIELD])
    report = {
        "items": rate.items,
        "pixels_per_item": pixels,
        "original_bytes": original,
        "archive_bytes": archive.stat().st_size,
        "payload_bits": rate.payload_bits,
        "dictionary_bits": rate.dictionary_bits,
        "header_bits": rate.header_bits,
        "bits_per_item": rate.bits_per_item,
        "bits_per_pixel": rate.bits_per_pixel(pixels),
        "explained_variance": encoded.fidelity.explained_variance,
        "centred_cosine": encoded.fidelity.centred_cosine,
        "cosine": encoded.fidelity.cosine,
        "recall_at_10": encoded.fidelity.recall_at_10,
        "atoms": len(atoms.atoms),
        "regenerated": pictures,
        "baselines": baselines,
        "seconds": {**seconds, "total": round(sum(seconds.values()), 2)},
        "notice": NOTICE,
    }
    (directory / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print("\n" + size_table(rate, {"original": original, **baselines}, pixels, encoded.fidelity))
    print(_closing(directory, len(atoms.atoms), round(sum(seconds.values()), 2)))
    if app:
        _open_app(dataset)
    return report


def _draw_again(
    dataset: Any,
    archive: Path,
    directory: Path,
    count: int,
    seed: int,
    seconds: dict[str, float],
) -> tuple[int, float]:
    """Draw ``count`` items, spread over the collection, from the archive and nothing else.

    Returns:
        How many were drawn, and the mean number of pixels of an original.
    """
    from fiftyone_smic.archive import read_archive
    from fiftyone_smic.fiftyone.pictures import register_pictures
    from fiftyone_smic.models.generators import load_generator

    with stage("Reading the archive back", seconds, "read"):
        content = read_archive(archive)
        latents = content.latents()
    count = min(count, len(latents))
    chosen = [i * len(latents) // count for i in range(count)]
    with stage(f"Drawing {count} images from it", seconds, "regenerate") as progress:
        generator = load_generator(encoder=content.encoder)
        images = generator.generate(
            latents[chosen],
            norm=content.latent_norm,
            seeds=[seed + i for i in chosen],
            progress=progress,
        )
    folder = directory / "regenerated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = [folder / f"{i:06d}.png" for i in chosen]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    # From here on the originals are used again: to look at both, not to draw.
    ids, paths = dataset.values(["id", "filepath"])
    originals = [load_image(paths[i]) for i in chosen]
    contact_sheet(originals, images, columns=16).save(directory / "contact-sheet.png")
    register_pictures(dataset, KEY, [ids[i] for i in chosen], [str(file) for file in files])
    return count, float(content.pixels_per_item or 0)


def _closing(directory: Path, atoms: int, total: float) -> str:
    return f"""
{atoms} atoms were learned. {total:.0f} s in all. In {directory}:
    report.json         every number above, and the seconds of each stage
    contact-sheet.png   originals, and below each what was drawn from the archive
    atoms.png           samples and atoms on one map
    postcards.smic      the archive

To look at it in the FiftyOne App, with the plugin (panel "SMIC", and its operators in the menu):
    {_command("fiftyone-smic")} install-plugin
    {_command("fiftyone")} app launch {DATASET}

{NOTICE}"""


def _command(name: str) -> str:
    """How a user calls a command of this environment: by name if that finds it, else by path."""
    here = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    by_name = not here.exists() or (found is not None and Path(found).samefile(here))
    return name if by_name else str(here)


def _open_app(dataset: Any) -> None:
    import fiftyone as fo

    from fiftyone_smic.fiftyone.plugin import install_plugin

    print(f"\nThe plugin is installed in {install_plugin()}. Ctrl+C ends the App.")
    session = fo.launch_app(dataset, address="127.0.0.1")
    session.wait(-1)
