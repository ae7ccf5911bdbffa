"""The whole way in the App: forms from the operator browser, then the panel."""

from __future__ import annotations

import pytest

from .steps import BARS, close, execute, open_form, open_panel, open_tab

pytestmark = pytest.mark.app


def test_from_the_menu_to_two_pictures(visit, dataset, shots):
    from playwright.sync_api import expect

    page = visit(dataset)
    form = open_form(page, "SMIC: learn dictionary")
    page.screenshot(path=shots / "1-learn-form.png")
    key = form.get_by_role("textbox")
    expect(key).to_have_value("smic")
    key.fill("not a name")
    expect(form.get_by_role("button", name="Execute")).to_be_disabled()
    expect(form).to_contain_text("cannot be a dictionary key")
    page.screenshot(path=shots / "2-learn-invalid.png")
    key.fill("scenes")
    expect(form.get_by_role("button", name="Execute")).to_be_enabled()
    execute(page, form, "is stored with the dataset")
    page.screenshot(path=shots / "3-learn-done.png")
    close(page)

    form = open_form(page, "SMIC: encode samples")
    page.screenshot(path=shots / "4-encode-form.png")
    execute(page, form, "of the variance")
    page.screenshot(path=shots / "5-encode-done.png")
    close(page)
    dataset.reload()
    assert dataset.list_runs() == ["scenes"]
    assert dataset.count("scenes_bits") == 60

    panel = open_panel(page)
    panel.locator('img[alt="Original"]').first.wait_for()
    page.screenshot(path=shots / "6-compare-before.png")
    panel.get_by_role("button", name="missing").click()
    form = page.locator('[data-cy="operators-prompt-modal"]')
    expect(form.get_by_role("button", name="Execute")).to_be_enabled(timeout=90_000)
    page.screenshot(path=shots / "7-regenerate-form.png")
    execute(page, form, "pictures drawn")
    page.screenshot(path=shots / "8-regenerate-done.png")
    close(page)
    for alt in ("Original", "Regenerated"):
        picture = panel.locator(f'img[alt="{alt}"]').first
        picture.wait_for()
        page.wait_for_function(
            "i => i.complete && i.naturalWidth > 0", arg=picture.element_handle()
        )
    page.screenshot(path=shots / "9-compare.png")
    dataset.reload()
    assert dataset.count("scenes_regenerated") == 4

    open_tab(panel, "Storage", BARS)
    page.screenshot(path=shots / "10-storage.png")
