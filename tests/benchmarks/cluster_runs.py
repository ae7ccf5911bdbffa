"""Compressing on a cluster while something happens, and comparing with what one machine writes.

What :mod:`tests.benchmarks.stores` and :mod:`tests.benchmarks.nodes` share.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.cluster import compress, encoding
from fiftyone_smic.cluster.encoding import to_parquet
from fiftyone_smic.postcards.draw import write_collection
from tests.cluster.conftest import mixture

#: Ten blocks of latents.
ITEMS, DIMENSIONS = 160_000, 64
LATENTS: dict[str, Any] = {"encoder": "me/1", "n_atoms": 128, "lam": 0.01, "passes": 1}
PICTURES: dict[str, Any] = {"encoder": "postcards", "n_atoms": 6, "passes": 1}
NODE = {"num_cpus": 1, "object_store_memory": 150 << 20, "include_dashboard": False}


@dataclass
class Bench:
    """The files to compress, what one machine makes of them, and the lines of the table."""

    folder: Path
    cluster: Any
    nodes: list[Any]
    rows: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.z = mixture(ITEMS, DIMENSIONS)
        self.names = [f"{i:06d}.jpg" for i in range(ITEMS)]
        (self.folder / "shards").mkdir()
        for i, first in enumerate(range(0, ITEMS, 70_000)):
            part = slice(first, first + 70_000)
            data = to_parquet(self.z[part], self.names[part])
            (self.folder / "shards" / f"{i}.parquet").write_bytes(data)
        np.save(self.folder / "z.npy", self.z)
        cards = self.folder / "cards"
        write_collection(cards / "flat", 54, size=64)
        write_collection(cards / "with space", 3, size=64)
        next((cards / "with space").glob("*.png")).rename(cards / "50% é #1.png")
        (cards / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
        (self.folder / "tars").mkdir()
        files = sorted((cards / "flat").glob("*.png"))
        for i in range(3):
            with tarfile.open(self.folder / "tars" / f"{i}.tar", "w") as tar:
                for file in files[18 * i : 18 * i + 18]:
                    tar.add(file, file.name)
        encoding.PICTURES = 6  # ten parts
        self.latents = self.alone(self.folder / "shards", **LATENTS)
        self.unnamed = self.alone(self.folder / "z.npy", **LATENTS)
        self.pictures = self.alone(cards, **PICTURES)
        self.tars = self.alone(self.folder / "tars", **PICTURES)

    def alone(self, source: Path, **settings: Any) -> bytes:
        """Return what one process writes."""
        target = self.folder / "alone.smic"
        compress(source, target, local=True, **settings)
        return target.read_bytes()

    def check(self, source: str, what: str, wanted: bytes, run: Callable[[Path], Any]) -> Any:
        """Run something that writes a file, and note whether it is the right one."""
        target = self.folder / "x.smic"
        target.unlink(missing_ok=True)
        out = run(target)
        self.note(source, what, "yes" if target.read_bytes() == wanted else "NO")
        assert sorted(path.name for path in self.folder.glob("x.smic*")) == ["x.smic"]
        return out

    def refused(self, source: str, what: str, run: Callable[[Path], Any]) -> None:
        """Run something that must fail, and note what it says and that the old file is there."""
        target = self.folder / "x.smic"
        target.write_bytes(b"old")
        try:
            run(target)
            said = "NO: nothing was said"
        except (OSError, ValueError) as error:
            said = f"{type(error).__name__}: {str(error).replace(f'{self.folder}/', '')}"
            said = said if len(said) < 160 else f"{said[:158]} …"
        kept = "" if target.read_bytes() == b"old" else "NO: the old file is gone. "
        self.note(source, what, kept + said)

    def note(self, *cells: str) -> None:
        """Add a line to the table."""
        line = f"| {' | '.join(cells)} |"
        print(line, file=sys.stderr, flush=True)
        self.rows.append(line)


@contextmanager
def bench() -> Iterator[Bench]:
    """Start a cluster, make the files, and print the table in the end.

    The head has no CPU, so all work is done on two nodes of one CPU each.
    """
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    cluster = Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 0})
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        with tempfile.TemporaryDirectory() as folder:
            found = Bench(Path(folder), cluster, nodes)
            try:
                yield found
            finally:
                print("| source | what happened | same bytes |\n|---|---|---|")
                print("\n".join(found.rows))
    finally:
        ray.shutdown()
        cluster.shutdown()


@dataclass
class Running:
    """A run in a thread, to which this thread does something."""

    target: Path
    thread: threading.Thread
    failed: list[BaseException]

    def result(self) -> None:
        """Wait for the end, and raise what the run raised."""
        self.thread.join()
        if self.failed:
            raise self.failed[0]

    def move(self, target: Path) -> None:
        """Wait for the end, and give the file this name."""
        self.result()
        self.target.replace(target)


@contextmanager
def running(run: Callable[[Path], Any], target: Path) -> Iterator[Running]:
    """Start a run that writes beside the target, as its pieces lie where they always do."""
    failed: list[BaseException] = []

    def job() -> None:
        try:
            run(target)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=job)
    thread.start()
    yield Running(target, thread, failed)


def wait_for(run: Running, happens: Callable[[], bool]) -> None:
    while not happens():
        if not run.thread.is_alive():
            run.result()
            raise RuntimeError("the run was over before anything could happen to it")
        time.sleep(0.01)


def pieces(work: Path | str, kind: str) -> Iterator[str]:
    from pyarrow.fs import FileSelector, FileSystem

    system, inside = FileSystem.from_uri(str(work))
    try:
        found = system.get_file_info(FileSelector(inside, allow_not_found=True))
    except FileNotFoundError:  # removed while it was looked into
        return
    yield from (info.base_name for info in found if kind in info.base_name)


def killed(bench: Bench, source: str, piece: str, **more: Any) -> str:
    """Kill a process that compresses as soon as a piece is there, and say so."""
    settings = (PICTURES if "cards" in source else LATENTS) | more | {"local": True}
    target = bench.folder / "x.smic"
    target.unlink(missing_ok=True)
    code = (
        "from fiftyone_smic.cluster import compress, encoding\nencoding.PICTURES = 6\n"
        f"compress({source!r}, {str(target)!r}, **{settings!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    place = f"{more['work']}/x.smic.part" if "work" in more else bench.folder / "x.smic.part"
    while process.poll() is None:
        if any(pieces(place, piece)):
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert process.returncode == -signal.SIGKILL and not target.exists()
    return f"driver killed when there were {piece.rstrip('-')}"
