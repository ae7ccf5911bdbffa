"""A process that is killed with SIGKILL leaves things as they were, or what is started again ends.

``tests.benchmarks.accidents`` kills hundreds at random points. Here are a few, before the writes
that matter.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import pytest
from fiftyone.operators.executor import ExecutionContext

import fiftyone_smic as smic
from fiftyone_smic.archive import read_archive
from fiftyone_smic.fiftyone import delete_dictionary, rename_dictionary, swapping, temporary
from fiftyone_smic.fiftyone.pictures import is_whole
from fiftyone_smic.fiftyone.placeholders import is_placeholder
from fiftyone_smic.pipelines import compress_folder
from fiftyone_smic.utils.processes import in_hand, this_process
from operators.encode_samples import EncodeSamples
from operators.running import Report
from tests.support.accidents.killing import Accidents, in_process, start, together
from tests.support.window import Window

forks = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be forked")

#: Steps, and before which share of their writes they are killed.
KILLS = {
    "encode": (0.5, 0.9),
    "import_codes": (0.4, 0.5, 0.9),
    "name_atoms": (0.6,),
    "store_map": (0.6,),
    "export of a dataset": (0.6,),
    "append_archive": (0.6,),
    "rename_dictionary": (0.6,),
    "delete_dictionary": (0.5,),
    "remove_all": (0.7,),
}


@pytest.fixture(scope="module")
def accidents(tmp_path_factory):
    start()
    return Accidents(tmp_path_factory.mktemp("accidents"))


@forks
@pytest.mark.parametrize(("step", "share"), [(s, share) for s in KILLS for share in KILLS[s]])
def test_a_step_that_is_killed_ends_when_it_is_started_again(accidents, step, share):
    outcome = accidents.kill(step, write=int(share * accidents.measure(step).writes))
    assert outcome.wrong == []
    assert not outcome.finished


@pytest.fixture
def dead():
    """What says of a process of this machine that it has died."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{this_process().split('-')[0]}-{process.pid}"


@forks
def test_an_import_whose_process_died_goes_on(encoded, tmp_path, delete, dead):
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic")
    where = {"draw": False, "output_dir": tmp_path / "out"}
    delete("again")
    made = smic.import_archive(tmp_path / "a.smic", "again", **where)
    assert temporary.IMPORT not in made.info and temporary.OWN_FILES not in made.info
    ids = made.values("id")
    temporary.publish(made, "again", False, tmp_path / "a.smic")
    living = pytest.raises(ValueError, match="there is a dataset 'again'")
    with in_hand("again"), living:  # in another thread
        smic.import_archive(tmp_path / "a.smic", "again", **where)
    made.info[temporary.IMPORT]["by"] = dead
    made.save()
    smic.export_archive(encoded[:2], "smic", tmp_path / "b.smic")
    with pytest.raises(ValueError, match="there is a dataset 'again'"):  # another archive
        smic.import_archive(tmp_path / "b.smic", "again", **where)
    found = smic.import_archive(tmp_path / "a.smic", "again", **where)
    assert found.values("id") == ids and temporary.IMPORT not in found.info


@forks
def test_datasets_of_processes_that_died_are_removed(encoded, tmp_path, delete, dead, monkeypatch):
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic")

    def killed(*_arguments):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(temporary, "this_process", lambda: dead)
        patch.setattr("fiftyone_smic.fiftyone.archives.publish", killed)
        patch.setattr(fo.Dataset, "delete", lambda self: None)
        patch.setattr("fiftyone_smic.fiftyone.placeholders.remove", lambda files: None)
        with pytest.raises(SystemExit):
            smic.import_archive(tmp_path / "a.smic", "next", output_dir=tmp_path / "out")
    left = [name for name in fo.list_datasets() if name.startswith("smic-temporary-")]
    assert len(left) == 1 and len(list((tmp_path / "out").iterdir())) == 3
    living = fo.Dataset(temporary.temporary_name())
    delete("next")
    try:
        with in_hand(living.name):
            made = smic.import_archive(
                tmp_path / "a.smic", "next", draw=False, output_dir=tmp_path / "out"
            )
        names = fo.list_datasets()
        assert living.name in names and left[0] not in names
        assert all(map(is_placeholder, made.values("filepath")))
    finally:
        living.delete()


def _meet(folder):
    """Wait until another process is here too."""
    (folder / str(os.getpid())).touch()
    deadline = time.monotonic() + 60
    while len(list(folder.iterdir())) < 2 and time.monotonic() < deadline:
        time.sleep(0.005)


def _change(name, folder, call, *arguments):
    """Change a dictionary when another process is about to do it too; return what is said."""
    dataset = fo.load_dataset(name)
    find = swapping._run_id

    def found(*given):  # the last look before anything is written
        run = find(*given)
        _meet(folder)
        return run

    swapping._run_id = found
    try:
        call(dataset, "smic", *arguments)
    except ValueError as error:
        return str(error)
    return "done"


@forks
@pytest.mark.parametrize(
    ("call", "arguments", "keys"),
    [(delete_dictionary, (), []), (rename_dictionary, ("other",), ["other"])],
    ids=["delete", "rename"],
)
def test_two_processes_that_change_a_key_at_once(encoded, tmp_path, call, arguments, keys):
    """One does it, the other is told, and nothing is left in between."""
    start()
    meeting = tmp_path / "meeting"
    meeting.mkdir()
    codes = encoded.values("smic_atoms")
    said = together(_change, encoded.name, meeting, call, *arguments)
    assert said.count("done") == 1
    other = next(each for each in said if each != "done")
    assert other.startswith("dictionary 'smic' was deleted, replaced or renamed by another process")
    encoded.reload()
    assert smic.list_dictionaries(encoded) == encoded.list_runs() == keys
    assert foo.get_db_conn().runs.count_documents({"_dataset_id": encoded._doc.id}) == len(keys)
    held = {name for name in encoded.get_field_schema() if "smic" in name or "other" in name}
    assert {name.split("_")[0] for name in held} == set(keys)
    if keys:
        assert encoded.values("other_atoms") == codes
        assert len(smic.rebuilt_latents(encoded, "other")[0]) == len(codes)


def _delete(name):
    delete_dictionary(fo.load_dataset(name), "smic")


@forks
@pytest.mark.parametrize("tab", ["compare", "storage", "atoms", "map", "mix", "curate"])
def test_a_key_that_another_process_deletes_under_an_open_panel(encoded, tab):
    start()
    smic.learn_dictionary(encoded, "zzz", n_atoms=4, progress=False)
    window = Window(encoded)
    window.send("on_choice", path="tab", value=tab)
    in_process(_delete, encoded.name)
    told = window.send("on_atom", id="0")  # an atom of the one that is gone
    assert "The dictionary that was shown is gone" in str(told)
    assert window.view == [] and "Dictionary **zzz** is ready" in window.text()
    delete_dictionary(encoded, "zzz")
    for event, given in {
        "on_atom": {"id": "0"},
        "on_page": {"page": 2},
        "on_lasso": {"data": []},
        "on_like": {},
        "on_change_view": {},
        "on_choice": {"path": "tab", "value": "storage"},
        "refresh": {},
    }.items():
        window.send(event, **given)
        assert "Next, learn a **dictionary**" in window.text()


@forks
def test_a_key_that_another_process_deletes_under_an_operator(encoded):
    start()
    request = {"dataset_name": encoded.name, "params": {"key": "smic"}}
    deleted = []

    def tell(kind, value):
        if value == "Writing the codes":
            deleted.append(in_process(_delete, encoded.name))

    with pytest.raises(ValueError, match="'smic' was deleted or replaced by another process"):
        EncodeSamples().work(ExecutionContext(request), Report(tell))
    assert deleted
    encoded.reload()
    assert encoded.list_runs() == []
    assert not [name for name in encoded.get_field_schema() if name.startswith("smic")]


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB and a function that fills what is free of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True)
    except OSError:
        done = None
    if done is None or done.returncode:
        pytest.skip("no disk can be mounted here")

    def fill(leave=0):
        free = os.statvfs(folder)
        (folder / "rest").write_bytes(bytes(free.f_bavail * free.f_frsize - leave))

    yield folder, fill
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_old_archive(encoded, small_disk):
    folder, fill = small_disk
    smic.export_archive(encoded[:9], "smic", folder / "a.smic")
    before = (folder / "a.smic").read_bytes()
    fill()
    with pytest.raises(OSError, match=r"a\.smic") as failed:
        smic.export_archive(encoded, "smic", folder / "a.smic")
    assert failed.value.errno == errno.ENOSPC
    assert (folder / "a.smic").read_bytes() == before
    assert sorted(os.listdir(folder)) == ["a.smic", "rest"]
    (folder / "rest").unlink()
    smic.export_archive(encoded, "smic", folder / "a.smic")
    assert read_archive(folder / "a.smic").codes.shape[0] == len(encoded)


def test_a_full_disk_keeps_the_pictures_that_are_whole(encoded, small_disk):
    folder, fill = small_disk
    fill(leave=24 << 10)  # for one or two pictures
    drawing = {"generator": "nearest", "output_dir": folder, "batch_size": 1, "progress": False}
    with pytest.raises(OSError) as failed:
        smic.regenerate(encoded, **drawing)
    assert failed.value.errno == errno.ENOSPC
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "rest"]
    kept = [path for path in encoded.values("smic_regenerated") if path]
    assert kept and sorted(kept) == sorted(map(str, files)) and all(map(is_whole, kept))
    (folder / "rest").unlink()
    report = smic.regenerate(encoded[:2], **drawing)
    assert report.drawn + report.reused == 2


def test_paths_languages_and_hash_seeds_change_no_archive(encoded, tmp_path):
    """The same folder, in a place with an odd name and in the locale C, gives the same bytes."""
    odd = tmp_path / "a b #1 100% 'x' \"y\" é 日本"
    cards = odd / "cards"
    cards.mkdir(parents=True)
    for path in map(Path, encoded[:12].values("filepath")):
        (cards / path.name).write_bytes(path.read_bytes())
    here, there = tmp_path / "here.smic", odd / "there é.smic"
    compress_folder(cards, here, encoder="postcards", n_atoms=4)
    code = "from fiftyone_smic.cli import main; main()"
    settings = ("--atoms", "4", "--encoder", "postcards")
    subprocess.run(
        [sys.executable, "-c", code, "compress", str(cards), str(there), *settings],
        env={**os.environ, "LC_ALL": "C", "PYTHONHASHSEED": "1", "PYTHONUTF8": "0"},
        check=True,
        capture_output=True,
        timeout=300,
    )
    assert there.read_bytes() == here.read_bytes()
    smic.import_codes(encoded, there, "odd")
    assert encoded.count("odd_bits") == 12
