"""The command ``fiftyone-smic``. Everything heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    help="Compress image collections by their meaning: CLIP latents, a dictionary, unCLIP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
postcards = typer.Typer(help="The drawn collection the embedded models were trained on.")
app.add_typer(postcards, name="postcards", no_args_is_help=True)
prior = typer.Typer(help="What is public about an encoder's latents, so that no archive says it.")
app.add_typer(prior, name="prior", no_args_is_help=True)

PriorFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--prior", help="A prior's file; by default the one shipped for the encoder."),
]
Device = Annotated[
    Optional[str],  # noqa: UP045 (typer evaluates it, on Python 3.10 too)
    typer.Option(help="As PyTorch writes it; by default cuda, else mps, else cpu."),
]


@app.command()
def demo(
    directory: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--dir", help="Where everything goes; by default the user's cache folder."),
    ] = None,
    items: Annotated[int, typer.Option(help="Number of postcards.", min=20)] = 2000,
    regenerate: Annotated[int, typer.Option(help="How many to draw again.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Which collection.", min=0)] = 0,
    app: Annotated[bool, typer.Option("--app", help="Open the FiftyOne App afterwards.")] = False,
) -> None:
    """The whole way once: draw a collection, compress it, draw it again from the archive."""
    from fiftyone_smic.fiftyone.demo import run_demo

    run_demo(directory, items=items, regenerate=regenerate, seed=seed, app=app)


@app.command()
def compress(
    folder: Annotated[Path, typer.Argument(help="Images, with subfolders.")],
    archive: Annotated[Path, typer.Argument(help="The .smic file to write.")],
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="MODEL/PRETRAINED of open_clip, photographs, postcards, local-dir:/path or "
            "zoo:NAME; by default what suits the pictures."
        ),
    ] = None,
    lam: Annotated[float, typer.Option(help="More means fewer bits, less fidelity.")] = 0.002,
    atoms: Annotated[int, typer.Option(help="Size of the dictionary; 0 follows the set.")] = 0,
    names: Annotated[bool, typer.Option(help="Keep the files' names.")] = True,
    device: Device = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or bf16.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 32,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    prior: PriorFile = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Compress a folder of images to one .smic file. Needs no FiftyOne."""
    from fiftyone_smic.pipelines.folders import compress_folder
    from fiftyone_smic.pipelines.report import size_table

    if archive.exists() and not overwrite:
        raise FileExistsError(f"{archive} exists: choose another name or pass --overwrite")
    done = compress_folder(
        folder,
        archive,
        encoder=encoder,
        lam=lam,
        n_atoms=atoms or "auto",
        names=names,
        device=device,
        precision=precision,
        batch_size=batch_size,
        num_workers=workers,
        prior=prior,
    )
    items = done.rate.items
    baselines = {"original": done.original_bytes}
    typer.echo("\n" + size_table(done.rate, baselines, done.pixels_per_item, done.fidelity))
    _say_skipped(done.failures)
    if done.failures:
        typer.echo(f"{items} images compressed, {len(done.failures)} skipped", err=True)
    if done.notice:
        typer.echo(f"\n{done.notice}")


@app.command()
def append(
    folder: Annotated[Path, typer.Argument(help="Images, with subfolders.")],
    archive: Annotated[Path, typer.Argument(help="The .smic file to add them to.")],
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The archive's own, as for compress; needed if it is a local folder."),
    ] = None,
    device: Device = None,
    precision: Annotated[str, typer.Option(help="fp32, fp16 or bf16.")] = "fp32",
    batch_size: Annotated[int, typer.Option(help="Images per pass.")] = 32,
    workers: Annotated[int, typer.Option(help="Processes that read images.")] = 0,
    prior: PriorFile = None,
) -> None:
    """Add the images that a .smic file does not have yet, with the dictionary it has."""
    from fiftyone_smic.pipelines.folders import NothingNew, append_folder

    try:
        done = append_folder(
            folder,
            archive,
            encoder=encoder,
            device=device,
            precision=precision,
            batch_size=batch_size,
            num_workers=workers,
            prior=prior,
        )
    except NothingNew as nothing:  # what a nightly job finds on most nights is no error
        typer.echo(nothing)
        return
    typer.echo(
        f"\n{done.items} images added with {done.bits_per_item:.1f} bits each: {archive} has "
        f"{done.rate.items} in {done.rate.total_bytes:,} bytes\n"
        f"{done.known} were there already, by their names; centred cosine of the new ones "
        f"{done.centred_cosine:.3f}"
    )
    _say_skipped(done.failures)
    if done.notice:
        typer.echo(f"\n{done.notice}")


@app.command()
def decompress(
    archive: Annotated[Path, typer.Argument(help="A .smic file.")],
    folder: Annotated[Path, typer.Argument(help="Where the pictures go; new or empty.")],
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Hub name or local directory; by default what fits the encoder."),
    ] = None,
    items: Annotated[
        str, typer.Option(help="Only these, counted from 0: 10:20, :3, 1000: or 7.")
    ] = ":",
    seed: Annotated[int, typer.Option(help="Of the noise; image i uses seed + i.")] = 0,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Denoising steps; by default the generator's."),
    ] = None,
    guidance: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Guidance; by default the generator's."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures per pass.")] = 8,
    device: Device = None,
    prior: PriorFile = None,
) -> None:
    """Draw the images of a .smic file again, from it and nothing else (and the prior, if it was
    made with one of yours)."""
    from fiftyone_smic.pipelines.folders import decompress_archive

    start, stop = _range(items)
    done = decompress_archive(
        archive,
        folder,
        generator=generator,
        start=start,
        stop=stop,
        seed=seed,
        steps=steps,
        guidance=guidance,
        batch_size=batch_size,
        device=device,
        prior=prior,
    )
    typer.echo(f"\n{len(done.paths)} images drawn by {done.generator} into {folder}")
    if done.notice:
        typer.echo(f"\n{done.notice}")


@app.command()
def info(
    archive: Annotated[Path, typer.Argument(help="A .smic file.")],
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Say what a .smic file holds."""
    from json import dumps

    from fiftyone_smic.archive.info import archive_info

    content = archive_info(archive)
    if json:
        typer.echo(dumps(content, default=str))
        return
    for name, value in content.items():
        typer.echo(f"{name.replace('_', ' '):<22}{value}")


@app.command("install-plugin")
def install_plugin(
    remove: Annotated[bool, typer.Option("--remove", help="Take it out again.")] = False,
    plugins_dir: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="By default the one FiftyOne is configured with."),
    ] = None,
) -> None:
    """Make the FiftyOne App find the plugin (or, with --remove, forget it)."""
    from fiftyone_smic.fiftyone import plugin

    if remove:
        removed = plugin.remove_plugin(plugins_dir)
        typer.echo("The plugin is removed." if removed else "The plugin was not installed.")
    else:
        typer.echo(f"The plugin is installed in {plugin.install_plugin(plugins_dir)}")
        typer.echo("An App that is open finds it when it is started again.")


@app.command()
def doctor(
    fix: Annotated[bool, typer.Option("--fix", help="Install what can be installed.")] = False,
) -> None:
    """Check what the rest needs: a MongoDB for FiftyOne, diffusers for drawing, the plugin."""
    from importlib.util import find_spec

    from fiftyone_smic.fiftyone import plugin
    from fiftyone_smic.models.devices import default_device

    mongod = plugin.ensure_mongod() if fix else plugin.find_mongod()
    typer.echo(f"mongod      {mongod or 'missing: run fiftyone-smic doctor --fix'}")
    drawing = find_spec("diffusers") is not None
    lacking = "missing: pip install 'fiftyone_smic[generate]'"
    typer.echo(f"diffusers   {'installed' if drawing else lacking}")
    typer.echo(f"device      {default_device()}")
    found = plugin.installed_plugin()
    typer.echo(f"plugin      {found or 'not installed: run fiftyone-smic install-plugin'}")
    if mongod is None:
        raise typer.Exit(1)


@prior.command("build")
def build_prior(
    latents: Annotated[list[Path], typer.Argument(help="(N, d) .npy files of one encoder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
) -> None:
    """Learn a prior from latents that are public or of other collections."""
    import numpy as np

    from fiftyone_smic.dictionary.priors import Prior

    arrays = [np.load(path, allow_pickle=False) for path in latents]
    if len({array.shape[1:] for array in arrays}) > 1 or arrays[0].ndim != 2:
        shapes = ", ".join(f"{p}: {a.shape}" for p, a in zip(latents, arrays, strict=True))
        raise ValueError(f"latents must be (N, d) arrays of the same d, not {shapes}")
    built = Prior.build(np.concatenate(arrays))
    built.save(output)
    typer.echo(
        f"prior {built.hash} of {sum(map(len, arrays)):,} latents: {output}, "
        f"{output.stat().st_size:,} bytes. Archives made with it need it to be read."
    )


@postcards.command("draw")
def draw_postcards(
    count: Annotated[int, typer.Argument(help="How many.", min=1)],
    folder: Annotated[Path, typer.Argument(help="Where they go.")],
    size: Annotated[int, typer.Option(help="Width and height in pixels.")] = 128,
    seed: Annotated[int, typer.Option(help="Which collection.", min=0)] = 0,
) -> None:
    """Draw postcards into a folder, with their captions in captions.jsonl."""
    from fiftyone_smic.pipelines.report import stage
    from fiftyone_smic.postcards.draw import write_collection

    with stage("Drawing postcards", {}, "draw") as progress:
        paths = write_collection(folder, count, size=size, seed=seed, progress=progress)
    typer.echo(f"{len(paths)} postcards in {folder}")


def _range(items: str) -> tuple[int, int | None]:
    """``"10:20"``, ``":3"``, ``"1000:"`` or ``"7"`` as first item and item after the last."""
    first, colon, last = items.partition(":")
    try:
        start = int(first or 0)
        stop = (int(last) if last else None) if colon else start + 1
    except ValueError:
        raise ValueError(f"--items takes a range as 10:20 or a number, not {items!r}") from None
    return start, stop


def _say_skipped(failures: dict[Path, str]) -> None:
    for path, reason in failures.items():
        typer.echo(f"skipped {path}: {reason}", err=True)


def main() -> None:
    """Run the command; what a user can act on is one line, not a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ImportError, RuntimeError) as error:
        what = str(error)
        if isinstance(error, OSError) and error.filename and error.strerror:
            what = f"{error.filename2 or error.filename}: {error.strerror}"
        typer.echo(f"error: {what}", err=True)
        sys.exit(1)
