"""The map of the Atoms tab, and the picture of an atom."""

from __future__ import annotations

import pytest

from .steps import MAP, click_atom, open_panel, open_tab, see_picture

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

    click_atom(page, panel)
    panel.get_by_role("button", name="Draw this concept").click()
    see_picture(page, panel, "The concept, drawn")
