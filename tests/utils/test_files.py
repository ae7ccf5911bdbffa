"""Files appear whole or not at all, keep what they were, and one process changes them at a time."""

from __future__ import annotations

import logging
import os
import signal
import stat
import subprocess
import sys
import threading
import time

import pytest

from fiftyone_smic.utils import processes
from fiftyone_smic.utils.files import check_replaceable, lock, replace_file, replacing

posix = pytest.mark.skipif(os.name != "posix", reason="permissions and links of POSIX systems")
as_user = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="an administrator may write anywhere"
)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@posix
@pytest.mark.parametrize("bits", [0o600, 0o444, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path, bits):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    path.chmod(bits)
    replace_file(path, b"new")
    assert path.read_bytes() == b"new" and mode(path) == bits


@posix
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_permissions_the_umask_leaves(tmp_path, mask):
    before = os.umask(mask)
    try:
        replace_file(tmp_path / "x", b"new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "x") == 0o666 & ~mask


@posix
def test_the_umask_of_the_process_is_never_set(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "umask", lambda mask: pytest.fail("the umask belongs to all threads"))
    replace_file(tmp_path / "x", b"new")
    replace_file(tmp_path / "x", b"newer")
    with lock(tmp_path / "x"):
        pass


@posix
def test_a_link_stays_a_link_and_its_target_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    target, link = tmp_path / "there" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o600)
    link.symlink_to("there/target")
    replace_file(link, b"new")
    assert link.is_symlink() and os.readlink(link) == "there/target"
    assert target.read_bytes() == b"new" and mode(target) == 0o600
    # A link whose target is missing makes the target, as open(link, "w") does.
    dangling = tmp_path / "dangling"
    dangling.symlink_to("there/new")
    replace_file(dangling, b"made")
    assert dangling.is_symlink() and (tmp_path / "there" / "new").read_bytes() == b"made"
    assert sorted(os.listdir(tmp_path / "there")) == ["new", "target"]


@posix
def test_what_is_no_plain_file_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for name, why in (("folder", "folder"), ("pipe", "pipe"), ("a", "back to itself")):
        for action in (check_replaceable, lambda path: replace_file(path, b"x")):
            with pytest.raises(OSError, match=why):
                action(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "folder", "pipe"]


def test_nothing_is_left_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]
    for name in ("replace", "fsync"):
        with monkeypatch.context() as patch, pytest.raises(OSError, match="disk"):
            patch.setattr(os, name, lambda *a: (_ for _ in ()).throw(OSError(28, "disk full")))
            replace_file(path, b"new")
        assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_content_is_on_the_disk_before_the_name(tmp_path, monkeypatch):
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda *a: (calls.append("fsync"), fsync(*a))[1])
    monkeypatch.setattr(os, "replace", lambda *a: (calls.append("replace"), replace(*a))[1])
    replace_file(tmp_path / "x", b"new")
    assert calls[:2] == ["fsync", "replace"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as found:
        replace_file(tmp_path / "nowhere" / "x", b"")
    assert found.value.filename == str(tmp_path / "nowhere" / "x")


@posix
def test_a_full_disk_names_the_file_and_keeps_the_old_one(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    code = (
        "import resource, signal, sys\n"
        "from fiftyone_smic.utils.files import replace_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "try: replace_file(sys.argv[1], bytes(5000))\n"
        "except OSError as e: print('refused', e.filename)\n"
    )
    done = run(code, tmp_path / "x")
    assert done.strip() == f"refused {tmp_path / 'x'}"
    assert (tmp_path / "x").read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


@posix
def test_what_a_killed_run_left_is_removed_and_what_runs_is_not(tmp_path):
    code = (
        "import sys, time\n"
        "from fiftyone_smic.utils.files import replacing\n"
        "with replacing(sys.argv[1]) as file:\n"
        "    file.write(b'half'); print('writing', flush=True); time.sleep(60)\n"
    )
    process = start(code, tmp_path / "x")
    try:
        assert process.stdout.readline() == "writing\n"
        (temporary,) = os.listdir(tmp_path)
        replace_file(tmp_path / "y", b"")
        assert set(os.listdir(tmp_path)) == {temporary, "y"}
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    assert temporary in os.listdir(tmp_path)
    replace_file(tmp_path / "y", b"", sweep=False)
    assert temporary in os.listdir(tmp_path)
    replace_file(tmp_path / "y", b"")
    assert os.listdir(tmp_path) == ["y"]


def test_a_temporary_file_of_another_machine_is_kept_for_a_day(tmp_path):
    strange = tmp_path / ".smic-00000000-1-abc.tmp"
    strange.write_bytes(b"")
    (tmp_path / ".smic-notes.tmp").write_bytes(b"")
    replace_file(tmp_path / "x", b"")
    assert strange.exists()
    os.utime(strange, (time.time() - 2 * processes._ABANDONED,) * 2)
    replace_file(tmp_path / "x", b"")
    assert sorted(os.listdir(tmp_path)) == [".smic-notes.tmp", "x"]


@as_user
def test_a_folder_that_cannot_be_written_is_found_out_before(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match="cannot be written"):
        check_replaceable(tmp_path / "x")
    tmp_path.chmod(0o755)


def test_what_can_be_replaced_is_left_as_it_is(tmp_path):
    (tmp_path / "x").write_bytes(b"old")
    check_replaceable(tmp_path / "x")
    check_replaceable(tmp_path / "new")
    assert os.listdir(tmp_path) == ["x"] and (tmp_path / "x").read_bytes() == b"old"
    with pytest.raises(FileNotFoundError, match="does not exist"):
        check_replaceable(tmp_path / "nowhere" / "x")
    with pytest.raises(NotADirectoryError, match="not a folder"):
        check_replaceable(tmp_path / "x" / "y")


COUNT = (
    "import sys\n"
    "from fiftyone_smic.utils.files import lock, replace_file\n"
    "for _ in range(40):\n"
    "    with lock(sys.argv[1]):\n"
    "        n = int(open(sys.argv[1]).read())\n"
    "        replace_file(sys.argv[1], str(n + 1).encode())\n"
)


@posix
def test_processes_and_threads_take_turns(tmp_path):
    path, link = tmp_path / "n", tmp_path / "link"
    path.write_text("0")
    link.symlink_to("n")  # the same file, so the same lock
    processes = [start(COUNT, p) for p in (path, link, path)]

    def count():
        for _ in range(20):
            with lock(path):
                n = int(path.read_text())
                time.sleep(0.001)
                replace_file(path, str(n + 1).encode())

    threads = [threading.Thread(target=count) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.wait(120) for p in processes] == [0, 0, 0]
    assert path.read_text() == "160"
    assert sorted(os.listdir(tmp_path)) == ["link", "n"]


def test_a_thread_may_take_its_lock_again(tmp_path):
    with lock(tmp_path / "x"):
        with lock(tmp_path / "x"):
            pass
        assert os.listdir(tmp_path) == [".x.lock"]


def test_who_waits_says_so(tmp_path, caplog):
    entered = threading.Event()

    def other():
        with lock(tmp_path / "x"):
            entered.set()

    with caplog.at_level(logging.WARNING), lock(tmp_path / "x"):
        thread = threading.Thread(target=other)
        thread.start()
        deadline = time.monotonic() + 10
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()
    assert caplog.messages == [f"waiting for another process that is changing {tmp_path / 'x'}"]


def test_waiting_can_end(tmp_path):
    taken, done = threading.Event(), threading.Event()

    def other():
        with lock(tmp_path / "x"):
            taken.set()
            done.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(10)
    with pytest.raises(TimeoutError, match=r"waited 0\.1 seconds"), lock(tmp_path / "x", 0.1):
        pytest.fail("two hold the lock")
    done.set()
    thread.join(10)
    with lock(tmp_path / "x", 0.1):
        pass


def test_a_lock_in_a_folder_that_cannot_be_written_lies_in_the_cache(tmp_path, monkeypatch):
    import platformdirs

    (tmp_path / "readonly").mkdir()
    monkeypatch.setattr(os, "access", lambda *a, **k: False)
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name: tmp_path / "cache")
    with lock(tmp_path / "readonly" / "x"):
        assert os.listdir(tmp_path / "readonly") == []
        assert len(os.listdir(tmp_path / "cache" / "locks")) == 1


def test_a_name_of_255_bytes_can_be_locked_and_written(tmp_path):
    path = tmp_path / ("x" * 255)
    with lock(path):
        replace_file(path, b"long")
    assert os.listdir(tmp_path) == ["x" * 255]


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
