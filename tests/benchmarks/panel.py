"""What a user waits for in the App on a large dataset: ``python -m tests.benchmarks.panel
[--samples 50000]``.

Everything happens in headless Chromium and in an App whose server has just started, on made-up
latents of 512 numbers and a dictionary of about 490 atoms. It prints

- the seconds from *Execute* to the result of the operators that encode and lay out the map, and
  the processor's seconds that the App's server took for it: on a machine with other work only
  these mean something; and the most memory that the server had meanwhile,
- for each tab of the panel the seconds from the click to its first words and to its pictures and
  plots, when it is opened for the first time and again,
- the seconds from a click on a concept until the grid shows its samples and is at rest, and what
  the browser has sent and received for it, without the pictures; and the same of a view that
  FiftyOne shows while no panel is open,
- the memory of the App's server, with the grid alone and at the end.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .. import conftest  # noqa: F401 (the private database)
from ..app import steps
from ..app.server import serving
from .speed import made_up

KEY, DIMENSIONS, ATOMS, FILES = "smic", 512, 490, 20
#: The dictionary is learned on this many; learning is measured by ``tests.benchmarks.speed``.
LEARNED_FROM = 10_000
#: What shows in the browser that a tab is painted, and that all of it is there.
SIGNS = {
    "Compare": ("text=and what their codes draw", 'img[alt="Original"]'),
    "Storage": ("text=as the collection grows", steps.BARS),
    "Concepts": ("text=Click a concept (◆) to see", f"{steps.MAP} .scatterlayer .point"),
    "Mix": ("text=Select one to three samples", 'img[alt="Start"]'),
    "Curate": ("text=The largest concepts", 'img[alt^="Typical of"]'),
}


def collect(n: int, folder: Path) -> Any:
    """Return the dataset, with latents and a dictionary."""
    import fiftyone as fo

    import fiftyone_smic as smic

    rng = np.random.default_rng(0)
    for i in range(FILES):
        pixels = rng.integers(0, 256, (96, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg")
    dataset = fo.Dataset("panel-benchmark", persistent=True)
    kinds = [fo.Classification(label=f"topic {i}") for i in range(30)]
    latents = made_up(n, DIMENSIONS)
    dataset.add_samples(
        [
            fo.Sample(str(folder / f"{i % FILES}.jpg"), topic=kinds[kind], clip_latents=latents[i])
            for i, kind in enumerate(rng.integers(0, len(kinds), n))
        ],
        progress=False,
    )
    smic.learn_dictionary(dataset[:LEARNED_FROM], KEY, n_atoms=ATOMS, progress=False)
    return dataset


def memory(process: int, which: str) -> float:
    """MB that a process holds (``VmRSS``) or has held at most (``VmHWM``)."""
    said = Path(f"/proc/{process}/status").read_text()
    return int(re.search(rf"{which}:\s+(\d+) kB", said)[1]) / 1000


@contextmanager
def traffic(page: Any) -> Iterator[dict[str, int]]:
    """Bytes that the page sends and receives meanwhile, without pictures."""
    seen = {"sent": 0, "received": 0, "requests": 0}

    def note(response: Any) -> None:
        request = response.request
        if request.resource_type not in ("fetch", "xhr") or "/media" in request.url:
            return
        seen["requests"] += 1
        seen["sent"] += len(request.post_data_buffer or b"")
        sizes = request.sizes() if "text/event-stream" not in str(response.headers) else {}
        seen["received"] += sizes.get("responseBodySize", 0)

    page.on("requestfinished", lambda request: note(request.response()))
    yield seen


def processor(process: int) -> float:
    """Seconds that a process has had of the processor."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(page: Any, server: int, what: str, label: str, sign: str) -> None:
    """Print what an operator takes from Execute to its result."""
    form = steps.open_form(page, label)
    Path(f"/proc/{server}/clear_refs").write_text("5")  # the peak begins anew
    start, before = time.perf_counter(), processor(server)
    form.get_by_role("button", name="Execute").click()
    page.locator(steps.RESULT).get_by_text(re.compile(sign)).first.wait_for(timeout=600_000)
    seconds = time.perf_counter() - start
    spent, peak = processor(server) - before, memory(server, "VmHWM")
    print(f"{what:42}{seconds:9.1f}{spent:9.1f}{peak:9,.0f}", flush=True)
    steps.close(page)


def show(page: Any, tab: str, click: Callable[[], Any]) -> None:
    """Print what a tab takes."""
    start, seconds = time.perf_counter(), []
    panel = click()
    for sign in SIGNS[tab]:
        panel.locator(sign).first.wait_for(state="attached")
        seconds.append(time.perf_counter() - start)
    print(f"{tab:42}{seconds[0]:9.2f}{seconds[1]:9.2f}", flush=True)
    steps.settle(page)


def choose(page: Any, tab: str) -> Any:
    """Click a tab of the panel."""
    panel = page.locator('[data-cy="panel-content-smic_panel"]')
    panel.get_by_role("tab", name=tab).click()
    return panel


def click(page: Any, panel: Any, what: str, click: Callable[[], int]) -> None:
    """Print what a click on a concept takes; ``click`` returns the number of its samples."""
    with traffic(page) as seen:
        start = time.perf_counter()
        steps.count(page, click())
        page.locator('[data-cy="looker"]').first.wait_for()
        seconds = time.perf_counter() - start
        page.wait_for_timeout(3000)
    print(
        f"{what:42}{seconds:9.2f}{seen['sent'] / 1000:10.1f}{seen['received'] / 1000:10.1f}",
        flush=True,
    )
    if panel is not None:
        panel.get_by_role("button", name="Back to the view before").click()
    steps.settle(page)


def show_view(page: Any, view: Any) -> int:
    """Have the App's own operator show a view; returns its number of samples."""
    page.evaluate(
        "view => __foo__.executeOperator('@voxel51/operators/set_view', {view})", view._serialize()
    )
    return len(view)


def watch(page: Any, server: int, made: Any) -> None:
    """Print what the operators, the tabs and clicks on concepts take."""
    from fiftyone_smic.fiftyone import match_atom

    n = len(made)
    print(f"\n{'operator':42}{'s':>9}{'server s':>9}{'peak MB':>9}")
    run(page, server, f"encode {n:,} samples", "SMIC: encode samples", "of the diff")
    run(page, server, f"lay out the map of {n:,} samples", "SMIC: map concepts", "on one map")
    steps.settle(page)
    print(f"\n{'tab':42}{'paint s':>9}{'whole s':>9}")
    show(page, "Compare", lambda: steps.open_panel(page))
    for tab in (*list(SIGNS)[1:], *SIGNS):
        show(page, tab, lambda tab=tab: choose(page, tab))
    panel = choose(page, "Concepts")
    steps.settle(page)
    print(f"\n{'click':42}{'grid s':>9}{'kB sent':>10}{'kB back':>10}")
    for place in (0, 3):
        button = panel.get_by_role("button", name=re.compile(" have it$")).nth(place)
        uses = int(button.text_content().split(" ")[0].replace(",", ""))

        def press(button: Any = button, uses: int = uses) -> int:
            button.click()
            return uses

        click(page, panel, f"button of a concept ({uses:,} samples)", press)

    said = steps.point_at_atom(page, panel)

    def press_there() -> int:
        page.mouse.down()
        page.mouse.up()
        return int(said.rpartition(": ")[2].split(" ")[0].replace(",", ""))

    click(page, panel, "concept on the map", press_there)

    made.reload()
    view = match_atom(made, 0, KEY)
    page.locator('[data-cy="panel-tab-smic_panel"]').click(button="middle")  # closes it
    panel.wait_for(state="detached")
    steps.settle(page)
    what = f"FiftyOne alone, a view of {len(view):,} samples"
    click(page, None, what, lambda: show_view(page, view))


if __name__ == "__main__":
    from fiftyone_smic.fiftyone.plugin import install_plugin

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=50_000)
    samples = parser.parse_args().samples
    install_plugin()
    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        made = collect(samples, Path(scratch))
        print(f"{samples:,} samples made in {time.perf_counter() - begun:.0f} s", flush=True)
        with serving(Path(scratch) / "server.txt") as app, steps.browsing() as context:
            shown = steps.visit(context, app.address, made)
            shown.wait_for_timeout(10_000)  # the App is up, and the grid is filled
            alone = memory(app.pid, "VmRSS")
            watch(shown, app.pid, made)
            end = memory(app.pid, "VmRSS")
        print(
            f"\nserver: {alone:,.0f} MB with the grid alone, {end:,.0f} MB at the end "
            f"(+{end - alone:,.0f})"
        )
