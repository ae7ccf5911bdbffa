"""Commands on the drawn collection that the embedded models were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiftyone_smic.cli.application import app

postcards = typer.Typer(help="Draw the collection that the embedded models were trained on.")
app.add_typer(postcards, name="postcards", no_args_is_help=True)


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
