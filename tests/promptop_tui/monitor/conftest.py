"""Logs to look at, and an app around the monitor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.app import App, ComposeResult
from textual.message import Message

from promptop.log import Row, Writer
from promptop.settings import MonitorSettings, Settings
from promptop_tui.context import AppContext
from promptop_tui.monitor.screen import SHEET, MonitorPane
from promptop_tui.services.alert_watch import AlertWatch
from promptop_tui.shell import theme

NOW = 1_795_000_000.0
"""Wall clock of these tests: 2026-11-18 12:26:40 UTC."""


def row(age_s: float, **changes: Any) -> Row:
    """Return a row of a call that went well ``age_s`` seconds ago."""
    values: dict[str, Any] = {
        "started_ms": int((NOW - age_s) * 1000),
        "app": "web",
        "request_model": "gpt-4o-mini",
        "response_model": "gpt-4o-mini",
        "operation_name": "chat",
        "request_stream": 1,
        "http_response_status_code": 200,
        "ttfb_s": 0.2,
        "ttft_s": 0.4,
        "ttfo_s": 0.4,
        "duration_s": 2.0,
        "total_s": 2.1,
        "usage_input_tokens": 1000,
        "usage_output_tokens": 101,
        "usage_source": "reported",
        "cost_usd": 0.01,
        "cost_status": "table",
        "response_finish_reasons": '["stop"]',
        "attempt": 1,
    }
    return Row(**{**values, **changes})


def write(path: Path, rows: Iterable[Row]) -> None:
    """Write rows to a log and close it."""
    with Writer(path, keep_days=0) as writer:  # the clock of these tests stands still
        for each in rows:
            writer.put(each)
        assert writer.flush(10)


class Clock:
    """A wall clock that stands until it is moved."""

    def __init__(self) -> None:
        self.time = NOW

    def __call__(self) -> float:
        return self.time


class Host(App[None]):
    """The monitor alone in an app."""

    CSS_PATH = [SHEET.parents[1] / "app.tcss", SHEET]  # noqa: RUF012 (Textual's own form)

    def __init__(self, path: Path, *, simulated: bool = False, settings: MonitorSettings | None = None) -> None:
        self._extras = theme.defaults()
        super().__init__()
        self.clock = Clock()
        self.posted: list[Message] = []
        self.shared = AppContext(
            Settings(monitor=settings or MonitorSettings()),
            path,
            path.with_name("draft.md"),
            None,  # type: ignore[arg-type]  # the monitor counts nothing
            simulated=simulated,
            now=self.clock,
        )

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._extras

    def compose(self) -> ComposeResult:
        if self.shared.settings.monitor.alerts:
            yield AlertWatch(self.shared)
        yield MonitorPane(self.shared)

    @property
    def pane(self) -> MonitorPane:
        return self.query_one(MonitorPane)

    def on_open_in_editor(self, message: Message) -> None:
        self.posted.append(message)

    def on_open_in_playground(self, message: Message) -> None:
        self.posted.append(message)


def screen_text(app: App[None]) -> str:
    """Return what is on the screen, as text."""
    width, height = app.size
    lines = app.screen._compositor.render_strips(app.screen.size)
    assert len(lines) <= height
    return "\n".join(strip.text[:width].rstrip() for strip in lines)


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "log.db"


@pytest.fixture
def hour(log_path: Path) -> Iterator[Path]:
    """A log with two hours: 30 calls in the last one, 24 in the one before, with failures and hits."""
    rows = [row(60.0 * minute + 30, duration_s=1.0 + minute / 10) for minute in range(24)]
    rows += [row(30, cache_level="memory", ttft_s=None, duration_s=0.001, saved_usd=0.01, cost_usd=0.0)] * 3
    rows += [row(90, cache_level="miss"), row(95, error_type="timeout", duration_s=None, cost_usd=None)]
    rows += [row(100, error_type="429", http_response_status_code=429, duration_s=None, cost_usd=None)]
    rows += [row(3600 + 60.0 * minute, request_model="qwen-plus") for minute in range(24)]
    write(log_path, sorted(rows, key=lambda each: each.started_ms or 0))
    yield log_path
