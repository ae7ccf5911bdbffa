"""Sources in Lance and in S3: is the file the one that one machine writes from files on its disk?

    python -m tests.benchmarks.stores [lance] [s3] [lance-s3]

It installs nothing. Lance needs ``pip install pylance``. S3 needs ``pip install 'moto[server]'``, a
server that speaks S3; it can have an environment of its own: ``--server FOLDER/bin/moto_server``.

Everything runs on a Ray of two nodes of one CPU each that this machine plays. Each line of the
table is a run, what happened before or while it ran, and whether the file then had the bytes that
one process writes from files of the same rows on its disk, or what was said.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fiftyone_smic.cluster import compress
from fiftyone_smic.cluster.encoding import to_parquet
from tests.benchmarks.cluster_runs import (
    DIMENSIONS,
    ITEMS,
    LATENTS,
    PICTURES,
    Bench,
    bench,
    killed,
    pieces,
    running,
    wait_for,
)

# --- Lance --------------------


def lance_sources(bench: Bench) -> None:
    """Lance datasets: kinds of columns, deleted rows, versions, and what is wrong."""
    import lance
    import pyarrow as pa

    z, names = bench.z, bench.names
    flat = pa.array(z.reshape(-1))
    fixed = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS)
    ends = pa.array(np.arange(len(z) + 1, dtype=np.int32) * DIMENSIONS)
    ids = pa.array(np.arange(len(z)))
    table = pa.table({"latent": fixed, "name": names, "id": ids})
    lists = pa.table({"vector": pa.ListArray.from_arrays(ends, flat), "file": names})
    path = str(bench.folder / "a.lance")
    found = lance.write_dataset(table, path, max_rows_per_file=70_000)

    def plain(target: Path, source: str = path, **more: Any) -> Any:
        return compress(source, target, **LATENTS | more)

    bench.check("Lance, fixed-size lists in 3 files", "nothing", bench.latents, plain)
    listed = str(bench.folder / "b.lance")
    lance.write_dataset(lists, listed)
    bench.check(
        "Lance, lists of other column names",
        "nothing",
        bench.latents,
        lambda target: plain(target, listed + "/", column="vector", name_column="file"),
    )

    gone = "id % 1000 = 7 or (id >= 30000 and id < 50000)"
    left = [i for i in range(ITEMS) if not (i % 1000 == 7 or 30_000 <= i < 50_000)]
    rows = bench.folder / "left.parquet"
    rows.write_bytes(to_parquet(z[left], [names[i] for i in left]))
    without = bench.alone(rows, **LATENTS)
    with running(plain, bench.folder / "x.smic") as run:
        wait_for(run, lambda: any(pieces(bench.folder / "x.smic.part", "sums-0")))
        found.delete(gone)
    bench.check("Lance", "rows deleted during the passes", bench.latents, run.move)
    bench.check("Lance, with deleted rows", "nothing", without, plain)

    whole = lance.dataset(path, version=1)
    whole.restore()
    stopped = killed(bench, path, "codes-")
    found = lance.dataset(path)
    found.delete(gone)
    bench.check(f"Lance, {stopped}", "rows deleted, run again", without, plain)
    lance.dataset(path, version=1).restore()
    stopped = killed(bench, path, "codes-")
    done = bench.check(f"Lance, {stopped}", "run again", bench.latents, plain)
    assert "survey" not in done.seconds  # it went on

    masked = np.zeros(len(z), bool)
    masked[[7, 90_000]] = True
    nulls = pa.FixedSizeListArray.from_arrays(flat, DIMENSIONS, mask=pa.array(masked))
    broken = z.copy()
    broken[[7, 90_000], 3] = np.nan
    nan = pa.FixedSizeListArray.from_arrays(pa.array(broken.reshape(-1)), DIMENSIONS)
    for what, column in {"two latents are null": nulls, "two have NaN": nan}.items():
        lance.write_dataset(pa.table({"latent": column}), listed, mode="overwrite")
        bench.refused("Lance", what, lambda target: plain(target, listed))
    bench.refused("Lance", "no such column", lambda target: plain(target, column="vector"))


# --- S3 --------------------


class Gate:
    """A port that leads to another one while it is open."""

    def __init__(self, port: int) -> None:
        self.inner, self.port, self.open = port, _free_port(), True
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        start = asyncio.start_server(self._lead, "127.0.0.1", self.port)
        asyncio.run_coroutine_threadsafe(start, self.loop).result()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.open:
            inner = await asyncio.open_connection("127.0.0.1", self.inner)
            await asyncio.gather(self._pump(reader, inner[1]), self._pump(inner[0], writer))
        writer.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while self.open and (data := await reader.read(1 << 16)):
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def s3_server(program: str, **more: str) -> Iterator[int]:
    """Run a server that speaks S3, and yield its port."""
    port = _free_port()
    command = [program, "-H", "127.0.0.1", "-p", str(port)]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env=os.environ | more, **silent)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise RuntimeError(f"{program} did not start") from None
                time.sleep(0.05)
        yield port
    finally:
        server.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _upload(folder: Path, url: str) -> None:
    from pyarrow.fs import FileSystem, copy_files

    system, inside = FileSystem.from_uri(url)
    copy_files(str(folder), inside, destination_filesystem=system)


def s3_sources(bench: Bench, server: str, gate: Gate) -> None:
    """Objects in S3: each kind of source, pieces of work, what stops, and what is wrong."""
    for name in ("shards", "cards", "tars"):
        _upload(bench.folder / name, f"s3://bucket/{name}")
    (bench.folder / "arrays").mkdir()
    for i, part in enumerate(np.array_split(bench.z, 3)):
        np.save(bench.folder / "arrays" / f"{i}.npy", part)
    _upload(bench.folder / "arrays", "s3://bucket/arrays")
    work = {"work": "s3://bucket/work"}

    def of(source: str | list[str], **settings: Any) -> Callable[[Path], Any]:
        return lambda target: compress(source, target, **settings)

    for what, name, wanted, settings in (
        ("S3, .parquet", "shards", bench.latents, LATENTS),
        ("S3, .npy", "arrays", bench.unnamed, LATENTS),
        ("S3, pictures", "cards", bench.pictures, PICTURES),
        ("S3, tars of pictures", "tars", bench.tars, PICTURES),
    ):
        run = of(f"s3://bucket/{name}", **settings | work)
        bench.check(f"{what}, work in S3", "nothing", wanted, run)
    query = f"?endpoint_override=127.0.0.1:{gate.port}&scheme=http"
    environment = os.environ.pop("AWS_ENDPOINT_URL")
    there = {"work": f"s3://bucket/work{query}"}
    bench.check(
        "S3, .parquet, endpoint in the URL, work likewise",
        "nothing",
        bench.latents,
        of(f"s3://bucket/shards/{query}", **LATENTS | there),
    )
    os.environ["AWS_ENDPOINT_URL"] = environment
    parts = [f"s3://bucket/shards/{i}.parquet" for i in range(3)]
    bench.check("S3, .parquet, three URLs", "nothing", bench.latents, of(parts, **LATENTS))

    stopped = killed(bench, "s3://bucket/shards", "codes-", **work)
    run = of("s3://bucket/shards", **LATENTS | work)
    done = bench.check(f"S3, .parquet, work in S3, {stopped}", "run again", bench.latents, run)
    assert "survey" not in done.seconds
    stopped = killed(bench, "s3://bucket/cards", "latents-", **work)
    run = of("s3://bucket/cards", **PICTURES | work)
    bench.check(f"S3, pictures, work in S3, {stopped}", "run again", bench.pictures, run)

    slow = of("s3://bucket/shards", **LATENTS | work)

    def down(target: Path) -> None:
        with running(slow, target) as run:
            wait_for(run, lambda: any(pieces("s3://bucket/work/x.smic.part", "sums-0")))
            gate.open = False
        run.result()

    bench.refused("S3, .parquet, work in S3", "the server is gone in the second pass", down)
    bench.refused("S3, .parquet", "the server is still gone", slow)
    gate.open = True
    done = bench.check("S3, .parquet, work in S3", "it is back, run again", bench.latents, slow)
    assert "survey" not in done.seconds
    bench.refused("S3", "no such bucket", of("s3://bucked/shards", **LATENTS))
    no_bucket = of(str(bench.folder / "shards"), **LATENTS | {"work": "s3://bucked/work"})
    bench.refused("S3", "no such bucket for the work", no_bucket)
    with s3_server(server, INITIAL_NO_AUTH_ACTION_COUNT="0") as port:
        closed = f"s3://bucket/shards?endpoint_override=127.0.0.1:{port}&scheme=http"
        bench.refused("S3", "credentials that the server does not know", of(closed, **LATENTS))
    wrong = of("s3://bucket/shards?endpoint=127.0.0.1", **LATENTS)
    bench.refused("S3", "a query with a word that is none", wrong)
    bench.refused("S3", "the archive to S3", lambda _: compress("z.npy", "s3://bucket/x.smic"))


def lance_in_s3(bench: Bench) -> None:
    """A Lance dataset in S3, which pylance reads by itself."""
    import lance
    from pyarrow.parquet import read_table

    lance.write_dataset(read_table(bench.folder / "shards"), "s3://bucket/a.lance")
    for work in ({}, {"work": "s3://bucket/work"}):
        bench.check(
            f"S3, Lance{', work in S3' if work else ''}",
            "nothing",
            bench.latents,
            lambda target, work=work: compress("s3://bucket/a.lance", target, **LATENTS | work),
        )
    bench.refused(
        "S3, Lance",
        "a query in the URL",
        lambda target: compress("s3://bucket/a.lance?scheme=http", target, **LATENTS),
    )


def main() -> None:
    """Run what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", nargs="*", default=["lance", "s3", "lance-s3"])
    parser.add_argument("--server", default=shutil.which("moto_server") or "moto_server")
    given = parser.parse_args()
    if given.what == ["lance"]:
        with bench() as found:
            lance_sources(found)
        return
    from pyarrow.fs import S3FileSystem

    with s3_server(given.server) as port:
        gate = Gate(port)
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}",
            "AWS_ALLOW_HTTP": "true",
        }
        endpoint = {"endpoint_override": f"127.0.0.1:{port}", "scheme": "http"}
        S3FileSystem(allow_bucket_creation=True, **endpoint).create_dir("bucket")
        with bench() as found:  # its nodes take these variables from here
            if "lance" in given.what:
                lance_sources(found)
            if "s3" in given.what:
                s3_sources(found, given.server, gate)
            if "lance-s3" in given.what:
                lance_in_s3(found)


if __name__ == "__main__":
    main()
