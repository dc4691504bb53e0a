"""Draw the README's pictures: the three tabs against the simulated endpoint, as SVG.

Run: python tools/pictures.py [FOLDER]. Look at each picture before it is committed.
"""

from __future__ import annotations

import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from promptop.cli.shared.options import AppOptions
from promptop.settings import EditorSettings, LogSettings, Profile, Settings
from promptop.simulator import SimulatedEndpoint, fill
from promptop_tui.app import PromptopApp
from promptop_tui.playground.screen import PlaygroundPane

SIZE = (124, 36)
WATCHED = ("gpt-4o-mini", "gpt-4o", "o1", "claude-sonnet-5-5", "deepseek-chat", "qwen-max", "gemini-2.5-flash")
ASKED = ("gpt-4o-mini", "gpt-4o", "claude-sonnet-5-5")
PROMPT = """\
system:
You are a senior support engineer of an online bookshop. Please make sure that you always answer politely,
and never invent facts about an order.

user:
请你扮演一个资深的客服专家,麻烦你帮我详细解释一下这个订单为什么还没有发货,非常感谢!
订单号:{{order_id}}
"""


async def settled(pilot: Pilot[object], condition: Callable[[], object], seconds: float = 60) -> None:
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


def save(app: PromptopApp, path: Path) -> None:
    """Write the screen as an SVG that fetches no font."""
    svg = app.export_screenshot(title="promptop")
    svg = re.sub(r"@font-face\s*\{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", "font-family: ui-monospace, Menlo, Consolas, monospace;", svg)
    path.write_text(re.sub(r"[ \t]+\n", "\n", svg), encoding="utf-8")


async def draw(folder: Path) -> None:
    """Draw editor, playground and monitor."""
    home = Path(tempfile.mkdtemp(prefix="promptop-pictures-"))
    prompt = home / "support.md"
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
        options = AppOptions(settings, log, simulated=True, open_path=prompt, draft_path=home / "draft.md")
        app = PromptopApp(options)
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot, lambda: "=" in shown(app) and "claude" in shown(app))
            await pilot.press("f8")
            await asyncio.sleep(3)
            await pilot.pause()
            save(app, folder / "editor.svg")
            await pilot.press("escape", "f5")
            await settled(pilot, lambda: app.tab == "playground")
            await choose(app, pilot)
            app.query_one(PlaygroundPane).query_one("TextArea").border_title = "prompt · support.md"
            await pilot.press("f5")
            await settled(pilot, lambda: shown(app).count("✓") >= 2 * len(ASKED))
            save(app, folder / "playground.svg")
            await pilot.press("f4")
            await settled(pilot, lambda: app.tab == "monitor")
            await pilot.press("3")
            await settled(pilot, lambda: "[24h]" in shown(app) and "latency" in shown(app))
            await asyncio.sleep(2)
            await pilot.pause()
            save(app, folder / "monitor.svg")


async def choose(app: PromptopApp, pilot: Pilot[object]) -> None:
    """Choose every model of the playground's list."""
    from promptop_tui.playground.views.parameters import ModelList

    app.query_one(ModelList).select_all()
    await pilot.pause()


def main() -> None:
    """Draw into the folder of the command line, else into docs/pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(draw(folder))
    for path in sorted(folder.glob("*.svg")):
        print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
