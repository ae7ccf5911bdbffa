"""How long the panel takes to show a large dataset: ``python -m tests.benchmarks.panel
[--samples 100000] [--browser]``.

Makes a dataset in a private database. Its samples share a few image files; a dictionary is learned
on 2,000 of them, and the others have codes of those. Each tab is laid out in a process of its own
that has read nothing before, as when it is opened for the first time once the App is up; "again"
is what a click in it takes then.

With ``--browser``, the same in headless Chromium, in an App whose server has just started: from the
click that opens the panel, or one of its tabs, until its first words are there, and until its
pictures and plots are. Each tab is opened twice.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import conftest  # noqa: F401 (the private database)
from .speed import made_up

KEY = "smic"
LEARNED_FROM = 2000
ATOMS = 256
FILES = 20
#: What the user has chosen, by what is printed.
SHOWN: dict[str, dict[str, Any]] = {
    "Compare": {"tab": "compare"},
    "Storage": {"tab": "storage"},
    "Atoms": {"tab": "atoms"},
    "Atoms, the most used one chosen": {"tab": "atoms", "atom": "most used"},
    "Mix": {"tab": "mix"},
}
#: What shows in the browser that a tab is painted, and that all of it is there.
SIGNS = {
    "Compare": ("text=and what their codes draw", 'img[alt="Original"]'),
    "Storage": ("text=Bits per sample, as the collection grows", ".bars path"),
    "Atoms": ("text=Click an atom to see the samples", ".scatterlayer .point"),
    "Mix": ("text=Select one to three samples", 'img[alt="Start"]'),
}


def collect(n: int, folder: Path) -> str:
    """Make the dataset; returns its name."""
    import fiftyone as fo

    import fiftyone_smic as smic
    from fiftyone_smic.fiftyone import fields, visualization

    rng = np.random.default_rng(0)
    for i in range(FILES):
        pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    dataset = fo.Dataset("panel-benchmark", persistent=True)
    dataset.add_samples([fo.Sample(str(folder / f"{i % FILES}.jpg")) for i in range(n)])
    topics = [fo.Classification(label=f"topic {i}") for i in range(30)]
    dataset.set_values("topic", [topics[i] for i in rng.integers(0, len(topics), n)])

    part = dataset[:LEARNED_FROM]
    dataset.add_sample_field("clip_latents", fo.VectorField)
    part.set_values("clip_latents", list(made_up(LEARNED_FROM, 128)))
    smic.learn_dictionary(part, KEY, n_atoms=ATOMS)
    smic.encode(part, KEY)
    like = rng.integers(0, LEARNED_FROM, n)
    for name in (fields.field_name(KEY, suffix) for suffix in fields.CODE_SUFFIXES):
        values = part.values(name)
        dataset.set_values(name, [values[i] for i in like])
    # UMAP of 100,000 takes minutes, and where the points are does not matter.
    places = rng.normal(size=(ATOMS, 2))
    points = places[rng.integers(0, ATOMS, n)] + 0.1 * rng.normal(size=(n, 2))
    visualization.store_map(dataset, KEY, f"{KEY}_umap", dataset.values("id"), points, places)
    return dataset.name


def paint(name: str, state: dict[str, Any]) -> tuple[list[float], int]:
    """Lay the panel out twice: seconds, and bytes that go to the browser."""
    import fiftyone as fo
    from fiftyone.operators.executor import ExecutionContext

    from operators.panel import SMICPanel

    dataset = fo.load_dataset(name)
    if state.get("atom"):
        uses = dataset.count_values(f"{KEY}_atoms")
        state = {**state, "atom": str(max(uses, key=uses.__getitem__))}
    request = {"dataset_name": name, "params": {"panel_id": "smic", "panel_state": state}}
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        layout = json.dumps(SMICPanel().render(ExecutionContext(request)).to_json())
        seconds.append(time.perf_counter() - start)
    return seconds, len(layout)


def watch(name: str, folder: Path) -> None:
    """Print what each tab takes in the browser."""
    import fiftyone as fo

    from fiftyone_smic.fiftyone.plugin import install_plugin

    from ..app import steps
    from ..app.server import serving

    install_plugin()
    with serving(folder / "server.txt") as app, steps.browsing() as context:
        page = steps.visit(context, app, fo.load_dataset(name))
        page.wait_for_timeout(10_000)  # the App is up, and the grid is filled

        def show(tab: str, click: Callable[[], Any]) -> None:
            start, seconds = time.perf_counter(), []
            panel = click()
            for sign in SIGNS[tab]:
                panel.locator(sign).first.wait_for()
                seconds.append(time.perf_counter() - start)
            print(f"{tab:34}{seconds[0]:9.2f}{seconds[1]:9.2f}", flush=True)
            page.wait_for_timeout(5000)

        def choose(tab: str) -> Any:
            panel = page.locator('[data-cy="panel-content-smic_panel"]')
            panel.get_by_role("tab", name=tab).click()
            return panel

        show("Compare", lambda: steps.open_panel(page))
        for tab in (*list(SIGNS)[1:], *SIGNS):
            show(tab, lambda tab=tab: choose(tab))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    samples = arguments.samples
    with tempfile.TemporaryDirectory() as scratch:
        start = time.perf_counter()
        made = collect(samples, Path(scratch))
        print(f"{samples:,} samples made in {time.perf_counter() - start:.0f} s")
        print(f"{'tab':34}{'first s':>9}{'again s':>9}{'kB':>7}")
        for shown, chosen in SHOWN.items():
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(1, mp_context=context) as fresh:
                (first, again), size = fresh.submit(paint, made, chosen).result()
            print(f"{shown:34}{first:9.2f}{again:9.2f}{size / 1000:7.0f}", flush=True)
        if arguments.browser:
            print(f"\n{'tab, in the browser':34}{'paint s':>9}{'whole s':>9}")
            watch(made, Path(scratch))
