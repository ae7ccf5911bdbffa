"""The real App on real datasets, in a headless Chromium.

Tests share the App's process, the browser and what it has loaded, and two datasets.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

from . import steps
from .server import serving


@pytest.fixture(scope="session")
def plugin():
    """The plugin where the App looks for it, and what a browser test needs."""
    if steps.chromium() is None:
        pytest.skip("chromium is not installed: apt-get install -y chromium")
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    from fiftyone_smic.fiftyone.plugin import install_plugin

    install_plugin()


def _postcards(tmp_path_factory, name):
    import fiftyone_smic as smic

    return smic.load_postcards(
        60,
        name=name,
        directory=tmp_path_factory.mktemp("postcards"),
        persistent=True,
        progress=False,
    )


def _lay_out(made, key):
    """A map by the two main directions of the latents: compiling UMAP takes half a minute."""
    import numpy as np

    from fiftyone_smic.fiftyone.runs import load_dictionary
    from fiftyone_smic.fiftyone.visualization import store_map

    dictionary = load_dictionary(made, key)
    ids, latents = made.values(["id", "clip_latents"])
    centred = np.stack(latents) - dictionary.mean_
    main = np.linalg.svd(centred, full_matrices=False)[2][:2].T
    store_map(made, key, f"{key}_umap", ids, centred @ main, dictionary.atoms_ @ main)


@pytest.fixture(scope="package")
def dataset(plugin, tmp_path_factory):
    """60 postcards as anyone's images: no latents."""
    made = _postcards(tmp_path_factory, "postcards-app")
    yield made
    made.delete()


@pytest.fixture(scope="package")
def curated(plugin, tmp_path_factory):
    """60 postcards with a dictionary "scenes", its codes, names and map, drawn in part."""
    import fiftyone_smic as smic

    made = _postcards(tmp_path_factory, "postcards-curated")
    smic.compute_latents(made, progress=False)
    smic.learn_dictionary(made, "scenes", progress=False)
    smic.encode(made, "scenes", progress=False)
    smic.name_atoms(made, "scenes", progress=False)
    _lay_out(made, "scenes")
    smic.regenerate(made[:4], "scenes", steps=4, progress=False)
    yield made
    made.delete()


@pytest.fixture(scope="package")
def app(plugin, tmp_path_factory):
    """Address of the App, served by a process of its own."""
    with serving(tmp_path_factory.mktemp("server") / "log.txt") as app:
        yield app.address


@pytest.fixture(scope="package")
def browser(plugin):
    """Chromium. Not for longer than these tests: while Playwright runs, so does an event loop, in
    which other tests' operators would be tasks."""
    with steps.browsing() as context:
        yield context


@pytest.fixture
def visit(app, browser, request):
    """Open a dataset's grid: ``visit(dataset, theme=…)`` returns the page.

    With ``SMIC_SCREENSHOTS`` set to a folder, what a test leaves is seen there. The last page stays
    for the next test, unless a test has failed in it.
    """
    failed = request.session.testsfailed
    yield partial(steps.visit, browser, app)
    shots = os.environ.get("SMIC_SCREENSHOTS")
    pages = browser.pages
    for i, page in enumerate(pages):
        if shots:
            page.screenshot(path=Path(shots) / f"{request.node.name}-{i}.png")
        if page is not pages[-1] or request.session.testsfailed > failed:
            page.close()
