"""What processes leave is judged by whether they live, whatever the clock says."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from fiftyone_smic.utils import processes
from fiftyone_smic.utils.files import check_replaceable, replace_file
from fiftyone_smic.utils.processes import in_hand, is_abandoned, is_gone, this_process

posix = pytest.mark.skipif(os.name != "posix", reason="other systems do not tell")


@posix
@pytest.mark.parametrize("years", [-30, 30])
def test_no_clock_decides_about_processes_of_this_machine(tmp_path, monkeypatch, years):
    """The clock is set back or forward, and files say that they were written at any time."""
    died = subprocess.Popen([sys.executable, "-c", ""])
    died.wait()
    dead = f"{this_process().split('-')[0]}-{died.pid}"
    real = time.time()
    monkeypatch.setattr(processes.time, "time", lambda: real + years * 365 * 86400)
    for name, process in {"living": this_process(), "dead": dead}.items():
        for written in (1.0, real, real + 1e9):
            assert is_abandoned(process, written) == (name == "dead")
            path = tmp_path / f".smic-{process}-abc{int(written)}.tmp"
            path.write_bytes(b"half")
            os.utime(path, (written, written))
    replace_file(tmp_path / "x", b"")
    left = sorted(os.listdir(tmp_path))
    assert len(left) == 4 and all(this_process() in name for name in left[:3])
    # Also where a run only tries whether it can write.
    (tmp_path / f".smic-{dead}-abc.tmp").write_bytes(b"")
    check_replaceable(tmp_path / "y")
    assert sorted(os.listdir(tmp_path)) == left


def test_a_process_of_elsewhere_is_waited_for_if_the_clock_was_set_back(monkeypatch):
    real = time.time()
    assert not is_abandoned("00000000-1", real)
    monkeypatch.setattr(processes.time, "time", lambda: real - 1e9)
    assert not is_abandoned("00000000-1", real)
    monkeypatch.setattr(processes.time, "time", lambda: real + 2 * processes._ABANDONED)
    assert is_abandoned("00000000-1", real)


@posix
def test_a_process_knows_what_it_works_on():
    assert not is_gone(this_process())
    assert is_gone(this_process(), "work")
    with in_hand("work"):
        with in_hand("work"):  # as a key of two datasets
            pass
        assert not is_abandoned(this_process(), 0.0, "work")
    assert is_abandoned(this_process(), time.time(), "work")
