"""What agents used, added up while it grows: the same figures as a recount of all calls."""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import pytest
from tests.promptop.log.rows import append

from promptop.agents.agent_call import AgentCall
from promptop.agents.blocks import BlockCall, blocks_of, grouped
from promptop.agents.limits import limits_in
from promptop.agents.usage_totals import DIMENSIONS, UsageFollower, UsageTotals
from promptop.providers.usage import Usage

NOON = round(datetime(2026, 11, 20, 12).timestamp() * 1000)
HOUR_MS = 3_600_000


def call(at_ms: int, **changes: object) -> BlockCall:
    values = {
        "at_ms": at_ms, "app": "claude-code", "model": "claude-sonnet-4-5", "session": "s1", "project": "shop",
        "branch": "main", "is_sub": False, "context_window": None, "input_tokens": 100, "output_tokens": 10,
        "cache_read": 60, "cache_write": 30, "reasoning": 4, "cost_usd": 0.5,
    }  # fmt: skip
    return BlockCall(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_sums_and_blocks_are_those_of_a_recount_whatever_the_order(seed: int) -> None:
    chance = random.Random(seed)
    calls = [
        call(
            NOON - chance.randrange(6 * 24 * HOUR_MS),
            app=chance.choice(["claude-code", "codex"]),
            project=chance.choice(["shop", "api", ""]),
            model=chance.choice(["a", "b"]),
            session=chance.choice("stuv"),
            cost_usd=chance.choice([None, 0.25]),
            is_sub=chance.random() < 0.3,
        )
        for _ in range(400)
    ]
    totals = UsageTotals()
    for at in range(0, len(calls), 37):
        totals.add(calls[at : at + 37])
    for by in DIMENSIONS[:5]:
        found = totals.overview(NOON, by=by, days=7, told={})
        assert {n: s.to_json() for n, s in found.groups.items()} == {
            n: s.to_json() for n, s in grouped(calls, by).items()
        }
        assert found.periods[7].calls == found.periods[30].calls == 400
        assert found.periods[7].fresh_tokens == 400 * 10
    weeks = totals.overview(NOON, by="week", days=1, told={}).groups
    assert sum(sums.calls for sums in weeks.values()) == 400
    assert list(weeks) == sorted(weeks, reverse=True)
    active = {block.app: block for block in blocks_of(sorted(calls, key=lambda c: c.at_ms)) if block.is_active(NOON)}
    shown = {block.app: block for block in totals.overview(NOON, by="app", days=7, told={}).blocks}
    assert {app: (b.start_ms, b.sums.to_json()) for app, b in shown.items()} == {
        app: (b.start_ms, b.sums.to_json()) for app, b in active.items()
    }


def test_today_begins_at_midnight_here() -> None:
    midnight = round(datetime(2026, 11, 20).timestamp() * 1000)
    totals = UsageTotals()
    totals.add([call(midnight - 1), call(midnight), call(NOON)])
    found = totals.overview(NOON, by="day", days=7, told={})
    assert found.periods[1].calls == 2
    assert {name: sums.calls for name, sums in found.groups.items()} == {"2026-11-20": 2, "2026-11-19": 1}


def test_the_context_is_that_of_the_newest_call_that_is_no_sub_agents() -> None:
    totals = UsageTotals()
    totals.add([call(NOON - 2, input_tokens=50_000), call(NOON - 1, input_tokens=7, is_sub=True)])
    totals.add([call(NOON - 9, app="codex", model="nobody-knows-it", input_tokens=800)])
    totals.add([call(NOON - 5, app="codex", model="nobody-knows-it", input_tokens=900, context_window=1000)])
    first, second = sorted(totals.overview(NOON, by="app", days=1, told={}).contexts, key=lambda fill: fill.app)
    assert first.tokens == 50_000
    assert first.window
    assert first.share == 50_000 / first.window
    assert second.share == 0.9
    assert not totals.overview(NOON + 30 * HOUR_MS, by="app", days=1, told={}).contexts


def test_limits_that_are_over_say_nothing() -> None:
    told = {
        "primary": {"used_percent": 12.5, "window_minutes": 10_080, "resets_at": NOON / 1000 + 60},
        "secondary": {"used_percent": 99.0, "window_minutes": 300, "resets_at": NOON / 1000 - 60},
        "five_hour": {"used_percentage": 40},
        "credits": None,
    }
    assert [(limit.span, limit.used) for limit in limits_in("codex", told, NOON)] == [("week", 12.5), ("5 h", 40.0)]


def test_only_what_came_is_read(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    follower = UsageFollower(log)
    assert follower.read(NOON) == 0

    def rows(*ages: int) -> None:
        made = [
            AgentCall(f"k{age}", "codex", NOON - age, "gpt-5.4", Usage(input_tokens=10, output_tokens=5), session="s")
            for age in ages
        ]
        append(log, [each.row() for each in made])

    rows(5, 4, 3)
    assert follower.read(NOON) == 3
    assert follower.read(NOON) == 0
    rows(90_000, 2)
    assert follower.read(NOON) == 2
    assert follower.overview(NOON).periods[7].calls == 5
