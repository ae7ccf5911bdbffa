"""Writing, appending and reading a part lose nothing."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from fiftyone_smic.archive import (
    ArchiveError,
    ArchiveLockedError,
    append_archive,
    archive_info,
    decode_archive,
    encode_archive,
    read_archive,
    write_archive,
    writer,
)
from fiftyone_smic.archive.format import END_SIZE
from fiftyone_smic.utils.files import lock

from ..benchmarks import fuzz
from .conftest import full


def test_a_failed_write_leaves_the_old_file(collection, tmp_path, monkeypatch):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        write_archive(path, dictionary, codes, encoder="e")
    assert [p.name for p in tmp_path.iterdir()] == ["x.smic"] and path.read_bytes() == b"old"


def test_a_full_disk_leaves_the_old_archive(collection, archive_bytes, tmp_path):
    """In a process whose files may not grow beyond 512 bytes."""
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    code = (
        "import resource, signal, sys\n"
        "from fiftyone_smic.archive import append_archive, read_archive\n"
        "codes = read_archive(sys.argv[1]).codes\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "try: append_archive(sys.argv[1], codes, names=['x'] * 300)\n"
        "except OSError as e: print('refused', e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert "refused" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["x.smic"] and path.read_bytes() == archive_bytes


def test_a_killed_process_leaves_a_readable_archive(archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    code = (
        "import sys\n"
        "from fiftyone_smic.archive import append_archive, read_archive\n"
        "codes = read_archive(sys.argv[1]).codes[:3]\n"
        "while True:\n"
        "    append_archive(sys.argv[1], codes, names=['x'] * 3)\n"
        "    print('appended', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    archive = read_archive(path)
    assert len(archive.names) >= 303 and (len(archive.names) - 300) % 3 == 0
    assert path.read_bytes().startswith(archive_bytes[:-END_SIZE])


def test_items_are_appended_without_touching_what_is_there(
    collection, archive_bytes, appended_bytes, tmp_path
):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(appended_bytes)
    assert appended_bytes.startswith(archive_bytes[:-END_SIZE])
    back = read_archive(path)
    assert (back.codes[:300] != codes).nnz == 0
    assert (back.codes[300:305] != codes[:5]).nnz == 0
    assert (back.codes[305:] != full(20, codes.shape[1])).nnz == 0
    assert back.names == (
        *(f"{i}.jpg" for i in range(300)),
        *(f"new{i}" for i in range(5)),
        *["full"] * 20,
    )
    assert back.rate.items == 325 and back.rate.total_bytes == len(appended_bytes)
    assert np.array_equal(back.dictionary.atoms_, dictionary.atoms_)


APPEND = (
    "import sys\n"
    "from fiftyone_smic.archive import append_archive, read_archive\n"
    "codes = read_archive(sys.argv[1]).codes[:1]\n"
    "for i in range(10):\n"
    "    append_archive(sys.argv[1], codes, names=[f'{sys.argv[2]}-{i}'])\n"
)


def test_processes_that_append_at_the_same_time_lose_nothing(archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    path.chmod(0o600)
    link = tmp_path / "link.smic"
    link.symlink_to("x.smic")
    files = (path, link, path)
    processes = [
        subprocess.Popen([sys.executable, "-c", APPEND, str(file), str(i)])
        for i, file in enumerate(files)
    ]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    added = read_archive(path).names[300:]
    assert sorted(added) == sorted(f"{i}-{j}" for i in range(3) for j in range(10))
    for i in range(3):  # and each process's items in its own order
        assert [n for n in added if n.startswith(f"{i}-")] == [f"{i}-{j}" for j in range(10)]
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["link.smic", "x.smic"]


def test_an_archive_that_somebody_holds_is_said_to_be_locked(collection, archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    taken, done = threading.Event(), threading.Event()

    def hold():
        with lock(path):
            taken.set()
            done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    assert taken.wait(60)
    try:
        with pytest.raises(ArchiveLockedError, match=r"waited 0\.1 seconds"):
            append_archive(path, collection[1][:1], names=["a"], timeout=0.1)
    finally:
        done.set()
        holder.join(60)
    assert path.read_bytes() == archive_bytes
    append_archive(path, collection[1][:1], names=["a"])
    assert read_archive(path, start=300).names == ("a",)


def test_an_appended_item_costs_little(collection, archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    append_archive(path, collection[1][:1], names=["300.jpg"])
    assert path.stat().st_size - len(archive_bytes) < 24 + collection[1][0].nnz


def test_coding_more_items_does_not_depend_on_what_was_read(collection, archive_bytes, tmp_path):
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    z = collection[2]
    whole, none = read_archive(path).dictionary, read_archive(path, stop=0).dictionary
    assert (whole.transform(z) != none.transform(z)).nnz == 0


def test_what_cannot_be_appended(collection, archive_bytes, tmp_path):
    dictionary, codes, _ = collection
    path = tmp_path / "x.smic"
    path.write_bytes(archive_bytes)
    for bad, names, message in (
        (codes[:2, :-1], ["a", "b"], "columns"),
        (codes[:2] * 100, ["a", "b"], "exceed"),
        (codes[:2], ["a"], "1 names for 2 items"),
        (codes[:2], None, "stores names"),
    ):
        with pytest.raises(ValueError, match=message):
            append_archive(path, bad, names=names)
    assert path.read_bytes() == archive_bytes
    write_archive(path, dictionary, codes, encoder="e", ordered=False)
    with pytest.raises(ValueError, match="unordered"):
        append_archive(path, codes[:2])
    write_archive(path, dictionary, codes, encoder="e")
    with pytest.raises(ValueError, match="pass names=None"):
        append_archive(path, codes[:2], names=["a", "b"])
    start, shared, blocks = fuzz.take_apart(archive_bytes)
    resigned = fuzz.put_together((start, b"\xff" * len(shared), blocks))
    for damaged in (archive_bytes[:-20] + bytes(20), resigned):
        path.write_bytes(damaged)
        with pytest.raises(ArchiveError):
            append_archive(path, codes[:2], names=["a", "b"])
        assert path.read_bytes() == damaged


def test_a_range_is_read_without_the_other_blocks(collection, tmp_path, monkeypatch):
    dictionary, codes, _ = collection
    monkeypatch.setattr(writer, "BLOCK", 64)
    path = tmp_path / "x.smic"
    names = [f"{i}.jpg" for i in range(300)]
    write_archive(path, dictionary, codes, encoder="e", names=names)
    assert archive_info(path)["blocks"] == 5
    for start, stop in ((0, 300), (0, 0), (300, 300), (63, 65), (64, 128), (130, 131), (299, 300)):
        part = read_archive(path, start=start, stop=stop)
        assert (part.codes != codes[start:stop]).nnz == 0 and part.codes.shape[0] == stop - start
        assert part.names == tuple(names[start:stop]) and part.first == start
        assert part.rate == read_archive(path).rate
    for start, stop in ((0, 301), (-1, 5), (7, 5)):
        with pytest.raises(ValueError, match="the archive has 300"):
            read_archive(path, start=start, stop=stop)
    # Damage in another block is not met; in one that is read it is.
    data = bytearray(path.read_bytes())
    data[-END_SIZE - 10] ^= 1
    path.write_bytes(data)
    assert read_archive(path, start=0, stop=64).codes.shape[0] == 64
    with pytest.raises(ArchiveError, match="items 256 to 299"):
        read_archive(path, start=290)


def test_blocks_change_little_but_the_overhead(collection, monkeypatch):
    dictionary, codes, _ = collection
    whole = encode_archive(dictionary, codes, encoder="e")[0]
    monkeypatch.setattr(writer, "BLOCK", 100)
    data = encode_archive(dictionary, codes, encoder="e")[0]
    assert len(data) - len(whole) < 3 * 14
    assert (decode_archive(data).codes != codes).nnz == 0
