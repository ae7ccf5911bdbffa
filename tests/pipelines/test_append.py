"""Appending adds what is new, once, whatever the names are written like."""

from __future__ import annotations

import os
import shutil
import unicodedata

import pytest

from fiftyone_smic.archive import read_archive, write_archive
from fiftyone_smic.models.encoders.base import Encoder
from fiftyone_smic.pipelines import NothingNew, append_folder, latent_cache


def rewrite(archive, names):
    """The same archive with other names."""
    content = read_archive(archive)
    write_archive(
        archive,
        content.dictionary,
        content.codes,
        encoder=content.encoder,
        latent_norm=content.latent_norm,
        names=names,
    )


def test_names_after_a_mac_are_the_same_names(folder, archive):
    rewrite(archive, ["é0.png", *(f"0{i}.png" for i in range(1, 6))])
    (folder / "00.png").rename(folder / unicodedata.normalize("NFD", "é0.png"))
    before = archive.read_bytes()
    with pytest.raises(NothingNew):
        append_folder(folder, archive)
    assert archive.read_bytes() == before


def test_an_archive_without_names_is_not_added_to_twice(folder, archive):
    rewrite(archive, None)
    before = archive.read_bytes()
    with pytest.raises(ValueError, match="--assume-new"):
        append_folder(folder, archive)
    assert archive.read_bytes() == before
    assert append_folder(folder, archive, assume_new=True).items == 6
    assert read_archive(archive).codes.shape[0] == 12


def test_pictures_in_subfolders_are_found_by_their_file_names(folder, archive, pictures):
    (folder / "sub").mkdir()
    for i in range(3):
        (folder / f"0{i}.png").rename(folder / "sub" / f"0{i}.png")
    shutil.copy(pictures[7], folder / "sub")
    done = append_folder(folder, archive)
    assert (done.items, done.known) == (1, 6)
    assert done.known_by_file_name == ["sub/00.png", "sub/01.png", "sub/02.png"]
    assert read_archive(archive).names[6:] == ("sub/07.png",)
    # Nobody can tell which of two is the one of that name.
    rewrite(archive, [f"0{i}.png" for i in range(7)])
    (folder / "other").mkdir()
    shutil.copy(pictures[8], folder / "other" / "00.png")
    before = archive.read_bytes()
    with pytest.raises(ValueError, match=r"other/00\.png, sub/00\.png could all be its 00\.png"):
        append_folder(folder, archive)
    assert archive.read_bytes() == before


def test_what_another_process_added_meanwhile_is_not_added_again(
    folder, archive, pictures, monkeypatch
):
    shutil.copy(pictures[7], folder)
    shutil.copy(pictures[8], folder)
    encode, inner = Encoder.iter_images, []

    def slow(self, paths, **options):
        yield from encode(self, paths, **options)
        if not inner:
            inner.append(1)
            (folder / "08.png").rename(folder.parent / "08.png")
            inner.append(append_folder(folder, archive))
            (folder.parent / "08.png").rename(folder / "08.png")

    monkeypatch.setattr(Encoder, "iter_images", slow)
    # The inner run stands for another process: it has no part in the outer one's lock.
    monkeypatch.setattr("fiftyone_smic.pipelines.latent_cache.lock", lambda path: nothing())
    done = append_folder(folder, archive)
    assert inner[1].items == 1 and (done.items, done.known) == (1, 7)
    assert read_archive(archive).names[6:] == ("07.png", "08.png")


class nothing:
    def __enter__(self):
        pass

    def __exit__(self, *error):
        pass


@pytest.mark.skipif(os.name != "posix", reason="links and permissions of POSIX systems")
def test_a_link_and_its_targets_permissions_stay(folder, archive, pictures):
    archive.chmod(0o600)
    link = archive.with_name("link.smic")
    link.symlink_to(archive.name)
    shutil.copy(pictures[7], folder)
    append_folder(folder, link)
    assert link.is_symlink() and archive.stat().st_mode & 0o777 == 0o600
    assert len(read_archive(archive).names) == 7
    assert sorted(os.listdir(archive.parent)) == ["in", "link.smic", "x.smic"]


def test_distortions_are_carried_on(folder, archive, pictures):
    from fiftyone_smic import curation
    from fiftyone_smic.pipelines import compress_folder

    assert read_archive(archive).distortion is None
    compress_folder(folder, archive, encoder="postcards", distortion=True)
    before = read_archive(archive).distortion
    shutil.copy(pictures[7], folder / "new.png")
    append_folder(folder, archive)
    found = read_archive(archive)
    assert found.distortion.shape == (7,) and (found.distortion[-1] > 0)
    assert (found.distortion[:-1] == before).all()
    assert curation.outliers(found).measured


def test_latents_that_a_run_left_which_was_killed_at_the_end_are_removed(
    folder, archive, pictures, monkeypatch
):
    shutil.copy(pictures[7], folder)

    def killed(self):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(latent_cache, "IMAGES", 1)
        patch.setattr(latent_cache.LatentCache, "remove", killed)
        append_folder(folder, archive)
    left = archive.with_name(f"{archive.name}.part")
    assert list(left.iterdir()) and read_archive(archive).codes.shape[0] == 7
    other = folder.parent / "other"
    other.mkdir()
    shutil.copy(folder / "00.png", other)
    with pytest.raises(NothingNew):  # what was left is of other images, which may be wanted yet
        append_folder(other, archive)
    assert left.is_dir()
    (archive.parent / f".{archive.name}.lock").touch()
    with pytest.raises(NothingNew):
        append_folder(folder, archive)
    assert not left.exists() and not (archive.parent / f".{archive.name}.lock").exists()
