"""Draw the README's pictures: the three tabs against the simulated endpoint, as SVG.

Run: python tools/pictures.py [FOLDER]. Look at each picture before it is committed.
"""

from __future__ import annotations

import asyncio
import html
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from rich.cells import cell_len
from textual.app import App
from textual.pilot import Pilot

from promptop.cli.shared.options import AppOptions
from promptop.settings import EditorSettings, LogSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint, fill
from promptop_tui.app import PromptopApp
from promptop_tui.widgets.check_list import CheckList

SIZE = (124, 36)
WATCHED = ("gpt-4o-mini", "gpt-4o", "o1", "claude-sonnet-5-5", "deepseek-chat", "qwen-max", "gemini-2.5-flash")
ASKED = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-5-5")
PROMPT = """\
system:
You are a senior support engineer of an online bookshop. Please make sure that you always answer politely,
and never invent facts about an order.

user:
请你扮演一个资深的客服专家,麻烦你帮我详细解释一下这个订单为什么还没有发货,非常感谢!
订单号:B-1042
"""


async def settled(pilot: Pilot[object], condition: Callable[[], object], seconds: float = 240) -> None:
    """Wait for a state of the app."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("the app did not come to this picture's state:\n" + shown(pilot.app))
        await pilot.pause()
        await asyncio.sleep(0.05)


def shown(app: App[object]) -> str:
    """Return the screen as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def plain(svg: str) -> str:
    """Return an SVG that fetches no font."""
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", "font-family: ui-monospace, Menlo, Consolas, monospace;", svg)
    return re.sub(r"[ \t]+\n", "\n", _TEXT.sub(_in_cells, svg))


_TEXT = re.compile(r'textLength="(?P<length>[\d.]+)"(?P<rest>[^>]*)>(?P<text>[^<]*)<')


def _in_cells(found: re.Match[str]) -> str:
    """Give Chinese its two cells a character: the export counts characters, and browsers then squeeze them."""
    text = html.unescape(found["text"])
    length = float(found["length"]) * cell_len(text) / max(1, len(text))
    return f'textLength="{length:g}"{found["rest"]}>{found["text"]}<'


def save(app: PromptopApp, path: Path) -> None:
    """Write the screen."""
    path.write_text(plain(app.export_screenshot(title="promptop")), encoding="utf-8")


@asynccontextmanager
async def drawn_app(tab: str = "editor") -> AsyncIterator[tuple[PromptopApp, Pilot[object]]]:
    """Run the app on a prompt, a day of simulated traffic and the simulated endpoint."""
    with tempfile.TemporaryDirectory(prefix="promptop-pictures-") as folder:
        home = Path(folder)
        os.environ["PROMPTOP_CONFIG_DIR"] = os.environ["PROMPTOP_DATA_DIR"] = str(home / "config")
        (home / "config").mkdir()
        (home / "config" / "tour-closed").touch()
        os.chdir(home)  # so that the prompt's name is shown without a folder
        prompt = Path("support.md")
        prompt.write_text(PROMPT, encoding="utf-8")
        log = home / "log.db"
        fill(log, hours=24, seed=7, now_ms=int(time.time() * 1000))
        async with SimulatedEndpoint(seed=3) as endpoint:
            profile = Profile(name="simulated", base_url=endpoint.base_url, models=ASKED)
            settings = Settings(
                profile="simulated",
                profiles={"simulated": profile},
                log=LogSettings(path=str(log)),
                editor=EditorSettings(watch=WATCHED),
            )
            options = AppOptions(settings, log, simulated=True, open_path=prompt, tab=tab, draft_path=home / "draft.md")
            app = PromptopApp(options)
            async with app.run_test(size=SIZE) as pilot:
                yield app, pilot


async def draw(folder: Path) -> None:
    """Draw editor, playground and monitor, and the editor in Chinese."""
    async with drawn_app() as (app, pilot):
        await settled(pilot, lambda: "=" in shown(app) and "claude" in shown(app))
        await pilot.press("f8")
        await asyncio.sleep(3)
        await pilot.pause()
        save(app, folder / "editor.svg")
        await pilot.press("escape", "f5")
        await settled(pilot, lambda: app.tab == "playground")
        await choose(app, pilot)
        await pilot.press("f5")
        await settled(pilot, lambda: shown(app).count("✓") >= 2 * len(ASKED))
        save(app, folder / "playground.svg")
        await pilot.press("f4")
        await settled(pilot, lambda: app.tab == "monitor")
        await pilot.press("3")
        await settled(pilot, lambda: "By model" in shown(app) and "p95" in shown(app))
        await asyncio.sleep(4)
        await pilot.pause()
        save(app, folder / "monitor.svg")


async def choose(app: PromptopApp, pilot: Pilot[object]) -> None:
    """Choose the pictures' models of all that the endpoint lists."""
    listed = app.query_one("#models CheckList", CheckList)
    listed.deselect_all()
    for model in ASKED:
        listed.select(model)
    await pilot.pause()


def main() -> None:
    """Draw into the folder of the command line, else into docs/pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "pictures"
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(draw(folder))
    for path in sorted(folder.glob("*.svg")):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
