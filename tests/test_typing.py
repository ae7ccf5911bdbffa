"""What a user's type checker sees of the public surface: real types, nothing Any."""

import subprocess
import sys
from pathlib import Path

import fiftyone_smic

SCRIPT = """
import numpy as np
import fiftyone_smic as smic
from fiftyone_smic.dictionary import Metric

dictionary = smic.SemanticDictionary(8).fit(np.eye(8, dtype=np.float32))
reveal_type(dictionary)
rate = smic.write_archive("x.smic", dictionary, dictionary.transform(np.eye(8)), encoder="e")
reveal_type(rate.bits_per_item)
archive = smic.read_archive("x.smic")
reveal_type(archive)
reveal_type(archive.names)
reveal_type(smic.archive_info("x.smic"))
reveal_type(smic.Prior.build(np.eye(8)))
reveal_type(Metric.of_texts(np.eye(8)))
reveal_type(smic.learn_to_target(np.eye(8), bits_per_item=20))
reveal_type(smic.load_encoder("postcards"))
reveal_type(smic.load_generator("postcards"))
smic.write_archive("x.smic")
smic.no_such_name
"""
UNTYPED = (
    "diffusers",
    "fiftyone",
    "numba",
    "open_clip",
    "scipy",
    "sklearn",
    "torch",
    "transformers",
)
REVEALED = (
    "fiftyone_smic.dictionary.estimator.SemanticDictionary",
    "float",
    "fiftyone_smic.archive.reader.Archive",
    "tuple[str, ...] | None",
    "dict[str, Any]",
    "fiftyone_smic.dictionary.priors.Prior",
    "fiftyone_smic.dictionary.metric.Metric",
    "fiftyone_smic.dictionary.estimator.SemanticDictionary",
    "Encoder",
    "Generator",
)


def test_mypy_sees_real_types_in_a_users_script(tmp_path):
    script = tmp_path / "users_script.py"
    script.write_text(SCRIPT)
    config = tmp_path / "mypy.ini"
    # The libraries behind are large or untyped; a user's own configuration may skip them too.
    config.write_text(
        "[mypy]\nignore_missing_imports = True\n"
        + "".join(f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in UNTYPED)
    )
    root = Path(fiftyone_smic.__file__).parents[1]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            str(config),
            "--cache-dir",
            str(tmp_path / "cache"),
            "--follow-imports=silent",
            str(script),
        ],
        capture_output=True,
        text=True,
        env={"MYPYPATH": str(root), "PATH": "", "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    said = [line for line in done.stdout.splitlines() if "users_script.py" in line]
    notes = [line.partition('Revealed type is "')[2] for line in said if "Revealed" in line]
    assert len(notes) == len(REVEALED), done.stdout + done.stderr
    for found, wanted in zip(notes, REVEALED, strict=True):
        assert wanted in found and not found.startswith("Any"), (wanted, found)
    errors = "\n".join(line for line in said if "error:" in line)
    assert "Missing positional arguments" in errors  # write_archive's signature is seen
    assert 'has no attribute "no_such_name"' in errors
    assert len(errors.splitlines()) == 3, errors


def test_every_public_name_stands_in_one_stub_and_resolves():
    for name in fiftyone_smic.__all__:
        value = getattr(fiftyone_smic, name)
        assert value is not None
        assert name in dir(fiftyone_smic)
