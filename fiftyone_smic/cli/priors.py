"""Commands on priors, the shared statistics of an encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fiftyone_smic.cli.application import app

prior = typer.Typer(
    help="Build the shared statistics of an encoder, so that archives need not store them."
)
app.add_typer(prior, name="prior", no_args_is_help=True)


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
