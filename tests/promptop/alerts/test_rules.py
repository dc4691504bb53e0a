"""Rules: what they mean, when they fire and cease, what survives."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from promptop.alerts import rules
from promptop.alerts.rules import Alert, parse_rule, robust_z
from promptop.base.errors import UsageError
from promptop.log import LogReader, Row, Writer
from promptop.settings import MonitorSettings

NOW_MS = 1_795_000_000_000
TARGETS = MonitorSettings(slo_error_rate=0.01)


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    with Writer(path, keep_days=0) as writer:
        for values in rows:
            rest = dict(values)
            started = NOW_MS - round(rest.pop("age_s") * 1000)
            writer.put(Row(started_ms=started, request_model="m", **rest))
        assert writer.flush(10)


def judge(
    log: LogReader, text: str, before: dict[str, Alert] | None = None, now_ms: int = NOW_MS
) -> tuple[Alert, bool]:
    found, changed = rules.judge([parse_rule(text)], log, now_ms, TARGETS, before or {})
    return found[0], bool(changed)


def test_a_limit_fires_once_and_ceases_once(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    write(path, [{"age_s": 10 + i, "duration_s": 5.0} for i in range(30)])
    rule = "p95>2s over 5m"
    with LogReader(path) as log:
        first, changed = judge(log, rule)
        assert (first.firing, changed, first.since_ms) == (True, True, NOW_MS)
        assert first.shown.endswith(" s")
        again, changed = judge(log, rule, {rule: first}, NOW_MS + 1000)
        assert (again.firing, changed, again.since_ms) == (True, False, NOW_MS)
        write(path, [{"age_s": -290 - i / 10, "duration_s": 0.1} for i in range(90)])
        over, changed = judge(log, rule, {rule: again}, NOW_MS + 300_000)
        assert (over.firing, changed) == (False, True)


def test_few_samples_and_silence_are_not_judged(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    write(path, [{"age_s": 10.0, "duration_s": 500.0}] * 5)
    with LogReader(path) as log:
        assert judge(log, "p95>2s")[0] == Alert("p95>2s")
        fires = Alert("p95>2s", True, 1, 3.0, "3 s")
        assert judge(log, "p95>2s", {"p95>2s": fires})[0].firing  # silence is not a recovery
        assert judge(log, "n<10 over 1m")[0].firing


def test_burn_needs_the_long_and_the_short_window(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    old = [{"age_s": 1800.0 + i, "error_type": "500"} for i in range(50)]
    write(path, [*old, *({"age_s": 10.0 + i, "duration_s": 1.0} for i in range(50))])
    with LogReader(path) as log:
        assert not judge(log, "burn>14.4 over 5m,1h")[0].firing  # it has stopped
        assert judge(log, "burn>14.4 over 1h")[0].firing
        assert judge(log, "burn>14.4 over 1h")[0].value == pytest.approx(50)


def test_budgets_count_from_local_midnight_and_the_first(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    now = datetime(2026, 11, 18, 12).timestamp() * 1000
    age = (NOW_MS - now) / 1000
    write(path, [{"age_s": age + 3600, "cost_usd": 2.0}, {"age_s": age + 86_400, "cost_usd": 3.0}])
    with LogReader(path) as log:
        assert judge(log, "today_cost>1", now_ms=round(now))[0].value == pytest.approx(2.0)
        assert judge(log, "month_cost>$4", now_ms=round(now))[0].value == pytest.approx(5.0)
        assert judge(log, "month_cost>$4", now_ms=round(now))[0].shown == "$5.00"


def test_the_unusual_stands_out_from_the_windows_before(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    rows = [{"age_s": 60.0 * m + s, "duration_s": 1.0} for m in range(1, 26) for s in range(0, 60, 3 + m % 2)]
    write(path, [*rows, *({"age_s": 1.0 + s / 10, "duration_s": 1.0} for s in range(300))])
    with LogReader(path) as log:
        alert = judge(log, "odd_n>6 over 1m")[0]
        assert alert.firing
        assert not judge(log, "odd_p95>6 over 1m")[0].firing


def test_robust_z() -> None:
    assert robust_z(5.0, [1.0] * 7) is None
    assert robust_z(1.1, [1.0] * 8) == pytest.approx(2.0)  # 5 % stands for no variation
    assert robust_z(100.0, [9, 10, 11, 10, 9, 11, 10, 1000, None]) == pytest.approx(90 / 1.4826, rel=0.01)


@pytest.mark.parametrize(
    "text", ["p95", "p95>2s over", "p95>2s over soon", "p95>2s over 0m", "foo>1", "p95>2s over 5m,x"]
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_rule(text)
    assert raised.value.remedy


def test_states_survive_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "state" / "alerts.json"
    assert rules.load(path) == {}
    alert = Alert("p95>2s", True, 5, 3.0, "3.00 s")
    rules.save(path, [alert])
    assert rules.load(path) == {"p95>2s": alert}
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("[{]")
    assert rules.load(path) == {}
    path.write_text('[{"rule": "a", "nonsense": 1}]')
    assert rules.load(path) == {}
