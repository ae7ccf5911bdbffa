"""Commands that show and set up the whole: demo, install-plugin, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from fiftyone_smic.cli.application import app


@app.command()
def demo(
    directory: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--dir", help="Where everything goes; by default the user's cache folder."),
    ] = None,
    items: Annotated[int, typer.Option(help="Number of pictures.", min=20)] = 2000,
    regenerate: Annotated[int, typer.Option(help="How many to draw again.", min=1)] = 64,
    seed: Annotated[int, typer.Option(help="Which collection.", min=0)] = 0,
    app: Annotated[bool, typer.Option("--app", help="Open the FiftyOne App afterwards.")] = False,
    images: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A folder of your own pictures; by default postcards are drawn."),
    ] = None,
) -> None:
    """The whole way once: draw a collection, compress it, draw it again from the archive."""
    from fiftyone_smic.fiftyone.demo import run_demo

    run_demo(directory, items=items, regenerate=regenerate, seed=seed, app=app, images=images)


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
