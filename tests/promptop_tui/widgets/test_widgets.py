"""Chart, table and sparkline in a running app."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.support.waits import until_shown as until
from textual.app import App, ComposeResult

from promptop_tui.shell import theme
from promptop_tui.widgets import drawing
from promptop_tui.widgets.chart import Chart
from promptop_tui.widgets.plot import Plot, Series
from promptop_tui.widgets.sparkline import Sparkline, spark
from promptop_tui.widgets.table import Cell, Column, VirtualTable, layout

COLUMNS = (
    Column("n", "n", 6, right=True),
    Column("name", "name", 10, grows=True),
    Column("more", "more", 8, rank=2),
    Column("least", "least", 8, rank=5),
)


class Host(App[None]):
    """An app with one of each."""

    def __init__(self) -> None:
        self._extras = theme.defaults()
        super().__init__()
        self.moves: list[tuple[int, bool]] = []
        self.chosen: list[int] = []
        self.near_top = 0

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return self._extras

    def compose(self) -> ComposeResult:
        yield Sparkline()
        yield Chart()
        yield VirtualTable(COLUMNS)

    def on_virtual_table_moved(self, message: VirtualTable.Moved) -> None:
        self.moves.append((message.row, message.following))

    def on_virtual_table_chosen(self, message: VirtualTable.Chosen) -> None:
        self.chosen.append(message.row)

    def on_virtual_table_near_top(self) -> None:
        self.near_top += 1


def cells(index: int) -> Sequence[Cell]:
    return (str(index), ("客服" if index % 2 else "name", "accent"), "more", "least")


def painted(table: VirtualTable) -> list[str]:
    return [table.render_line(y).text.rstrip() for y in range(table.size.height)]


def test_spark_scales_from_zero_and_leaves_gaps() -> None:
    assert spark((0.0, None, 4.0, 8.0), 4) == "▁ ▅█"
    assert spark((0.0, 0.0), 2) == "▁▁"
    assert spark((), 3) == "   "


def test_columns_leave_by_rank_and_one_takes_the_rest() -> None:
    wide = layout(COLUMNS, 60)
    assert [(column.key, cells) for _, column, cells in wide] == [("n", 6), ("name", 35), ("more", 8), ("least", 8)]
    assert [column.key for _, column, _ in layout(COLUMNS, 30)] == ["n", "name", "more"]
    assert [column.key for _, column, _ in layout(COLUMNS, 18)] == ["n", "name"]
    assert [column.key for _, column, _ in layout(COLUMNS, 3)] == ["n"]


async def test_table_paints_only_what_is_seen_and_follows_the_end() -> None:
    app = Host()
    asked: list[int] = []

    def watched(index: int) -> Sequence[Cell]:
        asked.append(index)
        return cells(index)

    async with app.run_test(size=(60, 24)) as pilot:
        table = app.query_one(VirtualTable)
        table.focus()
        table.set_rows(300_000, watched)
        await pilot.pause()
        assert len(set(asked)) < 200
        assert painted(table)[-1].split()[0] == "299999"
        assert table.following

        table.set_rows(300_005, watched)
        await pilot.pause()
        assert painted(table)[-1].split()[0] == "300004"

        await pilot.press("up")
        assert not table.following
        before = painted(table)
        table.set_rows(300_010, watched)
        await pilot.pause()
        assert painted(table) == before  # scrolled away: what is read does not move

        await pilot.press("end")
        assert table.following
        assert painted(table)[-1].split()[0] == "300009"
        await pilot.press("enter")
        assert app.chosen == [300_009]


async def test_rows_in_front_do_not_move_what_is_read() -> None:
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        table = app.query_one(VirtualTable)
        table.focus()
        table.set_rows(100, cells)
        await pilot.pause()
        await pilot.press("home")
        assert app.near_top
        before = painted(table)[1:]
        table.set_rows(150, lambda index: cells(index - 50), shift=50)
        await pilot.pause()
        assert painted(table)[1:] == before
        assert table.cursor_row == 50


async def test_the_wheel_stops_following() -> None:
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        table = app.query_one(VirtualTable)
        table.set_rows(100, cells)
        await pilot.pause()
        table.scroll_to(y=10, animate=False, force=True)
        await pilot.pause()
        assert not table.following
        assert painted(table)[1].split()[0] == "10"


async def test_wide_characters_keep_the_columns() -> None:
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        table = app.query_one(VirtualTable)
        table.set_rows(4, cells)
        await pilot.pause()
        widths = {table.render_line(y).cell_length for y in range(5)}
        assert len(widths) == 1


async def test_chart_draws_off_the_ui_thread_and_answers_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    drawn: list[Plot] = []
    gate = threading.Event()
    real = drawing.draw

    def slow(plot: Plot, width: int, height: int, cursor: int | None = None, *, colour: bool = True) -> object:
        threads.append(threading.current_thread().name)
        drawn.append(plot)
        gate.wait(5)
        return real(plot, width, height, cursor, colour=colour)

    monkeypatch.setattr(drawing, "draw", slow)
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        chart = app.query_one(Chart)
        plots = [Plot("latency", 0.0, 60.0, (Series(f"v{i}", (1.0, float(i))),), "seconds") for i in range(5)]
        chart.plot = plots[0]
        await until(pilot, lambda: drawn)
        for plot in plots[1:]:
            chart.plot = plot
        await pilot.pause()
        assert "v4" in chart.render_line(0).text  # the legend does not wait
        gate.set()
        await until(pilot, lambda: plots[-1] in drawn)
        await until(pilot, lambda: chart.picture is real(plots[-1], *_canvas(chart), None, colour=True))
        assert drawn == [plots[0], plots[-1]]
        assert threading.main_thread().name not in threads


def _canvas(chart: Chart) -> tuple[int, int]:
    return chart.size.width, chart.size.height - 1


async def test_chart_reads_the_bucket_under_the_cursor() -> None:
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        chart = app.query_one(Chart)
        chart.plot = Plot("latency", 0.0, 60.0, (Series("p95", (1.0, 2.5, None)),), "seconds")
        await until(pilot, lambda: chart.picture is not None)
        chart.cursor = 1
        await pilot.pause()
        legend = chart.render_line(0).text
        assert "00:01:00" in legend
        assert "2.50 s" in legend
        chart.cursor = 2
        assert "p95 –" in chart.render_line(0).text
        chart.plot = replace(chart.plot, series=(Series("p95", (1.0,)),))
        assert chart.cursor is None


async def test_chart_takes_the_colours_of_another_theme() -> None:
    app = Host()
    async with app.run_test(size=(60, 24)) as pilot:
        chart = app.query_one(Chart)
        found = theme.load(theme.shipped_dir())
        for each in found.themes.values():
            app.register_theme(each)
        app.theme = "promptop-dark"
        chart.plot = Plot("spend", 0.0, 60.0, (Series("a", (1.0, 2.0)),), stacked=True)
        await until(pilot, lambda: chart.picture is not None)
        await pilot.pause()

        def colours() -> set[object]:
            strips = [chart.render_line(y) for y in range(chart.size.height)]
            return {seg.style.bgcolor for strip in strips[1:] for seg in strip if seg.style and seg.style.bgcolor}

        dark = colours()
        app.theme = "promptop-light"
        await pilot.pause()
        assert colours() != dark
        assert dark
