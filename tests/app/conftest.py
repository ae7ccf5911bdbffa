"""The real App on real datasets, in a headless Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """The browser's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@pytest.fixture(scope="session")
def plugin():
    """The plugin where the App looks for it, and what a browser test needs."""
    if chromium() is None:
        pytest.skip("chromium is not installed: apt-get install -y chromium")
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    from fiftyone_smic.plugin import install_plugin

    install_plugin()


def _postcards(tmp_path_factory, name):
    import fiftyone_smic as smic

    made = smic.load_postcards(
        60,
        name=name,
        directory=tmp_path_factory.mktemp("postcards"),
        persistent=True,
        progress=False,
    )
    smic.compute_latents(made, progress=False)
    return made


@pytest.fixture(scope="session")
def dataset(plugin, tmp_path_factory):
    """60 postcards with latents."""
    made = _postcards(tmp_path_factory, "postcards-app")
    yield made
    made.delete()


@pytest.fixture(scope="session")
def app(dataset, tmp_path_factory):
    """Address of the App, served by a process of its own."""
    folder = tmp_path_factory.mktemp("server")
    # On a machine with much to do FiftyOne gives up waiting for its own server.
    for attempt in range(3):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        log = folder / f"log{attempt}.txt"
        server = _serve(dataset.name, port, log)
        if _is_ready(server, port, log):
            break
        assert attempt < 2, log.read_text()[-4000:]
        _stop(server)
    yield f"http://127.0.0.1:{port}"
    _stop(server)


def _serve(name, port, log):
    with log.open("w") as stream:
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py")), name, str(port)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )


def _is_ready(server, port, log):
    """Wait for the App; whether it came."""
    deadline = time.time() + 180
    while server.poll() is None and time.time() < deadline:
        try:
            if "READY" in log.read_text():
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
                return True
        except OSError:
            pass
        time.sleep(0.25)
    return False


def _stop(server):
    if server.poll() is None:
        server.send_signal(signal.SIGINT)
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        server.kill()


@pytest.fixture(scope="session")
def shots(tmp_path_factory):
    """Folder for screenshots; set SMIC_SCREENSHOTS to keep them."""
    folder = Path(os.environ.get("SMIC_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="package")
def browser(plugin):
    """Chromium. Not for longer than these tests: while Playwright runs, so does an event loop, in
    which other tests' operators would be tasks."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # of machines with more to do
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(app, browser):
    """Open a dataset's grid in a new window: ``visit(dataset, theme=…)`` returns the page."""
    opened = []

    def visit(dataset, width=1500, height=950, theme="dark"):
        context = browser.new_context(viewport={"width": width, "height": height})
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(120_000)
        # As if the advertisement that covers the App and takes the clicks had been closed before.
        page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
        page.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
        page.goto(f"{app}/datasets/{dataset.name}", wait_until="domcontentloaded")
        page.locator('[data-cy="looker"]').first.wait_for()
        return page

    yield visit
    for context in opened:
        context.close()
