"""Pictures of the three tabs in each theme, at 80×24, 120×40 and 200×50, with Chinese text.

Everything that varies is fixed: the clock, the log's rows, the answers of the models. Regenerate only for a reason
(make snapshots), on the pinned Textual, and look at every picture before it is committed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from tests.support.waits import until_shown as wait_until
from textual.pilot import Pilot

from promptop.base.files import config_dir
from promptop.cli.shared.options import AppOptions
from promptop.client.result import CallProgress, CallUsage, Delta, RunError, RunResult
from promptop.settings import EditorSettings, LogSettings, MonitorSettings, Profile, Settings
from promptop.simulator import fill
from promptop_tui import messages
from promptop_tui.app import PromptopApp
from promptop_tui.playground.views.parameters import CheckList, ParameterColumn
from promptop_tui.widgets.prompt_area.area import PromptArea

NOW = 1_795_000_000.0
SIZES = [(80, 24), (120, 40), (200, 50)]
THEMES = ("promptop-dark", "promptop-light", "promptop-safe", "promptop-contrast")
PROMPT = """\
system:
You are a senior support engineer. Please make sure that you always answer politely.

user:
请你扮演一个资深的客服专家,麻烦你详细解释一下这个订单为什么还没有发货,非常感谢!
订单号:{{order_id}}
"""
ANSWERS = {
    "gpt-4o": ("您好,订单已经在分拣中,预计明天发货。\n\nIt leaves the warehouse tomorrow.", 0.412, 1.873, 42, 0.00091),
    "gpt-4o-mini": ("订单正在等待发货。", 0.231, 0.604, 11, 0.0000123),
}

Ready = Callable[[Pilot[object]], Awaitable[None]]


class ScriptedRunner:
    """Stands for the models: answers at once, the same each time; one of them refuses."""

    def __init__(self, **_: Any) -> None:
        """Take and ignore what the real runner needs."""

    def warm(self) -> None:
        """Nothing to start."""

    def list_models(self, *_: Any) -> None:
        """Leave the list as the settings have it."""

    def start(self, request: Any, *, on_done: Callable[[RunResult], None], on_delta: Any = None) -> CallProgress:
        """Answer at once."""
        progress = CallProgress()
        if request.model not in ANSWERS:
            error = RunError("401", "The endpoint refused the key (401).", "Check $OPENAI_API_KEY.", 401)
            progress.state = "failed"
            result = RunResult(request.model, request.model, request.title, "", "failed", error=error, total_s=0.042)
        else:
            text, ttft, total, tokens, usd = ANSWERS[request.model]
            on_delta(Delta("text", text))
            progress.state = "done"
            result = RunResult(
                request.model,
                request.model,
                request.title,
                text,
                "done",
                "stop",
                ttfb_s=ttft - 0.05,
                ttft_s=ttft,
                ttfo_s=ttft,
                duration_s=total,
                total_s=total + 0.01,
                usage=CallUsage(78, tokens, source="reported"),
                cost_usd=usd,
                cost_status="table",
            )
        on_done(result)
        return progress

    def cancel_all(self) -> int:
        """Nothing runs."""
        return 0

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hours of simulated traffic that ended at NOW."""
    path = tmp_path_factory.mktemp("pictures") / "log.db"
    fill(path, hours=2, rows=600, seed=11, now_ms=int(NOW * 1000))
    return path


@pytest.fixture
def make(log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PromptopApp]:
    """Return what makes the app on a tab, with every source of variation fixed."""
    monkeypatch.setattr("promptop_tui.playground.controllers.run_controller.Runner", ScriptedRunner)
    monkeypatch.setattr("promptop_tui.monitor.data.reader.perf_counter", lambda: 0.0)
    prompt = tmp_path / "support.md"
    prompt.write_text(PROMPT, encoding="utf-8")

    def build(tab: str) -> PromptopApp:
        profile = Profile(
            name="pictured", base_url="http://127.0.0.1:8000/v1", models=("gpt-4o", "gpt-4o-mini", "refused")
        )
        settings = Settings(
            theme=THEMES[0],
            profile="pictured",
            profiles={"pictured": profile},
            log=LogSettings(path=str(log)),
            editor=EditorSettings(watch=("gpt-4o-mini", "gpt-4o", "gpt-4-turbo", "o1")),
            monitor=MonitorSettings(window="1h"),
        )
        config_dir().mkdir(parents=True, exist_ok=True)
        (config_dir() / "tour-closed").touch()
        options = AppOptions(
            settings, log, simulated=True, open_path=prompt, tab=tab, draft_path=tmp_path / "state" / "draft.md"
        )
        return PromptopApp(options, now=lambda: NOW)

    return build


@pytest.fixture
def compare(snapshot: SnapshotAssertion, tmp_path: Path) -> Callable[..., Awaitable[None]]:
    """Return what compares an app in every theme with its pictures; one that differs is written to a folder."""
    pictures = snapshot.use_extension(SVGImageExtension)

    async def all_themes(app: PromptopApp, size: tuple[int, int], ready: Ready) -> None:
        differ = []
        async with app.run_test(size=size) as pilot:
            await ready(pilot)
            for theme in THEMES:
                app.theme = theme
                picture = await still(pilot, app)
                if pictures(name=theme) != picture:
                    differ.append(tmp_path / f"{theme}.svg")
                    differ[-1].write_text(picture, encoding="utf-8")
        assert not differ, "not as in its picture: " + ", ".join(map(str, differ))

    return all_themes


async def still(pilot: Pilot[object], app: PromptopApp) -> str:
    """Return the screen as SVG once it has stopped to change."""
    seen = [""]

    def same() -> bool:
        seen.append(app.export_screenshot())
        return seen[-1] == seen[-2]

    await pilot.pause()
    await wait_until(pilot, same)
    return seen[-1]


def shown(app: PromptopApp) -> str:
    """Return the screen as text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_editor(compare: Any, make: Any, size: tuple[int, int]) -> None:
    app = make("editor")

    async def ready(pilot: Pilot[object]) -> None:
        await wait_until(pilot, lambda: app.query("PromptArea"))
        app.query_one(PromptArea).cursor_blink = False
        # Exact counts of four models: two tokenizers have answered, for the panel and for the gutter.
        await wait_until(pilot, lambda: "=" in shown(app) and "≈" not in shown(app))
        # Parts and task come after the counts, a while after the last key.
        await wait_until(pilot, lambda: "variables without" in shown(app) and "prefix " in shown(app))
        await wait_until(pilot, lambda: "·  " not in shown(app).splitlines()[2])
        # What the log knows comes last; at 80 columns there is no room for "unknown".
        await wait_until(pilot, lambda: "log  " in shown(app) or size == (80, 24))

    await compare(app, size, ready)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_playground(compare: Any, make: Any, size: tuple[int, int]) -> None:
    app = make("playground")

    async def ready(pilot: Pilot[object]) -> None:
        await wait_until(pilot, lambda: app.query("#pane-playground CheckList"))
        prompt = [{"role": "user", "content": "解释一下这个订单为什么还没有发货。 Answer briefly."}]
        app.post_message(
            messages.OpenInPlayground(prompt, models=("gpt-4o", "gpt-4o-mini", "refused"), source="support.md")
        )
        await wait_until(pilot, lambda: "解释" in shown(app) and len(app.query_one(ParameterColumn).targets()) == 3)
        # The price of the next run comes from the counting process.
        await wait_until(pilot, lambda: "next: 3 calls" in shown(app))
        app.query_one(CheckList).focus()
        await pilot.press("f5")
        rows = ("✓ gpt-4o ", "✓ gpt-4o-mini ", "✗ refused ")
        await wait_until(pilot, lambda: all(row in shown(app).partition("comparison")[2] for row in rows))
        await wait_until(pilot, lambda: "refused the key" in shown(app) or size == (80, 24))
        await pilot.pause()

    await compare(app, size, ready)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_monitor(compare: Any, make: Any, size: tuple[int, int]) -> None:
    app = make("monitor")

    async def ready(pilot: Pilot[object]) -> None:
        await wait_until(pilot, lambda: "p95" in shown(app) and "By model" in shown(app))
        await wait_until(pilot, lambda: drawn(app) and all(chart.picture for chart in drawn(app)))
        table = app.query_one("#pane-monitor VirtualTable")
        await wait_until(pilot, lambda: table.scroll_offset.y and table.vertical_scrollbar.position == table.scroll_y)
        await wait_until(pilot, lambda: "last row 9 s ago" in shown(app))
        await pilot.pause()

    await compare(app, size, ready)


def drawn(app: PromptopApp) -> list[Any]:
    """Return the charts that are on the screen."""
    from promptop_tui.widgets.chart import Chart

    return [chart for chart in app.query(Chart) if chart.region.area and chart.is_on_screen]
