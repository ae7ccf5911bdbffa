"""Drawing writes each picture when it is drawn, goes on where it stopped, and fails early."""

from __future__ import annotations

import csv
import errno
import os
import sys

import pytest
from PIL import Image

from fiftyone_smic.archive import read_archive, write_archive
from fiftyone_smic.pipelines import compress_folder, decompress, decompress_archive
from fiftyone_smic.utils.names import name_of

FAST = {"steps": 1, "batch_size": 2}


def failing(monkeypatch, after, error):
    """Let writing fail after this many pictures."""
    write, written = decompress.replace_file, []

    def limited(path, data, **options):
        if str(path).endswith(".png"):
            if len(written) == after:
                raise error
            written.append(path)
        write(path, data, **options)

    monkeypatch.setattr(decompress, "replace_file", limited)


def drawn(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png") if p.is_file())


@pytest.fixture
def whole(archive, tmp_path):
    decompress_archive(archive, tmp_path / "whole", **FAST)
    return {name: (tmp_path / "whole" / name).read_bytes() for name in drawn(tmp_path / "whole")}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space left")])
def test_what_is_drawn_stays_and_the_rest_is_drawn_later(
    archive, tmp_path, whole, monkeypatch, caplog, error
):
    out = tmp_path / "new" / "out"
    with monkeypatch.context() as patch:
        failing(patch, 3, error)
        with pytest.raises(type(error)) as found:
            decompress_archive(archive, out, **FAST)
    said = caplog.text if isinstance(error, KeyboardInterrupt) else str(found.value)
    assert "3 of 6 pictures are in" in said and "3 are missing" in said
    assert drawn(out) == ["00.png", "01.png", "02.png"]
    for path in out.glob("*.png"):
        Image.open(path).load()
    early = (out / "00.png").stat().st_mtime_ns

    for other in ({"seed": 1}, {"steps": 2}, {"start": 1}, {"guidance": 3.0}):
        with pytest.raises(FileExistsError, match="unfinished run with another"):
            decompress_archive(archive, out, **{**FAST, **other})
    content = read_archive(archive)
    changed = tmp_path / "changed.smic"
    write_archive(changed, content.dictionary, content.codes, encoder=content.encoder)
    with pytest.raises(FileExistsError, match="another archive"):
        decompress_archive(changed, out, **FAST)

    done = decompress_archive(archive, out, steps=1, batch_size=8)  # the batch does not matter
    assert done.resumed == 3 and [p.name for p in done.paths] == [f"0{i}.png" for i in range(6)]
    assert (out / "00.png").stat().st_mtime_ns == early
    assert sorted(os.listdir(out)) == sorted(whole)  # no state, no temporary file
    a, b = (Image.open(folder / "05.png").convert("L") for folder in (out, tmp_path / "whole"))
    assert max(abs(x - y) for x, y in zip(a.tobytes(), b.tobytes(), strict=True)) <= 1


def test_pictures_appear_while_others_are_drawn(archive, tmp_path, monkeypatch):
    seen = []
    write = decompress._Pictures.write
    monkeypatch.setattr(
        decompress._Pictures,
        "write",
        lambda self, i, image: (seen.append(len(drawn(tmp_path / "out"))), write(self, i, image)),
    )
    decompress_archive(archive, tmp_path / "out", **FAST)
    assert seen == list(range(6))


def test_what_can_fail_is_tried_before_anything_is_drawn(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "fiftyone_smic.models.generators.Generator._draw", lambda *a: pytest.fail("too late")
    )
    (tmp_path / "afile").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(decompress, "load_generator", lambda *a, **k: pytest.fail("too late"))
        for settings in ({"steps": 0}, {"batch_size": 0}, {"guidance": float("nan")}):
            with pytest.raises(ValueError, match=next(iter(settings))):
                decompress_archive(archive, tmp_path / "out", **settings)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    before = sorted(os.listdir(tmp_path))
    for folder, settings, error in (
        ("afile/out", {}, NotADirectoryError),
        ("afile", {}, NotADirectoryError),
        ("full", {}, FileExistsError),
        ("out", {"steps": 0}, ValueError),
        ("out", {"batch_size": 0}, ValueError),
        ("out", {"guidance": float("nan")}, ValueError),
        ("out", {"generator": "nobody/nothing"}, ValueError),
        ("out", {"start": 5, "stop": 70}, ValueError),
    ):
        with pytest.raises(error):
            decompress_archive(archive, tmp_path / folder, **settings)
    assert sorted(os.listdir(tmp_path)) == before

    class Full:
        free = 100

    monkeypatch.setattr("shutil.disk_usage", lambda path: Full)
    with pytest.raises(OSError, match="100 are free"):
        decompress_archive(archive, tmp_path / "out", **FAST)
    assert sorted(os.listdir(tmp_path)) == before


def test_what_had_to_change_is_listed_beside_the_pictures(archive, tmp_path):
    content = read_archive(archive)
    names = ["../evil.jpg", "clip.jpg", "clip.png/a.jpg", "a\u202fb:c.jpg", "x" * 255, "ok.jpg"]
    write_archive(
        archive,
        content.dictionary,
        content.codes,
        encoder=content.encoder,
        latent_norm=content.latent_norm,
        names=names,
    )
    out = tmp_path / "out"
    done = decompress_archive(archive, out, **FAST)
    cut = "x" * 251 + ".png"
    assert drawn(out) == sorted(
        ["000000.png", "000001-clip.png", "clip.png/a.png", "a\u202fb:c.png", cut, "ok.png"]
    )
    assert done.renamed == {
        "000000.png": "../evil.jpg",
        "000001-clip.png": "clip.jpg",
        cut: "x" * 255,
    }
    rows = list(csv.reader((out / "names.csv").read_text("utf-8").splitlines()))
    assert rows == [["file", "name in the archive"], *map(list, done.renamed.items())]


def test_a_name_that_the_disk_refuses_becomes_a_number(archive, tmp_path, monkeypatch):
    """As exFAT refuses a colon."""
    write = decompress.replace_file

    def picky(path, data, **options):
        if str(path).endswith("03.png"):
            raise OSError(errno.EINVAL, "invalid argument")
        write(path, data, **options)

    monkeypatch.setattr(decompress, "replace_file", picky)
    done = decompress_archive(archive, tmp_path / "out", **FAST)
    assert done.renamed == {"000003~.png": "03.png"}
    assert done.paths[3] == tmp_path / "out" / "000003~.png" and done.paths[3].exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds any bytes")
def test_names_of_any_bytes_go_into_an_archive_and_back(folder, tmp_path):
    raw = [b"Jaime\xf1.png", "照片.png".encode("gbk")]
    for i, name in enumerate(raw):
        (folder / f"0{i}.png").rename(os.fsdecode(os.fsencode(folder) + b"/" + name))
    compress_folder(folder, tmp_path / "b.smic", encoder="postcards")
    assert set(map(name_of, raw)) < set(read_archive(tmp_path / "b.smic").names)
    done = decompress_archive(tmp_path / "b.smic", tmp_path / "out", **FAST)
    assert set(raw) < set(os.listdir(os.fsencode(tmp_path / "out")))
    assert not done.renamed


def test_what_a_killed_run_leaves_in_an_empty_folder_does_not_matter(archive, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / f".{decompress.STATE}.lock").write_bytes(b"")
    assert len(decompress_archive(archive, folder, stop=1, **FAST).paths) == 1
    assert len(os.listdir(folder)) == 1
    (folder / ".mine").write_bytes(b"")
    with pytest.raises(FileExistsError, match="not empty"):
        decompress_archive(archive, folder, stop=1, **FAST)
