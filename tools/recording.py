"""Record the loop as an animated SVG: the monitor, a prompt in the editor, its trim, a run over three models.

Run: python tools/recording.py [FILE]. The app is the real one, driven by keys, against the simulated endpoint. Look at
the recording in a browser before it is committed.
"""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path

from pictures import ASKED, choose, drawn_app, plain, settled, shown
from textual.pilot import Pilot

from promptop_tui.app import PromptopApp

_CLASS = re.compile(r"terminal-\d+-")
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_INSIDE = re.compile(r"<svg[^>]*>(.*)</svg>", re.DOTALL)
_VIEW = re.compile(r'viewBox="([^"]+)"')


class Recording:
    """Frames and how long each of them stays, seconds."""

    def __init__(self, app: PromptopApp) -> None:
        self._app = app
        self.frames: list[tuple[str, float]] = []

    def take(self, seconds: float) -> None:
        """Keep what the screen shows now."""
        self.frames.append((plain(self._app.export_screenshot(title="promptop")), seconds))

    def animated(self) -> str:
        """Return one SVG that shows the frames one after another and begins again."""
        total = sum(seconds for _, seconds in self.frames)
        styles, groups, at = [], [], 0.0
        for number, (frame, seconds) in enumerate(self.frames):
            svg = _CLASS.sub(f"f{number}-", frame)
            begin, end = 100 * at / total, 100 * (at + seconds) / total
            at += seconds
            style = _STYLE.search(svg)
            inside = _INSIDE.search(_STYLE.sub("", svg))
            assert style is not None and inside is not None
            shows = f"{begin:.3f}%,{end - 0.001:.3f}%{{visibility:visible}}{end:.3f}%,100%{{visibility:hidden}}"
            before = "" if not number else f"0%,{begin - 0.001:.3f}%{{visibility:hidden}}"
            styles.append(f"{style[1]}@keyframes k{number}{{{before}{shows}}}")
            styles.append(f".frame{number}{{visibility:hidden;animation:k{number} {total:g}s step-end infinite}}")
            groups.append(f'<g class="frame{number}">{inside[1]}</g>')
        view = _VIEW.search(self.frames[0][0])
        assert view is not None
        body = "\n".join(groups)
        return f'<svg viewBox="{view[1]}" xmlns="http://www.w3.org/2000/svg"><style>{"".join(styles)}</style>{body}</svg>\n'


async def record(path: Path) -> None:
    """Go through the loop and write the recording."""
    async with drawn_app(tab="monitor") as (app, pilot):
        recording = Recording(app)
        await settled(pilot, lambda: "By model" in shown(app) and "p95" in shown(app))
        await pilot.press("2")
        await rest(pilot)
        recording.take(3)
        await pilot.press("f2")
        await settled(pilot, lambda: app.tab == "editor" and "=" in shown(app))
        await rest(pilot)
        recording.take(2.5)
        await pilot.press("f8")
        await settled(pilot, lambda: "save" in shown(app).lower())
        await rest(pilot)
        recording.take(2.5)
        await pilot.press("s")
        await rest(pilot)
        recording.take(2)
        await pilot.press("escape", "f5")
        await settled(pilot, lambda: app.tab == "playground")
        await choose(app, pilot)
        await rest(pilot)
        recording.take(1.5)
        await pilot.press("f5")
        while shown(app).count("✓") < 2 * len(ASKED) and len(recording.frames) < 12:
            await asyncio.sleep(0.35)
            await pilot.pause()
            recording.take(0.5)
        await settled(pilot, lambda: shown(app).count("✓") >= 2 * len(ASKED))
        await rest(pilot)
        recording.take(3)
        await pilot.press("f4")
        await settled(pilot, lambda: app.tab == "monitor")
        await rest(pilot)
        recording.take(2.5)
    path.write_text(recording.animated(), encoding="utf-8")


async def rest(pilot: Pilot[object]) -> None:
    """Let figures that are counted elsewhere come."""
    await asyncio.sleep(2)
    await pilot.pause()


def main() -> None:
    """Record into the file of the command line, else into docs/pictures/loop.svg."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "pictures" / "loop.svg"
    path = path.absolute()
    asyncio.run(record(path))
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()
