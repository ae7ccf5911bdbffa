"""Which sample a name of an archive belongs to, however the archive came about."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone.matching import match, relative_names


def found(names, paths):
    return match(names, list(map(str, range(len(paths)))), paths)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/d/a.png", "/d/b.png"], ["a.png", "b.png"]),
        (["/d/x/a.png", "/d/y/b.png"], ["x/a.png", "y/b.png"]),
        (["/d/a.png", "/d/sub/a.png"], ["a.png", "sub/a.png"]),
        (["/d/only.png"], ["only.png"]),
        (["/a/1.png", "/b/1.png"], ["a/1.png", "b/1.png"]),
        (["C:\\d\\x\\a.png", "C:\\d\\y\\a.png"], ["x/a.png", "y/a.png"]),
        (["C:\\a.png", "D:\\a.png"], ["C:/a.png", "D:/a.png"]),
        (["\\\\host\\d\\a.png", "\\\\host\\d\\b.png"], ["a.png", "b.png"]),
        # On POSIX systems a backslash is a character like any other.
        (["/d/a\\b.png", "/d/c.png"], ["a\\b.png", "c.png"]),
        ([], []),
    ],
)
def test_names_are_relative_to_the_common_folder(paths, names):
    assert relative_names(paths) == names
    assert found(names, paths) == list(map(str, range(len(paths))))


@pytest.mark.parametrize(
    ("names", "paths", "expected"),
    [
        # archives of version 0.1.0 hold file names alone, whatever the folders
        (["a.png", "b.png"], ["/d/x/a.png", "/d/y/b.png"], ["0", "1"]),
        # archives from Windows: all are found, not the half without folders
        (["sub\\a.png", "b.png"], ["/d/b.png", "/d/sub/a.png"], ["1", "0"]),
        (["x\\y\\a.png", "x\\b.png"], ["/d/x/y/a.png", "/d/x/b.png"], ["0", "1"]),
        # samples of Windows, an archive of Linux
        (["sub/a.png"], ["C:\\d\\sub\\a.png"], ["0"]),
        # composed against decomposed
        (["café/é.png"], [unicodedata.normalize("NFD", "/d/café/é.png")], ["0"]),
        ([unicodedata.normalize("NFD", "é.png")], ["/d/é.png"], ["0"]),
        # the same name at several depths
        (["a.png", "s/a.png", "s/s/a.png"], ["/d/s/s/a.png", "/d/s/a.png", "/d/a.png"], "210"),
        # the outer one is gone: the inner one is not taken for it
        (["a.png", "s/a.png"], ["/d/s/a.png"], [None, "0"]),
        (["a.png", "s/b.png"], ["/d/s/b.png", "/d/s/a.png"], [None, "0"]),
        # a picture that came later, in a folder of its own
        (["a.png", "s/a.png"], ["/d/a.png", "/d/s/a.png", "/d/new/a.png"], ["0", "1"]),
        # the collection was spread over two folders
        (["x/1.png", "y/2.png"], ["/a/x/1.png", "/b/y/2.png"], ["0", "1"]),
        (["./a.png", "x//b.png"], ["/d/a.png", "/d/x/b.png"], ["0", "1"]),
        (["a.png"], ["/d/ba.png"], [None]),
        ([""], ["/d/a.png"], [None]),
    ],
)
def test_every_kind_of_name_finds_its_sample(names, paths, expected):
    assert found(names, paths) == list(expected)


def test_two_names_of_one_folder_that_differ_by_their_form_alone():
    nfd = unicodedata.normalize("NFD", "é.png")
    assert found([nfd, "é.png"], ["/d/é.png", f"/d/{nfd}"]) == ["1", "0"]
    assert found(["s\\a.png", "s/a.png"], ["/d/s/a.png", "/d/s\\a.png"]) == ["1", "0"]


@pytest.mark.parametrize(
    ("names", "paths", "says"),
    [
        (["a.png"], ["/x/a.png", "/y/a.png"], "2 samples are called 'a.png'"),
        (["c/1.png", "c/2.png"], ["/x/c/1.png", "/y/c/1.png", "/x/c/2.png"], "2 samples"),
        (["a.png", "a.png"], ["/d/a.png"], "several names"),
        (["a.png", "x.png"], ["/d/a.png", "/d/s/a.png"], "2 samples are called"),
    ],
)
def test_what_cannot_be_told_is_said(names, paths, says):
    with pytest.raises(ValueError, match=says):
        found(names, paths)


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_codes_come_back_to_samples_in_folders(make_dataset, clustered, tmp_path, separator):
    """Every sample gets its own code from an archive of this system and from one of Windows."""
    dataset = make_dataset(clustered)
    names = [f"{'' if i % 2 else f'part {i % 3}/'}{i // 4}-é-{i}.png" for i in range(60)]
    dataset.set_values("filepath", [f"/data/{name}" for name in names])
    smic.learn_dictionary(dataset, n_atoms=8)
    smic.encode(dataset)
    smic.export_archive(dataset, "smic", tmp_path / "a.smic")
    archive = smic.read_archive(tmp_path / "a.smic")
    assert list(archive.names) == names
    smic.write_archive(
        tmp_path / "a.smic",
        archive.dictionary,
        archive.codes,
        encoder=archive.encoder,
        latent_norm=archive.latent_norm,
        names=[unicodedata.normalize("NFD", n).replace("/", separator) for n in names],
    )
    order = np.random.default_rng(0).permutation(60)
    other = fo.Dataset()
    try:
        other.add_samples([fo.Sample(f"/elsewhere/deep/{names[i]}") for i in order])
        report = smic.import_codes(other, tmp_path / "a.smic")
        assert (report.matched, report.unmatched) == (60, [])
        atoms = dataset.values("smic_atoms")
        assert other.values("smic_atoms") == [atoms[i] for i in order]
    finally:
        other.delete()


def test_an_export_has_the_names_that_the_command_line_gives(encoded, tmp_path):
    folder = Path(encoded.first().filepath).parent
    encoded.set_values("filepath", [f"{folder}/{i % 2}/{i}.png" for i in range(len(encoded))])
    smic.export_archive(encoded, "smic", tmp_path / "a.smic")
    names = smic.read_archive(tmp_path / "a.smic").names
    assert list(names) == [f"{i % 2}/{i}.png" for i in range(len(encoded))]
