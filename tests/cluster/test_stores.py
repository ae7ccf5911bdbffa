"""Sources and pieces of work by URL, and Lance datasets: what is read, and what is refused."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
from pyarrow import parquet

from fiftyone_smic.archive import read_archive
from fiftyone_smic.cluster import compress
from fiftyone_smic.cluster.encoding import to_parquet
from fiftyone_smic.cluster.sources import open_shards
from fiftyone_smic.cluster.storage import ObjectWork, join, list_files, locate, name_below
from fiftyone_smic.pipelines import blocks
from fiftyone_smic.postcards.draw import write_collection
from tests.cluster.conftest import mixture

SETTINGS: dict[str, Any] = {"n_atoms": 12, "lam": 0.01, "passes": 1, "local": True}
LATENTS = SETTINGS | {"encoder": "me/1"}
NAMES = [f"{i:04d}.jpg" for i in range(2000)]


@pytest.fixture(scope="module")
def latents() -> np.ndarray:
    return mixture(2000)


def lists(z: np.ndarray, mask: np.ndarray | None = None) -> pa.Array:
    """Latents as a column of fixed-size lists, where some may be null."""
    masked = None if mask is None else pa.array(mask)
    return pa.FixedSizeListArray.from_arrays(pa.array(z.reshape(-1)), z.shape[1], mask=masked)


def test_a_url_keeps_its_query_behind_what_lies_below() -> None:
    root = "s3://bucket/my pictures/?endpoint_override=127.0.0.1:9&scheme=http"
    below = "50% of é?/#1.png"
    url = join(root, below)
    assert url.endswith("/%231.png?endpoint_override=127.0.0.1:9&scheme=http")
    system, inside = locate(url)
    assert system.type_name == "s3" and inside == f"bucket/my pictures/{below}"
    assert name_below(root, url) == below
    assert (
        join("/data", below) == f"/data/{below}" and name_below("/data", f"/data/{below}") == below
    )
    with pytest.raises(ValueError, match=r"s3://b\?endpoint=x: Unexpected query parameter"):
        locate("s3://b?endpoint=x")


def test_pictures_by_url_are_those_of_the_folder(tmp_path: Path) -> None:
    settings = SETTINGS | {"encoder": "postcards", "n_atoms": 4}
    cards = tmp_path / "cards"
    write_collection(cards / "a b", 5, size=64)
    write_collection(cards / "ü", 5, size=64)
    next((cards / "a b").glob("*.png")).rename(cards / "a b" / "50%20 #é?.png")
    compress(cards, tmp_path / "one.smic", **settings)
    names = read_archive(tmp_path / "one.smic").names
    assert names is not None and "a b/50%20 #é?.png" in names
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "mine").touch()
    compress(f"file://{cards}", tmp_path / "two.smic", work=f"file://{shared}", **settings)
    assert (tmp_path / "two.smic").read_bytes() == (tmp_path / "one.smic").read_bytes()
    assert os.listdir(shared) == ["mine"]  # only the pieces are removed
    parts = [f"file://{cards}/a b", f"file://{cards}/ü"]
    compress(parts, tmp_path / "three.smic", work=shared, **settings)
    assert (tmp_path / "three.smic").read_bytes() == (tmp_path / "one.smic").read_bytes()
    assert os.listdir(shared) == ["mine"]


def test_an_archive_is_not_written_to_a_url(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"s3://bucket/x\.smic: the archive is written on this"):
        compress(tmp_path, "s3://bucket/x.smic", **LATENTS)


def test_rows_without_a_latent_or_a_name_are_named(latents: np.ndarray, tmp_path: Path) -> None:
    mask = np.isin(np.arange(2000), [7, 1800])
    source = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"latent": lists(latents, mask)}), source)
    with pytest.raises(ValueError, match="has no latent in 'latent' in rows 7, 1800"):
        compress(source, tmp_path / "x.smic", **LATENTS)
    names = [None if i == 5 else name for i, name in enumerate(NAMES)]
    parquet.write_table(pa.table({"latent": lists(latents), "name": names}), source)
    with pytest.raises(ValueError, match=r"has no name in 'name' in row 5: .*--name-column ''"):
        compress(source, tmp_path / "x.smic", **LATENTS)
    compress(source, tmp_path / "x.smic", name_column="", **LATENTS)
    rows = pa.array([list(map(float, row[: 16 - (i in (3, 9))])) for i, row in enumerate(latents)])
    parquet.write_table(pa.table({"latent": rows}), source)
    with pytest.raises(ValueError, match="different lengths: it is 16, but not in rows 3, 9"):
        compress(source, tmp_path / "x.smic", **LATENTS)


@pytest.mark.parametrize("kind", ["npy", "parquet"])
def test_a_shard_that_changes_while_it_is_read_is_refused(
    latents: np.ndarray, tmp_path: Path, kind: str
) -> None:
    def write(z: np.ndarray) -> None:
        if kind == "npy":
            np.save(tmp_path / "x.npy", z)
        else:
            (tmp_path / "x.parquet").write_bytes(to_parquet(z, None))

    write(latents)
    shards = open_shards(list_files(str(tmp_path)))
    np.testing.assert_array_equal(shards.read(0, 10)[0], latents[:10].astype(np.float32))
    write(latents[::-1])
    with pytest.raises(ValueError, match=f"x.{kind} was changed while it was read; run this again"):
        shards.read(10, 20)


def test_a_lance_dataset_is_read_in_one_version(
    latents: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lance = pytest.importorskip("lance")
    table = pa.table({"latent": lists(latents), "name": NAMES, "id": range(2000)})
    path = str(tmp_path / "z.lance")
    dataset = lance.write_dataset(table, path, max_rows_per_file=700)

    def rows(name: str, table: pa.Table) -> bytes:
        parquet.write_table(table, tmp_path / f"{name}.parquet")
        compress(tmp_path / f"{name}.parquet", tmp_path / "rows.smic", **LATENTS)
        return (tmp_path / "rows.smic").read_bytes()

    whole, rest = rows("whole", table), rows("rest", table.slice(300))
    target = tmp_path / "x.smic"
    compress(path + "/", target, **LATENTS)
    assert target.read_bytes() == whole

    class Stop(Exception):
        pass

    def meanwhile(each: Any, then: Any) -> Any:
        """Have the first rows deleted after the survey."""

        def run(job: Any, arguments: Any) -> Any:
            if type(job).__name__ == "Gather" and dataset.count_rows() == 2000:
                dataset.delete("id < 300")
                then()
            return each(job, arguments)

        return run

    def stop() -> None:
        raise Stop

    compress_blocks = blocks.compress_blocks
    for then in (lambda: None, stop):
        lance.dataset(path, version=1).restore()
        dataset = lance.dataset(path)
        monkeypatch.setattr(
            sys.modules["fiftyone_smic.cluster.compress"],
            "compress_blocks",
            lambda *args, each, then=then, **more: compress_blocks(
                *args, each=meanwhile(each, then), **more
            ),
        )
        if then is stop:
            with pytest.raises(Stop):
                compress(path, target, **LATENTS)
            assert (tmp_path / "x.smic.part").is_dir()
        else:
            compress(path, target, **LATENTS)
        assert target.read_bytes() == whole and lance.dataset(path).count_rows() == 1700
    compress(path, target, **LATENTS)  # nothing of the stopped run is taken
    assert target.read_bytes() == rest


def test_a_broken_lance_dataset_is_refused(latents: np.ndarray, tmp_path: Path) -> None:
    lance = pytest.importorskip("lance")
    path = tmp_path / "z.lance"
    lance.write_dataset(pa.table({"latent": lists(latents)}), path)
    with pytest.raises(ValueError, match="no column 'vector': its columns are latent"):
        compress(path, tmp_path / "x.smic", column="vector", **LATENTS)
    with pytest.raises(FileNotFoundError, match=r"none\.lance: there is no such file or folder"):
        compress(tmp_path / "none.lance", tmp_path / "x.smic", **LATENTS)
    shutil.copytree(path, tmp_path / "other")
    with pytest.raises(ValueError, match=r"a folder with the ending \.lance"):
        compress(tmp_path / "other", tmp_path / "x.smic", **LATENTS)
    (piece,) = (path / "data").iterdir()
    piece.write_bytes(piece.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"z\.lance cannot be read"):
        compress(path, tmp_path / "x.smic", **LATENTS)


def test_pieces_by_url_are_written_whole_and_read_back(tmp_path: Path) -> None:
    work = ObjectWork(f"file://{tmp_path}/some work")
    work.prepare()
    assert work.read("a.npz") is None
    work.write("a.npz", b"1")
    assert work.read("a.npz") == b"1" and os.listdir(tmp_path / "some work") == ["a.npz"]
    work.remove()
    assert os.listdir(tmp_path) == []
