"""``decompress --generator nearest``: an archive is answered with pictures of a folder."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from fiftyone_smic.archive import read_archive, write_archive
from fiftyone_smic.models.encoders import load_encoder
from fiftyone_smic.models.images import load_image
from fiftyone_smic.pipelines import compress_folder, decompress_archive
from fiftyone_smic.postcards.draw import write_collection


@pytest.fixture(scope="module")
def cards(tmp_path_factory):
    """Twelve real postcards, half of them in a subfolder, and their archive."""
    folder = tmp_path_factory.mktemp("cards")
    write_collection(folder / "in", 12, size=64)
    (folder / "in/sub").mkdir()
    files = sorted((folder / "in").glob("*.png"))
    for path in files[6:]:
        path.rename(folder / "in/sub" / path.name)
    compress_folder(folder / "in", folder / "x.smic", encoder="postcards")
    return folder


def same(a, b):
    return (np.asarray(load_image(a)) == np.asarray(load_image(b))).all()


def test_each_item_gets_the_nearest_picture_that_is_not_its_own(cards, tmp_path):
    done = decompress_archive(
        cards / "x.smic", tmp_path / "out", generator="nearest", gallery=cards / "in"
    )
    content = read_archive(cards / "x.smic")
    assert content.names is not None
    files = [cards / "in" / name for name in content.names]
    gallery = load_encoder("postcards").encode_images(files).latents
    cosines = content.latents() @ gallery.T
    np.fill_diagonal(cosines, -2)
    for path, nearest in zip(done.paths, cosines.argmax(1), strict=True):
        assert same(path, files[nearest])
    assert done.generator == "nearest"
    assert [path.relative_to(tmp_path / "out").as_posix() for path in done.paths] == [
        *content.names
    ]
    assert not (tmp_path / "out.part").exists()


def test_file_names_alone_are_recognised(cards, tmp_path):
    """As FiftyOne exports of version 0.1.0 hold them."""
    content = read_archive(cards / "x.smic")
    assert content.names is not None
    flat = [name.rpartition("/")[2] for name in content.names]
    write_archive(
        tmp_path / "flat.smic",
        content.dictionary,
        content.codes,
        encoder=content.encoder,
        latent_norm=content.latent_norm,
        names=flat,
    )
    done = decompress_archive(
        tmp_path / "flat.smic", tmp_path / "out", generator="nearest", gallery=cards / "in"
    )
    for path, name in zip(done.paths, content.names, strict=True):
        assert not same(path, cards / "in" / name)


def test_without_names_nothing_can_be_left_out(cards, tmp_path, caplog):
    content = read_archive(cards / "x.smic")
    write_archive(tmp_path / "x.smic", content.dictionary, content.codes, encoder=content.encoder)
    decompress_archive(
        tmp_path / "x.smic", tmp_path / "out", generator="nearest", gallery=cards / "in"
    )
    assert "holds no names" in caplog.text


def test_an_interrupted_run_goes_on(cards, tmp_path, monkeypatch):
    from fiftyone_smic.pipelines import decompress

    arguments = {"generator": "nearest", "gallery": cards / "in", "batch_size": 2}
    whole = decompress_archive(cards / "x.smic", tmp_path / "whole", **arguments)
    write, written = decompress._Pictures.write, []

    def failing(self, i, image):
        if len(written) == 5:
            raise KeyboardInterrupt
        written.append(i)
        write(self, i, image)

    with monkeypatch.context() as patch:
        patch.setattr(decompress._Pictures, "write", failing)
        with pytest.raises(KeyboardInterrupt):
            decompress_archive(cards / "x.smic", tmp_path / "out", **arguments)
    shutil.copytree(cards / "in", tmp_path / "other")
    with pytest.raises(FileExistsError, match="another gallery"):
        decompress_archive(
            cards / "x.smic", tmp_path / "out", **{**arguments, "gallery": tmp_path / "other"}
        )
    done = decompress_archive(cards / "x.smic", tmp_path / "out", **arguments)
    assert done.resumed == 5
    for a, b in zip(done.paths, whole.paths, strict=True):
        assert a.read_bytes() == b.read_bytes()
    assert not (tmp_path / "out.part").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"generator": "nearest"}, "go together: give a folder"),
        ({"gallery": "in"}, "go together"),
        ({"gallery": "in", "generator": "postcards"}, "go together"),
        ({"gallery": "empty", "generator": "nearest"}, "no images in"),
        ({"gallery": ".", "generator": "nearest"}, "cannot go into the gallery"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(cards, arguments, message, tmp_path):
    (cards / "empty").mkdir(exist_ok=True)
    if "gallery" in arguments:
        arguments = {**arguments, "gallery": cards / arguments["gallery"]}
    with pytest.raises(ValueError, match=message):
        decompress_archive(cards / "x.smic", cards / "out", **arguments)
    assert not (cards / "out").exists()


def test_the_command_line_takes_a_gallery(cards, tmp_path):
    from typer.testing import CliRunner

    from fiftyone_smic.cli.application import app

    found = CliRunner().invoke(
        app,
        [
            "decompress",
            str(cards / "x.smic"),
            str(tmp_path / "out"),
            *("--generator", "nearest", "--gallery", str(cards / "in"), "--items", ":3"),
        ],
    )
    assert found.exit_code == 0, found.output
    assert "3 images drawn by nearest" in found.output
    assert len(list((tmp_path / "out").rglob("*.png"))) == 3
