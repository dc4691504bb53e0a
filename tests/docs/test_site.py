"""The docs site builds: the menu names every page, links and anchors resolve, nothing is loaded from elsewhere."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from promptop import settings
from promptop.cli.commands import COMMANDS
from promptop.log.row import COLUMNS

pytest.importorskip("mkdocs")
pytest.importorskip("material")

ROOT = Path(__file__).parents[2]


def build(config: Path, target: Path) -> subprocess.CompletedProcess[str]:
    """Build the site as ``make docs`` does, into a folder of its own."""
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", target],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site; mkdocs fails on a page outside the menu and on a broken link or anchor."""
    target = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", target)
    assert done.returncode == 0, done.stderr[-3000:]
    return target


def test_no_page_loads_anything_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))  # the reference is there too
    for page in pages:
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|img|iframe)[^>]+src=\"(?:https?:)?//[^\"]+", html), page.name
        assert not re.findall(r"<link[^>]+rel=\"(?:stylesheet|preconnect)\"[^>]*href=\"(?:https?:)?//[^\"]+", html)


def test_the_reference_names_what_the_code_has(site: Path) -> None:
    def page(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")

    for record in (settings.Profile, settings.LogSettings, settings.PlaygroundSettings, settings.FleetSettings):
        known = {each.name for each in dataclasses.fields(record)} - ({"name"} if record is settings.Profile else set())
        assert {each for each in known if f"<code>{each}</code>" not in page("settings")} == set()
    assert {each for each in COLUMNS if f"<code>{each}</code>" not in page("log-columns")} == set()
    listed = page("commands")
    modules = {module for module, _ in COMMANDS.values()}
    assert len({COMMANDS[name][0] for name in COMMANDS if f'id="promptop-{name}"' in listed}) == len(modules)
    assert "editor.save" in page("keys")
    assert "window_share" in page("json")
    assert 'id="observe"' in page("python")
    assert "promptop_cost_usd_total" in page("metrics")


def test_a_broken_link_an_anchor_and_a_page_outside_the_menu_fail(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("# Start\n\n[no](none.md) [no](other.md#none)\n", encoding="utf-8")
    (docs / "other.md").write_text("# Other\n", encoding="utf-8")
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").replace("hooks: [tools/reference.py]\n", "")
    config = tmp_path / "mkdocs.yml"
    config.write_text(text[: text.index("nav:")] + "nav: [index.md]\n", encoding="utf-8")
    done = build(config, tmp_path / "site")
    assert done.returncode == 1
    assert all(each in done.stderr for each in ("'none.md'", "'other.md#none'", 'not included in the "nav"')), (
        done.stderr
    )
