from __future__ import annotations

from pathlib import Path

import pytest

from promptop.budget.traffic_volume import Volume, read_volume
from promptop.log import Row, Writer

NOW_S = 1_800_000_000.0


def test_the_volume_is_of_other_programs_alone(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    writer = Writer(log)
    for day in (0.5, 1.5, 2.0, 9.0):
        at = int((NOW_S - day * 86_400) * 1000)
        for model, app in (("gpt-4o", "web"), ("gpt-4o-mini", "web"), ("gpt-4o", "promptop playground")):
            writer.put(Row(started_ms=at, request_model=model, response_model=model, app=app))
    writer.close()
    volume = read_volume([log], NOW_S)
    assert volume.by_model == {"gpt-4o": 3, "gpt-4o-mini": 3}
    assert volume.days == pytest.approx(7)
    assert volume.calls_per_day == pytest.approx(6 / 7)
    assert volume.share("gpt-4o", "gpt-4o") == 0.5
    assert volume.month_usd(0.01) == pytest.approx(0.01 * 6 / 7 * 30)
    assert volume.month_usd(None) is None


def test_of_a_young_log_the_time_that_it_covers_counts(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    writer = Writer(log)
    for hours in (1, 11.99):
        writer.put(Row(started_ms=int((NOW_S - hours * 3600) * 1000), request_model="m"))
    writer.close()
    assert read_volume([log], NOW_S).calls_per_day == pytest.approx(4, rel=0.01)


def test_an_empty_log_has_no_volume(tmp_path: Path) -> None:
    volume = read_volume([tmp_path / "none.db"], NOW_S)
    assert (volume.calls, volume.share("m"), volume.month_usd(1.0)) == (0, None, None)
    assert Volume(0, 1.0, {}).calls_per_day == 0
