"""The real App on a real dataset, in a headless Chromium."""

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


@pytest.fixture
def dataset(tmp_path_factory):
    """60 postcards with latents, and the plugin where the App looks for it."""
    if chromium() is None:
        pytest.skip("chromium is not installed: apt-get install -y chromium")
    pytest.importorskip("playwright", reason="playwright is not installed: pip install playwright")
    import fiftyone_smic as smic
    from fiftyone_smic.plugin import install_plugin

    install_plugin()
    made = smic.load_postcards(
        60,
        name="postcards-app",
        directory=tmp_path_factory.mktemp("postcards"),
        persistent=True,
        progress=False,
    )
    smic.compute_latents(made, progress=False)
    yield made
    made.delete()


@pytest.fixture
def app(dataset, tmp_path_factory):
    """Address of the App, served by a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py")), dataset.name, str(port)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "2"},
        )
    try:
        deadline = time.time() + 180
        while True:
            assert server.poll() is None and time.time() < deadline, log.read_text()[-4000:]
            try:
                if "READY" in log.read_text():
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2)
                    break
            except OSError:
                pass
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}"
    finally:
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


@pytest.fixture
def page(app, dataset):
    """A page of the App that shows the dataset's grid."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.set_default_timeout(120_000)
        # As if the advertisement that covers the App and takes the clicks had been closed before.
        page.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
        page.goto(f"{app}/datasets/{dataset.name}", wait_until="domcontentloaded")
        page.locator('[data-cy="looker"]').first.wait_for()
        yield page
        browser.close()
