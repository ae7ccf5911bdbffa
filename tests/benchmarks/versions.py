"""Installs other versions of FiftyOne and NumPy, and runs the same short story in each.

    python -m tests.benchmarks.versions             # fresh environments, needs an index
    python -m tests.benchmarks.versions --overlay   # FiftyOne's bound over this environment
    python -m tests.benchmarks.versions --python python3.10 --python python3.13
    python -m tests.benchmarks.versions --wheels 3.10 3.11 3.12 3.13

Each case is a virtual environment of its own with the package and the versions that the case names:
the lower bound of FiftyOne that ``pyproject.toml`` declares and the newest, NumPy 1.26 and 2. With
``--overlay`` only FiftyOne and the two packages of its makers are installed, without their
dependencies, into a folder that stands before this environment: minutes instead of an hour. With
``--wheels`` nothing is installed: for each version of Python, pip looks for wheels of everything in
``requirements.txt`` that fit together, which needs no interpreter of that version.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Learns, encodes, exports, imports and lists the plugin's operators; prints the versions.
STORY = """
import os, sys, tempfile
home = tempfile.mkdtemp()
for name in ("DATABASE_DIR", "PLUGINS_DIR", "DEFAULT_DATASET_DIR"):
    os.environ["FIFTYONE_" + name] = os.path.join(home, name)
    os.makedirs(os.environ["FIFTYONE_" + name])
os.environ["FIFTYONE_DO_NOT_TRACK"] = "true"
from fiftyone_smic.fiftyone.plugin import ensure_mongod, install_plugin
ensure_mongod()
install_plugin()
import fiftyone as fo, fiftyone.operators as foo, numpy as np, yaml
import fiftyone_smic as smic
content = yaml.safe_load(open(sys.argv[1] + "/fiftyone.yml"))
wanted = {*content["operators"], *content["panels"]}
missing = wanted - {operator.name for operator in foo.list_operators(builtin=False)}
assert not missing, f"not registered: {missing}"
rows = np.random.default_rng(0).normal(size=(60, 16)).astype(np.float32)
dataset = fo.Dataset()
dataset.add_samples(
    [fo.Sample(f"/data/{i}.jpg", clip_latents=row) for i, row in enumerate(rows)], progress=False
)
smic.learn_dictionary(dataset, n_atoms=6, progress=False)
assert smic.encode(dataset, progress=False).encoded == 60
file = os.path.join(home, "a.smic")
smic.export_archive(dataset, "smic", file)
assert smic.import_codes(dataset, file, "again").matched == 60
assert dataset.values("again_atoms") == dataset.values("smic_atoms")
folder = os.path.join(home, "out")
dataset.export(folder, dataset_type=smic.types.SMICDataset, progress=False)
made = fo.Dataset.from_dir(folder, dataset_type=smic.types.SMICDataset, name="b", draw=False)
assert made.values("smic_atoms") == dataset.values("smic_atoms")
smic.remove_all(dataset)
assert dataset.list_runs() == []
print("OK python", sys.version.split()[0], "fiftyone", fo.__version__, "numpy", np.__version__)
"""


def bound(name: str) -> str:
    """The lower bound of a dependency, as ``pyproject.toml`` declares it."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    found = re.search(rf'^\s*"{name}>=([\d.]+)"', text, re.MULTILINE)
    assert found, f"pyproject.toml has no lower bound of {name}"
    return found[1]


def cases() -> dict[str, list[str]]:
    """What each case installs beside the package."""
    # The GraphQL server that FiftyOne 1.14 pins imports what graphql-core 3.3 removed.
    lowest = [f"fiftyone=={bound('fiftyone')}.*", "graphql-core<3.3"]
    return {
        "bound, numpy 1.26": [*lowest, "numpy==1.26.*"],
        "bound, numpy 2": [*lowest, "numpy>=2"],
        "newest, numpy 1.26": ["fiftyone", "numpy==1.26.*"],
        "newest, numpy 2": ["fiftyone", "numpy>=2"],
    }


def pip(python: str | Path, *arguments: str) -> None:
    """Run pip of an interpreter, and show what it says only when it fails."""
    command = [str(python), "-m", "pip", "install", "-q", "--no-compile", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def tell(case: str, python: str | Path, before: Path | None = None) -> bool:
    """Run the story, and print how it went."""
    paths = [str(path) for path in (before, ROOT) if path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with tempfile.TemporaryDirectory() as aside:
        done = subprocess.run(
            [str(python), "-c", STORY, str(ROOT)],
            cwd=aside,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    said = done.stdout.strip().splitlines() or [""]
    good = done.returncode == 0 and said[-1].startswith("OK ")
    print(f"{case:<34}{said[-1] if good else 'FAILED'}")
    if not good:
        print(done.stderr[-3000:])
    return good


def in_environment(case: str, wanted: list[str], python: str, folder: Path) -> bool:
    """Make a virtual environment of the case and run the story in it."""
    home = folder / re.sub(r"\W+", "-", f"{case} {Path(python).name}")
    subprocess.run([python, "-m", "venv", str(home)], check=True)
    there = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    try:
        pip(there, str(ROOT), *wanted)
    except RuntimeError as error:
        print(f"{case:<34}cannot be installed here: {str(error).strip().splitlines()[-1]}")
        return False
    return tell(f"{case} {Path(python).name}", there)


def overlaid(folder: Path) -> bool:
    """Put FiftyOne's lower bound before this environment's, and run the story."""
    target = folder / f"fiftyone-{bound('fiftyone')}"
    pip(sys.executable, "--no-deps", "--target", str(target), f"fiftyone=={bound('fiftyone')}.*")
    (about,) = metadata.distributions(name="fiftyone", path=[str(target)])
    makers = [r for r in about.requires or [] if re.match(r"fiftyone-brain|voxel51-eta", r)]
    pip(sys.executable, "--no-deps", "--target", str(target), *makers)
    return tell("bound over this environment", sys.executable, target)


def has_wheels(version: str, folder: Path) -> bool:
    """Print which wheels pip finds for a version of Python."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--only-binary=:all:", "--python-version", version, "--target", str(folder)]
    command += ["-r", str(ROOT / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    chosen = done.stdout.partition("Would install")[2]  # before it, also what was looked at
    found = re.findall(r"\b(fiftyone|numpy|torch|scikit-learn|numba)-(\d[\w.]*)", chosen)
    good = done.returncode == 0 and bool(found)
    said = ", ".join(f"{name} {number}" for name, number in sorted(set(found)))
    failed = (done.stderr.strip().splitlines() or ["pip says nothing"])[-1]
    print(f"wheels for Python {version:<16}{said if good else f'FAILED: {failed}'}")
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where environments go; by default a new one")
    parser.add_argument("--python", action="append", help="an interpreter; may be given again")
    parser.add_argument("--overlay", action="store_true", help="only FiftyOne's lower bound")
    parser.add_argument("--wheels", nargs="+", metavar="VERSION", help="only look for wheels")
    parser.add_argument("--case", choices=list(cases()), help="only this one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as aside:
        folder = (given.folder or Path(aside)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if given.wheels:
            good = all([has_wheels(version, folder) for version in given.wheels])
        elif given.overlay:
            good = overlaid(folder)
        else:
            good = all(
                [
                    in_environment(case, wanted, python, folder)
                    for case, wanted in cases().items()
                    if given.case in (None, case)
                    for python in given.python or [sys.executable]
                ]
            )
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
