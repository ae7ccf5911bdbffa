"""The application that all groups of commands register with, and the options they share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(
    help="Compress image collections by their meaning: CLIP latents, a dictionary, unCLIP.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

# Typer evaluates these, on Python 3.10 too.
PriorFile = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--prior", help="The file of a prior; by default the one shipped."),
]
Device = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Where the model runs, as PyTorch writes it; by default cuda, mps or cpu."),
]
Precision = Annotated[str, typer.Option(help="What the encoder computes in: fp32, fp16 or bf16.")]
BatchSize = Annotated[int, typer.Option(help="Images per pass of the encoder.")]
Workers = Annotated[int, typer.Option(help="Processes that read images; 0 reads them in this one.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON, for programs.")]
