"""The map of the Atoms tab, and the picture of an atom."""

from __future__ import annotations

import pytest

from fiftyone_smic.fiftyone import atom_statistics, match_atom
from operators.panel.atoms import listed

from .steps import (
    CARD,
    MAP,
    choose,
    click_atom,
    count,
    filter_by,
    open_panel,
    open_tab,
    point_at_atom,
    see_picture,
    settle,
)

pytestmark = pytest.mark.app


def test_a_line_around_dots_shows_their_samples_and_an_atom_is_drawn(visit, curated):
    from playwright.sync_api import expect

    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Concepts", MAP)
    plot = panel.locator(MAP)
    dots = plot.locator(".scatterlayer .trace").first.locator(".point")
    dots.first.wait_for()
    box = dots.first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    inside = dots.evaluate_all(
        """(dots, [x, y]) => dots.filter(dot => {
            const box = dot.getBoundingClientRect();
            const across = box.x + box.width / 2 - x, down = box.y + box.height / 2 - y;
            return Math.abs(across) < 20 && Math.abs(down) < 20;
        }).length""",
        [x, y],
    )
    assert 0 < inside < 60
    page.mouse.move(x - 20, y - 20)
    page.mouse.down()
    for across, down in ((20, -20), (20, 20), (-20, 20), (-20, -20)):
        page.mouse.move(x + across, y + down, steps=4)
    page.mouse.up()
    expect(page.locator('[data-cy="entry-counts"]')).to_contain_text(f"{inside} sample")
    choose(page, panel, "Colour samples by", "time")
    counts = curated.count_values("time.label")
    for label, number in counts.items():
        plot.locator(".legend").get_by_text(f"{label} ({number})").wait_for()

    point_at_atom(page, panel)
    see_picture(page, panel.locator(CARD), "")  # of its most typical sample
    click_atom(page, panel)
    panel.get_by_role("button", name="Draw this concept").click()
    see_picture(page, panel, "The concept, drawn")


def test_an_atom_narrows_a_filtered_grid_and_leads_back_to_it(visit, curated):
    from playwright.sync_api import expect

    night = curated.match({"time.label": "night"})
    found = atom_statistics(curated, "scenes")

    def has(samples, atom):
        return len(match_atom(samples, atom, "scenes", sign="has"))

    # The filter must matter: some samples that have the atom are left out by it.
    atom = max(
        range(len(found.names)), key=lambda i: min(has(night, i), has(curated, i) - has(night, i))
    )
    both = has(night, atom)
    assert 0 < both < min(len(night), has(curated, atom))

    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Concepts", MAP)
    filter_by(page, "time", "night")
    count(page, len(night))
    open_tab(panel, "Compare", 'img[alt="Original"]')  # the App drops filters then
    settle(page)
    count(page, len(night))
    panel.get_by_text(f"of {len(night)}, and what their codes draw").wait_for()
    open_tab(panel, "Concepts", MAP)
    settle(page)
    count(page, len(night))
    place = listed(found, "use").index(atom)
    panel.get_by_role("button", name=" have it").nth(place).click()
    count(page, both)
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, len(night))
    expect(panel.get_by_role("button", name="Back to the view before")).to_have_count(0)
