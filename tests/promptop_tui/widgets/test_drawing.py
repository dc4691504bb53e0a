"""Plots as text: gaps, marks that need no colour, round ticks, local times."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

import pytest

from promptop_tui.widgets import plot as plot_module
from promptop_tui.widgets.drawing import draw
from promptop_tui.widgets.plot import (
    Plot,
    Series,
    bucket_of,
    column_of,
    log_ticks,
    spread,
    tick_labels,
    time_ticks,
    value_ticks,
)

NOON = datetime(2026, 11, 21, 12).timestamp()


def lines_plot(**changes: object) -> Plot:
    p95 = tuple(None if 20 <= i < 30 else 2.0 for i in range(60))
    p50 = tuple(None if value is None else value / 2 for value in p95)
    plot = Plot("latency", NOON, 60.0, (Series("p50", p50, "series-2", "o"), Series("p95", p95)), "seconds")
    return replace(plot, **changes)  # type: ignore[arg-type]


def test_every_line_has_the_width_asked_for() -> None:
    for width, height in ((100, 16), (40, 6), (14, 4), (201, 55)):
        picture = draw(lines_plot(), width, height)
        assert len(picture.lines) == height
        assert {sum(len(text) for text, _ in line) for line in picture.lines} == {width}


def test_buckets_without_data_are_blank_in_lines_and_between_them() -> None:
    picture = draw(lines_plot(), 100, 16)
    first = column_of(20, picture.columns, 60) + picture.left
    last = column_of(29, picture.columns, 60) + picture.left
    canvas = [row[first + 1 : last] for row in picture.text.split("\n")[:-2]]
    assert not "".join(canvas).strip()
    assert "o" in picture.text


def test_series_are_told_apart_without_colour() -> None:
    picture = draw(lines_plot(), 100, 16)
    by_role: dict[str, set[str]] = {}
    for line in picture.lines:
        for text, role in line:
            by_role.setdefault(role, set()).update(text.replace(" ", ""))
    assert by_role["series-2"] == {"o"}
    assert all(0x2800 <= ord(char) < 0x2900 for char in by_role["series-1"])  # braille

    layers = tuple(Series(str(i), (1.0,) * 10, f"series-{i + 1}") for i in range(6))
    stack = draw(Plot("spend", NOON, 60.0, layers, "usd", stacked=True), 60, 20)
    assert set(plot_module.FILLS) <= set(stack.text)


def test_a_stack_paints_no_column_blank_and_no_layer_over_another() -> None:
    layers = (Series("a", (1.0,) * 7, "series-1"), Series("b", (1.0,) * 7, "series-2"))
    picture = draw(Plot("x", NOON, 60.0, layers, stacked=True), 97, 12)
    rows = [row[picture.left :] for row in picture.text.split("\n")[:-2]]
    assert set(rows[-1]) == {"█"}
    assert any(set(row) == {"▒"} for row in rows)


def test_nothing_to_draw_is_said() -> None:
    empty = Plot("x", series=(Series("a", (None, None)),), empty="no look-ups in this window")
    assert "no look-ups in this window" in draw(empty, 60, 8).text
    assert draw(empty, 5, 1).lines == ((("no lo", "axis"),),)
    assert "too small" in draw(lines_plot(), 12, 5).text


def test_a_level_far_above_the_data_does_not_flatten_it() -> None:
    near = draw(lines_plot(level=(2.5, "SLO")), 80, 12)
    far = draw(lines_plot(level=(100.0, "SLO")), 80, 12)
    assert any(role == "level" for line in near.lines for _, role in line)
    assert not any(role == "level" for line in far.lines for _, role in line)


def test_the_cursor_stands_over_its_bucket() -> None:
    picture = draw(lines_plot(), 100, 16, 40)
    columns = {
        sum(len(text) for text, _ in line[:index])
        for line in picture.lines
        for index, (text, role) in enumerate(line)
        if role == "cursor" and len(text) == 1
    }
    assert columns == {picture.left + column_of(40, picture.columns, 60)}
    assert bucket_of(columns.pop() - picture.left, picture.columns, 60) == 40


def test_equal_plots_share_a_picture() -> None:
    assert draw(lines_plot(), 90, 12) is draw(lines_plot(), 90, 12)
    assert draw(lines_plot(), 90, 12) is not draw(lines_plot(), 91, 12)


@pytest.mark.parametrize("values", [(0.0,) * 5, (1e-9,) * 5, (1e12,) * 5, (5.0,), (0.001, 900.0, None)])
@pytest.mark.parametrize("log", [False, True])
def test_extreme_values_are_drawn(values: tuple[float | None, ...], log: bool) -> None:
    for unit in ("seconds", "usd", "count", "share", "rate"):
        plot = Plot("x", NOON, 60.0, (Series("a", values),), unit, log=log)  # type: ignore[arg-type]
        assert len(draw(plot, 60, 10).lines) == 10


def test_spread_keeps_the_worst_and_repeats_the_few() -> None:
    assert spread((1.0, 5.0, None, 2.0), 2) == [5.0, 2.0]
    assert spread((1.0, None), 4) == [1.0, 1.0, None, None]
    assert spread((), 3) == [None, None, None]


def test_ticks_are_round() -> None:
    assert value_ticks(0, 0.31, 4) == pytest.approx([0, 0.1, 0.2, 0.3])
    assert value_ticks(0, 1, 4) == pytest.approx([0, 0.5, 1])
    assert value_ticks(0, 1, 4, whole=True) == [0, 1], "no label stands twice on an axis of counts"
    assert value_ticks(0, 9, 4, whole=True) == [0, 5]
    assert tick_labels([0, 0.1, 0.2], "usd") == ["$0.0", "$0.1", "$0.2"]
    assert tick_labels([0, 0.05, 0.1], "usd") == ["$0.00", "$0.05", "$0.10"]
    assert tick_labels([0, 0.2, 0.4], "seconds") == ["0 ms", "200 ms", "400 ms"]
    assert tick_labels([0, 5, 10], "seconds") == ["0 s", "5 s", "10 s"]
    assert log_ticks(0.1, 100, 5) == pytest.approx([0.1, 1, 10, 100])


def test_time_axis_is_local_and_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")  # UTC+5:30: full hours are half hours of UTC
    time.tzset()
    try:
        ticks = list(time_ticks(NOON + 60, NOON + 86_400, 9))
        assert [label for _, label in ticks] == [
            "18:00",
            "21:00",
            "22 Nov",
            "03:00",
            "06:00",
            "09:00",
            "12:00",
            "15:00",
        ]
        days = list(time_ticks(NOON, NOON + 30 * 86_400, 8))
        assert [label for _, label in days][:3] == ["25 Nov", "29 Nov", "03 Dec"]
        assert len(list(time_ticks(NOON, NOON + 300, 6))) == 6
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()


def test_days_stay_at_midnight_when_the_clocks_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        start = datetime(2026, 10, 20).timestamp()
        moments = [datetime.fromtimestamp(moment) for moment, _ in time_ticks(start, start + 12 * 86_400, 12)]
        assert {moment.hour for moment in moments} == {0}
        assert len(moments) == 12
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()
