"""The panel's tab Curate: search, near duplicates, a subset, two parts compared."""

from __future__ import annotations

import re

import pytest

import fiftyone_smic as smic
from operators.words import chance

from .steps import (
    CURATE,
    FORM,
    RESULT,
    count,
    curate,
    filled_form,
    open_panel,
    open_tab,
)

pytestmark = pytest.mark.app


@pytest.fixture
def tab(visit, curated):
    """The page, and the panel with its tab Curate."""
    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Curate", CURATE)
    return page, panel


def test_a_text_is_searched_for_and_the_grid_shows_what_is_found(tab, curated):
    page, panel = tab
    panel.get_by_role("textbox").first.fill("night")
    panel.get_by_role("button", name="Search", exact=True).click()
    count(page, 12)
    panel.get_by_text("nearest to “night”. Their similarity").wait_for()
    wanted = smic.search(curated, "night", "scenes", k=12)
    assert panel.locator('img[alt^="Found: "]').count() == 12
    assert wanted.view.count_values("time.label")["night"] > 6  # so the view is worth a look
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, 60)


def test_of_near_duplicates_one_of_each_is_kept(tab, curated):
    import fiftyone as fo

    page, panel = tab
    first = curated.first()
    copies = curated.add_samples(
        [fo.Sample(first.filepath, clip_latents=first.clip_latents)], progress=False
    )
    smic.encode(curated.select(copies), "scenes", progress=False)
    found = smic.find_near_duplicates(curated, "scenes", threshold=0.999)
    gone = set(found.views["remove"].values("id"))
    assert len(gone) == 1
    panel.get_by_role("button", name="Near duplicates").click()
    form = filled_form(page)
    form.get_by_role("spinbutton").first.fill("0.999")
    filled_form(page).get_by_role("button", name="Execute").click()
    panel.get_by_text("can go: each is that near").wait_for()
    page.locator(RESULT).wait_for(state="detached")
    panel.get_by_role("button", name="Keep one of each").click()
    form = page.locator(FORM)
    form.get_by_text("Tick the box").first.wait_for()
    form.get_by_text("Yes, delete").click()
    form.get_by_role("button", name="Delete", exact=True).click()
    count(page, 60)
    curated.reload()
    left = set(curated.values("id"))
    assert left == set(found.ids) - gone
    assert len({first.id, *copies} & left) == 1


def test_near_duplicates_are_shown_as_groups(tab, curated):
    import fiftyone as fo
    from playwright.sync_api import expect

    page, panel = tab
    first = curated.first()
    copies = curated.add_samples(
        [fo.Sample(first.filepath, clip_latents=first.clip_latents)], progress=False
    )
    smic.encode(curated.select(copies), "scenes", progress=False)
    groups = smic.find_near_duplicates(curated, "scenes").result.groups
    curate(page, panel, "Near duplicates", "can go: each is that near")
    panel.get_by_role("button", name="Show groups").click()
    expect(page.locator('[data-cy="entry-counts"]')).to_contain_text(f"{len(groups)} group")
    expect(page.locator('[data-cy="looker"]')).to_have_count(len(groups))
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, 61)
    curated.delete_samples(copies)


def test_a_click_on_a_cause_shows_its_samples(tab, curated):
    page, panel = tab
    views = smic.explain_labels(curated, "terrain", "scenes").views
    name = "'forest' in 'forest'"
    panel.get_by_role("button", name="Labels", exact=True).click()
    form = filled_form(page)
    form.get_by_role("combobox").nth(1).click()
    page.get_by_role("option", name="terrain", exact=True).click()
    filled_form(page).get_by_role("button", name="Execute").click()
    panel.get_by_text("together with a label of terrain").wait_for()
    panel.get_by_role("button", name=re.compile("% of forest$")).first.click()
    count(page, len(views[name]))
    panel.get_by_text("of forest with “forest”").first.wait_for()
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, 60)


def test_a_subset_is_chosen_and_tagged(tab, curated):
    page, panel = tab
    curate(page, panel, "Choose a subset", "of 60, representative")
    curated.reload()
    chosen = curated.match_tags("chosen")
    assert len(chosen) == 6
    panel.get_by_role("button", name="Show 6 samples").click()
    count(page, 6)
    curated.untag_samples("chosen")


def test_two_parts_are_compared(tab, curated):
    page, panel = tab
    panel.get_by_role("button", name="Two parts").click()
    form = filled_form(page)
    form.get_by_role("combobox").nth(1).click()
    page.get_by_role("option", name="time: night").click()
    filled_form(page).get_by_role("button", name="Execute").click()
    panel.get_by_text("the others", exact=True).first.wait_for()
    night = curated.match({"time.label": "night"})
    result = smic.compare(curated.exclude(night.values("id")), night, "scenes").result
    said = chance(result.p).replace("q", "p")
    panel.get_by_text(f"({said})").first.wait_for()
