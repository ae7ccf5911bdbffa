"""One file from many workers: its bytes are those of one process, whatever happens to workers."""

from __future__ import annotations

import io
import os
import signal
import tarfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

from fiftyone_smic.archive import (
    DamagedArchiveError,
    item_distortion,
    iter_archive,
    read_archive,
    write_archive,
)
from fiftyone_smic.cli import app
from fiftyone_smic.cluster import compress, decompress, open_shards
from fiftyone_smic.cluster import encoding as encoding_module
from fiftyone_smic.cluster.encoding import to_parquet
from fiftyone_smic.cluster.mapping import RayMap
from fiftyone_smic.cluster.storage import list_files
from fiftyone_smic.curation import search, search_archive
from fiftyone_smic.pipelines import compress_blocks
from fiftyone_smic.postcards.draw import write_collection
from tests.cluster.conftest import NODE, mixture

SETTINGS = {"n_atoms": 24, "lam": 0.01, "passes": 1}
#: Two whole blocks and a part of one.
ITEMS = 40_000


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    return mixture(ITEMS)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, latents: np.ndarray) -> Path:
    """Parquet shards whose borders are not those of the blocks."""
    folder = tmp_path_factory.mktemp("shards")
    for i, first in enumerate(range(0, ITEMS, 7000)):
        names = [f"{j:06d}.jpg" for j in range(first, min(first + 7000, ITEMS))]
        data = to_parquet(latents[first : first + 7000], names)
        (folder / f"{i:03d}.parquet").write_bytes(data)
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> bytes:
    """What one process writes."""
    target = tmp_path_factory.mktemp("alone") / "x.smic"
    compress(shards, target, local=True, encoder="me/1", **SETTINGS)
    return target.read_bytes()


def test_the_file_is_the_one_that_the_ordinary_writer_makes(
    alone: bytes, latents: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "x.smic").write_bytes(alone)
    found = read_archive(tmp_path / "x.smic")
    again = found.dictionary.transform(latents)
    assert abs(again.nnz - found.codes.nnz) < 0.01 * again.nnz  # read back, counts are rounded
    assert found.names is not None and found.names[20_000] == "020000.jpg"
    rebuilt = found.dictionary.inverse_transform(found.codes)
    left = np.square(latents - rebuilt).sum() / np.square(latents - latents.mean(0)).sum()
    assert left < 0.2
    write_archive(
        tmp_path / "y.smic", found.dictionary, found.codes, encoder="me/1", names=found.names
    )
    assert (tmp_path / "y.smic").read_bytes() == alone


def test_workers_in_any_number_write_the_same_bytes(
    nodes: object, shards: Path, alone: bytes, tmp_path: Path
) -> None:
    import ray

    assert len(ray.nodes()) == 2
    compress(shards, tmp_path / "4.smic", encoder="me/1", **SETTINGS)
    assert (tmp_path / "4.smic").read_bytes() == alone
    assert os.listdir(tmp_path) == ["4.smic"]
    source = open_shards(list_files(str(shards)))
    # With two CPUs for each call one worker of each node works, and then one in all.
    for name, each in {"2": RayMap(cpus=2), "1": _One(cpus=2)}.items():
        compress_blocks(source, tmp_path / name, encoder="me/1", each=each, **SETTINGS)
        assert (tmp_path / name).read_bytes() == alone


class _One(RayMap):
    """One call at a time, on one worker."""

    def _room(self) -> int:
        return 1


@dataclass(frozen=True)
class Deadly:
    """Latents whose reader is killed, twice for each of some reads, and a node that gets stuck.

    All wait until it is.
    """

    source: object
    marks: str
    at: tuple[int, ...]
    stuck: str

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)

    def read(self, start: int, stop: int) -> tuple:
        import ray

        stuck = Path(self.marks, "stuck")
        if ray.get_runtime_context().get_node_id() == self.stuck:
            stuck.touch()
            time.sleep(60)
        while not stuck.exists():
            time.sleep(0.01)
        mark = Path(self.marks, f"{start}-{len(os.listdir(self.marks))}")
        if start in self.at and len(list(Path(self.marks).glob(f"{start}-*"))) < 2:
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self.source.read(start, stop)


def test_workers_that_are_killed_and_nodes_that_are_lost_change_nothing(
    nodes: Any, shards: Path, alone: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    marks = tmp_path / "marks"
    marks.mkdir()
    third = nodes.add_node(**NODE)
    deadly = Deadly(open_shards(list_files(str(shards))), str(marks), (16384,), third.node_id)
    before = ray.nodes()
    over = threading.Event()

    def lose() -> None:
        while not (marks / "stuck").exists() and not over.is_set():
            time.sleep(0.01)
        nodes.remove_node(third, allow_graceful=False)

    watch = threading.Thread(target=lose)
    watch.start()
    try:
        # With two CPUs for each call, each of three nodes takes one of three blocks.
        each = RayMap(cpus=2)
        compress_blocks(deadly, tmp_path / "x.smic", encoder="me/1", each=each, **SETTINGS)
    finally:
        over.set()
        watch.join()
    assert len(list(marks.glob("16384-*"))) == 2  # so many workers died
    assert (tmp_path / "x.smic").read_bytes() == alone
    # For some seconds after a loss, Ray lists the node as if it were there.
    monkeypatch.setattr(ray, "nodes", lambda: before)
    compress(shards, tmp_path / "y.smic", encoder="me/1", **SETTINGS)
    assert (tmp_path / "y.smic").read_bytes() == alone


def test_a_run_that_stopped_goes_on(shards: Path, alone: bytes, tmp_path: Path) -> None:
    target = tmp_path / "x.smic"
    source = open_shards(list_files(str(shards)))

    class Stop(Exception):
        pass

    def until(limit: int):
        calls = 0

        def each(job, arguments):
            nonlocal calls
            for argument in arguments:
                calls += 1
                if calls > limit:
                    raise Stop
                yield job(argument)

        return each

    # 3 blocks are surveyed, 2 passes gather from 3 each, 3 are coded, and 3 are encoded. What is
    # looked up and not done again counts too, but for the survey and the passes.
    for limit in (7, 2, 5, 5):
        with pytest.raises(Stop):
            compress_blocks(source, target, encoder="me/1", each=until(limit), **SETTINGS)
        assert not target.exists()
    pieces = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "x.smic.part").iterdir()}
    assert any("sums-1" in name for name in pieces)
    asked = []

    def noting(job, arguments):
        for argument in arguments:
            asked.append((type(job).__name__, argument))
            yield job(argument)

    compress_blocks(source, target, encoder="me/1", each=noting, **SETTINGS)
    assert not any(name in ("Survey", "Gather") for name, _ in asked)
    assert target.read_bytes() == alone
    assert os.listdir(tmp_path) == ["x.smic"]


def test_pictures_are_encoded_by_a_pool_that_loses_an_actor(
    nodes: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding_module, "PICTURES", 9)  # two parts, so two actors at most
    write_collection(tmp_path / "cards", 17, size=64)
    (tmp_path / "cards" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    settings = {"encoder": "postcards", "n_atoms": 6, "passes": 1, "keep": "words"}
    compress(tmp_path / "cards", tmp_path / "one.smic", local=True, **settings)
    killed: list[int] = []
    over = threading.Event()
    watch = threading.Thread(target=_kill_an_actor, args=(tmp_path / "x.smic.part", killed, over))
    watch.start()
    try:
        done = compress(tmp_path / "cards", tmp_path / "x.smic", **settings)
    finally:
        over.set()
        watch.join()
    assert killed
    assert done.rate.items == 17 and done.unreadable_count == 1
    assert list(done.unreadable) == ["broken.png"] and done.unreadable["broken.png"]
    assert (tmp_path / "x.smic").read_bytes() == (tmp_path / "one.smic").read_bytes()
    compress(
        tmp_path / "cards", tmp_path / "y.smic", local=True, **settings | {"keep": "everything"}
    )
    assert (tmp_path / "x.smic").read_bytes() != (tmp_path / "y.smic").read_bytes()
    archive = read_archive(tmp_path / "x.smic")
    assert archive.names is not None and "broken.png" not in archive.names
    assert archive.encoder.startswith("postcards") and archive.pixels_per_item == 64 * 64


def _kill_an_actor(work: Path, killed: list[int], over: threading.Event) -> None:
    """Kill one of this process's actors as soon as a part is finished.

    How long the first part takes depends on what else the machine does, so only the end of the
    run ends the wait.
    """
    import psutil

    while not killed and not over.is_set():
        if list(work.glob("*.parquet")):
            for process in psutil.Process().children(recursive=True):
                try:
                    if "MapWorker" in " ".join(process.cmdline()):
                        process.kill()
                        killed.append(process.pid)
                        return
                except psutil.Error:
                    continue
        time.sleep(0.02)


def test_tars_of_pictures_and_batches_of_latents(tmp_path: Path) -> None:
    write_collection(tmp_path / "cards", 12, size=64)
    files = sorted((tmp_path / "cards").glob("*.png"))
    for i in range(2):
        with tarfile.open(tmp_path / f"shard-{i}.tar", "w") as tar:
            for file in files[6 * i : 6 * i + 6]:
                tar.add(file, file.name)
                label = tarfile.TarInfo(f"{file.stem}.cls")
                label.size = 1
                tar.addfile(label, io.BytesIO(b"1"))
    tars = [str(path) for path in sorted(tmp_path.glob("*.tar"))]
    done = compress(tars, tmp_path / "x.smic", encoder="postcards", local=True, n_atoms=4)
    names = read_archive(tmp_path / "x.smic").names
    assert names == tuple(f"shard-{i // 6}/{file.name}" for i, file in enumerate(files))
    assert done.rate.items == 12

    z = mixture(200)
    np.save(tmp_path / "z.npy", z.astype(np.float64))
    compress(tmp_path / "z.npy", tmp_path / "n.smic", encoder="me/1", local=True, **SETTINGS)
    found = read_archive(tmp_path / "n.smic")
    assert found.codes.shape[0] == 200 and found.names is None


def test_batches_of_latents(alone: bytes, latents: np.ndarray, tmp_path: Path) -> None:
    batches = (
        (latents[i : i + 9000], [f"{j:06d}.jpg" for j in range(i, min(i + 9000, ITEMS))])
        for i in range(0, ITEMS, 9000)
    )
    compress(batches, tmp_path / "b.smic", encoder="me/1", local=True, **SETTINGS)
    assert (tmp_path / "b.smic").read_bytes() == alone


def test_what_is_wrong_is_said_and_nothing_is_lost(
    nodes: object, tmp_path: Path, shards: Path
) -> None:
    target = tmp_path / "x.smic"
    target.write_bytes(b"old")
    with pytest.raises(ValueError, match="no column 'vector': its columns are latent, name"):
        compress(shards, target, column="vector")
    z = mixture(300)
    z[[7, 250]] = np.nan
    np.save(tmp_path / "z.npy", z)
    with pytest.raises(ValueError, match="2 of 300 latents contain NaN or infinity: 7, 250"):
        compress(tmp_path / "z.npy", target)
    with pytest.raises(ValueError, match="which encoder made these latents"):
        compress(shards, target, keep="words")
    with pytest.raises(ValueError, match="'everything' or 'words', got 'all'"):
        compress(shards, target, keep="all")
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        compress(tmp_path / "none", target)
    with pytest.raises(ValueError, match="latents and tars"):
        (tmp_path / "a.tar").touch()
        compress([str(tmp_path / "a.tar"), str(tmp_path / "z.npy")], target)
    data = (tmp_path / "z.npy").read_bytes()
    (tmp_path / "z.npy").write_bytes(data[:-10])
    with pytest.raises(ValueError, match="cut short"):
        compress(tmp_path / "z.npy", target)
    assert target.read_bytes() == b"old"


def test_other_settings_do_not_go_on_with_pieces_of_these(
    shards: Path, alone: bytes, tmp_path: Path
) -> None:
    source = open_shards(list_files(str(shards)))

    def fails(job, arguments):
        if type(job).__name__ == "Encode":
            raise RuntimeError("stopped")
        return map(job, arguments)

    other = SETTINGS | {"lam": 0.05}
    with pytest.raises(RuntimeError, match="stopped"):
        compress_blocks(source, tmp_path / "x.smic", encoder="me/1", each=fails, **other)
    compress_blocks(source, tmp_path / "x.smic", encoder="me/1", **SETTINGS)
    assert (tmp_path / "x.smic").read_bytes() == alone


def test_an_archive_is_searched_block_by_block(alone: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.smic"
    path.write_bytes(alone)
    whole = read_archive(path)
    queries = mixture(5, seed=3)
    found, wanted = search_archive(path, queries, k=7), search(whole, queries, k=7)
    assert np.array_equal(found.indices, wanted.indices) and found.indices.max() > 16384
    assert np.allclose(found.scores, wanted.scores, atol=1e-6)
    assert found.tied == wanted.tied
    blocks = list(iter_archive(path))
    assert [block.first for block in blocks] == [0, 16384, 32768]
    assert sum((b.codes != whole.codes[b.first : b.first + 16384]).nnz for b in blocks) == 0
    assert blocks[1].names == whole.names[16384:32768] and blocks[2].rate == whole.rate
    path.write_bytes(alone[:-200] + bytes([alone[-200] ^ 1]) + alone[-199:])
    assert next(iter_archive(path)).first == 0
    with pytest.raises(DamagedArchiveError, match="items 32768 to 39999"):
        search_archive(path, queries)


def test_an_archive_is_drawn_in_parts_and_goes_on(tmp_path: Path) -> None:
    write_collection(tmp_path / "cards", 9, size=64)
    archive = tmp_path / "x.smic"
    compress(tmp_path / "cards", archive, local=True, n_atoms=4)
    first = decompress(archive, tmp_path / "out", stop=4, part=4, steps=1, local=True)
    assert (first.pictures, first.resumed) == (4, 0)
    found = decompress(archive, tmp_path / "out", part=4, steps=1, local=True)
    assert (found.pictures, found.resumed) == (9, 4)
    drawn = sorted(path.relative_to(tmp_path / "out") for path in tmp_path.glob("out/*/*.png"))
    names = read_archive(archive).names
    assert names is not None
    assert [path.name for path in drawn] == [Path(name).name for name in names]
    assert [path.parent.name for path in drawn] == ["000000000"] * 4 + ["000000004"] * 4 + [
        "000000008"
    ]


def test_the_command_compresses_a_folder(
    nodes: object,
    shards: Path,
    alone: bytes,
    latents: np.ndarray,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    target = tmp_path / "x.smic"
    options = ["--encoder", "me/1", "--atoms", "24", "--lam", "0.01", "--passes", "1"]
    command = ["cluster", "compress", str(shards), str(target), *options]
    app(command, standalone_mode=False)
    assert target.read_bytes() == alone
    assert "40,000 items" in capsys.readouterr().out
    with pytest.raises(FileExistsError, match="--overwrite"):
        app(command, standalone_mode=False)
    np.save(tmp_path / "few.npy", latents[:500])
    more = ["cluster", "compress", str(tmp_path / "few.npy"), str(target), *options, "--local"]
    app([*more, "--overwrite", "--distortion"], standalone_mode=False)
    held = read_archive(target)
    left = item_distortion(held.dictionary, latents[:500], held.codes)
    np.testing.assert_allclose(held.distortion, left, rtol=0.1)
