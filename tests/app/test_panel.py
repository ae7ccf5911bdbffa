"""The panel on a curated dataset: what it shows, what a click does, what it survives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fiftyone_smic.fiftyone import match_atom

from .steps import (
    BARS,
    CURATE,
    MAP,
    RESULT,
    click_atom,
    close,
    count,
    execute,
    filled_form,
    open_panel,
    open_tab,
    see_picture,
    select,
    settle,
)

pytestmark = pytest.mark.app


def test_a_click_on_an_atom_shows_its_samples(visit, curated):
    page = visit(curated)
    panel = open_panel(page)
    first = curated.first()
    sign = "has" if first.scenes_coefficients[0] > 0 else "lacks"
    panel.get_by_label("Show what has it").first.click()
    count(page, len(match_atom(curated, first.scenes_atoms[0], "scenes", sign=sign)))
    panel.get_by_role("button", name="Back to the view before").click()
    count(page, 60)

    open_tab(panel, "Concepts", MAP)
    name, _, uses = click_atom(page, panel).rpartition(": ")
    count(page, int(uses.split(" ")[0]))
    panel.get_by_role("heading", name=name, exact=True).wait_for()


def test_compare_has_pages_that_start_anew_with_other_samples(visit, curated):
    page = visit(curated)
    panel = open_panel(page)
    panel.get_by_text("Samples 1 to 4 of 60").wait_for()
    panel.get_by_role("button", name="drawn fidelity ?").click()
    page.locator(RESULT).get_by_text("How close the embedding of a drawn picture").wait_for()
    close(page)
    panel.get_by_role("button", name="Next").click()
    panel.get_by_text("Samples 5 to 8 of 60").wait_for()
    panel.get_by_text(Path(curated.values("filepath")[4]).name).wait_for()
    panel.get_by_role("button", name="Previous").wait_for()
    select(page, 1, 2)
    panel.get_by_text("Samples 1 to 2 of 2 selected").wait_for()
    select(page, 1, 2)  # not any more; the server would keep it for the next page
    panel.get_by_text(re.compile("of 60$")).wait_for()


def test_the_panel_beside_an_open_sample_shows_this_one(visit, curated):
    page = visit(curated)
    opened = curated.skip(2).first()
    operators = "([name, params]) => __foo__.executeOperator(`@voxel51/operators/${name}`, params)"
    page.evaluate(operators, ["open_sample", {"id": opened.id}])
    modal = page.locator('[data-cy="modal"]')
    modal.locator('[data-cy="panel-tab-smic_panel"]').click()
    panel = modal.locator('[data-cy="panel-content-smic_panel"]')
    panel.get_by_text("The sample that is open, and what its code draws").wait_for()
    panel.get_by_text(Path(opened.filepath).name).wait_for()
    see_picture(page, panel, "Regenerated")
    assert panel.get_by_label("Show what").count() == len(opened.scenes_atoms)
    other = curated.last()
    page.evaluate(operators, ["open_sample", {"id": other.id}])
    panel.get_by_text(Path(other.filepath).name).wait_for()
    panel.get_by_text("not drawn yet").wait_for()
    page.evaluate(operators, ["close_sample", {}])
    modal.wait_for(state="detached")


def test_compare_sorts_by_what_is_chosen(visit, curated):
    from playwright.sync_api import expect

    def choose(order):
        settle(page, 0.5)  # see open_tab
        panel.get_by_role("combobox").first.click()
        page.get_by_role("option", name=order, exact=True).click()

    def names(view):
        return [Path(path).name for path in view.values("filepath")]

    page = visit(curated)
    panel = open_panel(page)
    shown = panel.get_by_text(re.compile(r"^postcard-\S+\.png$"))
    expect(shown).to_have_text(names(curated.limit(4)))
    worst = names(curated.sort_by("scenes_fidelity").limit(8))
    assert worst[:4] != names(curated.limit(4))
    choose("Worst code first")
    expect(shown).to_have_text(worst[:4])
    panel.get_by_role("button", name="Next").click()
    expect(shown).to_have_text(worst[4:])
    choose("Most bits first")
    panel.get_by_text("Samples 1 to 4 of 60").wait_for()
    bits = sorted(curated.values("scenes_bits"), reverse=True)[:4]
    said = panel.get_by_text(re.compile(r"^\d+ bits$"))
    expect(said).to_have_text([f"{number:.0f} bits" for number in bits])
    choose("As in the grid")
    expect(shown).to_have_text(names(curated.limit(4)))

    panel.get_by_role("button", name="Measure drawings").click()
    execute(page, filled_form(page), "Their mean fidelity is")
    close(page)
    choose("Worst drawing first")
    curated.reload()
    drawn = curated.exists("scenes_drawn_fidelity")  # more than four, if tests before drew more
    panel.get_by_text(f"{60 - len(drawn)} without a value left out").wait_for()
    expect(shown).to_have_text(names(drawn.sort_by("scenes_drawn_fidelity").limit(4)))


def test_a_dictionary_is_chosen_and_deleted_while_it_is_shown(visit, curated):
    from playwright.sync_api import expect

    import fiftyone_smic as smic

    smic.learn_dictionary(curated, "coarse", lam=0.01, progress=False)
    page = visit(curated)
    panel = open_panel(page)
    panel.get_by_role("combobox").first.click()
    page.get_by_role("option", name="coarse").click()
    panel.get_by_role("button", name="Encode samples").click()
    form = filled_form(page)
    curated.delete_run("coarse")
    execute(page, form, "no dictionary")
    page.keyboard.press("Escape")
    open_tab(panel, "Storage", BARS)
    expect(panel.get_by_role("combobox")).to_have_count(0)


def test_a_mix_is_drawn_and_a_picture_of_it_kept(visit, curated):
    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Mix", 'img[alt="Start"]')
    select(page, 1, 4)
    panel.get_by_role("button", name="Take 2 selected samples").click()
    panel.locator('img[alt="Add"]').wait_for()
    panel.get_by_role("button", name="Draw").click()
    see_picture(page, panel, "Mix 4")
    panel.get_by_role("button", name="Keep").last.click()
    count(page, 61)
    curated.reload()
    kept = curated.match_tags("smic mix")
    assert len(kept) == 1
    curated.delete_samples(kept)


def test_storage_is_measured_on_demand(visit, curated):
    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Storage", BARS)
    panel.get_by_role("button", name="Measure image codecs").click()
    execute(page, filled_form(page), "At their smallest")
    close(page)
    panel.get_by_text("AVIF at its smallest").first.wait_for()
    panel.get_by_text("Detail against bits").wait_for()


def test_a_page_that_is_loaded_again_shows_the_tab_and_the_choices_it_had(visit, curated):
    from playwright.sync_api import expect

    page = visit(curated)
    panel = open_panel(page)
    for name, sign in (("Storage", BARS), ("Mix", 'img[alt="Start"]')):
        open_tab(panel, name, sign)
        if name == "Mix":
            panel.get_by_role("textbox").first.fill("a city at night")
        settle(page)  # the App's server has got to know of it
        page.reload(wait_until="domcontentloaded")
        panel.locator(sign).first.wait_for(state="attached")
        settle(page)  # what follows on the first layout has been drawn
        expect(panel.get_by_role("tab", selected=True)).to_have_text(name)
        expect(panel.locator(sign).first).to_be_attached()
    expect(panel.get_by_role("textbox").first).to_have_value("a city at night")


def test_a_panel_that_comes_back_from_behind_another_is_as_it_was(visit, curated):
    from playwright.sync_api import expect

    page = visit(curated)
    panel = open_panel(page)
    open_tab(panel, "Storage", BARS)
    page.locator('[data-cy="new-panel-btn"]').last.click()
    page.locator('[data-cy="new-panel-option-Histograms"]').click()
    panel.wait_for(state="detached")
    page.locator('[data-cy="panel-tab-smic_panel"]').click()
    panel.locator(BARS).first.wait_for(state="attached")
    settle(page)  # what follows on the first layout has been drawn
    expect(panel.get_by_role("tab", selected=True)).to_have_text("Storage")


def test_a_narrow_panel_in_the_light_theme_shows_all_and_rests(visit, curated):
    page = visit(curated, width=1500, theme="light")
    panel = open_panel(page)
    for name, sign, role, control in (
        ("Storage", BARS, "button", "Measure"),
        ("Concepts", MAP, "combobox", ""),
        ("Mix", 'img[alt="Start"]', "button", "Draw"),
        ("Curate", CURATE, "button", "Two parts"),
        ("Compare", 'img[alt="Regenerated"]', "button", "Refresh"),
    ):
        open_tab(panel, name, sign)
        found = panel.get_by_role(role, name=control).first
        found.click(trial=True)  # nothing covers it
        assert 560 <= panel.bounding_box()["width"] <= 600
        # Nothing lies outside, to be scrolled to or cut off.
        outside = panel.evaluate(
            """panel => {
                const right = panel.getBoundingClientRect().right;
                return [...panel.querySelectorAll("img, button, p, td, th, input, .main-svg")]
                    .filter(e => e.getBoundingClientRect().right > right + 1)
                    .map(e => e.outerHTML.slice(0, 200));
            }"""
        )
        assert not outside, name
    # What the last click has set off is over at some time, and then nothing is asked for any more.
    settle(page, quiet=5)
