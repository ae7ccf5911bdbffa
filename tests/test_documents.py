"""The documents build without a warning, and what their Python blocks say works."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "pages"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
WITH_CODE = [
    p for p in [ROOT / "README.md", *sorted(PAGES.glob("*.md"))] if BLOCK.search(p.read_text())
]


@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_the_python_blocks_of_a_page_run_in_their_order(page, tmp_path, monkeypatch):
    from fiftyone_smic.fiftyone.plugin import install_plugin

    install_plugin()
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": page.stem}
    for number, block in enumerate(BLOCK.findall(page.read_text("utf-8")), 1):
        if "launch_app" in block:  # tests/app opens the App
            continue
        exec(compile(block, f"{page.name}, block {number}", "exec"), names)


def test_the_links_of_the_readme_lead_somewhere():
    """Strict builds of the site check all other pages; the README is none of them."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)(#[^)]*)?\)", (ROOT / "README.md").read_text())
    assert len(links) > 10
    assert not [link for link, _ in links if not (ROOT / link).exists()]


def test_the_site_builds_strictly_and_without_a_network(tmp_path):
    pytest.importorskip("mkdocs")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "-q", "-f", "docs/mkdocs.yml", "-d", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for page in PAGES.glob("*.md"):
        built = tmp_path / ("index.html" if page.stem == "index" else f"{page.stem}/index.html")
        assert built.is_file()
    # Nothing is loaded from elsewhere when the site is read.
    assert not re.search(
        r'<(?:script|link)[^>]+(?:src|href)="https?://(?!schema)', built.read_text()
    )
