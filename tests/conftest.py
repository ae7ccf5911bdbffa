"""Fixtures shared by all tests.

FiftyOne reads its settings when it is first imported, so a private database, plugins folder and
default folder are set here, before any test module can import it: tests never touch a user's data.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from .support import private_mongod

_HOME = tempfile.TemporaryDirectory(prefix="smic-tests-", ignore_cleanup_errors=True)
for _name, _folder in {
    "FIFTYONE_DATABASE_DIR": "db",
    "FIFTYONE_PLUGINS_DIR": "plugins",
    "FIFTYONE_DEFAULT_DATASET_DIR": "datasets",
    "FIFTYONE_DATASET_ZOO_DIR": "zoo",
    "FIFTYONE_MODEL_ZOO_DIR": "models",
}.items():
    os.environ[_name] = os.path.join(_HOME.name, _folder)
    os.makedirs(os.environ[_name], exist_ok=True)
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
if "PYTEST_XDIST_WORKER" in os.environ:  # more threads than cores wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
# UMAP's compiled functions set the threads of all OpenMP of the process, PyTorch's too, to numba's.
if "OMP_NUM_THREADS" in os.environ:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
private_mongod.start()
# A test that reaches for a model hub is wrong: nothing here may need one.
os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from PIL import Image  # noqa: E402


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With several workers, a file's tests go to one of them, and to one all that need a browser.

    Those begin first and take longest. The examples at the end are given out one by one.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file = nodeid.partition("::")[0]
            if file.startswith("tests/app/"):
                return "tests/app"
            return nodeid if file.endswith("test_examples.py") else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def encoder():
    """The embedded encoder, through the code every encoder goes through."""
    from fiftyone_smic.models.encoders import load_encoder

    return load_encoder(device="cpu")


@pytest.fixture(scope="session")
def generator():
    """The embedded generator, through the code every generator goes through."""
    from fiftyone_smic.models.generators import load_generator

    return load_generator("postcards", device="cpu")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> list[Path]:
    """Twelve different image files of 96 x 64 pixels: coloured noise over coloured ground."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for i in range(12):
        ground = rng.integers(0, 200, 3)
        pixels = np.clip(ground + rng.integers(0, 56, (64, 96, 3)), 0, 255).astype(np.uint8)
        paths.append(folder / f"{i:02d}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths
