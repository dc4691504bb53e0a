"""Money: the caps of session and day, the day as the log has it, and what a measurement may begin."""

from __future__ import annotations

import time
from datetime import date, datetime
from pathlib import Path

import pytest

from promptop.base.errors import PromptopError
from promptop.budget.budget import Budget, Day, spent_on
from promptop.budget.estimate import CostEstimate
from promptop.cli.main import main
from promptop.client.result import RunResult
from promptop.log import Writer
from promptop.log.row import Row
from promptop.simulator import SimulatedEndpoint

NOON = datetime(2026, 3, 5, 12, 0, 0).timestamp()


def costs(usd: float | None, status: str = "table") -> RunResult:
    return RunResult("m", "m", "m", "", "done", cost_usd=usd, cost_status=status)


def rows(path: Path, *items: tuple[float, str, float | None]) -> None:
    with Writer(path, linger_s=0.001) as writer:
        for at_s, app, usd in items:
            status = "unpriced" if usd is None else "reported"
            at_ms = int(at_s * 1000)
            writer.put(Row(started_ms=at_ms, app=app, cost_usd=usd, cost_status=status, usage_output_tokens=5))
        assert writer.flush(10)


def test_the_day_holds_our_own_calls_since_local_midnight(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    assert spent_on(log, NOON) == Day(date(2026, 3, 5))  # no log yet
    rows(
        log,
        (NOON - 13 * 3600, "promptop bench", 8.0),  # yesterday
        (NOON - 11 * 3600, "promptop bench", 0.25),
        (NOON - 60, "promptop playground", 0.5),
        (NOON - 50, "promptop run", None),
        (NOON - 40, "promptopia", 4.0),  # somebody else's program
        (NOON - 30, "web", 2.0),
    )
    found = spent_on(log, NOON)
    assert (found.usd, found.calls, found.unpriced) == (pytest.approx(0.75), 3, 1)


def test_a_log_that_is_none_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    log.write_text("this is a text, and a rather long one\n" * 40)
    with pytest.raises(PromptopError):
        spent_on(log, NOON)


def test_both_caps_stop_and_say_which() -> None:
    purse = Budget(1.0, 5.0)
    assert purse.left_usd == 1.0
    purse.take(costs(0.25))
    purse.know(Day(date(2026, 3, 5), 4.5))
    assert purse.left_usd == pytest.approx(0.5)
    assert str(purse) == "spent $0.250 of $1\ntoday $4.50 of $5"
    with pytest.raises(PromptopError, match=r"the day has spent \$4.50 of its cap of \$5.00") as raised:
        purse.check(CostEstimate(1, 10, 0.6, ()))
    assert "daily_cap_usd" in raised.value.remedy
    purse.check(CostEstimate(1, 10, 0.5, ()))
    purse.take(costs(0.5))
    assert purse.empty
    with pytest.raises(PromptopError, match="This day has spent"):
        purse.check()
    with pytest.raises(PromptopError, match=r"the session has spent \$0.750"):
        purse.check(CostEstimate(1, 10, 0.3, ()))
    assert Budget(0.0, 0.0).left_usd is None


def test_the_days_sum_never_falls_within_a_day() -> None:
    purse = Budget(0.0, 5.0)
    purse.know(Day(date(2026, 3, 5), 1.0, 4))
    purse.add(0.5)
    purse.know(Day(date(2026, 3, 5), 1.2, 5))  # the last row is still on its way to the disk
    assert purse.today_usd == 1.5
    purse.know(Day(date(2026, 3, 6), 0.0))
    assert purse.today_usd == 0.5  # of this session, which began yesterday: rather too much than too little


def test_commands_stop_at_the_cap_of_the_day(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.db"
    config = tmp_path / "config.toml"
    config.write_text("[playground]\ndaily_cap_usd = 0.5\n")
    rows(log, (time.time() - 1, "promptop batch", 0.4999))
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        base = ["--base-url", endpoint.base_url, "--log", str(log), "--config", str(config), "-m", "gpt-4o-mini"]
        asked = ["--text", "Hi", "-q", "--max-tokens", "4"]
        assert main(["run", *base, *asked]) == 0
        assert main(["run", *base, *asked, "--max-tokens", "16000"]) == 1
        assert main(["bench", *base, *asked, "-n", "100000"]) == 1
        said = capsys.readouterr().err
        assert said.count("the cap of the day is $0.500, of which $0.500 is spent or under way") == 2
        rows(log, (time.time() - 1, "promptop batch", 0.1))
        assert main(["compare", *base, *asked]) == 1
        assert "of which $0.600 is spent" in capsys.readouterr().err
        assert len([record for record in endpoint.requests if record.body]) == 1
