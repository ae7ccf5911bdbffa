"""Pictures drawn from codes, while others change the dataset or the disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import fiftyone as fo
import pytest
from PIL import Image

import fiftyone_smic as smic
from fiftyone_smic.fiftyone import list_dictionaries, placeholders, regeneration
from fiftyone_smic.fiftyone.pictures import is_whole


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Register each picture when it is drawn."""
    monkeypatch.setattr(regeneration, "REGISTER_EVERY", 0)


def when(part, action):
    """A progress function that acts once, when this part is done."""
    acted = []

    def progress(fraction):
        if fraction >= part and not acted:
            acted.append(True)
            action()

    return progress


def draw(samples, folder, **settings):
    return smic.regenerate(
        samples, output_dir=folder, **{"steps": 1, "batch_size": 1, "progress": False, **settings}
    )


def test_pictures_that_are_there_are_drawn_again_only_when_asked(encoded, tmp_path):
    view = encoded[:3]
    draw(view, tmp_path)
    paths = [Path(path) for path in view.values("smic_regenerated")]
    times = [path.stat().st_mtime_ns for path in paths]
    assert draw(view, tmp_path).drawn == 0
    assert [path.stat().st_mtime_ns for path in paths] == times
    assert draw(view, tmp_path, overwrite=True).drawn == 3
    assert all(path.stat().st_mtime_ns > time for path, time in zip(paths, times, strict=True))


def test_settings_that_no_generator_takes_change_nothing(encoded, tmp_path, state, monkeypatch):
    draw(encoded[:2], tmp_path)
    smic.learn_dictionary(encoded, overwrite=True, n_atoms=4)  # the pictures are of other codes now
    smic.encode(encoded)
    before = state(encoded)
    monkeypatch.setattr(regeneration, "load_generator", lambda *a, **k: pytest.fail("too late"))
    for settings in ({"steps": 0}, {"batch_size": 0}, {"guidance": float("inf")}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            draw(encoded[:2], tmp_path, **settings)
    assert state(encoded) == before


def test_a_picture_that_is_cut_or_gone_is_drawn_again(encoded, tmp_path):
    view = encoded[:4]
    draw(view, tmp_path)
    paths = [Path(path) for path in view.values("smic_regenerated")]
    data = [path.read_bytes() for path in paths]
    paths[0].write_bytes(data[0][:-20])
    paths[1].write_bytes(b"")
    paths[2].unlink()
    report = draw(view, tmp_path)
    assert (report.drawn, report.reused) == (3, 1)
    assert [path.read_bytes() for path in paths] == data
    assert view.values("smic_regenerated") == list(map(str, paths))


def test_samples_that_are_deleted_meanwhile(encoded, tmp_path):
    ids = encoded[:5].values("id")
    # One that has been drawn, one that has not.
    report = draw(
        encoded[:5], tmp_path, progress=when(0.4, lambda: encoded.delete_samples([ids[0], ids[4]]))
    )
    assert report.drawn == 5 and list(report.skipped) == [ids[4]]
    assert "deleted" in report.skipped[ids[4]]
    assert all(map(is_whole, encoded.select(ids).values("smic_regenerated")))


def test_codes_that_change_meanwhile_get_no_picture_of_the_old_ones(encoded, tmp_path):
    last = encoded[:3].values("id")[2]
    other = encoded.skip(20).first()

    def change():
        sample = encoded[last]
        sample.smic_atoms, sample.smic_coefficients = other.smic_atoms, other.smic_coefficients
        sample.save()

    report = draw(encoded[:3], tmp_path, progress=when(0.3, change))
    assert list(report.skipped) == [last] and "changed" in report.skipped[last]
    assert encoded[:3].values("smic_regenerated")[2] is None
    again = draw(encoded[:3], tmp_path)
    assert (again.drawn, again.reused) == (1, 2)


def test_a_dictionary_or_dataset_that_is_deleted_meanwhile(encoded, tmp_path, delete):
    with pytest.raises(ValueError, match=r"'smic' was deleted.*so far are in"):
        draw(encoded[:3], tmp_path, progress=when(0.3, lambda: encoded.delete_run("smic")))
    assert not encoded.has_sample_field("smic_regenerated")
    assert list_dictionaries(encoded) == []
    smic.learn_dictionary(encoded, n_atoms=8, progress=False)
    smic.encode(encoded, progress=False)
    other = encoded.clone()
    delete(other.name)
    with pytest.raises(ValueError, match="was deleted while"):
        draw(other[:3], tmp_path, progress=when(0.3, other.delete))


def test_a_dictionary_that_is_replaced_meanwhile(encoded, tmp_path):
    def replace():
        smic.learn_dictionary(encoded, n_atoms=5, overwrite=True, progress=False)
        smic.encode(encoded, progress=False)

    with pytest.raises(ValueError, match="was replaced while"):
        draw(encoded[:3], tmp_path, progress=when(0.3, replace))
    assert not encoded.has_sample_field("smic_regenerated")


def test_pictures_of_other_codes_are_forgotten_whatever_changed_the_codes(encoded, tmp_path):
    draw(encoded[:2], tmp_path)
    first, second = encoded[:2].values("smic_regenerated")
    sample, other = encoded.first(), encoded.skip(20).first()
    sample.smic_atoms, sample.smic_coefficients = other.smic_atoms, other.smic_coefficients
    sample.save()
    with pytest.raises(KeyboardInterrupt):
        draw(encoded[:3], tmp_path, batch_size=1, generator="postcards", progress=stop)
    assert encoded[:2].values("smic_regenerated") != [first, second]
    assert encoded.skip(1).first().smic_regenerated == second
    # Its own picture, or none: never the one of the code it had before.
    assert encoded.first().smic_regenerated != first


def stop(_part):
    raise KeyboardInterrupt


def test_a_folder_that_cannot_be_written_is_found_out_before(encoded, tmp_path):
    (tmp_path / "file").write_text("somebody's")
    with pytest.raises(OSError, match="choose another folder with output_dir"):
        draw(encoded[:2], tmp_path / "file")


def test_placeholders_are_recognised_under_any_name(tmp_path):
    first = tmp_path / "sub" / "a.png"
    placeholders.place([first])
    other = tmp_path / "holiday.JPG"
    shutil.copy(first, other)
    moved = first.rename(tmp_path / "b")
    assert placeholders.is_placeholder(other) and placeholders.is_placeholder(moved)
    with Image.open(other) as image:
        # It says so to people: light letters across the middle of a grey picture.
        assert image.size == (256, 256)
        assert image.crop((30, 100, 226, 160)).getextrema()[1] > 200
    Image.new("L", (64, 64), 128).save(tmp_path / "grey.png")
    assert not placeholders.is_placeholder(tmp_path / "grey.png")
    assert not placeholders.is_placeholder(tmp_path / "nothing.png")


def test_placeholders_of_version_0_1_0_are_recognised(tmp_path):
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Comment", "SMIC: this picture has not been drawn yet")
    Image.new("L", (64, 64), 128).save(tmp_path / "old.png", pnginfo=text)
    assert placeholders.is_placeholder(tmp_path / "old.png")


def test_placeholders_that_cannot_all_be_written_leave_nothing(tmp_path):
    (tmp_path / "file").write_text("somebody's")
    with pytest.raises(OSError):
        placeholders.place([tmp_path / "new" / "a.png", tmp_path / "file" / "b.png"])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_import_that_fails_removes_its_placeholders(encoded, tmp_path):
    smic.export_archive(encoded[:3], "smic", tmp_path / "a.smic")
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "new/deep"):
        with pytest.raises(ValueError, match="What fits"):
            smic.import_archive(
                tmp_path / "a.smic", "x", generator="nobody/nothing", output_dir=tmp_path / folder
            )
    assert not fo.dataset_exists("x")
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".png"]
