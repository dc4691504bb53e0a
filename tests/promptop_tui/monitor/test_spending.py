"""Money of today and of the month, against a real log."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from tests.promptop_tui.monitor.conftest import NOW, row, write
from tests.promptop_tui.monitor.test_reader import running
from tests.support.waits import until as wait_until

from promptop.log import LogReader
from promptop_tui.monitor.analysis.spending import read_spend


def test_money_is_read_again_when_many_rows_came(log_path: Path) -> None:
    write(log_path, [row(30)])
    with running(log_path) as here:
        assert (found := here.must()).spend is not None
        assert found.spend.today.n == 1
        write(log_path, (row(1) for _ in range(3)))
        wait_until(lambda: (found := here.ask()) is not None and found.window is not None and found.window.total.n == 4)
        here.reader._next_spend = 0.0  # what came is owed, although nothing more comes
        wait_until(lambda: (found := here.ask()) is not None and found.spend is not None and found.spend.today.n == 4)
        here.reader._spend_rests = 0.0
        write(log_path, (row(1) for _ in range(597)))
        wait_until(lambda: (found := here.ask()) is not None and found.spend is not None and found.spend.today.n == 601)


def test_money_is_compared_with_the_day_and_the_month_before(log_path: Path) -> None:
    now = datetime.fromtimestamp(NOW)
    days = [0.0, 1.0, 2.0, now.day - 0.7, now.day + 5.0, now.day + 45.0]  # today … last month, and the one before it
    write(log_path, sorted((row(days_ago * 86_400 + 60) for days_ago in days), key=lambda each: each.started_ms or 0))
    with LogReader(log_path) as log:
        spend = read_spend(log, int(NOW * 1000))
    assert spend.today.cost_usd == pytest.approx(0.01)
    assert spend.yesterday == pytest.approx(0.01)
    assert spend.month.cost_usd == pytest.approx(0.04)
    assert spend.month_before == pytest.approx(0.01)
    assert spend.month_days == 30
    known = [day for day in spend.days if day is not None]
    assert len(known) == now.day
    assert sum(day > 0 for day in known) == 4
