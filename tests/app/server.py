"""The real App, in a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Served(NamedTuple):
    """The App's address, and the number of its server's process."""

    address: str
    pid: int


@contextmanager
def serving(log: Path) -> Iterator[Served]:
    """Serve the App. What its server says goes to ``log``.

    It is the server that ``fiftyone.launch_app`` starts, without a session beside it, which waits
    for it no longer than a minute, too short on a machine with much to do.
    """
    import fiftyone.server

    program = Path(fiftyone.server.__file__).with_name("main.py")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, program.name, "--port", str(port), "--address", "127.0.0.1"],
            cwd=program.parent,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": "2", **os.environ},
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}", log)
        yield Served(f"http://127.0.0.1:{port}", server.pid)
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()


def _wait(server: subprocess.Popen, address: str, log: Path) -> None:
    deadline = time.time() + 300
    while server.poll() is None and time.time() < deadline:
        try:
            urllib.request.urlopen(address, timeout=5)
            return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"the App's server did not come: {log.read_text()[-4000:]}")
