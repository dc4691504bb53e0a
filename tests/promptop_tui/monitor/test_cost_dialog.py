"""Where the money goes: shares, repeats, and the way on from a group."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Host, row, screen_text, write
from tests.support.waits import until_shown as until
from textual.widgets import SelectionList

from promptop.base.files import state_dir
from promptop.log import LogReader, Sketch, Stats, StoredRow, Writer
from promptop.log.read.filters import terms_for
from promptop.log.write.pending import Finished
from promptop_tui.messages import OpenInEditor
from promptop_tui.monitor.analysis.cost_breakdown import (
    COLUMNS,
    DIMENSIONS,
    Breakdown,
    Group,
    cells_of,
    repeats_of,
    shape_of,
    stable_of,
    tag_dimensions,
    value_of,
)
from promptop_tui.monitor.data.queries import break_down
from promptop_tui.monitor.data.snapshot import SPANS, SnapshotQuery
from promptop_tui.monitor.dialogs.columns import ColumnsDialog, hidden_columns
from promptop_tui.monitor.dialogs.cost_dialog import MoneyDialog
from promptop_tui.monitor.dialogs.detail import DetailDialog


def test_repeats_are_calls_after_the_first_of_each_prompt() -> None:
    by_hash = {"a · h1": Stats(n=3), "a · h2": Stats(n=1), "a · (none)": Stats(n=50), "b · c · h1": Stats(n=1)}
    assert repeats_of(by_hash, " · ") == {"a": 0.5, "b · c": 0.0}


def test_the_stable_prefix_is_what_nine_in_ten_begin_with() -> None:
    def sent(app: str, *prefixes: tuple[int, str]) -> StoredRow:
        return StoredRow(app=app, prefix_hashes=json.dumps(prefixes), input_chars="[1000, 0, 0, 0]")

    rows = [sent("steady", (400, "s"), (800, f"tail {i}")) for i in range(19)] + [sent("steady", (400, "other"))]
    rows += [sent("loose", (400, f"{i}")) for i in range(5)] + [sent("once", (400, "s"))]
    assert stable_of(rows, "app") == {"steady": pytest.approx(0.4), "loose": 0.0}
    assert stable_of([StoredRow(app="none")], "app") == {}


def test_orders_and_cells() -> None:
    dear = Group("dear\x1b[2J", Stats(n=2, cost_pico=3 * 10**12, unpriced=0))
    busy = Group("busy", Stats(n=9, cost_pico=10**12, errors=3), 0.25)
    unknown = Group("unknown", Stats(n=1, unpriced=1))
    found = Breakdown("model", Stats(n=12, cost_pico=4 * 10**12), (busy, dear, unknown), 1.0)
    assert next(group.name for group in found.sorted_by("spend")) == dear.name
    assert next(group.name for group in found.sorted_by("calls")) == "busy"
    assert next(group.name for group in found.sorted_by("failed")) == "busy"
    cells = dict(zip((column.key for column in COLUMNS), cells_of(dear, found.total), strict=True))
    assert "\x1b" not in cells["group"]
    assert cells["share"] == ("  75 % ███", "accent"), "no wider than its column"
    assert cells["each"] == "$1.50"
    assert cells_of(unknown, found.total)[2] == "n/a"
    assert cells_of(busy, found.total)[-2:] == ("25 %", "–")


def test_a_key_of_the_tags_is_a_way_to_group(log_path: Path) -> None:
    tags = [{"Team": "网页", "env": "prod"}, {"Team": "网页"}, {"env": "prod", "n": 3}, {"odd key": 1}, None]
    write(log_path, [row(5 + i, tags=json.dumps(each) if each else None) for i, each in enumerate(tags)])
    with LogReader(log_path) as log:
        by_tags = break_down(log, SnapshotQuery(), "tags", int(NOW * 1000))
        assert set(tag_dimensions(by_tags.groups)) == {"tag.Team", "tag.env", "tag.n", "tag.odd key"}
        found = break_down(log, SnapshotQuery(), "tag.Team", int(NOW * 1000))
        assert {group.name: group.stats.n for group in found.groups} == {"网页": 2, "(none)": 3}
        for group in found.groups:
            assert len(log.latest(9, where=terms_for("tag.Team", group.name))) == group.stats.n
    assert terms_for("tag.odd key", "1") is None
    assert value_of(StoredRow(tags="{"), "tag.x") is None


def test_latencies_have_a_shape() -> None:
    assert shape_of(Sketch()) == ""
    assert shape_of(Sketch([0.01, 0.15, 1.2, 1.4, 500.0])) == "█  █    ▅"


def test_days_are_local_newest_first_and_can_be_filtered_by(log_path: Path) -> None:
    write(log_path, [row(200_000), row(100_000), row(90_000), row(5)])
    query = SnapshotQuery(SPANS["7d"])
    with LogReader(log_path) as log:
        found = break_down(log, query, "day", int(NOW * 1000))
        days = found.sorted_by("spend")
        assert [(group.name, group.stats.n) for group in days] == [
            ("2026-11-18", 1),
            ("2026-11-17", 2),
            ("2026-11-16", 1),
        ]
        assert found.sorted_by("calls")[0].name == "2026-11-17"
        for group in days:
            assert len(log.latest(9, where=terms_for("day", group.name))) == group.stats.n


@pytest.mark.parametrize("dimension", [name for name in DIMENSIONS if name != "day"])
def test_a_group_can_be_filtered_by(log_path: Path, dimension: str) -> None:
    evil = 'a "b" c:d, e*'
    tags = json.dumps({"env": 'pr"od', "n": 3})
    values = {"request_model": evil, "response_model": evil, "app": evil, "prompt_name": evil, "provider_name": evil}
    write(log_path, [row(5, **values, server_address=evil, prompt_hash="ab12", tags=tags), row(4)])
    with LogReader(log_path) as log:
        groups = log.window(0, 2**53, by=(dimension,)).groups
        for name, stats in groups.items():
            terms = terms_for(dimension, name)
            if dimension == "tags" and name == "(none)":
                assert terms is None
                continue
            assert terms is not None
            assert len(log.latest(9, where=terms)) == stats.n, terms


async def test_money_turns_sorts_and_shows_a_groups_requests(log_path: Path) -> None:
    rows = [row(300, request_model="dear", cost_usd=2.0, prompt_hash="aa", app="客服")] * 3
    rows += [row(200, request_model="cheap", cost_usd=0.01, prompt_hash=f"h{i}", app="web") for i in range(9)]
    write(log_path, rows)
    app = Host(log_path, simulated=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("m")
        await until(pilot, lambda: isinstance(app.screen, MoneyDialog) and app.screen.found is not None)
        screen = app.screen
        assert isinstance(screen, MoneyDialog)
        await pilot.pause()
        text = screen_text(app)
        assert "SIMULATED" in text
        assert "$6.09, 12 calls" in text
        lines = [line for line in text.split("\n") if "dear" in line or "cheap" in line]
        assert "dear" in lines[0]
        assert "67 %" in lines[0]  # three calls of one prompt: two repeat it
        await pilot.press("o")
        await pilot.pause()
        assert "cheap" in next(line for line in screen_text(app).split("\n") if "dear" in line or "cheap" in line)
        await pilot.press("tab")
        await until(pilot, lambda: screen.found is not None and screen.found.dimension == "app")
        await pilot.press("o", "o", "o", "o")
        await pilot.pause()
        assert "客服" in screen_text(app)
        await pilot.press("enter")
        await until(pilot, lambda: app.pane.shown.query.filter == 'app:"客服"')
        assert app.pane.table.row_count == 3


async def test_the_prompt_of_a_group_opens_with_its_real_volume(log_path: Path) -> None:
    body = b'{"model":"m","messages":[{"role":"user","content":"Summarise."}]}'
    with Writer(log_path, bodies="full", keep_days=0) as writer:
        for age in range(6):
            writer.put(Finished(row(3600 - age * 600, prompt_name="sum"), body, b"ok"))
        assert writer.flush(10)
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("3", "m")
        await until(pilot, lambda: isinstance(app.screen, MoneyDialog) and app.screen.found is not None)
        await pilot.press("e")
        await until(pilot, lambda: app.posted)
        opened = app.posted[0]
        assert isinstance(opened, OpenInEditor)
        assert opened.text == "Summarise."
        assert opened.calls_per_day == pytest.approx(6 * 24, rel=0.01)  # six in the hour that the log has


async def test_views_drill_and_scrub(log_path: Path) -> None:
    rows = [row(60 * i + 5, duration_s=1.0, ttft_s=0.2) for i in range(100)]
    rows += [row(60 + i, request_model="slow", duration_s=50.0) for i in range(6)]
    rows += [row(1800, request_model="broken", error_type="500")]
    rows += [row(70, request_model="cut", response_finish_reasons='["length"]')]
    rows += [row(80, request_model="mute", usage_reasoning_output_tokens=50, ttfo_s=None)]
    write(log_path, sorted(rows, key=lambda each: each.started_ms or 0))
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        pane = app.pane
        for name, model in (("slow", "slow"), ("failing", "broken"), ("truncated", "cut"), ("thought only", "mute")):
            await pilot.press("v")
            await until(pilot, lambda name=name: pane.shown.query.view == name)
            await until(pilot, lambda model=model: {r.request_model for r in pane.table.feed.rows} == {model})
            assert f"view: {name}" in screen_text(app)
            assert pane.shown.window is not None
            assert pane.shown.window.total.n > 50  # figures stay those of all requests
        await pilot.press("escape")
        await until(pilot, lambda: pane.table.row_count == 109)
        await pilot.press("d")  # no moment is read yet: said, nothing else
        await pilot.press("z")
        for _ in range(20):  # a chart is read once it is drawn, which a busy machine may take its time for
            await pilot.press("right", "left", "d")
            if pane.view.asked.moment_ms is not None:
                break
        await until(pilot, lambda: pane.shown.query.moment_ms is not None)
        assert not pane.view.state.zoomed  # the rows would stand behind the chart
        start, end = pane.shown.query.moment_ms or (0, 0)
        assert end - start == 60_000
        assert pane.table.feed.rows
        assert all(start <= (r.started_ms or 0) < end for r in pane.table.feed.rows)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: pane.table.row_count == 109)
        await pilot.press("[")
        await until(pilot, lambda: pane.shown.query.until_ms is not None)
        until_ms = pane.shown.query.until_ms or 0
        await until(pilot, lambda: all((r.started_ms or 0) <= until_ms for r in pane.table.feed.rows))
        assert pane.table.feed.rows
        await pilot.press("]")
        await until(pilot, lambda: pane.shown.query.until_ms is None and pane.table.row_count == 109)


async def test_the_window_by_size_and_columns_by_choice(log_path: Path) -> None:
    # More than a page: the largest of them are not among the newest, which are all that is loaded.
    rows = [row(3000 - i * 5, request_model=f"m{i}", cost_usd=float(i % 7), duration_s=500.0 - i) for i in range(400)]
    outside = [row(9000, request_model="outside", duration_s=999.0)]
    write(log_path, [*outside, *rows, row(1, request_model="unknown", cost_usd=None, duration_s=None, total_s=None)])
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        table = app.pane.table
        assert len(table.feed.rows) < 300
        await pilot.press("o")
        assert table.order == "total"
        await until(pilot, lambda: "largest total of 1h first" in screen_text(app))
        assert table.row_count == 400
        assert table.current is not None
        assert table.current.request_model == "m0"
        assert not table.following
        await pilot.press("down")
        write(log_path, [row(0, request_model="longest", duration_s=500.5)])
        await until(pilot, lambda: table.row_count == 401)
        assert table.current.request_model == "m1"  # what is read stays under the cursor
        await pilot.press("home")
        assert table.current.request_model == "longest"
        await pilot.press("O")
        await until(pilot, lambda: "smallest total of 1h first" in screen_text(app))
        assert table.current.request_model == "m399"
        app.pane.view.ask(filter="model:m10*")
        await until(pilot, lambda: table.row_count == 11)
        app.pane.view.ask(filter="")
        await until(pilot, lambda: table.row_count == 401)
        for _ in range(4):
            await pilot.press("o")
        assert table.order == "time"
        assert table.following
        assert table.current.request_model == "longest"  # the newest

        assert "TTFT" in table.render_line(0).text
        await pilot.press("h")
        await until(pilot, lambda: app.screen is not app.screen_stack[0])
        dialog = app.screen
        assert isinstance(dialog, ColumnsDialog)
        await until(pilot, lambda: dialog.items)
        dialog.query_one(SelectionList).deselect(str(dialog.items.index("ttft")))
        await pilot.press("escape")
        await until(pilot, lambda: "ttft" in table.hidden)
        await pilot.pause()
        assert "TTFT" not in table.render_line(0).text
        assert "longest" in screen_text(app)
    path = state_dir() / "columns.json"
    assert path.stat().st_mode & 0o777 == 0o600
    assert hidden_columns(path) == {"ttft"}
    again = Host(log_path)
    async with again.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: again.pane.table.hidden == {"ttft"})
    path.write_text('["nonsense", "model", "cost"]')
    assert hidden_columns(path) == {"cost"}
    path.write_text("{")
    assert hidden_columns(path) == frozenset()


async def test_two_requests_are_compared_and_one_is_copied_as_curl(log_path: Path) -> None:
    body = b'{"model":"gpt-4o","messages":[{"role":"user","content":"It\'s $HOME"}]}'
    with Writer(log_path, bodies="full", keep_days=0) as writer:
        writer.put(row(9, request_model="gpt-4o-mini", cost_usd=0.01, prompt_hash="aa"))
        kept = row(
            5, request_model="gpt-4o", cost_usd=0.04, prompt_hash="bb", server_address="127.0.0.1", server_port=8080
        )
        writer.put(Finished(kept, body, b"ok"))
        assert writer.flush(10)
    app = Host(log_path)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("y")
        await until(pilot, lambda: app.clipboard)
        words = shlex.split(app.clipboard)
        assert words[:2] == ["curl", "http://127.0.0.1:8080/v1/chat/completions"]
        assert json.loads(words[-1])["messages"][0]["content"] == "It's $HOME"
        assert '"Authorization: Bearer $OPENAI_API_KEY"' in app.clipboard
        await pilot.press("up", "y")
        await until(pilot, lambda: any("without the prompt" in each.message for each in app._notifications))
        assert json.loads(shlex.split(app.clipboard)[-1])["model"] == "gpt-4o-mini"
        await pilot.press("x", "down", "x")
        await until(pilot, lambda: isinstance(app.screen, DetailDialog))
        await pilot.pause()
        text = screen_text(app)
        assert "requests 1 and 2" in text
        assert "≠ not the same" in text
        assert "+300 %" in text
        await pilot.press("escape", "x", "x")
        assert app.pane.requests.marked is None


async def test_all_rows_of_a_moment_are_reached(log_path: Path) -> None:
    """More than two pages of one moment, many of one millisecond; none before or after it."""
    inside = [row(600.0 - (i // 9) / 1000, request_model=f"m{i}") for i in range(450)]
    write(log_path, [row(700, request_model="before"), *inside, row(300, request_model="after")])
    app = Host(log_path)
    async with app.run_test(size=(100, 30)) as pilot:
        pane = app.pane
        await until(pilot, lambda: pane.shown.state == "ok")
        pane.view.ask(moment_ms=(int((NOW - 650) * 1000), int((NOW - 500) * 1000)))
        await until(pilot, lambda: len(pane.table.feed.rows) == 200 and pane.shown.query.moment_ms is not None)
        for count in (400, 450):
            await pilot.press("home")
            await until(pilot, lambda count=count: len(pane.table.feed.rows) == count)
        assert pane.table.feed.older_from is None
        assert {each.request_model for each in pane.table.feed.rows} == {f"m{i}" for i in range(450)}
