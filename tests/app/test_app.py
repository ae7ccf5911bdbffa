"""The forms of the App's menu, from plain images to pictures drawn from an archive."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .steps import (
    BARS,
    close,
    count,
    execute,
    filled_form,
    open_form,
    open_panel,
    open_tab,
    run,
    see_picture,
    select,
    settle,
)

pytestmark = pytest.mark.app


def test_from_plain_images_to_the_panel(visit, dataset):
    from playwright.sync_api import expect

    page = visit(dataset)
    panel = open_panel(page)
    panel.get_by_role("button", name="Compute embeddings").wait_for()
    run(page, "SMIC: compute embeddings", "60 embeddings")
    panel.get_by_role("button", name="Learn dictionary").wait_for()  # it follows what is done

    form = open_form(page, "SMIC: learn dictionary")
    key = form.get_by_role("textbox")
    expect(key).to_have_value("smic")
    key.fill("not a name")
    expect(form.get_by_role("button", name="Execute")).to_be_disabled()
    expect(form).to_contain_text("cannot be a dictionary key")
    key.fill("scenes")
    expect(form.get_by_role("button", name="Execute")).to_be_enabled()
    execute(page, form, "is stored with the dataset")
    close(page)
    run(page, "SMIC: encode samples", "of the differences")
    dataset.reload()
    assert dataset.list_runs() == ["scenes"]
    assert dataset.count("scenes_bits") == 60
    page.locator('[data-cy="sidebar-group-SMIC"]').wait_for()  # at once, in the page that was open

    panel.locator('img[alt="Original"]').first.wait_for()
    panel.get_by_role("button", name="Draw 4 samples of this page").click()
    execute(page, filled_form(page), "pictures were drawn")
    close(page)
    for alt in ("Original", "Regenerated"):
        see_picture(page, panel, alt)
    dataset.reload()
    assert dataset.count("scenes_regenerated") == 4
    open_tab(panel, "Storage", BARS)


def test_an_error_is_said_and_leaves_the_panel_as_it_was(visit, curated, tmp_path):
    import shutil

    import fiftyone as fo

    folder = tmp_path / "pictures"
    folder.mkdir()
    samples = [
        fo.Sample(filepath=shutil.copy(path, folder))
        for path in curated.limit(3).values("filepath")
    ]
    dataset = fo.Dataset("postcards-vanishing", persistent=True)
    dataset.add_samples(samples, progress=False)
    page = visit(dataset)
    panel = open_panel(page)
    panel.get_by_role("button", name="Compute embeddings").click()
    form = filled_form(page)
    gone = folder.rename(tmp_path / "elsewhere")
    execute(page, form, "one of the 3 images could be read")
    page.keyboard.press("Escape")
    panel.get_by_role("button", name="Compute embeddings").wait_for()
    assert not dataset.has_field("clip_latents")

    gone.rename(folder)
    panel.get_by_role("button", name="Compute embeddings").click()
    execute(page, filled_form(page), "3 embeddings")
    close(page)
    panel.get_by_role("button", name="Learn dictionary").wait_for()
    dataset.delete()


def test_an_export_comes_back_as_a_dataset_of_drawn_pictures(visit, curated, tmp_path):
    import fiftyone as fo
    from PIL import Image
    from playwright.sync_api import expect

    page = visit(curated)
    select(page, *range(6))
    form = open_form(page, "SMIC: export archive")
    form.get_by_text("The codes with all labels and tags").click()
    path = form.get_by_role("textbox")
    expect(path).to_have_value(re.compile("scenes-dataset.zip$"))
    path.fill(str(tmp_path / "postcards.zip"))
    execute(page, form, "The codes with labels and tags are in")
    close(page)

    form = open_form(page, "SMIC: import archive", ready=False)
    form.get_by_role("textbox").first.fill(str(tmp_path / "postcards.zip"))
    expect(form.get_by_role("button", name="Execute")).to_be_enabled()
    execute(page, form, "has 6 samples")
    page.get_by_role("button", name="Open it").click()
    page.wait_for_url("**/datasets/postcards")
    count(page, 6)
    page.locator('[data-cy="looker"]').first.wait_for()

    made = fo.load_dataset("postcards")
    for field in ("time.label", "things.classifications.label", "tags", "scenes_atoms"):
        assert made.values(field) == curated[:6].values(field)
    pictures = made.values("filepath")
    assert not set(pictures) & set(curated.values("filepath"))
    assert Image.open(pictures[-1]).size == (64, 64)
    made.delete()


def test_a_run_that_is_stopped_keeps_what_it_has_drawn(visit, curated):
    page = visit(curated)
    before = curated.values("scenes_regenerated")
    form = open_form(page, "SMIC: regenerate samples")
    form.get_by_role("button", name="Execute").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped.").wait_for()
    close(page)
    curated.reload()
    after = curated.values("scenes_regenerated")
    assert all(new for old, new in zip(before, after, strict=True) if old)
    assert all(Path(path).is_file() for path in after if path)
    assert after.count(None) > 0  # it was stopped before the end


def test_stop_is_in_reach_when_a_result_led_to_the_run(visit, curated):
    """The form that a result's button opens must not cover the bar of its run."""
    page = visit(curated)
    form = open_form(page, "SMIC: encode samples")
    execute(page, form, "of the differences")
    settle(page)  # the App loads the dataset again, and closes a form that opens meanwhile
    page.get_by_role("button", name="Regenerate samples").click()
    filled_form(page).get_by_role("button", name="Execute").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Stopped.").first.wait_for()
    close(page)
