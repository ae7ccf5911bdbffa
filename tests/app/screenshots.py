"""Take the pictures of the documents, panel-<tab>-<theme>.png: ``python -m tests.app.screenshots``.

They show every tab of the panel, in both themes, on 500 postcards in a private database.
"""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .. import conftest  # noqa: F401 (the private database)
from . import steps
from .server import serving

DOCS = Path(__file__).parents[2] / "docs" / "pages" / "pictures"
#: A tab, and what shows that it is there.
SIGNS = {
    "Compare": 'img[alt="Regenerated"]',
    "Storage": steps.BARS,
    "Concepts": steps.MAP,
    "Mix": 'img[alt="Start"]',
}

#: Without the sidebar, which shows nothing of ours.
CLIP = {"x": 300, "y": 0, "width": 1200, "height": 1000}


def collect(folder: Path) -> Any:
    """500 postcards, gone the whole way."""
    import fiftyone as fo

    import fiftyone_smic as smic
    import fiftyone_smic.fiftyone

    made = smic.load_postcards(500, name="postcards", directory=folder, persistent=True)
    smic.compute_latents(made)
    smic.learn_dictionary(made, "scenes")
    smic.encode(made, "scenes")
    smic.name_atoms(made, "scenes")
    smic.visualize_atoms(made, "scenes")
    smic.regenerate(made[:12], "scenes")
    smic.fiftyone.measure_storage(made, "scenes")
    # Nobody sees pictures under the labels of all fields. There are no tags.
    made.app_config.active_fields = fo.ActiveFields(paths=["tags"])
    made.save()
    return made


def take(app: str, context: Any, dataset: Any) -> None:
    """Take the pictures."""
    page = steps.visit(context, app, dataset, height=1000)
    panel = steps.open_panel(page)
    for name, sign in SIGNS.items():
        steps.open_tab(panel, name, sign)
        if name == "Concepts":
            steps.choose(page, panel, "Colour samples by", "time")
            steps.click_atom(page, panel)
            panel.get_by_text("Most typical samples").first.wait_for()
        if name == "Mix":
            steps.select(page, 2)
            panel.get_by_role("button", name="Take 1 selected sample").click()
            panel.locator('img[alt="Start"][src*="000002"]').wait_for()
            panel.get_by_role("textbox").first.fill("a city at night")
            panel.get_by_role("button", name="Draw").click()
            steps.see_picture(page, panel, "Mix 4")
        for theme, other in (("dark", "Light mode"), ("light", "Dark mode")):
            page.mouse.move(5, 5)
            steps.settle(page)  # what moves has come to rest, and the grid is filled
            if name == "Concepts":
                steps.point_at_atom(page, panel)
                steps.see_picture(page, panel.locator(steps.CARD), "")
            page.locator('[data-cy="looker"]').first.wait_for()
            image = Image.open(io.BytesIO(page.screenshot(clip=CLIP))).convert("RGB")
            tab = {"Concepts": "atoms"}.get(name, name.lower())
            path = DOCS / f"panel-{tab}-{theme}.png"
            # The octree keeps the colours of a few small dots; median cut turned purple into grey.
            image.quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)
            print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
            page.get_by_title(other).click()
            page.wait_for_timeout(500)
        page.locator('[data-cy="btn-clear-view-bar"]').click()


if __name__ == "__main__":
    from fiftyone_smic.fiftyone.plugin import install_plugin

    install_plugin()
    with tempfile.TemporaryDirectory() as folder:
        postcards = collect(Path(folder) / "postcards")
        with serving(Path(folder) / "log.txt") as app, steps.browsing() as context:
            take(app.address, context, postcards)
