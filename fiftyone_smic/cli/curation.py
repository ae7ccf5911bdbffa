"""Commands that find, choose, clean and compare on archives alone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from fiftyone_smic.cli.application import Device, Json, PriorFile, app

if TYPE_CHECKING:
    from fiftyone_smic.archive.reader import Archive

ArchiveFile = Annotated[Path, typer.Argument(help="An archive.")]
NamesOnly = Annotated[
    bool, typer.Option("--names-only", help="Print the names of items only, one on each line.")
]
Threshold = Annotated[
    float, typer.Option(help="Cosine of two codes, without what all have in common, to be near.")
]


def _name(archive: Archive, item: int) -> str:
    """An item's name, or its number where the archive stores no names."""
    return archive.names[item] if archive.names else str(archive.first + item)


def _show(
    text: str, rows: list[dict[str, Any]], names: Iterable[str], as_json: bool, names_only: bool
) -> None:
    """Print one result: as names, as JSON, or as sentences."""
    if as_json and names_only:
        raise ValueError("--json and --names-only exclude each other: give one of them")
    if names_only:
        for name in names:
            typer.echo(name)
    elif as_json:
        typer.echo(json.dumps(rows))
    else:
        typer.echo(text)


@app.command()
def search(
    archive: ArchiveFile,
    text: Annotated[str, typer.Argument(help="What to look for, in words.")],
    k: Annotated[int, typer.Option("-k", help="How many items to show at most.")] = 20,
    by: Annotated[
        str,
        typer.Option(
            help="cosine, or product, which finds more in an archive that keeps what words can say."
        ),
    ] = "cosine",
    prior: PriorFile = None,
    device: Device = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """Find the items of an archive that a text describes."""
    from fiftyone_smic import curation
    from fiftyone_smic.archive import read_archive
    from fiftyone_smic.models.encoders import load_encoder
    from fiftyone_smic.models.identity import UNKNOWN, EncoderIdentity

    read = read_archive(archive, prior)
    identity = EncoderIdentity.parse(read.encoder)
    if identity.name == UNKNOWN:
        raise ValueError(
            f"{archive} does not say which encoder made its latents, so texts cannot be compared "
            "with them"
        )
    encoder = load_encoder(identity.name, device=device)
    if not identity.matches(encoder.name):
        raise ValueError(
            f"{archive} was made with {read.encoder} and this machine has {encoder.name}: install "
            "the same weights"
        )
    latent = encoder.encode_texts([text])
    found = curation.search(read, latent, k=min(k, read.codes.shape[0]) if k > 0 else k, by=by)
    names = [_name(read, int(i)) for i in found.indices[0]]
    rows = [{**row, "name": name} for row, name in zip(found.to_rows(), names, strict=True)]
    lines = [f"{row['score']:6.3f}  {row['name']}" for row in rows]
    _show("\n".join(lines), rows, names, as_json, names_only)


@app.command()
def atoms(
    archive: ArchiveFile,
    prior: PriorFile = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """List the atoms of an archive: how many items use each, and which item shows it best."""
    import numpy as np

    from fiftyone_smic.archive import read_archive

    read = read_archive(archive, prior)
    columns = read.codes.tocsc()
    rows: list[dict[str, Any]] = []
    for j in range(columns.shape[1]):
        part = slice(columns.indptr[j], columns.indptr[j + 1])
        items, levels = columns.indices[part], columns.data[part]
        # An item with little else shows an atom best.
        sizes = np.diff(read.codes.indptr)[items]
        best = items[np.lexsort((sizes, -levels))][0] if len(items) else None
        rows.append(
            {
                "atom": j,
                "has": int((levels > 0).sum()),
                "lacks": int((levels < 0).sum()),
                "example": None if best is None else _name(read, int(best)),
            }
        )
    lines = [f"{'atom':>6} {'has':>8} {'lacks':>8}  example"]
    lines += [f"{r['atom']:6d} {r['has']:8,} {r['lacks']:8,}  {r['example'] or '-'}" for r in rows]
    _show(
        "\n".join(lines),
        rows,
        [str(r["example"]) for r in rows if r["example"]],
        as_json,
        names_only,
    )


@app.command()
def select(
    archive: ArchiveFile,
    k: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("-k", help="How many items to choose; by default 100, or all of fewer."),
    ] = None,
    method: Annotated[
        str, typer.Option(help="representative, diverse, balanced or covering.")
    ] = "representative",
    prior: PriorFile = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """Choose a subset of an archive's items."""
    from fiftyone_smic import curation
    from fiftyone_smic.archive import read_archive

    read = read_archive(archive, prior)
    k = min(100, max(1, read.codes.shape[0])) if k is None else k
    chosen = curation.select(read, k=k, method=method)
    names = [_name(read, int(i)) for i in chosen.indices]
    rows = [{**row, "name": name} for row, name in zip(chosen.to_rows(), names, strict=True)]
    _show("\n".join([*names, "", str(chosen)]), rows, names, as_json, names_only)


@app.command()
def duplicates(
    archive: ArchiveFile,
    threshold: Threshold = 0.95,
    prior: PriorFile = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """Group the items that mean the same; --names-only prints those that can go."""
    from fiftyone_smic import curation
    from fiftyone_smic.archive import read_archive

    read = read_archive(archive, prior)
    found = curation.near_duplicates(read, threshold=threshold)
    rows = [{**row, "name": _name(read, row["index"])} for row in found.to_rows()]
    lines = [
        f"{'keep' if row['kept'] else '    '}  {row['cosine']:.3f}  {row['name']}" for row in rows
    ]
    gone = [_name(read, int(i)) for i in found.removable]
    _show("\n".join([*lines, "", str(found)]), rows, gone, as_json, names_only)


@app.command()
def outliers(
    archive: ArchiveFile,
    k: Annotated[int, typer.Option("-k", help="How many items to show at most.")] = 20,
    prior: PriorFile = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """List the items that fit an archive's collection least."""
    from fiftyone_smic import curation
    from fiftyone_smic.archive import read_archive

    if k < 1:
        raise ValueError(f"-k must be at least 1, got {k}")
    read = read_archive(archive, prior)
    found = curation.outliers(read)
    rows = [{**row, "name": _name(read, row["index"])} for row in found.to_rows()[:k]]
    lines = [f"{row['score']:6.1f}  {row['cause']:12}  {row['name']}" for row in rows]
    _show(
        "\n".join([*lines, "", found.seen]),
        rows,
        [row["name"] for row in rows],
        as_json,
        names_only,
    )


@app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="An archive.")],
    other: Annotated[Path, typer.Argument(help="Another one, of the same dictionary.")],
    prior: PriorFile = None,
    as_json: Json = False,
    names_only: NamesOnly = False,
) -> None:
    """Test whether two archives differ; --names-only prints the atoms that do."""
    from fiftyone_smic import curation
    from fiftyone_smic.archive import read_archive

    found = curation.compare(read_archive(one, prior), read_archive(other, prior))
    rows = [{"global_p": found.p, **row} for row in found.to_rows()]
    differing = [found.names[row.atom] for row in found.found]
    _show(str(found), rows, dict.fromkeys(differing), as_json, names_only)
