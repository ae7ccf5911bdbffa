"""What a user does in the App, as steps of tests."""

from __future__ import annotations

BARS = ".js-plotly-plot .bars"


def open_form(page, label):
    """Open an operator's form from the operator browser."""
    from playwright.sync_api import expect

    page.keyboard.press("`")
    search = page.locator('[data-cy="operators-browser-search"]')
    search.fill(label)
    page.get_by_text(label, exact=True).first.wait_for()
    page.keyboard.press("Enter")
    form = page.locator('[data-cy="operators-prompt-modal"]')
    expect(form.get_by_role("button", name="Execute")).to_be_enabled(timeout=90_000)
    return form


def execute(page, form, result):
    """Execute a filled form, wait for its result."""
    form.get_by_role("button", name="Execute").click()
    done = page.get_by_text(result).first
    done.wait_for(timeout=300_000)


def close(page):
    """Close an operator's result."""
    done = page.get_by_role("button", name="Done", exact=True)
    done.click()
    done.wait_for(state="detached")


def open_panel(page):
    """Open the SMIC panel beside the grid."""
    page.locator('[data-cy="new-panel-btn"]').first.click()
    page.locator('[data-cy="new-panel-option-smic_panel"]').click()
    return page.locator('[data-cy="panel-content-smic_panel"]')


def open_tab(panel, name, sign):
    """Open a tab and wait for what shows that it is there."""
    panel.get_by_role("tab", name=name).click()
    panel.locator(sign).first.wait_for(state="attached")
