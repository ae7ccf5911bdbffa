"""What a user does in the App, as steps of tests."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BARS = ".js-plotly-plot .bars"
#: Nothing moves: a browser without a graphics card spends more on it than on the page.
STILL = """
addEventListener("DOMContentLoaded", () => {
  const style = document.createElement("style");
  const still = "animation: none !important; transition: none !important;";
  style.textContent = `*, *::before, *::after { ${still} }`;
  document.head.append(style);
});
"""
#: Of the Atoms tab; no other plot has buttons.
MAP = ".js-plotly-plot:has(.modebar-btn)"
#: Beside the mouse, where it is over a dot or an atom of the map.
CARD = '[data-cy="smic-map-card"]'
#: Of the Curate tab: the line to search with.
CURATE = 'button:has-text("Search")'
RESULT = '[data-cy="operators-prompt-view-modal"]'
FORM = '[data-cy="operators-prompt-modal"]'


def chromium() -> str | None:
    """The browser's path, or None."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for path in map(shutil.which, names) if path), None)


@contextmanager
def browsing() -> Iterator[Any]:
    """Chromium; yields a context, whose pages share what they have loaded."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=120_000)  # of machines with more to do
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        context = browser.new_context()
        context.set_default_timeout(120_000)
        # As if the advertisement that covers the App and takes the clicks had been closed before.
        context.add_init_script("localStorage.setItem('fiftyone-enterprise-tooltip-seen', 'true')")
        context.add_init_script(STILL)
        yield context
        browser.close()


def visit(context, app, dataset, width=1500, height=950, theme="dark"):
    """Open a dataset's grid: in the page that shows it already, led back to all of its samples, or
    in a new one. To load the App anew costs as much as most tests."""
    address = f"{app}/datasets/{dataset.name}"
    size = {"width": width, "height": height}
    for page in context.pages:
        here = page.url.partition("?")[0] == address and page.viewport_size == size
        if here and page.evaluate("localStorage.getItem('mui-mode')") == theme:
            _lead_back(page)
            count(page, len(dataset))
            return page
    for page in context.pages:  # all pages of a server share its view, and a theme
        page.close()
    page = context.new_page()
    page.set_viewport_size(size)
    page.add_init_script(f"localStorage.setItem('mui-mode', '{theme}')")
    page.goto(address, wait_until="domcontentloaded")
    kept = page.locator('[data-cy="btn-view-stage-delete"]')
    # The server may have kept a view, even one in which there is nothing.
    page.locator('[data-cy="looker"]').or_(kept).first.wait_for()
    if kept.count():
        page.locator('[data-cy="btn-clear-view-bar"]').click()
    count(page, len(dataset))
    return page


#: The tabs of panels, but for the grid's.
TABS = '[data-cy^="panel-tab-"]:not([data-cy="panel-tab-samples"])'
#: The App's own operators that end what was chosen, and read the dataset again.
ENDS = (
    "clear_selected_samples",
    "clear_sidebar_filters",
    "clear_all_stages",
    "clear_view",
    "reload_dataset",
)


def _lead_back(page):
    """Close the panels that a test has opened, and end what it has chosen."""
    from playwright.sync_api import expect

    panels = page.locator(TABS)
    while n := panels.count():
        panels.first.click(button="middle")
        expect(panels).to_have_count(n - 1)
    for name in ENDS:
        page.evaluate("name => __foo__.executeOperator(`@voxel51/operators/${name}`)", name)
    settle(page, 0.5)


def open_form(page, label, ready=True):
    """Open an operator's form from the operator browser; ``ready``: wait until it can be run."""
    search = page.locator('[data-cy="operators-browser-search"]')
    for _ in range(60):  # the App hears no key before it has drawn all of the page
        if search.count():
            break
        page.keyboard.press("`")
        page.wait_for_timeout(1000)
    search.fill(label)
    page.get_by_text(label, exact=True).first.wait_for()
    page.keyboard.press("Enter")
    return filled_form(page) if ready else page.locator(FORM)


def filled_form(page):
    """The form that opens, once it can be executed.

    The App asks twice what the form is, and where it can be executed. A click that comes before it
    knows the latter does nothing.
    """
    from playwright.sync_api import expect

    form = page.locator(FORM)
    expect(form.get_by_role("button", name="Execute")).to_be_enabled(timeout=90_000)
    settle(page, 0.5)
    return form


def execute(page, form, result):
    """Execute a filled form, wait for its result, or for an error that is expected."""
    form.get_by_role("button", name="Execute").click()
    page.get_by_text(result).first.wait_for(timeout=120_000)


def close(page):
    """Close an operator's result."""
    done = page.get_by_role("button", name="Done", exact=True)
    done.click()
    done.wait_for(state="detached")


def run(page, label, result):
    """Run an operator from the operator browser as its form stands."""
    execute(page, open_form(page, label), result)
    close(page)


def open_panel(page):
    """Open the SMIC panel beside the grid, again if the App's server remembers one."""
    panel = page.locator('[data-cy="panel-content-smic_panel"]')
    if panel.count():
        page.locator('[data-cy="panel-tab-smic_panel"]').click(button="middle")  # closes it
        panel.wait_for(state="detached")
    page.locator('[data-cy="new-panel-btn"]').first.click()
    page.locator('[data-cy="new-panel-option-smic_panel"]').click()
    return panel


def open_tab(panel, name, sign):
    """Open a tab, and wait for what shows that it is there and for what the App sends after it.

    A part of the panel that is drawn tells the server of its own value. On a busy machine that may
    be served after the next click, faster than anybody's, and would lead back to this tab.
    """
    panel.get_by_role("tab", name=name).click()
    panel.locator(sign).first.wait_for(state="attached")
    settle(panel.page, 0.5)


def choose(page, panel, label, option):
    """Choose from a list of the panel that has a label."""
    box = panel.locator("div", has=page.get_by_text(label, exact=True)).last
    box.locator("xpath=ancestor::*[.//*[@role='combobox']][1]").get_by_role("combobox").click()
    page.get_by_role("option", name=option, exact=True).click()


def point_at_atom(page, panel):
    """Move the mouse onto an atom on the map; returns what the map says of it."""
    plot = panel.locator(MAP)
    first = plot.evaluate("map => map.data.findIndex(trace => trace.ids)")  # samples have none
    atoms = plot.locator(".scatterlayer .trace").nth(first)
    about = panel.locator(CARD)
    for attempt in range(60):  # until the map is no longer drawn again, or scrolled away
        panel.locator(MAP).evaluate("map => map.scrollIntoView()")
        atoms.locator(".point").first.wait_for(state="attached")
        # A sample's dot may lie nearer to the mouse: then another atom is tried.
        box = atoms.locator(".point").nth(attempt % atoms.locator(".point").count()).bounding_box()
        x, y = box["x"] + box["width"] / 2 + 3, box["y"] + box["height"] / 2
        page.mouse.move(x - 3, y)
        page.mouse.move(x, y)  # Plotly tells of a click only where it has seen the mouse
        page.wait_for_timeout(1000)
        said = about.text_content() if about.count() else ""
        if re.search(r": [\d,]+ (sample|object)s?$", said):  # not a sample's file name
            return said
    raise AssertionError("the map says nothing of any atom under the mouse")


def click_atom(page, panel):
    """Click an atom on the map of the Concepts tab; returns what it says of itself."""
    said = point_at_atom(page, panel)
    page.mouse.down()
    page.mouse.up()
    return said


def see_picture(page, panel, alt):
    """Wait until a picture of the panel has loaded."""
    picture = panel.locator(f'img[alt="{alt}"]').first
    picture.wait_for()
    page.wait_for_function("i => i.complete && i.naturalWidth > 0", arg=picture.element_handle())


def settle(page, quiet=1.5, timeout=120):
    """Wait until the page has asked for nothing for ``quiet`` seconds.

    The App's own stream of events, one request that stays open, is made when a page is loaded; for
    Playwright the network is therefore never idle.
    """
    asked = []

    def note(request):  # Playwright writes to its handlers, which a built-in method forbids
        asked.append(request)

    page.on("request", note)
    end = time.monotonic() + timeout
    while True:
        before = len(asked)
        page.wait_for_timeout(1000 * quiet)
        if len(asked) == before:
            break
        last = [request.url for request in asked[before:]]
        assert time.monotonic() < end, f"the page does not come to rest: {last}"
    page.remove_listener("request", note)


def select(page, *places):
    """Select samples by their places in the grid."""
    for place in places:
        sample = page.locator('[data-cy="looker"]').nth(place)
        sample.hover()
        sample.locator("input[type=checkbox]").evaluate("box => box.click()")


def count(page, n):
    """Wait until the grid shows ``n`` samples."""
    from playwright.sync_api import expect

    expect(page.locator('[data-cy="entry-counts"]')).to_contain_text(f"{n:,} sample")


def filter_by(page, field, label):
    """Filter the grid by a label of a field, in the sidebar."""
    page.locator(f'[data-cy="sidebar-field-arrow-enabled-{field}"]').click()
    search = page.locator(f'[data-cy="selector-sidebar-search-{field}.label"]')
    search.fill(label)
    page.locator('[data-cy^="selector-results-container"]').wait_for()
    search.press("Enter")


def curate(page, panel, button, sign):
    """Press a button of the Curate tab, run the form as it stands, and wait for what it says."""
    panel.get_by_role("button", name=button, exact=True).click()
    filled_form(page).get_by_role("button", name="Execute").click()
    page.locator(FORM).wait_for(state="detached")
    page.locator(RESULT).wait_for(state="detached")
    said = panel.get_by_text(re.compile(sign)).first
    said.wait_for()
