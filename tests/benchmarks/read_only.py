"""The whole way as a user who can write neither the plugin's folder nor a home:
``python -m tests.benchmarks.read_only [--user nobody] [--python /usr/bin/python3]``.

An administrator starts it. The child has the locale C, a hash seed of its own and no home. It can
write one folder only, whose name has spaces, ``#``, ``%``, quotes and other letters than Latin
ones; FiftyOne's database and files lie there. ``--python`` is an interpreter that the other user
may run, where this one lies in somebody's home; it finds the packages of this one.
"""

from __future__ import annotations

import argparse
import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import fiftyone

ROOT = Path(__file__).parents[2]

STORY = """
import os, sys
from tests.support import private_mongod
work = sys.argv[1]
for name in ("DATABASE_DIR", "DEFAULT_DATASET_DIR", "DATASET_ZOO_DIR", "MODEL_ZOO_DIR"):
    os.environ["FIFTYONE_" + name] = os.path.join(work, name)
    os.makedirs(os.environ["FIFTYONE_" + name])
private_mongod.start()
from fiftyone_smic.utils.files import replace_file
for folder in (sys.argv[2], os.environ["HOME"], os.environ["FIFTYONE_PLUGINS_DIR"]):
    try:
        replace_file(os.path.join(folder, "x"), b"")
        sys.exit(folder + " can be written: start this as an administrator")
    except OSError:
        pass
import fiftyone.operators as foo, fiftyone_smic as smic
dataset = smic.load_postcards(24, directory=os.path.join(work, "cards"), progress=False)
smic.compute_latents(dataset, progress=False)
smic.learn_dictionary(dataset, n_atoms=4, progress=False)
print("encoded", smic.encode(dataset, progress=False).encoded)
print("found", len(smic.search(dataset, "a house", k=3, progress=False).view))
file = os.path.join(work, "a.smic")
smic.export_archive(dataset, "smic", file, progress=False)
made = smic.import_archive(file, "again", steps=1, progress=False)
print("drawn", made.count("smic_regenerated"))
ours = [found for found in foo.list_operators(builtin=False) if "fiftyone_smic" in found.uri]
print("operators", sum(type(found).__name__ != "SMICPanel" for found in ours))
"""


def main() -> int:
    """The command line. Returns the exit code of the story."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--user", default="nobody")
    parser.add_argument("--python", default=sys.executable)
    given = parser.parse_args()
    user = pwd.getpwnam(given.user)
    with tempfile.TemporaryDirectory() as aside:
        os.chmod(aside, 0o755)
        plugins = Path(aside, "plugins")
        plugins.mkdir()
        (plugins / "fiftyone_smic").symlink_to(ROOT)
        work = Path(aside, "a b #1 100% 'x' \"y\" é 日本")
        work.mkdir()
        os.chown(work, user.pw_uid, user.pw_gid)
        packages = Path(fiftyone.__file__).parents[1]
        done = subprocess.run(
            [given.python, "-B", "-c", STORY, str(work), str(ROOT)],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd=work,
            env={
                "PATH": os.defpath,
                "HOME": "/nonexistent",
                "LC_ALL": "C",
                "PYTHONHASHSEED": "7",
                "PYTHONPATH": os.pathsep.join([str(ROOT), str(packages)]),
                "FIFTYONE_PLUGINS_DIR": str(plugins),
                "FIFTYONE_DO_NOT_TRACK": "true",
                "FIFTYONE_DATABASE_VALIDATION": "false",
                "HF_HUB_OFFLINE": "1",
                "NO_MKDOCS_2_WARNING": "1",
            },
            check=False,
        )
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
