"""The whole way once: what ``make demo`` runs.

The collection is one that this package draws itself, or a folder of the user's own pictures.
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
#: Of a folder of one's own pictures.
IMAGES_DATASET = "smic-demo-images"
#: What must be known of pictures that the generator ``nearest`` gives.
NEAREST_NOTICE = (
    "No generator for photographs is small enough to come with this package, so each picture is "
    "answered with the most similar other picture of the folder. The documents say, under "
    "Generators, how to draw photographs."
)


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
    images: Path | None = None,
) -> dict[str, Any]:
    """Compress a collection in FiftyOne, and draw part of it again from the archive alone.

    Running it again replaces its results; postcards that are drawn already are kept. Of one's own
    pictures nothing is changed or copied. They are encoded by the encoder ``photographs`` if its
    extra is installed, else by the CLIP model that is the best compromise, and instead of drawing,
    which needs large models, the generator ``nearest`` answers with the most similar other picture.

    Args:
        directory: Where everything goes; None takes :func:`default_directory`.
        items: Number of postcards, or of pictures of the folder at most.
        regenerate: How many of them are drawn again.
        seed: Which collection, and the seed of all randomness after it.
        app: Open the FiftyOne App at the end and wait until it is closed.
        images: A folder of pictures, searched with its subfolders; None draws postcards.

    Returns:
        What is written to ``report.json``.

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
    with stage("CLIP latents of the images", seconds, "latents") as progress:
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
    """At most so many pictures of a folder, spread over it; what is left out is said."""
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

    The generator ``nearest`` of one's own pictures needs those too, and never answers with the
    picture itself.

    Returns:
        How many were drawn, and the mean number of pixels of an original.
    """
    from fiftyone_smic.archive import read_archive
    from fiftyone_smic.fiftyone.codes import read_codes
    from fiftyone_smic.fiftyone.latents import read_latents
    from fiftyone_smic.fiftyone.pictures import register_pictures
    from fiftyone_smic.models.generators import load_generator

    with stage("Reading the archive back", seconds, "read"):
        content = read_archive(archive)
        latents = content.latents()
        ids, paths, _ = read_codes(dataset, KEY, int(content.dictionary.n_atoms_))
    count = min(count, len(latents))
    chosen = [i * len(latents) // count for i in range(count)]
    with stage(f"Drawing {count} images from it", seconds, "regenerate") as progress:
        if dataset.name == IMAGES_DATASET:
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
    # From here on the originals are used again: to look at both, not to draw.
    originals = [load_image(paths[i]) for i in chosen]
    contact_sheet(originals, images, columns=16).save(directory / "contact-sheet.png")
    register_pictures(dataset, KEY, [ids[i] for i in chosen], [str(file) for file in files])
    return count, float(content.pixels_per_item or 0)


def _closing(
    directory: Path, archive: Path, name: str, notice: str, atoms: int, total: float
) -> str:
    return f"""
{atoms} atoms were learned. {total:.0f} s in all. In {directory}:
    report.json         every number above, and the seconds of each stage
    contact-sheet.png   originals, and below each what was drawn from the archive
    atoms.png           samples and atoms on one map
    {archive.name:<19} the archive

To look at it in the FiftyOne App, with the plugin (panel "SMIC", and its operators in the menu):
    {_command("fiftyone-smic")} install-plugin
    {_command("fiftyone")} app launch {name}

{notice}"""


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
