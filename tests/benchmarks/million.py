"""What each step takes on a million samples: ``python -m tests.benchmarks.million
[--samples 1000000] [--work FOLDER]``.

The samples share one picture file. Their embeddings are drawn as a mixture, a part at a time.
Every step runs in a process of its own, whose peak of resident memory is printed beside the wall
time. ``silent`` is the longest time without news of the progress that the step gives; steps that
give none are silent throughout. The rows called ``FiftyOne`` are what FiftyOne itself takes to
write and read the same samples, and the last column says how many times that each step takes: the
time of its rows whose letters stand beside.

``--learn-from 20000 40000 100000`` prints instead what is lost where a dictionary for so many
samples is learned from some of them.

With ``--work`` the database stays there, and a run that was stopped goes on with the first step
that is not done. The database is a private one whose cache is limited to 4 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..support import private_mongod

KEY, NAME, SOURCE, FIELD = "smic", "million-benchmark", "embeddings", "clip_latents"
#: Samples that are made together.
PART = 20_000
TOPICS = 1000
CACHE_GB = 4


class Watch:
    """A progress function that measures how long nothing was said."""

    def __init__(self) -> None:
        self.silent, self._last = 0.0, time.perf_counter()

    def __call__(self, fraction: float = 0.0) -> None:
        now = time.perf_counter()
        self.silent = max(self.silent, now - self._last)
        self._last = now

    def stage(self, label: str) -> None:
        """News, too."""
        self()


def parts(n: int, dimensions: int) -> Iterator[tuple[np.ndarray, list[str]]]:
    """Yield embeddings, a part at a time, and the most important of the topics of each.

    An embedding is a common part, three of 1,000 topics, frequent and rare ones, and noise.
    """
    fixed = np.random.default_rng(0)
    spectrum = np.arange(1, dimensions + 1, dtype=np.float32) ** -0.4
    common = 1.5 * spectrum[::-1]
    topics = fixed.standard_normal((TOPICS, dimensions), np.float32) * spectrum
    for first in range(0, n, PART):
        rng = np.random.default_rng([1, first])
        size = min(PART, n - first)
        chosen = (TOPICS * rng.random((3, size)) ** 2).astype(np.intp)
        z = 0.5 * rng.standard_normal((size, dimensions), np.float32) * spectrum + common
        for weight, of in zip((1.0, 0.7, 0.5), chosen, strict=True):
            z += np.float32(weight) * topics[of]
        yield z, [f"topic {i}" for i in chosen[0]]


def _dataset() -> Any:
    import fiftyone as fo

    return fo.load_dataset(NAME)


def add(n: int, dimensions: int, work: Path) -> None:
    """FiftyOne adds the samples."""
    import fiftyone as fo
    from PIL import Image

    if fo.dataset_exists(NAME):
        fo.delete_dataset(NAME)
    file = work / "picture.jpg"
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    dataset = fo.Dataset(NAME, persistent=True)
    named = (name for _, names in parts(n, dimensions) for name in names)
    metadata = fo.ImageMetadata(size_bytes=file.stat().st_size, width=96, height=96)
    samples = (fo.Sample(str(file), topic=name, metadata=metadata) for name in named)
    dataset.add_samples(samples, num_samples=n, progress=False)


def set_vectors(n: int, dimensions: int, work: Path) -> None:
    """FiftyOne writes the embeddings, a part at a time."""
    import fiftyone as fo

    dataset = _dataset()
    dataset.add_sample_field(SOURCE, fo.VectorField)
    first = 0
    for rows, _ in parts(n, dimensions):
        dataset[first : first + len(rows)].set_values(SOURCE, list(rows))
        first += len(rows)


def values_of_vectors() -> None:
    """FiftyOne reads them, all at once."""
    _dataset().values(SOURCE)


def set_numbers() -> None:
    """FiftyOne writes a number for each sample."""
    dataset = _dataset()
    dataset.set_values("number", [float(i) for i in range(len(dataset))])


def values_of_numbers() -> None:
    """FiftyOne reads them."""
    _dataset().values("number")


def adopt(watch: Watch) -> str:
    """Take the embeddings as latents."""
    import fiftyone_smic as smic

    report = smic.adopt_latents(_dataset(), SOURCE, FIELD, progress=watch)
    return f"{report.adopted:,} of {report.dim} dimensions"


def learn(watch: Watch) -> str:
    """Learn a dictionary."""
    import fiftyone_smic as smic

    dictionary = smic.learn_dictionary(_dataset(), KEY, FIELD, progress=watch)
    return f"{dictionary.n_atoms_:,} atoms"


def encode(watch: Watch) -> str:
    """Write the codes."""
    import fiftyone_smic as smic

    report = smic.encode(_dataset(), KEY, progress=watch)
    return (
        f"{report.rate.bits_per_item:.1f} bits, "
        f"explained variance {report.fidelity.explained_variance:.3f}"
    )


def name(watch: Watch) -> str:
    """Name the atoms after the topics."""
    import fiftyone_smic as smic

    report = smic.name_atoms(_dataset(), KEY, labels="topic", progress=watch)
    return f"{sum(not name.startswith('atom ') for name in report.names):,} names"


def lay_out(watch: Watch) -> str:
    """Make the map."""
    import fiftyone_smic as smic

    return f"{len(smic.visualize_atoms(_dataset(), KEY, progress=watch).points):,} points"


def search(watch: Watch) -> str:
    """Find the samples like one of them."""
    import fiftyone_smic as smic

    dataset = _dataset()
    one = dataset.first()
    found = smic.search(dataset, one.id, KEY, 100, progress=watch)
    alike = found.view.match({"topic": one.topic}).count()
    return f"{alike} of 100 have its topic"


def select(watch: Watch) -> str:
    """Choose a subset."""
    import fiftyone_smic as smic

    found = smic.select_subset(_dataset(), 1000, key=KEY, progress=watch)
    return f"{len(found.view):,} chosen"


def export(watch: Watch, work: Path) -> str:
    """Write the archive."""
    import fiftyone_smic as smic

    file = work / "million.smic"
    rate = smic.export_archive(_dataset(), KEY, file, progress=watch)
    return f"{file.stat().st_size / 2**20:.1f} MB, {rate.bits_per_item:.1f} bits"


def panel(tab: str, watch: Watch) -> str:
    """Lay a tab of the panel out twice, as when it is opened for the first time.

    Where the tab says how far the counting of concepts is, it is asked again until all is there.
    """
    from fiftyone.operators.executor import ExecutionContext

    from operators.panel import SMICPanel

    chosen = {"panel_id": "smic", "panel_state": {"tab": tab}}
    for _ in range(2):
        start, counting = time.perf_counter(), True
        while counting:
            context = ExecutionContext({"dataset_name": NAME, "params": chosen})
            layout = SMICPanel().render(context).to_json()
            json.dumps(layout)
            counting = "counting" in layout["type"]["properties"]
            watch()
        again = time.perf_counter() - start
    return f"again: {again:.2f} s"


def compare_samples(n: int, dimensions: int, sizes: list[int]) -> None:
    """Print how good dictionaries are that are learned from a part, for all."""
    from fiftyone_smic import SemanticDictionary, fidelity
    from fiftyone_smic.archive import encode_archive
    from fiftyone_smic.dictionary.initialization import auto_atoms
    from fiftyone_smic.dictionary.sampling import subsample
    from fiftyone_smic.utils.vectors import unit

    z = unit(np.concatenate([rows for rows, _ in parts(n, dimensions)]))
    print(f"{n:,} items of {dimensions} dimensions, up to {auto_atoms(n):,} atoms")
    print(f"{'learned from':>12}{'atoms':>8}{'bits':>8}{'ev':>8}{'cost':>10}{'processor s':>13}")
    for size in sizes:
        start = time.process_time()
        dictionary = SemanticDictionary(auto_atoms(n))
        dictionary.fit(subsample(z, size, np.random.RandomState(0)), n_items=n)
        seconds = time.process_time() - start
        codes = dictionary.transform(z)
        rate = encode_archive(dictionary, codes, encoder="e")[1]
        rebuilt = dictionary.inverse_transform(codes)
        cost = (
            float(np.square(z - rebuilt).sum(axis=1).mean()) + rate.bits_per_item * dictionary.lam_
        )
        kept = fidelity(z, rebuilt, max_queries=1).explained_variance
        print(
            f"{size:>12,}{dictionary.n_atoms_:>8,}{rate.bits_per_item:>8.2f}{kept:>8.4f}"
            f"{cost:>10.5f}{seconds:>13.0f}",
            flush=True,
        )


#: Letter of a row -> its label and what is measured.
FIFTYONE: dict[str, tuple[str, Callable[..., None]]] = {
    "a": ("FiftyOne: add_samples", add),
    "b": ("FiftyOne: set_values, embeddings", set_vectors),
    "c": ("FiftyOne: values, embeddings", values_of_vectors),
    "d": ("FiftyOne: set_values, a number", set_numbers),
    "e": ("FiftyOne: values, a number", values_of_numbers),
}
#: Name -> label, what is measured, and the rows that it is compared with.
STEPS: dict[str, tuple[str, Callable[..., str], str]] = {
    "adopt": ("adopt_latents", adopt, "bc"),
    "learn": ("learn_dictionary", learn, "c"),
    "encode": ("encode", encode, "cddddd"),
    "again": ("encode, again", encode, "cddddd"),
    "name": ("name_atoms", name, "cd"),
    "map": ("visualize_atoms", lay_out, "c"),
    **{
        f"panel {tab}": (f"panel, {label}", lambda watch, tab=tab: panel(tab, watch), "e")
        for tab, label in {
            "compare": "Compare",
            "storage": "Storage",
            "atoms": "Concepts",
            "mix": "Mix",
            "curate": "Curate",
        }.items()
    },
    "search": ("search, 100 like one", search, "e"),
    "select": ("select_subset, 1,000", select, "e"),
    "export": ("export_archive", export, "e"),
}


def measure(step: str, n: int, dimensions: int, work: Path) -> dict[str, Any]:
    """Run one step in this process."""
    import fiftyone  # noqa: F401  (not measured)

    import fiftyone_smic.fiftyone  # noqa: F401

    from .. import conftest  # noqa: F401 (FiftyOne's settings)

    given = {"n": n, "dimensions": dimensions, "work": work}
    _, call = FIFTYONE[step] if step in FIFTYONE else STEPS[step][:2]
    names = call.__code__.co_varnames[: call.__code__.co_argcount]
    watch = Watch()
    start = time.perf_counter()
    said = call(
        **{key: value for key, value in given.items() if key in names},
        **({"watch": watch} if "watch" in names else {}),
    )
    watch()
    return {
        "seconds": time.perf_counter() - start,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "silent": watch.silent if step in STEPS else None,
        "said": said or "",
    }


def in_child(step: str, n: int, dimensions: int, work: Path) -> dict[str, Any]:
    """Run one step in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.million", "--step", step]
    command += ["--samples", str(n), "--dimensions", str(dimensions), "--work", str(work)]
    run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Run the steps that are not done, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--until", choices=[*FIFTYONE, *STEPS], help="the last step to run")
    parser.add_argument("--learn-from", type=int, nargs="+", metavar="N")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    given = parser.parse_args()
    n, dimensions = given.samples, given.dimensions
    if given.step:
        print(json.dumps(measure(given.step, n, dimensions, given.work)))
        return
    if given.learn_from:
        compare_samples(n, dimensions, given.learn_from)
        return
    with tempfile.TemporaryDirectory() as scratch:
        work = given.work or Path(scratch)
        (work / "db").mkdir(parents=True, exist_ok=True)
        cache = ["--wiredTigerCacheSizeGB", str(CACHE_GB)]
        database = private_mongod.start(work.absolute() / "db", *cache)
        notes = work / f"{n}x{dimensions}.json"
        done = json.loads(notes.read_text()) if notes.exists() else {}
        print(f"{n:,} samples, embeddings of {dimensions} dimensions")
        print(f"{'':36}{'seconds':>9}{'peak GB':>9}{'silent s':>9}{'times':>12}")
        for step in [*FIFTYONE, *STEPS]:
            if step not in done:
                done[step] = in_child(step, n, dimensions, work.absolute())
                notes.write_text(json.dumps(done))
            print(_line(step, done), flush=True)
            if step == given.until:
                break
        if database is not None:
            status = Path(f"/proc/{database.pid}/status").read_text()
            peak = int(status.split("VmHWM:")[1].split()[0]) / 2**20
            print(f"database: peak {peak:.2f} GB, its cache limited to {CACHE_GB} GB")


def _line(step: str, done: dict[str, Any]) -> str:
    found = done[step]
    silent = "" if found["silent"] is None else f"{found['silent']:.1f}"
    label, times = f"({step}) {FIFTYONE[step][0]}" if step in FIFTYONE else STEPS[step][0], ""
    if step in STEPS:
        beside = STEPS[step][2]
        share = found["seconds"] / sum(done[row]["seconds"] for row in beside)
        said = f"{beside[0]}+{len(beside) - 1}d" if len(beside) > 2 else "+".join(beside)
        times = f"{share:.1f} x {said}"
    line = f"{label:36}{found['seconds']:9.1f}{found['peak']:9.2f}{silent:>9}{times:>12}"
    return f"{line}  {found['said']}".rstrip()


if __name__ == "__main__":
    os.environ.setdefault("FIFTYONE_DO_NOT_TRACK", "true")
    main()
