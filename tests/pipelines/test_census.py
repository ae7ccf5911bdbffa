"""A folder is counted before it is read, and every file is accounted for."""

import os
import shutil

import pytest
from PIL import Image

from fiftyone_smic.pipelines import census as module
from fiftyone_smic.pipelines import take_census


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), "red").save(path, format="PNG")
    return path


def why(census):
    return {reason: sorted(map(census.name, paths)) for reason, paths in census.left_out.items()}


def test_every_file_is_an_image_or_left_out_for_a_reason(tmp_path):
    for name in ("a.png", "sub/b.JPG", "noextension", "._a.png", ".git/x.png", "old.png~"):
        picture(tmp_path / name)
    for name in (".ipynb_checkpoints/c.png", ".thumbnails/d/e.png", "sub/.hidden/f.png"):
        picture(tmp_path / name)
    for name in ("features.h5", "notes.txt", "drawing.svg", "README", "raw.nef", "weather.grib"):
        (tmp_path / name).write_bytes(b"something")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "link.png").symlink_to("a.png")
    os.mkfifo(tmp_path / "pipe.png")
    census = take_census(tmp_path)
    assert list(map(census.name, census.images)) == [
        "a.png",
        "link.png",
        "noextension",
        "sub/b.JPG",
    ]
    assert why(census) == {
        "hidden": [
            "._a.png",
            ".git/x.png",
            ".ipynb_checkpoints/c.png",
            ".thumbnails/d/e.png",
            "sub/.hidden/f.png",
        ],
        "link to a file that is missing": ["dangling.png"],
        "link that leads back to itself": ["loop.png"],
        "a device or a pipe": ["pipe.png"],
        "SVG has no pixels: convert it to PNG": ["drawing.svg"],
        "no image, by its extension .h5": ["features.h5"],
        "no image, by its extension .grib": ["weather.grib"],
        "no image, by its extension .txt": ["notes.txt"],
        "no image": ["README"],
        "no reader for .nef: convert it to JPEG, PNG or TIFF": ["raw.nef"],
        "an image with the extension .png~: rename it": ["old.png~"],
    }
    files = sum(len(names) for _, _, names in os.walk(tmp_path))
    assert len(census.images) + sum(map(len, census.left_out.values())) == files
    assert "4 images found, 15 other files left out" in census.lines()[0]
    about = census.as_dict()
    assert about["images"] == 4 and sum(each["files"] for each in about["left_out"]) == 15


def test_linked_folders_are_followed_once_and_never_in_circles(tmp_path):
    root, other = tmp_path / "root", tmp_path / "other"
    picture(root / "a.png")
    picture(root / "sub" / "b.png")
    picture(other / "c.png")
    (other / "back").symlink_to(root)
    (other / "self").symlink_to(other)
    (root / "linked").symlink_to(other)
    (root / "again").symlink_to(other)
    (root / "inside").symlink_to("sub")
    (root / "sub" / "up").symlink_to("..")
    census = take_census(root)
    names = list(map(census.name, census.images))
    assert names == ["a.png", "again/c.png", "sub/b.png"]
    assert why(census) == {
        "link to a folder that is searched already": [
            "again/back",
            "again/self",
            "inside",
            "linked",
            "sub/up",
        ]
    }


def test_heic_says_what_it_needs_or_is_read(tmp_path, monkeypatch):
    pytest.importorskip("pillow_heif")
    picture(tmp_path / "a.png")
    (tmp_path / "b.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    assert len(take_census(tmp_path).images) == 2
    monkeypatch.setattr(
        module, "readable_suffixes", lambda: frozenset({".png", ".jpg"})
    )  # as without pillow-heif
    assert why(take_census(tmp_path)) == {
        "HEIC needs a reader: pip install pillow-heif": ["b.HEIC"]
    }


def test_a_hidden_folder_can_be_asked_for(tmp_path):
    picture(tmp_path / ".cache" / "a.png")
    assert len(take_census(tmp_path / ".cache").images) == 1


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_names_that_are_no_text_are_found(tmp_path):
    try:
        shutil.copy(picture(tmp_path / "a.png"), os.fsencode(tmp_path) + b"/Jaime\xf1.png")
    except OSError:
        pytest.skip("this file system holds text only")
    census = take_census(tmp_path)
    assert sorted(map(census.name, census.images)) == ["Jaime\uf7f1.png", "a.png"]


def test_what_is_no_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match="not a folder"):
        take_census(tmp_path / "nowhere")
