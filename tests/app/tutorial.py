"""Take the pictures of the tutorial, curate-<step>.webp: ``python -m tests.app.tutorial FOLDER``.

FOLDER holds photographs, one folder for each label. The tutorial shows those of
clothing-dataset-small (A. Grigorev, CC0), 250 of them: 25 of each label.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from .. import conftest  # noqa: F401 (the private database)
from . import steps
from .screenshots import DOCS
from .server import serving

#: Photographs of each label that are taken, and what is planted among them.
OF_EACH, COPIES, SWAPPED = 25, 12, 10


def collect(source: Path, folder: Path) -> Any:
    """Photographs as people have them: some are there twice, and some labels are wrong."""
    import fiftyone as fo

    import fiftyone_smic as smic

    rng = random.Random(51)
    samples = []
    for kind in sorted(path for path in source.iterdir() if path.is_dir()):
        for path in sorted(kind.iterdir())[:OF_EACH]:
            copied = folder / f"{kind.name}-{path.name}"
            shutil.copy(path, copied)
            samples.append(fo.Sample(copied, ground_truth=fo.Classification(label=kind.name)))
    for sample in rng.sample(samples, COPIES):
        small = Path(sample.filepath).with_suffix(".small.jpg")  # as messengers send them
        with Image.open(sample.filepath) as image:
            size = image.width * 3 // 4, image.height * 3 // 4
            image.convert("RGB").resize(size).save(small, quality=70)
        samples.append(fo.Sample(small, ground_truth=sample.ground_truth.copy()))
    wrong = rng.sample(samples, SWAPPED)
    labels = [sample.ground_truth.label for sample in wrong]
    for sample, label in zip(wrong, [*labels[1:], labels[0]], strict=True):
        sample.ground_truth.label = label
    for sample in samples:
        sample.tags = ["test" if rng.random() < 0.3 else "train"]
    dataset = fo.Dataset("clothing", persistent=True)
    dataset.add_samples(samples, progress=False)
    smic.compute_latents(dataset, encoder="photographs", progress=False)
    smic.learn_dictionary(dataset, lam=0.0004, progress=False)
    smic.encode(dataset, progress=False)
    smic.name_atoms(dataset, weak=True, progress=False)
    dataset.app_config.active_fields = fo.ActiveFields(paths=["ground_truth"])
    dataset.save()
    return dataset


def take(page: Any, name: str) -> None:
    """Take a picture without the sidebar."""
    page.mouse.move(5, 5)
    steps.settle(page)
    page.locator('[data-cy="looker"]').first.wait_for()
    steps.settle(page)  # the grid is filled
    shot = page.screenshot(clip={"x": 300, "y": 0, "width": 1300, "height": 1100})
    path = DOCS / f"curate-{name}.webp"
    Image.open(io.BytesIO(shot)).convert("RGB").save(path, quality=70, method=6)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def walk(app: str, context: Any, dataset: Any) -> None:
    """Do what the tutorial says, a picture at each step."""
    page = steps.visit(context, app, dataset, width=1600, height=1100)
    panel = steps.open_panel(page)
    steps.open_tab(panel, "Curate", steps.CURATE)
    take(page, "overview")
    panel.get_by_role("textbox").first.fill("a shoe")
    panel.get_by_role("button", name="Search", exact=True).click()
    steps.count(page, 26)
    take(page, "find")
    panel.get_by_role("button", name="Back to the view before").click()
    steps.count(page, len(dataset))
    for card, button, sign, name in (
        ("Clean", "Near duplicates", "can go", "duplicates"),
        ("Clean", "Label issues", "told right", "labels"),
        ("Clean", "Leaks", "If splits were drawn", "leaks"),
        ("Choose", "Choose a subset", "coverage", "subset"),
        ("Compare", "Labels", "more than by chance", "explained"),
        ("Compare", "Two parts", "differ", "compared"),
    ):
        steps.curate(page, panel, button, sign)
        title = panel.get_by_role("heading", name=card, exact=True)
        title.evaluate("t => { t.style.scrollMarginTop = '80px'; t.scrollIntoView(); }")
        take(page, name)


if __name__ == "__main__":
    from fiftyone_smic.fiftyone.plugin import install_plugin

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path, help="a folder with a folder for each label")
    given = parser.parse_args().photographs
    install_plugin()
    with tempfile.TemporaryDirectory() as folder:
        clothing = collect(given, Path(folder))
        with serving(Path(folder) / "log.txt") as app, steps.browsing() as context:
            walk(app.address, context, clothing)
