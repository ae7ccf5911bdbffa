"""What compressing latents on a Ray cluster takes: items per second, memory of the driver, sizes.

    python -m tests.benchmarks.cluster                    # 100,000 items on 1 and 2 workers
    python -m tests.benchmarks.cluster --items 1000000 --workers 2
    python -m tests.benchmarks.cluster --items 10000000 --workers 2 --dimensions 32 --atoms 64 \\
        --lam 0.01

The latents are drawn as mixtures wherever they are read, so they take no disk. Each line of the
table is a run in a process of its own, on nodes of one CPU each that this machine plays; with more
workers than cores, workers wait for each other. The file's SHA-256 is printed: for the same items
it is the same in every line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fiftyone_smic.pipelines.work import FolderWork

#: Items that are drawn together.
_DRAWN = 4096


@dataclass(frozen=True)
class Mixture:
    """Latents of unit norm: a common part, three of 1,000 directions, and noise."""

    items: int
    dimensions: int
    named: bool = False

    @property
    def digest(self) -> str:
        return f"mixture of {self.items} in {self.dimensions} dimensions"

    def read(self, start: int, stop: int) -> tuple[np.ndarray, None]:
        first = start // _DRAWN
        parts = [self._draw(i) for i in range(first, -(-stop // _DRAWN))]
        return np.concatenate(parts)[start - first * _DRAWN : stop - first * _DRAWN], None

    def _draw(self, number: int) -> np.ndarray:
        common, directions = _fixed(self.dimensions)
        rng = np.random.default_rng([1, number])
        chosen = (1000 * rng.random((3, _DRAWN)) ** 2).astype(np.intp)
        z = 2.5 * rng.random((_DRAWN, self.dimensions), np.float32)
        z += common
        for weight, atoms in zip((1.0, 0.7, 0.5), chosen, strict=True):
            z += np.float32(weight) * directions[atoms]
        return z / np.linalg.norm(z, axis=1, keepdims=True)


@lru_cache
def _fixed(dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    common = 1.5 * rng.standard_normal(dimensions, np.float32)
    return common, rng.standard_normal((1000, dimensions), np.float32)


@dataclass(frozen=True)
class Measured(FolderWork):
    """A folder of pieces that notes what they take before it is removed."""

    def remove(self) -> None:
        sizes: Counter[str] = Counter()
        for file in Path(self.folder).iterdir():
            kind = file.name.split("-")[1].split(".")[0]
            sizes[kind] = max(sizes[kind], 0) + file.stat().st_size
        Path(self.folder + ".json").write_text(json.dumps(sizes))
        super().remove()


def memory() -> float:
    """Peak memory of this process, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one(items: int, workers: int, passes: int, atoms: int, dimensions: int, lam: float) -> dict:
    """Compress on so many nodes of one CPU each, and return what it took."""
    import ray
    from ray.cluster_utils import Cluster

    from fiftyone_smic.cluster.mapping import RayMap
    from fiftyone_smic.pipelines import compress_blocks

    node = {"num_cpus": 1, "object_store_memory": 300 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    for _ in range(workers - 1):
        cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    try:
        each = RayMap()
        list(each(_warm, range(2 * workers)))  # processes start, and load what they need
        before = memory()
        with tempfile.TemporaryDirectory() as folder:
            work = Measured(os.path.join(folder, "work"))
            target = Path(folder, "x.smic")
            started = time.perf_counter()
            done = compress_blocks(
                Mixture(items, dimensions),
                target,
                encoder="benchmark/1",
                n_atoms=atoms,
                lam=lam,
                passes=passes,
                each=each,
                work=work,
            )
            return {
                "seconds": done.seconds,
                "total": time.perf_counter() - started,
                "before": before,
                "peak": memory(),
                "bytes": done.rate.total_bytes,
                "atoms": done.n_atoms,
                "ev": done.explained_variance,
                "sizes": json.loads(Path(folder, "work.json").read_text()),
                "sha": hashlib.sha256(target.read_bytes()).hexdigest()[:12],
            }
    finally:
        ray.shutdown()
        cluster.shutdown()


def _warm(_: int) -> None:
    import fiftyone_smic.pipelines.block_jobs
    from fiftyone_smic.dictionary.estimator import SemanticDictionary

    z = Mixture(300, 16).read(0, 300)[0]
    SemanticDictionary(4, max_iter=1, n_swaps=0).fit(z)
    assert fiftyone_smic.pipelines.block_jobs


def main() -> None:
    """Run each configuration in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--items", type=int, nargs="+", default=[100_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--passes", type=int, default=1)
    parser.add_argument("--atoms", type=int, default=1024)
    parser.add_argument("--dimensions", type=int, default=512)
    parser.add_argument("--lam", type=float, default=0.002)
    parser.add_argument("--single", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.single:
        settings = given.passes, given.atoms, given.dimensions, given.lam
        found = one(given.items[0], given.workers[0], *settings)
        print(json.dumps(found))
        return
    print(
        f"{'items':>11} {'workers':>7} {'survey':>7} {'sample':>7} {'a pass':>7} {'code':>7} "
        f"{'write':>7} {'all, s':>8} {'items/s coded':>13} {'driver, MB':>16} {'bits/item':>9} "
        f"{'ev':>5} {'K':>5}  file"
    )
    speeds: dict[tuple[int, int], float] = {}
    for items in given.items:
        for workers in given.workers:
            start = "from tests.benchmarks.cluster import main; main()"  # workers import it, too
            command = [sys.executable, "-c", start, "--single"]
            for name in ("passes", "atoms", "dimensions", "lam"):
                command += [f"--{name}", str(getattr(given, name))]
            command += ["--items", str(items), "--workers", str(workers)]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found = json.loads(run.stdout.splitlines()[-1])
            s = found["seconds"]
            speeds[items, workers] = items * (given.passes + 2) / (s["passes"] + s["code"])
            print(
                f"{items:>11,} {workers:>7} {s['survey']:>7.1f} {s['sample']:>7.1f} "
                f"{s['passes'] / (given.passes + 1):>7.1f} {s['code']:>7.1f} {s['archive']:>7.1f} "
                f"{found['total']:>8.1f} {speeds[items, workers]:>13,.0f} "
                f"{found['before']:>6.0f} to {found['peak']:>6.0f} "
                f"{8 * found['bytes'] / items:>9.2f} {found['ev']:>5.3f} {found['atoms']:>5}  "
                f"{found['sha']}",
                flush=True,
            )
            kept = ", ".join(f"{k} {v / items:.1f}" for k, v in sorted(found["sizes"].items()))
            print(f"            pieces, bytes per item: {kept}", flush=True)
    for items in given.items:
        if {(items, 1), (items, 2)} <= speeds.keys():
            print(f"{items:,} items: 2 workers / 1 = {speeds[items, 2] / speeds[items, 1]:.2f}")


if __name__ == "__main__":
    main()
