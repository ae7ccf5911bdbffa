"""Commands that run on a Ray cluster."""

from __future__ import annotations

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from fiftyone_smic.cli.application import BatchSize, Device, Json, Precision, PriorFile, app

cluster = typer.Typer(
    help="Collections larger than one machine, on Ray, which comes with the extra 'cluster'."
)
app.add_typer(cluster, name="cluster", no_args_is_help=True)

Address = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Of the Ray cluster, or auto; by default a Ray on this machine is started."),
]
Local = Annotated[bool, typer.Option("--local", help="Do all of it in this process, without Ray.")]


@cluster.command("compress")
def compress(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder, file or URL of pictures, tars of pictures, or shards of latents "
            "(.parquet, .npy, .lance); or dataset:NAME, a FiftyOne dataset with latents."
        ),
    ],
    archive: Annotated[Path, typer.Argument(help="The .smic file to write.")],
    column: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column or field of the latents; by default latent or clip_latents."),
    ] = None,
    name_column: Annotated[
        str, typer.Option(help="Column of the names, if there is one; '' for none.")
    ] = "name",
    encoder: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="As for compress; for latents, the encoder that made them."),
    ] = None,
    lam: Annotated[float, typer.Option(help="More means fewer bits and less fidelity.")] = 0.002,
    atoms: Annotated[int, typer.Option(help="Size of the dictionary; 0 follows the set.")] = 0,
    passes: Annotated[int, typer.Option(help="Passes over all items that improve it.")] = 3,
    names: Annotated[bool, typer.Option(help="Keep the names.")] = True,
    distortion: Annotated[
        bool, typer.Option("--distortion", help="Keep what each code leaves out, in about 4 bits.")
    ] = False,
    keep: Annotated[str, typer.Option(help="As for compress: everything or words.")] = "everything",
    device: Device = None,
    precision: Precision = "fp32",
    batch_size: BatchSize = 32,
    prior: PriorFile = None,
    work: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Folder or URL that every node reaches, in which finished pieces lie in "
            "ARCHIVE.part; by default the archive's folder."
        ),
    ] = None,
    address: Address = None,
    local: Local = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
    json: Json = False,
) -> None:
    """Compress a source of any size to one .smic file."""
    from fiftyone_smic.cluster import compress as run

    if archive.is_file() and not overwrite:
        raise FileExistsError(f"{archive} exists: choose another name or pass --overwrite")
    settings: dict[str, Any] = {
        "lam": lam,
        "n_atoms": atoms or "auto",
        "passes": passes,
        "names": names,
        "distortion": distortion,
        "keep": keep,
        "prior": prior,
        "work": work,
        "address": address,
        "local": local,
    }
    scheme, _, name = source.partition("dataset:")
    if name and not scheme:
        from fiftyone_smic.fiftyone.large import compress_large

        done = compress_large(_dataset(name), archive, latents_field=column, **settings)
    else:
        done = run(
            source,
            archive,
            column=column or "latent",
            name_column=name_column,
            encoder=encoder,
            device=device,
            precision=precision,
            batch_size=batch_size,
            **settings,
        )
    if json:
        typer.echo(dumps(asdict(done), indent=1))
        return
    rate = done.rate
    typer.echo(
        f"{rate.items:,} items, {done.n_atoms:,} atoms: {rate.total_bytes:,} bytes, "
        f"{rate.bits_per_item:.2f} bits per item ({rate.payload_bits_per_item:.2f} of them codes), "
        f"explained variance {done.explained_variance:.3f}"
    )
    if done.unreadable_count:
        typer.echo(f"{done.unreadable_count:,} pictures could not be read:", err=True)
        for name, why in list(done.unreadable.items())[:20]:
            typer.echo(f"  {name}: {why}", err=True)
        if done.unreadable_count > 20:
            typer.echo("  … (all of them: --json)", err=True)


def _dataset(name: str) -> Any:
    import fiftyone as fo

    if not fo.dataset_exists(name):
        raise ValueError(f"there is no FiftyOne dataset {name!r}")
    return fo.load_dataset(name)


@cluster.command("decompress")
def decompress(
    archive: Annotated[Path, typer.Argument(help="The .smic file; every node must reach it.")],
    folder: Annotated[Path, typer.Argument(help="Where the folders of pictures go.")],
    generator: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="By default the one trained on the archive's encoder."),
    ] = None,
    start: Annotated[int, typer.Option(help="First item, counted from 0.")] = 0,
    stop: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Item after the last one."),
    ] = None,
    part: Annotated[int, typer.Option(help="Items of a folder.")] = 1000,
    seed: Annotated[int, typer.Option(help="Item i is drawn with noise seed + i.")] = 0,
    steps: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(help="Denoising steps; by default the generator's own."),
    ] = None,
    device: Device = None,
    prior: PriorFile = None,
    address: Address = None,
    local: Local = False,
) -> None:
    """Draw the images of an archive of any size, in folders of some hundred."""
    from fiftyone_smic.cluster import decompress as run

    done = run(
        archive,
        folder,
        start=start,
        stop=stop,
        part=part,
        generator=generator,
        seed=seed,
        steps=steps,
        device=device,
        prior=prior,
        address=address,
        local=local,
    )
    typer.echo(
        f"{done.pictures:,} pictures in {done.folders:,} folders below {folder}"
        + (f", {done.resumed:,} of them drawn by an earlier run" if done.resumed else "")
    )
