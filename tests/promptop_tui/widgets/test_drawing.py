"""Plots as text: gaps, layers and lines that need no colour, the running bucket, round ticks, local times."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime

import pytest

from promptop_tui.widgets.drawing import draw
from promptop_tui.widgets.plot import (
    SHADES,
    Picture,
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
    plot = Plot("latency", NOON, 60.0, (Series("p95", p95, area=True), Series("p50", p50, "series-2")), "seconds")
    return replace(plot, **changes)  # type: ignore[arg-type]


def test_every_line_has_the_width_asked_for() -> None:
    for width, height in ((100, 16), (40, 6), (14, 4), (201, 55)):
        picture = draw(lines_plot(), width, height)
        assert len(picture.lines) == height
        assert {sum(len(text) for text, _ in line) for line in picture.lines} == {width}


def grounds(picture: Picture) -> set[str]:
    return {role.partition("/")[2] for line in picture.lines for _, role in line if "/" in role}


def test_a_stretch_without_rows_is_dotted_and_named() -> None:
    picture = draw(lines_plot(), 100, 16, colour=False)
    first = column_of(20, picture.columns, 60) + picture.left
    last = column_of(29, picture.columns, 60) + picture.left
    canvas = [row[first + 1 : last] for row in picture.text.split("\n")[:-2]]
    assert set("".join(canvas)) == set("·no rws")
    assert sum(" no rows " in row for row in canvas) == 1


def test_what_has_not_come_yet_is_no_gap() -> None:
    values = (1.0,) * 30 + (None,) * 30
    ahead = draw(Plot("x", NOON, 60.0, (Series("a", values, area=True),), running=29), 80, 12)
    assert "·" not in ahead.text
    assert "·" in draw(Plot("x", NOON, 60.0, (Series("a", values, area=True),), running=59), 80, 12).text


def test_the_running_bucket_is_faded_and_named() -> None:
    picture = draw(lines_plot(running=59), 100, 16)
    assert picture.text.split("\n")[-1].rstrip().endswith("now")
    assert {role for line in picture.lines for _, role in line[-1:] if "area" in role} <= {
        "/area~",
        "area~",
        "series-2/area~",
    }
    assert "/area" in {role for line in picture.lines for _, role in line}


def test_only_what_lies_above_the_target_is_bad() -> None:
    values = (1.0,) * 30 + (3.0,) * 30
    plot = lines_plot(series=(Series("p95", values, area=True),), level=(1.5, "target 1.5 s"))
    picture = draw(plot, 80, 14)
    for y, line in enumerate(picture.lines[:-2]):
        column = 0
        for text, role in line:
            if "area-bad" in role:
                assert column >= picture.left + 36, "values below the target stay as they are"
                assert y <= 7
            column += len(text)
    assert {"area", "area-bad"} <= grounds(picture)
    assert " target 1.5 s " in picture.text
    assert "area-bad" not in grounds(draw(replace(plot, level=(3.0, "target 3 s")), 80, 14))


def test_series_are_told_apart_without_colour() -> None:
    lines = tuple(Series(str(i), (float(i + 1),) * 20, f"series-{i + 1}") for i in range(3))
    picture = draw(Plot("tokens", NOON, 60.0, lines), 100, 20, colour=False)
    rows = [row[picture.left :] for row in picture.text.split("\n")[:-2]]
    drawn = [row for row in rows if any(0x2800 <= ord(char) < 0x2900 for char in row)]
    assert len(drawn) == 3
    assert len({(*(char == " " for char in row[:24]), len(set(row[:24]))) for row in drawn}) == 3

    layers = tuple(Series(str(i), (1.0,) * 10, f"series-{i + 1}") for i in range(4))
    stack = draw(Plot("spend", NOON, 60.0, layers, "usd", stacked=True), 60, 20, colour=False)
    assert set(SHADES) <= set(stack.text)


def test_a_stack_paints_no_column_blank_and_no_layer_over_another() -> None:
    layers = (Series("a", (1.0,) * 7, "series-1"), Series("b", (1.0,) * 7, "series-2"))
    picture = draw(Plot("x", NOON, 60.0, layers, stacked=True), 97, 12)
    rows = [[role for _, role in line[2:]] for line in picture.lines[:-2]]
    assert rows[-1] == ["/series-1"]
    assert ["/series-2"] in rows
    assert all(len(row) == 1 for row in rows), "columns touch"


def test_two_layers_share_a_cell() -> None:
    layers = (Series("a", (1.0,), "series-1"), Series("b", (3.0,), "series-2"))
    picture = draw(Plot("x", NOON, 60.0, layers, "rate", stacked=True), 40, 8)
    shared = [(text[0], role) for line in picture.lines for text, role in line if "series-1/series-2" in role]
    assert shared == [("▄", "series-1/series-2")], "1 of 4 in six rows: one and a half"


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
        if role.partition("/")[0] == "cursor" and len(text) == 1
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
