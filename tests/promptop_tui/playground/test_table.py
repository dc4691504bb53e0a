from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from promptop.budget.traffic_volume import Volume
from promptop.client.result import CallUsage, RunResult
from promptop.experiments.comparison import intervals
from promptop_tui.playground.views.comparison_table import Shown, lay_out, volume_line


def result(model: str, usd: float | None, ttft_s: float = 0.2) -> RunResult:
    return RunResult(
        model,
        model,
        model,
        "x",
        "done",
        ttft_s=ttft_s,
        duration_s=1.0 + ttft_s,
        total_s=1.5,
        usage=CallUsage(10, 11, source="reported"),
        cost_usd=usd,
    )


def pane(answer: RunResult, checks: tuple[int, int] | None, rating: int | None) -> Any:
    return SimpleNamespace(result=answer, check_counts=checks, rating=rating, title_text=answer.title)


def shown(**changes: Any) -> Shown:
    panes = [
        pane(result("a", 0.01), (3, 3), 4),
        pane(result("b", 0.002), (1, 3), None),
        pane(result("c", None), None, 2),
    ]
    volume = Volume(700, 7.0, {"a": 525, "b": 175})
    return Shown(**{"panes": cast(Any, panes), "volume": volume, **changes})


def cells(found: Shown, width: int) -> dict[str, list[str]]:
    layout = lay_out(found, width)
    return {laid.column.key: [cell.text + "*" * cell.best for cell in laid.cells] for laid in layout.columns}


def test_checks_ratings_and_a_month_at_the_logs_volume() -> None:
    found = cells(shown(), 140)
    assert found["checks"] == ["3/3*", "1/3", ""]
    assert found["stars"] == ["4*", "", "2"]
    assert found["month"] == ["$30.00", "$6.00*", "n/a"]
    assert found["share"] == ["75 %", "25 %", "0 %"]
    assert volume_line(shown()) == "$/month at the log's 100 calls a day"
    of_this = shown(calls_per_day=10.0)
    assert cells(of_this, 140)["month"][0] == "$3.00"
    assert volume_line(of_this) == "$/month at 10.0 calls a day of this prompt"


def test_what_says_nothing_takes_no_room() -> None:
    bare = Shown(panes=cast(Any, [pane(result("a", 0.01), None, None)]), volume=Volume(0, 1.0, {}))
    assert not {"checks", "stars", "month", "share"} & set(cells(bare, 140))
    assert volume_line(bare) == ""


@pytest.mark.parametrize(("width", "wide"), [(60, False), (160, True)])
def test_intervals_stand_beside_medians_where_there_is_room(width: int, wide: bool) -> None:
    groups = [
        [result("a", 0.01, 0.2 + at / 50) for at in range(8)],
        [result("b", 0.02, 0.5 + at / 50) for at in range(8)],
    ]
    panes = [pane(group[-1], None, None) for group in groups]
    found = Shown(panes=cast(Any, panes), kept=groups, intervals=intervals(groups))
    text = cells(found, width)["ttft"][0]
    assert text.startswith("270 ms")
    assert ("–" in text) is wide
    assert found.intervals[0]["ttft"].endswith(" ms")
    assert found.intervals[0]["ttft"].count("ms") == 1
    assert sum(laid.width for laid in lay_out(found, width).columns) + lay_out(found, width).name <= width
