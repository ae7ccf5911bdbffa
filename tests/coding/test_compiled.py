"""Compiled functions run where numba can keep nothing, and without numba's compiler."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fiftyone_smic
from fiftyone_smic.coding.tables import frequencies

CODE = """
import warnings
warnings.simplefilter("ignore")
import numpy as np
from fiftyone_smic.coding.range_coder import Coder
from fiftyone_smic.coding.tables import frequencies
table = frequencies(np.array([5, 1, 1]))
coder = Coder()
coder.code(np.array([0, 2, 1, 0]), table)
print(Coder(coder.finish()).code(np.zeros(4), table).tolist())
"""


#: A single compiled function, which takes a second to compile; all of them take ten.
ONE = """
import numpy as np
from fiftyone_smic.coding.tables import frequencies
print(frequencies(np.array([5, 1, 1])).tolist())
"""
FREQUENCIES = str(frequencies(np.array([5, 1, 1])).tolist())


def run(code: str, package: Path, **environment: str) -> str:
    """What a process prints that finds the package in this folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA") and k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={**kept, "PYTHONPATH": str(package), **environment},
        cwd="/",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


@pytest.fixture
def unwritable(tmp_path) -> Path:
    """The package where no folder for a cache can be made: root may write everywhere, but not
    where a file is in the way."""
    source = Path(fiftyone_smic.__file__).parent
    for part in ("coding", "utils"):
        target = tmp_path / "fiftyone_smic" / part
        shutil.copytree(source / part, target, ignore=shutil.ignore_patterns("__pycache__"))
        (target / "__pycache__").write_text("")
    (tmp_path / "fiftyone_smic" / "__init__.py").write_text("")
    return tmp_path


def test_without_room_for_a_cache_functions_are_compiled_anew(unwritable):
    home = str(unwritable / "fiftyone_smic" / "__init__.py" / "home")  # a file is in the way
    environment = {"HOME": home, "XDG_CACHE_HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}
    assert run(ONE, unwritable, **environment) == FREQUENCIES


def test_curation_too_needs_no_room_for_a_cache(unwritable):
    source, target = Path(fiftyone_smic.__file__).parent, unwritable / "fiftyone_smic"
    for part in ("archive", "curation", "dictionary"):
        shutil.copytree(source / part, target / part, ignore=shutil.ignore_patterns("__pycache__"))
        (target / part / "__pycache__").write_text("")
    shutil.copy(source / "metrics.py", target)
    modules = sorted(path.stem for path in (source / "curation").glob("[a-z]*.py"))
    code = "".join(f"import fiftyone_smic.curation.{name}\n" for name in modules)
    home = str(target / "__init__.py" / "home")
    run(code, unwritable, HOME=home, XDG_CACHE_HOME=home, PYTHONDONTWRITEBYTECODE="1")


def test_with_room_for_it_the_cache_is_kept(tmp_path):
    source = Path(fiftyone_smic.__file__).parent
    for part in ("coding", "utils"):
        shutil.copytree(
            source / part,
            tmp_path / "fiftyone_smic" / part,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    (tmp_path / "fiftyone_smic" / "__init__.py").write_text("")
    assert run(ONE, tmp_path) == FREQUENCIES
    assert list((tmp_path / "fiftyone_smic" / "coding" / "__pycache__").glob("tables.*.nbi"))


def test_numba_may_be_told_not_to_compile():
    package = Path(fiftyone_smic.__file__).parents[1]
    assert run(CODE, package, NUMBA_DISABLE_JIT="1") == "[0, 2, 1, 0]"
