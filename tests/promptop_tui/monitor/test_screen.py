"""The tab as its user sees it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop.log import Writer
from promptop.log.write.pending import Finished
from promptop_tui.messages import OpenInEditor, OpenInPlayground, ShowInMonitor
from promptop_tui.monitor.controllers.log_reading import LOOK_S
from promptop_tui.monitor.data.queries import PAGE
from promptop_tui.monitor.dialogs.detail import DetailDialog
from promptop_tui.shell.panel_layout import PanelLayout
from promptop_tui.widgets.chart import Chart


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_tiles_charts_and_rows_are_there(hour: Path, size: tuple[int, int]) -> None:
    app = Host(hour, simulated=True)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await until(pilot, lambda: all(chart.picture for chart in app.query(Chart) if chart.display))
        text = screen_text(app)
        assert "SIMULATED" not in text, "the header says so, once"
        assert "p95" in text
        assert "TTFT" in text
        assert "spent" in text
        assert "gpt-4o-mini" in text
        assert "429" in text or size[0] == 80
        shown = sum(chart.display for chart in app.query(Chart))
        assert shown == {80: 1, 120: 2, 200: 3}[size[0]]
        assert app.pane.table.size.height >= {24: 4, 40: 12, 60: 20}[size[1]]


async def test_simulated_rows_are_labelled_in_any_log(log_path: Path) -> None:
    write(log_path, [row(5)])
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.pause()
        assert "SIMULATED" not in screen_text(app)
        write(log_path, [row(1, simulated=1)])
        await until(pilot, lambda: "SIMULATED" in screen_text(app))


async def test_a_tiny_terminal_still_shows_figures_and_rows(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(40, 10)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.pause()
        text = screen_text(app)
        assert "last minute" in text
        assert "gpt-4o-m" in text
        for key in ("z", "c", "escape", "enter", "escape", "slash", "escape", "1"):
            await pilot.press(key)
        await pilot.resize_terminal(20, 4)
        await pilot.pause()
        await pilot.resize_terminal(120, 40)
        await pilot.pause()


async def test_rows_appear_while_another_process_writes(log_path: Path) -> None:
    write(log_path, [row(5)])
    code = (
        "import sys; from promptop.log import Writer, Row\n"
        "w = Writer(sys.argv[1], keep_days=0); w.put(Row(started_ms=int(sys.argv[2]), request_model='elsewhere'))\n"
        "assert w.flush(10); w.close()"
    )
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        process = subprocess.Popen([sys.executable, "-c", code, str(log_path), str(int(NOW * 1000))])
        try:
            await until(pilot, lambda: "elsewhere" in screen_text(app))
        finally:
            assert process.wait(10) == 0


async def test_a_row_is_on_the_screen_after_the_next_look_and_looks_come_twice_a_second(log_path: Path) -> None:
    write(log_path, [row(5)])
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        assert LOOK_S <= 0.5
        assert app.pane.reading.timer is not None
        assert app.pane.reading.timer._interval == LOOK_S
        app.pane.reading.timer.pause()
        await until(pilot, lambda: app.pane.reading.reader.idle)
        write(log_path, [row(1, request_model="later")])
        looks = app.pane.reading.reader.looks
        app.pane.reading.look()
        await until(pilot, lambda: "later" in screen_text(app))
        assert app.pane.reading.reader.looks == looks + 1


async def test_scrolling_away_counts_new_rows_and_end_resumes(log_path: Path) -> None:
    write(log_path, (row(200 - i, request_model=f"m{i}") for i in range(100)))
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("up", "up")
        write(log_path, [row(1, request_model="brandnew")])
        await until(pilot, lambda: "+1 new" in screen_text(app))
        assert "brandnew" not in screen_text(app)
        await pilot.press("end")
        await pilot.pause()
        assert "brandnew" in screen_text(app)
        assert "new · End" not in screen_text(app)


async def test_older_pages_come_while_scrolling_up(log_path: Path) -> None:
    write(log_path, (row(3000 - i) for i in range(PAGE * 2 + 30)))
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        for expected in (PAGE * 2, PAGE * 2 + 30):
            await pilot.press("home")
            await until(pilot, lambda expected=expected: app.pane.table.row_count == expected)
        await pilot.press("home")
        current = app.pane.table.current
        assert current is not None
        assert current.id == 1


async def test_windows_pause_and_live(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("3")
        await until(pilot, lambda: app.pane.shown.query.span.name == "24h")
        assert "last 24h" in screen_text(app)
        assert app.pane.shown.window is not None
        assert app.pane.shown.window.total.n == 54
        await pilot.press("space")
        await pilot.pause()
        assert "until" in screen_text(app)
        write(hour, [row(0, request_model="later")])
        looks = app.pane.reading.reader.looks
        await pilot.pause(0.1)
        assert app.pane.reading.reader.looks <= looks + 1
        assert "later" not in screen_text(app)
        await pilot.press("space")
        await until(pilot, lambda: "later" in screen_text(app))


async def test_charts_turn_zoom_and_read(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        chart = app.query(Chart).first()
        assert chart.plot is not None
        assert chart.plot.title == "TTFT"
        await pilot.press("l")
        assert chart.plot.log
        await pilot.press("right", "left", "left")
        await pilot.pause()
        assert app.pane.view.state.cursor == 57
        assert "p95 397 ms" in screen_text(app)
        await until(pilot, lambda: chart.picture is not None and chart.column_of_cursor() is not None)
        assert await pilot.click(Chart, offset=(40, 3))
        await until(pilot, lambda: chart.column_of_cursor() in (37, 38, 39))
        await pilot.press("c")
        assert chart.plot is not None
        assert chart.plot.title == "spend by model"
        await pilot.press("z")
        await until(pilot, lambda: chart.size.height > 16)
        await pilot.press("escape", "z")
        await until(pilot, lambda: chart.size.height < 8)
        assert chart.has_focus  # a click goes to the chart, as to any panel
        await pilot.press("s")
        assert app.pane.table.has_focus


async def test_the_histogram_of_tokens_is_counted_while_it_is_shown(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        assert app.pane.shown.sizes is None
        chart = app.query(Chart).first()
        while chart.plot is None or chart.plot.title != "tokens a request":
            await pilot.press("c")
            await pilot.pause()
        await until(pilot, lambda: chart.plot is not None and "from all 30 rows" in chart.plot.note)
        await until(pilot, lambda: chart.picture is not None and chart.picture.columns)
        assert app.pane.shown.sizes is not None
        assert sum(app.pane.shown.sizes.input) == 30
        await pilot.press("right")
        await until(pilot, lambda: "96 to 127 tokens  ▌input 0  ▌output 30" in screen_text(app))
        assert await pilot.click(Chart, offset=(76, 3))
        await until(pilot, lambda: "768 to 1,023 tokens" in screen_text(app))
        await pilot.press("d")
        await until(pilot, lambda: "in:768..1023" in app.pane.shown.query.rows_filter)
        assert len(app.pane.table.feed.rows) == 30
        await pilot.press("escape")
        assert (app.pane.view.state.bar, app.pane.view.state.cursor) == (None, None)
        await pilot.press("escape", "c")
        assert app.pane.view.asked.view == ""
        await until(pilot, lambda: app.pane.shown.sizes is None)


async def test_detail_is_clean_and_goes_on_to_other_tabs(log_path: Path) -> None:
    body = b'{"model":"gpt-4o-mini","messages":[{"role":"user","content":"Count the \\u001b]52;c;x\\u0007 words"}]}'
    with Writer(log_path, bodies="full", keep_days=0) as writer:
        writer.put(row(10, error_type="500", error_message="no \x1b]52;c;AAAA\x07 good"))
        writer.put(Finished(row(5), body, b"three"))
        assert writer.flush(10)
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.pause()
        text = screen_text(app)
        assert "Timings" in text
        assert "first token" in text
        assert "\x1b" not in text
        await pilot.press("e")
        await until(pilot, lambda: app.posted)
        assert isinstance(app.posted[0], OpenInEditor)
        assert app.posted[0].source == "request 2"
        await pilot.press("p")
        await until(pilot, lambda: len(app.posted) == 2)
        assert isinstance(app.posted[1], OpenInPlayground)
        await pilot.press("up", "e")
        await until(pilot, lambda: any("keeps no prompt" in each.message for each in app._notifications))
        assert len(app.posted) == 2


async def test_several_logs_are_shown_as_one(hour: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with Writer(other, bodies="full", keep_days=0) as writer:
        body = b'{"model":"elsewhere","messages":[{"role":"user","content":"Hi"}]}'
        writer.put(Finished(row(1, request_model="elsewhere"), body, b"three"))
        assert writer.flush(10)
    app = Host(hour)
    app.shared = replace(app.shared, more_logs=(other,))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.table.row_count == 55)
        await pilot.pause()
        text = screen_text(app)
        assert "2 logs" in text
        assert "elsewhere" in text
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.pause()
        assert "request 1 of" in screen_text(app)
        await pilot.press("e")
        await until(pilot, lambda: app.posted)
        assert isinstance(app.posted[0], OpenInEditor)
        assert "Hi" in app.posted[0].text
        await pilot.press("x", "up", "x")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.pause()
        assert "requests 2:1 and" in screen_text(app)


async def test_filter_is_typed_checked_and_cleared(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("slash")
        app.pane.filter_line.field.value = "modle:x"
        await pilot.press("enter")
        await pilot.pause()
        assert "model" in screen_text(app)
        assert app.pane.filter_line.has_class("-wrong")
        app.pane.filter_line.field.value = "model:qwen-plus"
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.shown.query.filter == "model:qwen-plus")
        assert app.pane.table.row_count == 24
        assert app.pane.table.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: app.pane.table.row_count == 54)
        app.pane.show_filter(ShowInMonitor("status:error"))
        await until(pilot, lambda: app.pane.shown.query.filter == "status:error")


@pytest.mark.parametrize("damage", ["missing", "noise"])
async def test_states_say_what_to_do_and_recover(log_path: Path, damage: str) -> None:
    log_path.parent.mkdir()
    if damage == "noise":
        log_path.write_bytes(os.urandom(9000))
    app = Host(log_path)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.has_class("-note"))
        await pilot.pause()
        text = screen_text(app)
        if damage == "missing":
            assert "promptop watch" in text
            assert "promptop demo" in text
            assert "F3" in text
        else:
            assert "is not an SQLite file" in text
            assert "→" in text
        await pilot.press("2", "c", "enter", "z", "z")  # keys without rows do no harm
        log_path.unlink(missing_ok=True)
        write(log_path, [row(1)])
        await until(pilot, lambda: app.pane.shown.state == "ok" and not app.pane.has_class("-note"))


async def test_a_hidden_tab_reads_nothing_and_goes_on_when_shown(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        app.pane.display = False
        await until(pilot, lambda: not any(w.group == "monitor-reader" and w.is_running for w in app.workers))
        looks = app.pane.reading.reader.looks
        write(hour, [row(0, request_model="meanwhile")])
        await pilot.pause(0.1)
        assert app.pane.reading.reader.looks == looks
        app.pane.display = True
        compositor = app.screen._compositor
        compositor._full_map_invalidated = True  # as scrolling leaves it: who asks now keeps Show from being sent
        assert app.pane in compositor.full_map
        await until(pilot, lambda: "meanwhile" in screen_text(app))


async def test_the_reader_ends_with_the_app(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        reader = app.pane.reading.reader
    assert reader._stopped
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("monitor")]


async def test_panels_behind_one_another_come_forward_and_zoom_alone(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        groups, requests = app.query_one("#monitor-groups"), app.query_one("#monitor-requests")
        assert (groups.display, requests.display) == (False, True)
        await pilot.press("s")
        await until(pilot, lambda: groups.display and not requests.display)
        assert "gpt-4o-mini" in screen_text(app)
        await pilot.press("s", "s", "s")
        await until(pilot, lambda: requests.display)
        layout = PanelLayout(hour.with_name("panels.json"))
        layout.zoom(app.pane, requests)
        await until(pilot, lambda: requests.size.height > 18)
        assert not app.query_one("#monitor-now").display
        layout.zoom(app.pane, None)
        await until(pilot, lambda: requests.size.height < 10)
        await pilot.press("s", "enter")
        await until(pilot, lambda: app.pane.view.asked.filter != "")
