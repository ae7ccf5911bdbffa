"""One button compresses a dataset, another removes what that has left."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fiftyone_smic as smic
from fiftyone_smic.fiftyone.pictures import default_folder

from .steps import BARS, FORM, RESULT, close, count, open_form, open_panel, open_tab

pytestmark = pytest.mark.app

#: Notes how many results are there at once at most, and each new width of their bar.
WATCH = """([result]) => {
    window.seen = {results: 0, bar: []};
    new MutationObserver(() => {
        const results = document.querySelectorAll(result).length;
        window.seen.results = Math.max(window.seen.results, results);
        for (const bar of document.querySelectorAll("[role=progressbar][aria-valuenow]")) {
            const value = Number(bar.ariaValueNow);
            if (value !== window.seen.bar.at(-1)) window.seen.bar.push(value);
        }
    }).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


@pytest.fixture
def plain(plugin, tmp_path):
    """30 postcards as anyone's images."""
    made = smic.load_postcards(
        30, name="postcards-plain", directory=tmp_path, persistent=True, progress=False
    )
    yield made
    smic.remove_all(made)
    made.delete()


def test_a_dataset_is_compressed_by_one_form_with_one_bar_and_one_result(visit, plain):
    from playwright.sync_api import expect

    page = visit(plain)
    panel = open_panel(page)
    panel.get_by_role("button", name="Compress this dataset").click()
    form = page.locator(FORM)
    form.get_by_text("30 images, 30 to embed").wait_for()
    form.get_by_text("Lay out the map").click()  # what is unticked is left out
    page.evaluate(WATCH, [RESULT])
    form.get_by_role("button", name="Compress", exact=True).click()
    result = page.locator(RESULT)
    result.get_by_text(re.compile("30 images are compressed to")).wait_for()
    expect(result.get_by_role("progressbar")).to_have_count(0)
    expect(result.get_by_text("SMIC: compress this dataset")).to_have_count(1)
    seen = page.evaluate("window.seen")
    assert seen["results"] == 1
    expect(page.locator(FORM)).to_have_count(0)
    assert len(seen["bar"]) > 3 and seen["bar"] == sorted(seen["bar"]) and seen["bar"][0] < 50
    result.get_by_role("button", name="Open the SMIC panel").click()
    result.wait_for(state="detached")
    panel.locator('img[alt="Original"]').first.wait_for()
    open_tab(panel, "Storage", BARS)
    plain.reload()
    assert plain.list_runs() == ["smic"] and plain.count("smic_bits") == 30
    assert plain.list_brain_runs() == []


def test_what_is_ticked_is_removed_and_exports_are_not_ticked(visit, plain):
    from playwright.sync_api import expect

    smic.compress_dataset(plain, names=False, map=False, progress=False)
    smic.regenerate(plain[:2], steps=1, progress=False)
    drawn = [path for path in plain.values("smic_regenerated") if path]
    archive = default_folder(plain) / "smic.smic"
    smic.export_archive(plain, "smic", archive)
    page = visit(plain)
    form = open_form(page, "SMIC: remove all SMIC data", ready=False)
    found = smic.remove_all(plain, ["latents", "dictionaries", "exports"], dry_run=True).by_kind()
    sizes = {kind: space for kind, (_, space) in found.items()}
    assert sizes["exports"] == archive.stat().st_size
    form.get_by_text(f"1 item, {sizes['exports']} B").wait_for()
    boxes = {
        name: form.get_by_role("checkbox", name=re.compile(name))
        for name in ("Embeddings", "Dictionaries", "Pictures drawn", "Archives")
    }
    for name, box in boxes.items():
        expect(box).to_be_checked(checked=name != "Archives")
    boxes["Embeddings"].click()
    remove = form.get_by_role("button", name="Remove", exact=True)
    form.get_by_text("cannot be undone").wait_for()
    expect(remove).to_be_enabled()
    remove.click()
    said = page.locator(RESULT)
    said.get_by_text("were removed").wait_for()
    expect(said).to_contain_text("Dictionaries with their codes and names: 1 item")
    expect(said).not_to_contain_text("Embeddings")
    close(page)
    count(page, 30)
    expect(page.locator('[data-cy="sidebar-group-SMIC"]')).to_have_count(0)
    plain.reload()
    assert plain.list_runs() == [] and not plain.has_field("smic_bits")
    assert plain.count("clip_latents") == 30 and archive.is_file()
    assert drawn and not any(Path(path).exists() for path in drawn)
    assert all(Path(path).is_file() for path in plain.values("filepath"))
    archive.unlink()
