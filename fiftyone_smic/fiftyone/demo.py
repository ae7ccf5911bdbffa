"""The demonstration that ``make demo`` runs: from pictures to an archive and back.

The collection is drawn by this package, or it is a folder of the user's own pictures.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from fiftyone_smic.fiftyone import runs
from fiftyone_smic.models.embedded import NOTICE
from fiftyone_smic.models.encoders import EMBEDDED, default_encoder
from fiftyone_smic.models.images import load_image
from fiftyone_smic.pipelines.census import take_census
from fiftyone_smic.pipelines.image_codecs import image_baselines
from fiftyone_smic.pipelines.report import contact_sheet, size_table, stage
from fiftyone_smic.utils.defaults import KEY, LATENTS_FIELD

DATASET = "smic-demo"
#: Name of the dataset of a folder of the user's own pictures.
IMAGES_DATASET = "smic-demo-images"
#: What a user must know about pictures from the generator ``nearest``.
NEAREST_NOTICE = (
    "No generator for photographs is small enough to come with this package, so each picture is "
    "answered with the most similar other picture of the folder. The documents say, under "
    "Generators, how to draw photographs."
)


def default_directory() -> Path:
    """Return the folder ``demo`` in this package's cache folder, which the system chooses."""
    from platformdirs import user_cache_path

    return user_cache_path("fiftyone_smic", appauthor=False) / "demo"


def run_demo(
    directory: Path | None = None,
    *,
    items: int = 2000,
    regenerate: int = 64,
    seed: int = 0,
    app: bool = False,
    images: Path | None = None,
) -> dict[str, Any]:
    """Compress a collection in FiftyOne, and draw part of it again from the archive alone.

    Running it again replaces its results and keeps postcards that exist. The user's own pictures
    are neither changed nor copied. They are encoded by the encoder ``photographs`` if its extra is
    installed, and by the default CLIP model otherwise. Drawing photographs needs large models, so
    the generator ``nearest`` answers with the most similar other picture instead.

    Args:
        directory: Folder for all results; None takes :func:`default_directory`.
        items: Number of postcards, or largest number of pictures from the folder.
        regenerate: Number of pictures to draw again.
        seed: Seed of the collection and of all randomness.
        app: Open the FiftyOne App at the end and wait until it is closed.
        images: A folder of pictures, searched with its subfolders; None draws postcards.

    Returns:
        The content of ``report.json``.

    Raises:
        ValueError: FiftyOne has a dataset of the demo's name that the demo did not make, or the
            folder has fewer than two pictures.
        NotADirectoryError: There is no such folder of pictures.
    """
    import fiftyone as fo

    from fiftyone_smic import fiftyone as smic

    name = IMAGES_DATASET if images else DATASET
    if fo.dataset_exists(name) and not fo.load_dataset(name).info.get("smic_demo"):
        raise ValueError(f"there is another dataset {name!r}: rename or delete it first")
    own = _pictures_of(images, items) if images else []
    directory = Path(directory or default_directory()).expanduser().resolve()
    directory.mkdir(parents=True, exist_ok=True)
    notice = NEAREST_NOTICE if images else NOTICE
    print(f"{notice}\nEverything goes to {directory}\n")

    seconds: dict[str, float] = {}
    label = "Reading the folder" if images else "Drawing postcards"
    with stage(label, seconds, "collection") as progress:
        if images:
            dataset = fo.Dataset(name, persistent=True, overwrite=True)
            dataset.add_samples([fo.Sample(str(path)) for path in own], progress=False)
        else:
            dataset = smic.load_postcards(
                items,
                name=name,
                directory=directory / "postcards",
                seed=seed,
                persistent=True,
                overwrite=True,
                progress=progress,
            )
        dataset.info["smic_demo"] = True
        dataset.save()
    encoder = default_encoder(own) if images else EMBEDDED
    with stage("Latents of the images", seconds, "latents") as progress:
        smic.compute_latents(dataset, LATENTS_FIELD, encoder, progress=progress)
    with stage("Learning the dictionary", seconds, "dictionary") as progress:
        smic.learn_dictionary(dataset, KEY, LATENTS_FIELD, seed=seed, progress=progress)
    with stage("Codes into sample fields", seconds, "codes") as progress:
        encoded = smic.encode(dataset, KEY, progress=progress)
    archive = directory / ("images.smic" if images else "postcards.smic")
    with stage("Writing the archive", seconds, "archive"):
        rate = smic.export_archive(dataset, KEY, archive)
    pictures, pixels = _draw_again(dataset, archive, directory, regenerate, seed, seconds)
    with stage("JPEG, WebP and AVIF to compare", seconds, "baselines") as progress:
        paths = dataset.exists(LATENTS_FIELD).values("filepath")
        baselines = image_baselines(paths, progress=progress)
    with stage("Map of samples and atoms (UMAP)", seconds, "map") as progress:
        atoms = smic.visualize_atoms(dataset, KEY, seed=seed, progress=progress)
        atoms.save(directory / "atoms.png")

    original = baselines.pop("original")
    baselines["float32_latents"] = 4 * rate.items * runs.load_config(dataset, KEY).dim
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
        "notice": notice,
    }
    (directory / "report.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print("\n" + size_table(rate, {"original": original, **baselines}, pixels, encoded.fidelity))
    print(_closing(directory, archive, name, notice, len(atoms.atoms), sum(seconds.values())))
    if app:
        _open_app(dataset)
    return report


def _pictures_of(folder: Path, most: int) -> list[Path]:
    """Return at most ``most`` pictures spread over a folder, and print what is left out."""
    found = take_census(folder)
    print("\n".join(found.lines()))
    if len(found.images) < 2:
        raise ValueError(f"{folder} has {len(found.images)} pictures; a dictionary needs two")
    n = min(most, len(found.images))
    return [found.images[i * len(found.images) // n].resolve() for i in range(n)]


def _draw_again(
    dataset: Any,
    archive: Path,
    directory: Path,
    count: int,
    seed: int,
    seconds: dict[str, float],
) -> tuple[int, float]:
    """Draw ``count`` items, spread over the collection, from the archive and nothing else.

    For the user's own pictures the generator ``nearest`` also needs the other pictures. It never
    answers with the picture itself.

    Returns:
        The number of pictures drawn, and the mean number of pixels of an original.
    """
    from fiftyone_smic.archive import read_archive
    from fiftyone_smic.fiftyone.codes import read_codes
    from fiftyone_smic.fiftyone.latents import read_latents
    from fiftyone_smic.fiftyone.pictures import register_pictures
    from fiftyone_smic.fiftyone.places import place_of
    from fiftyone_smic.models.generators import load_generator

    with stage("Reading the archive back", seconds, "read"):
        content = read_archive(archive)
        latents = content.latents()
        ids, paths, _ = read_codes(dataset, KEY, int(content.dictionary.n_atoms_))
    count = min(count, len(latents))
    chosen = [i * len(latents) // count for i in range(count)]
    nearest = dataset.name == IMAGES_DATASET
    doing = (
        f"Answering {count} codes with pictures" if nearest else f"Drawing {count} images from it"
    )
    with stage(doing, seconds, "regenerate") as progress:
        if nearest:
            gallery = (read_latents(dataset.select(ids), LATENTS_FIELD).values, paths)
            generator = load_generator("nearest", encoder=content.encoder, gallery=gallery)
        else:
            generator = load_generator(encoder=content.encoder)
        images = generator.generate(
            latents[chosen],
            norm=content.latent_norm,
            seeds=[seed + i for i in chosen],
            exclude=[paths[i] for i in chosen],
            progress=progress,
        )
    folder = directory / "regenerated"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = [folder / f"{i:06d}.png" for i in chosen]
    for file, image in zip(files, images, strict=True):
        image.save(file)
    # The originals are used from here on only to show them beside the drawn pictures.
    originals = [load_image(paths[i]) for i in chosen]
    contact_sheet(originals, images, columns=16).save(directory / "contact-sheet.png")
    register_pictures(
        place_of(dataset, KEY, None), [ids[i] for i in chosen], [str(file) for file in files]
    )
    return count, float(content.pixels_per_item or 0)


def _closing(
    directory: Path, archive: Path, name: str, notice: str, atoms: int, total: float
) -> str:
    shown = (
        "the picture that answers for its code"
        if name == IMAGES_DATASET
        else "what was drawn from the archive"
    )
    return f"""
{atoms} atoms were learned. {total:.0f} s in all. In {directory}:
    report.json         every number above, and the seconds of each stage
    contact-sheet.png   originals, and below each {shown}
    atoms.png           samples and atoms on one map
    {archive.name:<19} the archive

To look at it in the FiftyOne App, with the plugin (panel "SMIC", and its operators in the menu):
    {_command("fiftyone-smic")} install-plugin
    {_command("fiftyone")} app launch {name}

{notice}"""


def _command(name: str) -> str:
    """Return how to call a command of this environment: by name if that works, else by path."""
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
