"""Nodes of a cluster that are lost in the middle of a run: is the file still the same?

    python -m tests.benchmarks.nodes

It runs on a Ray of two nodes of one CPU each that this machine plays, and a head without. Each line
of the table says which nodes were killed, raylet and workers, while a worker of theirs did what.
Ray notices after some 15 s that a node is gone.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fiftyone_smic.cluster import compress
from fiftyone_smic.cluster.mapping import RayMap
from fiftyone_smic.pipelines import compress_blocks
from tests.benchmarks.cluster_runs import (
    DIMENSIONS,
    ITEMS,
    LATENTS,
    NODE,
    PICTURES,
    Bench,
    bench,
    pieces,
    running,
    wait_for,
)


@dataclass(frozen=True)
class Slow:
    """Latents that take 0.3 s to read; meanwhile a mark says which node reads."""

    path: str
    marks: str
    items: int = ITEMS
    dimensions: int = DIMENSIONS
    named: bool = False
    digest: str = "slow"

    def read(self, start: int, stop: int) -> tuple[np.ndarray, None]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        mark = Path(self.marks, f"{node}-{start}-{time.time_ns()}")
        mark.touch()
        time.sleep(0.3)
        mark.unlink()
        return np.load(self.path, mmap_mode="r")[start:stop], None


def lost_nodes(bench: Bench) -> None:
    """Lose nodes while they work, at each stage; the head stays."""
    work = bench.folder / "x.smic.part"
    for stage, piece, both in (
        ("surveys", "", False),
        ("sums in the first pass", "start", False),
        ("sums in the second pass", "sums-0", False),
        ("codes", "dictionary", False),
        ("codes", "dictionary", True),
    ):
        marks = bench.folder / "marks"
        shutil.rmtree(marks, ignore_errors=True)
        marks.mkdir()
        slow = Slow(str(bench.folder / "z.npy"), str(marks))

        def reads(node: Any, piece: str = piece, marks: Path = marks) -> bool:
            there = not piece or any(pieces(work, piece))
            return there and any(mark.startswith(node.node_id) for mark in os.listdir(marks))

        def run(target: Path, slow: Slow = slow) -> Any:
            return compress_blocks(slow, target, each=RayMap(), **LATENTS)

        _lose_at(bench, f"{ITEMS:,} latents", stage, reads, run, bench.unnamed, both)

    def encodes(node: Any) -> bool:
        return any(pieces(work, "latents-")) and _has_actor(node)

    def pool(target: Path) -> Any:
        return compress(bench.folder / "cards", target, **PICTURES)

    for both in (False, True):
        what = "encodes with an actor"
        _lose_at(bench, "57 pictures", what, encodes, pool, bench.pictures, both)

    gone = bench.nodes.pop()
    bench.cluster.remove_node(gone, allow_graceful=False)
    bench.check(
        f"{ITEMS:,} latents",
        "a node is lost a moment before the start",
        bench.unnamed,
        lambda target: compress(bench.folder / "z.npy", target, **LATENTS),
    )


def _lose_at(
    bench: Bench,
    source: str,
    stage: str,
    works: Callable[[Any], bool],
    run: Callable[[Path], Any],
    wanted: bytes,
    both: bool,
) -> None:
    """Lose the node that works, or both nodes then; a new one comes for each."""
    with running(run, bench.folder / "x.smic") as found:
        wait_for(found, lambda: any(map(works, bench.nodes)))
        lost = list(bench.nodes) if both else [next(filter(works, bench.nodes))]
        for node in lost:
            bench.cluster.remove_node(node, allow_graceful=False)
            bench.nodes.remove(node)
        what = f"a node is lost that {stage}"
        if both:
            what += ", and so is the other one; two new ones come after 10 s"
            time.sleep(10)
            bench.nodes += [bench.cluster.add_node(**NODE) for _ in lost]
    bench.check(source, what, wanted, found.move)
    if not both:
        bench.nodes.append(bench.cluster.add_node(**NODE))


def _has_actor(node: Any) -> bool:
    """Whether a process of the pool of encoders runs on a node."""
    for raylet in node.all_processes["raylet"]:
        for process in psutil.Process(raylet.process.pid).children(recursive=True):
            try:
                if "MapWorker" in " ".join(process.cmdline()):
                    return True
            except psutil.Error:
                continue
    return False


if __name__ == "__main__":
    with bench() as found:
        lost_nodes(found)
