"""A database for one test run.

FiftyOne attaches to any database process of its own that runs on the machine, whatever
``FIFTYONE_DATABASE_DIR`` says: tests beside an open App would write into the user's database.
So the tests start a ``mongod`` themselves and name it, which also holds for their subprocesses.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

NAME = "FIFTYONE_DATABASE_URI"
#: It measures itself every second otherwise, which nobody reads here.
QUIET = ("--setParameter", "diagnosticDataCollectionEnabled=false")
#: The one that this process has started, as the last of the list.
_started: list[subprocess.Popen[bytes]] = []


def find() -> str | None:
    """FiftyOne's own ``mongod``, or the machine's, without importing fiftyone."""
    spec = find_spec("fiftyone")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        own = Path(folder) / "db" / "bin" / "mongod"
        if own.exists():
            return str(own)
    return shutil.which("mongod")


def start(kept: Path | None = None, *options: str) -> subprocess.Popen[bytes] | None:
    """Start it once for each worker of pytest-xdist, and have FiftyOne use it.

    Without a ``mongod``, FiftyOne says so itself.

    Args:
        kept: A folder for its data that stays; by default they are removed at the end.
        options: Of the program.

    Returns:
        The process, or None if another process of this run has started it.
    """
    program, worker = find(), os.environ.get("PYTEST_XDIST_WORKER", "main")
    if program is None or os.environ.get("SMIC_TEST_MONGOD") == worker:
        return None
    folder = tempfile.mkdtemp(prefix="smic-mongod-") if kept is None else str(kept)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["--dbpath", folder, "--logpath", f"{folder}/log", "--port", str(port)]
    command = [program, *where, "--bind_ip", "127.0.0.1", "--nounixsocket", *options]

    def stop() -> None:
        _started[-1].terminate()
        _started[-1].wait(60)
        if kept is None:
            shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    process = _run(command, port)
    os.environ[NAME] = f"mongodb://127.0.0.1:{port}"
    os.environ["SMIC_TEST_MONGOD"] = worker
    return process


def _run(command: list[str], port: int) -> subprocess.Popen[bytes]:
    """Start it, and return when it takes connections."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _started.append(process)
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return process
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{' '.join(command)} did not start") from None
            time.sleep(0.1)


def process() -> subprocess.Popen[bytes]:
    """Return the process that this one has started last."""
    return _started[-1]


def kill() -> None:
    """Kill it with SIGKILL, as where a machine loses its power."""
    _started[-1].kill()
    _started[-1].wait(60)


def revive() -> None:
    """Start it again on the same data, if it was killed."""
    if _started and _started[-1].poll() is not None:
        command = _started[-1].args
        assert isinstance(command, list)
        _run(command, int(command[command.index("--port") + 1]))
