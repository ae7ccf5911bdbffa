"""Commands on ``.smic`` files: compress, append, decompress, info."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fiftyone_smic.cli.application import (
    BatchSize,
    Device,
    Json,
    Precision,
    PriorFile,
    Workers,
    app,
)

if TYPE_CHECKING:
    from fiftyone_smic.pipelines.census import Census


@app.command()
def compress(
    folder: Annotated[Path, typer.Argument(help="The images, with subfolders.")],
    archive: Annotated[Path, typer.Argument(help="The .smic file to write.")],
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="MODEL/PRETRAINED of open_clip, photographs, postcards, local-dir:/path or "
            "zoo:NAME; by default what suits the pictures."
        ),
    ] = None,
    lam: Annotated[float, typer.Option(help="More means fewer bits and less fidelity.")] = 0.002,
    atoms: Annotated[int, typer.Option(help="Size of the dictionary; 0 follows the set.")] = 0,
    names: Annotated[bool, typer.Option(help="Keep the names of the files.")] = True,
    device: Device = None,
    precision: Precision = "fp32",
    batch_size: BatchSize = 32,
    workers: Workers = 0,
    prior: PriorFile = None,
    distortion: Annotated[
        bool,
        typer.Option(
            "--distortion",
            help="Keep how much of each image its code leaves out, in about 4 bits: curation "
            "of the file finds more with it.",
        ),
    ] = False,
    keep: Annotated[
        str,
        typer.Option(
            help="What the bits are spent on first: everything, or words, by which searches by "
            "text find more."
        ),
    ] = "everything",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Compress a folder of images to one .smic file. FiftyOne is not needed."""
    from fiftyone_smic.pipelines import compress_folder
    from fiftyone_smic.pipelines.report import size_table

    if archive.is_file() and not overwrite:
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
        distortion=distortion,
        keep=keep,
    )
    if json:
        _print_json(
            census=done.census.as_dict(),
            rate=asdict(done.rate),
            fidelity=asdict(done.fidelity),
            original_bytes=done.original_bytes,
            pixels_per_item=done.pixels_per_item,
            encoder=done.encoder,
            resumed=done.resumed,
            seconds=done.seconds,
            notice=done.notice,
            advice=done.advice,
        )
        return
    baselines = {"original": done.original_bytes}
    typer.echo("\n" + size_table(done.rate, baselines, done.pixels_per_item, done.fidelity))
    _say_census(done.census)
    if done.failures:
        count = f"{done.rate.items} images compressed, {len(done.failures)} skipped"
        typer.echo(count, err=True)
    for said in (done.notice, done.advice):
        if said:
            typer.echo(f"\n{said}")


@app.command()
def append(
    folder: Annotated[Path, typer.Argument(help="The images, with subfolders.")],
    archive: Annotated[Path, typer.Argument(help="The .smic file to add them to.")],
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="The archive's own, as for compress; needed if it is a local folder."),
    ] = None,
    assume_new: Annotated[
        bool,
        typer.Option(
            "--assume-new",
            help="Add images whose names cannot tell: all of them if the archive has no names, "
            "those in subfolders if its names have no folders.",
        ),
    ] = False,
    device: Device = None,
    precision: Precision = "fp32",
    batch_size: BatchSize = 32,
    workers: Workers = 0,
    prior: PriorFile = None,
    keep: Annotated[
        str,
        typer.Option(help="As for compress; the file does not say what it was compressed to keep."),
    ] = "everything",
    json: Json = False,
) -> None:
    """Add the images that a .smic file does not have yet, with the dictionary it has."""
    from fiftyone_smic.pipelines import NothingNew, append_folder

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
            keep=keep,
            assume_new=assume_new,
        )
    except NothingNew as nothing:  # what a nightly job finds on most nights is no error
        if json:
            _print_json(census=nothing.census.as_dict(), items=0, known=nothing.known)
            return
        typer.echo(nothing)
        _say_census(nothing.census)
        return
    if json:
        _print_json(
            census=done.census.as_dict(),
            items=done.items,
            bits_per_item=done.bits_per_item,
            known=done.known,
            known_by_file_name=done.known_by_file_name,
            centred_cosine=done.centred_cosine,
            rate=asdict(done.rate),
            notice=done.notice,
        )
        return
    typer.echo(
        f"\n{done.items} images added with {done.bits_per_item:.1f} bits each: {archive} has "
        f"{done.rate.items} in {done.rate.total_bytes:,} bytes\n"
        f"{done.known} were there already, by their names; centred cosine of the new ones "
        f"{done.centred_cosine:.3f}"
    )
    if done.known_by_file_name:
        typer.echo(
            f"{len(done.known_by_file_name)} of them were recognised by their file names alone, "
            "for the archive's names have no folders: pass --assume-new if they are new"
        )
    _say_census(done.census)
    if done.notice:
        typer.echo(f"\n{done.notice}")


@app.command()
def decompress(
    archive: Annotated[Path, typer.Argument(help="A .smic file.")],
    folder: Annotated[
        Path, typer.Argument(help="Where the pictures go: new, empty, or left unfinished.")
    ],
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Name, local directory, or nearest; by default what fits the encoder."),
    ] = None,
    gallery: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="For --generator nearest: the pictures to answer with."),
    ] = None,
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="For a gallery: the archive's encoder, if it is a local folder."),
    ] = None,
    items: Annotated[
        str, typer.Option(help="Only these, counted from 0: 10:20, :3, 1000: or 7.")
    ] = ":",
    seed: Annotated[int, typer.Option(help="Seed of the noise; image i uses seed + i.")] = 0,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Denoising steps; by default the generator's."),
    ] = None,
    guidance: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Scale of the guidance; by default the generator's."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures per pass.")] = 8,
    device: Device = None,
    prior: PriorFile = None,
    json: Json = False,
) -> None:
    """Draw the images of a .smic file again.

    Nothing else of the collection is needed, but the prior if the archive was made with one of
    yours. A run that was interrupted goes on when the same command is given again.
    """
    from fiftyone_smic.pipelines import decompress_archive
    from fiftyone_smic.pipelines.decompress import NAMES

    start, stop = _range(items)
    done = decompress_archive(
        archive,
        folder,
        generator=generator,
        gallery=gallery,
        encoder=encoder,
        start=start,
        stop=stop,
        seed=seed,
        steps=steps,
        guidance=guidance,
        batch_size=batch_size,
        device=device,
        prior=prior,
    )
    if json:
        _print_json(
            pictures=len(done.paths),
            folder=str(folder),
            generator=done.generator,
            resumed=done.resumed,
            renamed=done.renamed,
            seconds=done.seconds,
            notice=done.notice,
        )
        return
    typer.echo(f"\n{len(done.paths)} images drawn by {done.generator} into {folder}")
    if done.resumed:
        typer.echo(f"{done.resumed} of them were there from an earlier run")
    if done.renamed:
        typer.echo(f"{len(done.renamed)} have other names than in the archive: see {NAMES}")
    if done.notice:
        typer.echo(f"\n{done.notice}")


@app.command()
def info(
    archive: Annotated[Path, typer.Argument(help="A .smic file.")], json: Json = False
) -> None:
    """Say what a .smic file holds."""
    from fiftyone_smic.archive.info import archive_info

    content = archive_info(archive)
    if json:
        _print_json(**content)
        return
    for name, value in content.items():
        typer.echo(f"{name.replace('_', ' '):<22}{value}")


def _range(items: str) -> tuple[int, int | None]:
    """``"10:20"``, ``":3"``, ``"1000:"`` or ``"7"`` as first item and item after the last."""
    first, colon, last = items.partition(":")
    try:
        start = int(first or 0)
        stop = (int(last) if last else None) if colon else start + 1
    except ValueError:
        raise ValueError(f"--items takes a range as 10:20 or a number, not {items!r}") from None
    return start, stop


def _say_census(census: Census) -> None:
    """Say what was left out, and on standard error what could not be read."""
    if census.left_out:
        typer.echo("\n" + "\n".join(census.lines()))
    for path, reason in census.unreadable.items():
        typer.echo(f"skipped {census.name(path)}: {reason}", err=True)


def _print_json(**content: Any) -> None:
    typer.echo(dumps(content, default=str))
