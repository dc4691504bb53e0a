"""What a cache would have done: its charts as data, and the page over a log."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.waits import until_shown
from textual.app import App
from textual.widgets import Input, Static

from promptop.cache import Policy
from promptop.cache.simulation import Variant, VariantOutcome
from promptop.log import Row, Writer
from promptop.settings import Settings
from promptop_tui.monitor.dialogs import cache_what_if
from promptop_tui.monitor.dialogs.cache_what_if import (
    DimensionResult,
    WhatIfDialog,
    name_of,
    plots_of,
    reading_of,
    variants_of,
)
from promptop_tui.monitor.dialogs.time_machine import ScenarioForm, TimeMachineDialog
from promptop_tui.shell import theme
from promptop_tui.widgets.chart import Chart

HERE = Path(cache_what_if.__file__).parents[1]


def test_bars_are_named_and_read_as_they_would_be_typed() -> None:
    assert [name_of(variant, "TTL") for variant in variants_of("TTL", None)] == [
        "1m",
        "5m",
        "15m",
        "1h",
        "6h",
        "1d",
        "none",
    ]
    assert [name_of(variant, "size") for variant in variants_of("size", 60.0)][-2:] == ["10,000", "any"]
    assert [name_of(variant, "threshold") for variant in variants_of("threshold", None)][:2] == ["off", "0.97"]
    assert {variant.ttl_s for variant in variants_of("size", 60.0)} == {60.0}
    outcome = VariantOutcome(Variant(None, None, 0.9), asked=1000, hits=250, similar=50, saved_usd=1.5, unpriced=2)
    answer = DimensionResult("threshold", Policy(), asked=1000, outcomes=(outcome,), simulated=True)
    assert reading_of(answer, 0) == (
        "threshold 0.9: 250 of 1,000 hit (25 %), 50 of them by meaning, $1.50 saved, at most 0 entries"
    )
    ratio, saved = plots_of(answer)
    assert ratio.title.startswith("SIMULATED")
    assert (ratio.series[0].values, ratio.unit) == ((0.25,), "share")
    assert (saved.series[0].values, saved.unit, saved.note) == ((1.5,), "usd", "2 hits unpriced")
    none = plots_of(DimensionResult("TTL", Policy(), problem="no log"))
    assert (none[0].has_data, none[0].empty) == (False, "no log")


class Alone(App[None]):
    """The page without the app below it."""

    CSS_PATH = [HERE.parent / "app.tcss", HERE / "monitor.tcss"]  # noqa: RUF012

    def __init__(self, page: WhatIfDialog) -> None:
        self._defaults = theme.defaults()
        super().__init__()
        self.page = page

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._defaults

    def on_mount(self) -> None:
        self.push_screen(self.page)

    def text(self, name: str) -> str:
        return str(self.page.query_one(f"#whatif-{name}", Static).render())


async def test_the_page_replays_reads_and_says_what_it_lacks(tmp_path: Path) -> None:
    with Writer(tmp_path / "log.db") as writer:
        for minute in (0, 2, 50):
            for temperature in (0.0, 1.0):
                row = Row(started_ms=minute * 60_000 + 1, operation_name="chat", prompt_hash=f"{temperature}")
                row.request_model, row.request_temperature, row.cost_usd = "gpt-4o", temperature, 0.5
                writer.put(row)
        assert writer.flush(10)
    app = Alone(WhatIfDialog("last 24h", [tmp_path / "log.db"], 0, 10**12, "", Policy(), 0))
    async with app.run_test(size=(100, 24)) as pilot:

        async def until(text: str, name: str = "about") -> None:
            await until_shown(pilot, lambda: text in app.text(name), lambda: f"{text!r} not in {app.text(name)!r}")

        await until("3 calls could be asked")
        assert "3 could not: 3 sampled" in app.text("about")
        charts = list(app.page.query(Chart))
        plot = charts[0].plot
        assert plot is not None
        assert plot.series[0].values == (0.0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3, 2 / 3)
        await pilot.press("right", "right")
        await until("TTL 5m: 1 of 3 hit (33 %), $0.500 saved", "reading")
        await pilot.press("a")
        await until("6 calls could be asked")
        await pilot.press("shift+tab")
        await until("kept no prompt")
        assert "[threshold]" in app.page.dialog_title


async def test_the_time_machine_tries_what_is_written(tmp_path: Path) -> None:
    now = time.time_ns() // 1_000_000
    with Writer(tmp_path / "log.db") as writer:
        for number in range(60):
            row = Row(started_ms=now - number * 600_000, request_model="gpt-4o", response_model="gpt-4o")
            row.usage_input_tokens, row.usage_output_tokens, row.cost_usd = 1000, 100, 0.0035
            row.duration_s, row.ttft_s, row.prompt_name = 2.0, 0.5, "sum"
            writer.put(row)
        assert writer.flush(10)
    bounds = (now - 7 * 86_400_000, now + 1)
    page = TimeMachineDialog("last 7 days", [tmp_path / "log.db"], bounds, "", Settings(), lambda: None)
    app = Alone(page)  # type: ignore[arg-type]
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, lambda: len(page.items) == 3)
        assert page.items[0].name == "as it was"
        assert page.items[0].usd.value == pytest.approx(60 * 0.0035)
        await pilot.press("w")
        await until_shown(pilot, lambda: isinstance(app.screen, ScenarioForm))
        app.screen.query_one("#field-models", Input).value = "gpt-4o-mini"
        app.screen.query_one("#field-trims", Input).value = "sum=200 | sum=400"
        await pilot.press("f5")
        await until_shown(pilot, lambda: len(page.items) == 4)
        was, mini, less, least = page.items
        assert mini.moved == less.moved == least.moved == 60
        assert (mini.usd.value or 0) < (least.usd.value or 0) < (less.usd.value or 0) < (was.usd.value or 0)
        assert was.usd.low is not None and was.usd.error is not None
        await pilot.press("w")
        await until_shown(pilot, lambda: isinstance(app.screen, ScenarioForm))
        app.screen.query_one("#field-models", Input).value = "no-such-model-anywhere"
        await pilot.press("f5")
        await until_shown(pilot, lambda: "no-such-model" in str(page.query_one("#picker-told", Static).render()))
