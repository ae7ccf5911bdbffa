"""Compressing a folder fails early, loses no work, and names every file it leaves out."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from fiftyone_smic.archive import read_archive
from fiftyone_smic.models.encoders.base import Encoder
from fiftyone_smic.pipelines import compress, compress_folder, latent_cache
from fiftyone_smic.pipelines.latent_cache import LatentCache, Row


def interrupt(monkeypatch, after, action):
    """Let the encoder do something after this many images, and count what it encodes."""
    encode, seen = Encoder.iter_images, []

    def watched(self, paths, **options):
        for batch in encode(self, paths, **options):
            yield batch
            seen.extend(paths[i] for i in batch.indices)
            if len(seen) == after:
                action()

    monkeypatch.setattr(Encoder, "iter_images", watched)
    return seen


def stop():
    raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_where_it_stopped(folder, made, tmp_path, monkeypatch, caplog):
    file = tmp_path / "x.smic"
    with monkeypatch.context() as patch:
        interrupt(patch, 4, stop)
        with pytest.raises(KeyboardInterrupt):
            compress_folder(folder, file, encoder="postcards", batch_size=1)
    assert "4 of 6 images are encoded" in caplog.text
    assert sorted(os.listdir(tmp_path)) == ["in", "x.smic.part"]
    (folder / "01.png").write_bytes((folder / "00.png").read_bytes())  # another content since
    os.utime(folder / "02.png", (1.0, 1.0))  # changed after the clock was set back
    seen = interrupt(monkeypatch, -1, stop)
    done = compress_folder(folder, file, encoder="postcards")
    encoded = ["01.png", "02.png", "04.png", "05.png"]
    assert done.resumed == 2 and sorted(p.name for p in seen) == encoded
    assert sorted(os.listdir(tmp_path)) == ["in", "x.smic"]
    assert read_archive(file).names == read_archive_bytes(made, tmp_path).names


def test_a_disk_without_room_for_the_latents_is_refused_first(folder, tmp_path, monkeypatch):
    class Full:
        free = 100

    seen = interrupt(monkeypatch, -1, stop)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Full)
    with pytest.raises(OSError, match=r"take at least 3,072 bytes, and 100 are free"):
        compress_folder(folder, tmp_path / "x.smic", encoder="postcards")
    assert seen == [] and sorted(os.listdir(tmp_path)) == ["in"]


def test_a_disk_that_becomes_full_says_what_is_there(folder, made, tmp_path, monkeypatch):
    write, written = latent_cache.replace_file, []

    def limited(path, data):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        write(path, data)

    file = tmp_path / "x.smic"
    with monkeypatch.context() as patch:
        patch.setattr(latent_cache, "IMAGES", 2)
        patch.setattr(latent_cache, "replace_file", limited)
        with pytest.raises(OSError, match=r"No space left.*; 2 of 6 images are encoded and kept"):
            compress_folder(folder, file, encoder="postcards", batch_size=1)
    assert compress_folder(folder, file, encoder="postcards").resumed == 2
    assert read_archive(file).names == read_archive_bytes(made, tmp_path).names


def read_archive_bytes(data, tmp_path):
    path = tmp_path / "other.smic"
    path.write_bytes(data)
    return read_archive(path)


def test_going_on_gives_the_same_archive(folder, made, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt(patch, 3, stop)
        with pytest.raises(KeyboardInterrupt):
            compress_folder(folder, tmp_path / "x.smic", encoder="postcards", batch_size=1)
    compress_folder(folder, tmp_path / "x.smic", encoder="postcards", batch_size=1)
    one, two = read_archive(tmp_path / "x.smic"), read_archive_bytes(made, tmp_path)
    assert one.names == two.names and one.latent_norm == pytest.approx(two.latent_norm, rel=1e-5)
    assert np.allclose(one.latents(), two.latents(), atol=1e-4)


ROW = Row(np.ones(3, np.float32), 2.0, 64, 100, 10**18 + 1)


def test_parts_are_on_the_disk_before_the_run_ends(tmp_path, monkeypatch):
    """So that a run that is killed, and cannot say good-bye, has lost little."""
    monkeypatch.setattr(latent_cache, "IMAGES", 2)
    cache = LatentCache.beside(tmp_path / "x.smic", "e fp32")
    for name in "abc":
        cache.add(name, ROW)
    again = LatentCache.beside(tmp_path / "x.smic", "e fp32").read()
    assert set(again) == {"a", "b"}
    found = again["a"]
    assert (found.norm, found.pixels, found.bytes, found.modified) == (2.0, 64, 100, 10**18 + 1)
    assert np.array_equal(found.latent, ROW.latent)
    monkeypatch.setattr(latent_cache, "SECONDS", 0.0)
    cache.add("d", ROW)
    assert set(cache.read()) == {"a", "b", "c", "d"}
    # Another encoder's latents are not taken, nor is a damaged part.
    assert LatentCache.beside(tmp_path / "x.smic", "other fp32").read() == {}
    (tmp_path / "x.smic.part" / "000000.npz").write_bytes(b"PK\3\4damaged")
    assert set(cache.read()) == {"c", "d"}
    cache.remove()
    assert os.listdir(tmp_path) == []


def test_a_part_is_never_unpickled(tmp_path):
    (tmp_path / "x.smic.part").mkdir()
    np.savez(tmp_path / "x.smic.part" / "000000.npz", about=np.array([{"encoder": "e"}], object))
    assert LatentCache.beside(tmp_path / "x.smic", "e").read() == {}


@pytest.mark.parametrize("how", ["vanishes", "is emptied"])
def test_a_file_that_vanishes_after_it_was_encoded_is_skipped_and_named(
    folder, tmp_path, monkeypatch, how
):
    victim = folder / "02.png"
    action = victim.unlink if how == "vanishes" else lambda: victim.write_bytes(b"")
    interrupt(monkeypatch, 5, action)
    done = compress_folder(folder, tmp_path / "x.smic", encoder="postcards", batch_size=1)
    assert list(done.failures) == [victim] and "removed or changed" in done.failures[victim]
    names = read_archive(tmp_path / "x.smic").names
    assert names == ("00.png", "01.png", "03.png", "04.png", "05.png")
    assert done.rate.items == 5


def test_what_can_fail_is_tried_before_the_work(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(compress, "load_encoder", lambda *a, **k: pytest.fail("too late"))
    (tmp_path / "afile").write_text("")
    good = tmp_path / "x.smic"
    for archive, settings, error in (
        (tmp_path / "nodir" / "x.smic", {}, FileNotFoundError),
        (folder, {}, IsADirectoryError),
        (tmp_path / "afile" / "x.smic", {}, NotADirectoryError),
        (good, {"lam": -1}, ValueError),
        (good, {"n_atoms": -3}, ValueError),
        (good, {"batch_size": 0}, ValueError),
        (good, {"num_workers": -1}, ValueError),
        (good, {"prior": tmp_path / "afile"}, ValueError),
    ):
        with pytest.raises(error):
            compress_folder(folder, archive, encoder="postcards", **settings)
    assert sorted(os.listdir(tmp_path)) == ["afile", "in"]


def test_a_prior_is_advised_where_there_is_none(folder, tmp_path, monkeypatch):
    assert compress_folder(folder, tmp_path / "x.smic", encoder="postcards").advice is None
    monkeypatch.setattr(compress, "shipped_prior", lambda name: None)
    advice = compress_folder(folder, tmp_path / "x.smic", encoder="postcards").advice
    assert "of this small archive" in advice and "pass it as prior" in advice
