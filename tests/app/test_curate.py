"""The panel's tab Curate: a text is searched for."""

from __future__ import annotations

import pytest

import fiftyone_smic as smic

from .steps import CURATE, count, open_panel, open_tab

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
    panel.get_by_text("nearest to “night”: similarity").wait_for()
    wanted = smic.search(curated, "night", "scenes", k=12)
    assert panel.locator('img[alt^="Found: "]').count() == 12
    assert wanted.view.count_values("time.label")["night"] > 6  # so the view is worth a look
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, 60)
