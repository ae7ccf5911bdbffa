"""The command ``fiftyone-smic``.

Each module of this package holds a group of commands and registers them with the application, so a
new group is one new file::

    from fiftyone_smic.cli.application import app

    @app.command()
    def hello() -> None: ...

Modules import what is heavy inside their commands.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

import typer

from fiftyone_smic.cli.application import app

for _module in sorted(iter_modules(__path__), key=lambda module: module.name):
    import_module(f"{__name__}.{_module.name}")


def main() -> None:
    """Run the command; what a user can act on is one line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a name with odd characters must not end a run
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
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
