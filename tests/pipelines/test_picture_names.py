"""Names of drawn pictures are safe, distinct, and as near to the originals as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_smic.pipelines.picture_names import picture_name, safe_names

ODD = [
    "Screenshot 9.41\u202fAM",
    "no\u00a0break",
    "soft\u00adhyphen",
    "a\u200db",
    "a\u200cb",
    "12:30",
]


def test_odd_characters_are_kept():
    assert safe_names([f"{name}.jpg" for name in ODD], windows=False) == [f"{n}.png" for n in ODD]
    assert safe_names(["🏳️\u200d🌈.png", "line\nbreak"], windows=False) == [
        "🏳️\u200d🌈.png",
        "line\nbreak.png",
    ]


def test_only_windows_replaces_what_only_windows_cannot_hold():
    names = [
        "12:30.jpg",
        "a?b*.jpg",
        "aux.jpg",
        "COM1",
        "end./a.jpg",
        "lpt9.tar.gif",
        "auxil.png",
    ]
    assert safe_names(names, windows=True) == [
        "12_30.png",
        "a_b_.png",
        "_aux.png",
        "_COM1.png",
        "end_/a.png",
        "_lpt9.tar.png",
        "auxil.png",
    ]
    assert safe_names(names, windows=False) == [picture_name(name) for name in names]


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.png", "/etc/x", "C:\\x", "c:/x", "..\\up.png", "", "a/../../b", "a/.."),
        *("\\\\host\\share\\x", "//x", ".", "..", "nul\0byte", "/", "./"),
        *("x" * 300 + "/a.png", "d/" * 600 + "a"),
    ],
)
def test_what_cannot_be_a_relative_path_becomes_a_number(name):
    assert safe_names([name], 7) == ["000007.png"]


def test_a_picture_never_takes_the_name_of_a_folder():
    assert safe_names(["clip.jpg", "clip.png/a.jpg"]) == ["000000-clip.png", "clip.png/a.png"]
    assert safe_names(["clip.png/a.jpg", "CLIP.jpg"]) == ["clip.png/a.png", "000001-CLIP.png"]
    assert safe_names(["a/b.jpg", "a/b.png/c/d.jpg"])[0] == "a/000000-b.png"


def test_long_names_are_cut_and_stay_apart():
    long = ["x" * 255, "x" * 254 + "y", "x" * 250 + ".tiff", "é" * 126 + "a.jpg"]
    found = safe_names(long)
    assert len(set(found)) == 4 and all(len(name.encode()) <= 255 for name in found)
    assert found[2] == "x" * 250 + ".png"
    assert all(name.endswith(".png") for name in found)


def test_names_that_some_disk_takes_for_one_stay_apart():
    found = safe_names(["a.jpg", "A.gif", "a.png", "e\u0301.png", "é.png", "000001-A.png"])
    assert found[0] == "a.png" and found[3] == "e\u0301.png"
    assert len({name.casefold() for name in found}) == 6
    assert found[4] == "000004-é.png"
    assert found[5] == "000001-A.png" and found[1] != found[5]


def test_an_extension_is_one_of_an_image():
    assert picture_name("a.JPEG") == "a.png"
    assert picture_name("v1.2") == "v1.2.png"
    assert picture_name("d.jpg/a") == "d.jpg/a.png"
    assert picture_name(".jpg") == ".jpg.png"


@given(st.lists(st.text(st.sampled_from("ab.A/\\é:\u0301"), max_size=6), max_size=12))
def test_pictures_are_distinct_inside_the_folder_and_no_folders(names):
    import unicodedata
    from pathlib import PurePosixPath

    found = safe_names(names)
    alike = [unicodedata.normalize("NFC", name).casefold() for name in found]
    assert len(set(alike)) == len(names)
    folders = {str(parent) for name in alike for parent in PurePosixPath(name).parents}
    assert not folders & set(alike)
    for name in found:
        path = PurePosixPath(name)
        assert not path.is_absolute() and ".." not in path.parts and "\\" not in name
        assert name.endswith(".png") and str(path) == name
