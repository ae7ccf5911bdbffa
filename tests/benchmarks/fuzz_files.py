"""A mutation loop over everything else that is read from disk:
``python -m tests.benchmarks.fuzz_files [--count 100000] [--seed 0]``.

Priors and metrics (``.npz``), declarations of generators (``smic.json`` and ``model_index.json``),
adapters (safetensors) and exported datasets have bytes changed, or values inside that stay well
formed. Each must be read, or refused by an error that the documentation names; nothing may be
unpickled, take much memory or write outside its folder. Reading an export into a dataset takes
half a second, so only every 25th of them goes the whole way.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import random
import shutil
import tempfile
import time
import tracemalloc
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.archive import ArchiveError
from fiftyone_smic.dictionary.metric import Metric
from fiftyone_smic.dictionary.priors import Prior

from ..support import private_mongod
from .fuzz import mutate

EXPORT = Path(__file__).parents[1] / "data" / "format6" / "export"
#: How many exports are read to one that becomes a dataset.
EVERY = 25
#: Values that somebody might write by mistake or by intent.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 10**400, 1e308, float("nan"), "", "x", "../../x", "/etc/passwd", "a\0b",
    "\ud800", "x" * 5000, [], [[]], {}, {"$oid": "x"}, {"a": 1},
)  # fmt: skip


class Read:
    """A file whose reading is tried: what writes it, and what reads it."""

    def __init__(self, name: str, file: Path, read: Callable[[], Any], errors: Any) -> None:
        self.name, self.file, self.read, self.errors = name, file, read, errors
        self.original = file.read_bytes()

    def mutated(self, rng: random.Random) -> bytes:
        """Change bytes of the file, or values that stay well formed."""
        if self.file.suffix == ".npz" and rng.random() < 0.7:
            return _with_changed_arrays(self.original, rng)
        if self.file.suffix == ".json" and rng.random() < 0.7:
            return json.dumps(_with_odd_value(json.loads(self.original), rng)).encode()
        return mutate(self.original, rng)


def _with_odd_value(value: Any, rng: random.Random) -> Any:
    """The same JSON with one value replaced, removed or added, at any depth."""
    value = copy.deepcopy(value)
    inner = value
    while True:
        places = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
        if not places:
            return rng.choice(ODD)
        place = rng.choice(places)
        if isinstance(inner[place], (dict, list)) and inner[place] and rng.random() < 0.7:
            inner = inner[place]
        elif rng.random() < 0.15:
            del inner[place]
            return value
        else:
            inner[place] = rng.choice(ODD)
            return value


def _with_changed_arrays(data: bytes, rng: random.Random) -> bytes:
    """The same ``.npz`` with one array changed and all checksums right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        chosen = rng.choice(old.namelist())
        for name in old.namelist():
            part = old.read(name)
            if name == chosen:
                # The header of an array says its type and shape; nearly all of the rest is numbers.
                head, rest = (part[:128], part[128:]) if rng.random() < 0.7 else (b"", part)
                part = mutate(head, rng) + rest if head else mutate(rest, rng)
            new.writestr(name, part)
    return out.getvalue()


def everything(folder: Path) -> Iterator[Read]:
    from fiftyone_smic.fiftyone.dataset_import import _read_about, _read_samples
    from fiftyone_smic.models.generators.declaration import read_declaration
    from fiftyone_smic.models.generators.ip_adapter import IPAdapterGenerator
    from fiftyone_smic.models.generators.source import Source

    rng = np.random.default_rng(0)
    latents = rng.normal(size=(40, 6)).astype(np.float32)
    Prior.build(latents).save(folder / "p.npz", metric=Metric.of_texts(latents))
    yield Read("prior", folder / "p.npz", lambda: Prior.load(folder / "p.npz"), ValueError)
    shutil.copy(folder / "p.npz", folder / "m.npz")
    yield Read("metric", folder / "m.npz", lambda: Metric.load(folder / "m.npz"), ValueError)

    pipeline = folder / "pipeline"
    pipeline.mkdir()
    from safetensors.numpy import save_file

    weights = {"image_proj.proj.weight": latents, "x": latents}
    save_file(weights, pipeline / "adapter.safetensors")
    (pipeline / "model_index.json").write_text(
        json.dumps(
            {
                "_class_name": "StableDiffusionPipeline",
                "unet": ["diffusers", "UNet2DConditionModel"],
                "safety_checker": [None, None],
            }
        )
    )
    said = {"encoder": "ViT-L-14/openai", "steps": 20, "guidance": 3.5, "latent_norm": 10.0,
            "notice": "none", "scheduler": "DPMSolverMultistepScheduler", "negative": [0.1] * 6,
            "ip_adapter": "adapter.safetensors"}  # fmt: skip
    (pipeline / "smic.json").write_text(json.dumps(said))

    def declared() -> None:
        found = read_declaration(pipeline)
        inside = (pipeline / (found.ip_adapter or ".")).resolve()
        assert inside.is_relative_to(pipeline.resolve()), f"{inside} is outside of its folder"
        assert found.negative is None or np.isfinite(found.negative).all()

    source = Source(
        name="fuzz",
        places=(str(pipeline),),
        encoder="ViT-L-14/openai",
        pipeline="StableDiffusionPipeline",
        folder=pipeline,
        adapter=(str(pipeline), "", "adapter.safetensors"),
    )
    for name, read in (
        ("smic.json", declared),
        ("model_index.json", declared),
        ("adapter.safetensors", lambda: IPAdapterGenerator._source_dim(source)),
    ):
        yield Read(name, pipeline / name, read, ValueError)

    export = folder / "export"
    shutil.copytree(EXPORT, export)
    turn = [0]

    def read_export() -> None:
        about = _read_about(export)
        _read_samples(export / "fiftyone" / "samples.json")
        turn[0] += 1
        if turn[0] % EVERY == 1 % EVERY:
            _import_whole(folder, export, about["key"])

    for name in ("smic.json", "fiftyone/samples.json", "fiftyone/metadata.json"):
        yield Read(f"export's {name}", export / name, read_export, (ArchiveError, ValueError))


def _import_whole(folder: Path, export: Path, key: str) -> None:
    import fiftyone as fo

    from fiftyone_smic.fiftyone.types import SMICDataset

    before = sorted(p.name for p in folder.iterdir())
    try:
        dataset = fo.Dataset.from_dir(
            str(export),
            SMICDataset,
            name="fuzz",
            draw=False,
            output_dir=str(folder / "pictures"),
            overwrite=True,
        )
        assert len(dataset) == len(dataset.values("filepath"))
    finally:
        if fo.dataset_exists("fuzz"):
            fo.delete_dataset("fuzz")
        shutil.rmtree(folder / "pictures", ignore_errors=True)
    assert sorted(p.name for p in folder.iterdir()) == before, "something lies beside the folders"


def check(read: Read, data: bytes) -> bool:
    """Return whether a changed file was accepted; other errors than the named ones go on."""
    read.file.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            read.read()
    except read.errors:
        return False
    finally:
        read.file.write_bytes(read.original)
    return True


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="A mutation loop over everything but archives.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    private_mongod.start()  # before FiftyOne is imported: a dataset of this name may be somebody's
    rng = random.Random(arguments.seed)
    tried: Counter[str] = Counter()
    accepted: Counter[str] = Counter()
    begin, peak = time.perf_counter(), 0
    with tempfile.TemporaryDirectory() as place:
        files = list(everything(Path(place)))
        for read in files:
            read.read()  # unchanged, all of them are sound
        for i in range(arguments.count):
            read = files[i % len(files)]
            data = read.mutated(rng)
            watched = i % 257 == 1
            if watched:
                tracemalloc.start()
            try:
                accepted[read.name] += check(read, data)
            except BaseException:
                Path("fuzz-failure").write_bytes(data)
                print(f"number {i}, {read.name}, fails, see fuzz-failure")
                raise
            if watched:
                peak = max(peak, tracemalloc.get_traced_memory()[1])
                tracemalloc.stop()
            tried[read.name] += 1
    print(f"{arguments.count} changed files in {time.perf_counter() - begin:.0f} s: no crash,")
    print(f"peak {peak / 1e6:.1f} MB in every 257th")
    for name in tried:
        print(f"  {name:28} {tried[name]:7} read, {accepted[name]:6} accepted")


if __name__ == "__main__":
    main()
