"""What looks cost is counted and shown, and none of their statements scans the log."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, Clock, Host, row, screen_text, write
from tests.support.waits import until_shown as until

from promptop_tui.monitor.data.query_stats import Inspection, InspectionDrawer, StepTimer, drawer_text
from promptop_tui.monitor.data.reader import Answer, MonitorReader
from promptop_tui.monitor.data.snapshot import SPANS, SnapshotQuery


def test_no_statement_of_any_look_scans_the_rows(hour: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Answer] = []
    reader = MonitorReader(hour, answers.append, Clock(), watches=False)
    statements: set[str] = set()
    monkeypatch.setattr(StepTimer, "_count", lambda self, statement: statements.add(statement))
    reader.inspect(True)
    moment = (int(NOW - 600) * 1000, int(NOW) * 1000)
    queries = [SnapshotQuery(span, sizes=True) for span in SPANS.values()]
    queries += [replace(queries[1], filter="app:web"), replace(queries[1], moment_ms=moment)]
    queries += [replace(queries[1], until_ms=int(NOW - 600) * 1000), replace(queries[1], view_terms="latency>1s")]
    reader._look(SnapshotQuery())  # opens the log
    for query in queries:
        reader._next_window = reader._next_spend = 0.0
        reader._look(query)
    for figure in ("total", "cost"):
        reader.order(queries[2], figure, smallest=False)
        reader._go_on_ordering()
    reader._close()
    looked_at = 0
    with closing(sqlite3.connect(hour)) as connection:
        for statement in statements:
            if "FROM requests" in statement:
                for *_, detail in connection.execute(f"EXPLAIN QUERY PLAN {statement}"):
                    if "requests" in detail:
                        looked_at += 1
                        assert detail.startswith("SEARCH requests"), (detail, statement)
    assert looked_at > 20
    found = [each for each in answers if isinstance(each, Inspection)]
    assert {name for look in found for name, _, _ in look.steps} >= {"changed", "rows", "window", "before", "money"}


def test_steps_are_counted_only_while_the_drawer_is_open(hour: Path) -> None:
    answers: list[Answer] = []
    reader = MonitorReader(hour, answers.append, Clock(), watches=False)
    reader._look(SnapshotQuery())
    assert not [each for each in answers if isinstance(each, Inspection)]
    reader.inspect(True)
    reader._look(SnapshotQuery())
    reader._look(SnapshotQuery(SPANS["24h"]))
    nothing, news = (each for each in answers if isinstance(each, Inspection))
    assert (nothing.news, nothing.statements) == (False, 1)  # PRAGMA data_version
    assert news.news
    assert news.statements > 3
    assert sum(took for _, _, took in news.steps) <= news.took_s
    reader.inspect(False)
    reader._look(SnapshotQuery(SPANS["7d"]))
    assert len([each for each in answers if isinstance(each, Inspection)]) == 2
    reader._close()
    text = drawer_text([news, nothing, nothing]).plain
    assert text.startswith("last look with news")
    assert "2 looks without: median" in text


async def test_the_drawer_opens_and_closes(hour: Path) -> None:
    app = Host(hour)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.pane.shown.state == "ok")
        await pilot.press("i")
        write(hour, [row(1)])
        await until(pilot, lambda: "1 new rows" in screen_text(app))
        assert "SQL statements" in screen_text(app)
        await pilot.press("i")
        await until(pilot, lambda: "SQL statements" not in screen_text(app))
        assert not app.query_one(InspectionDrawer).display
