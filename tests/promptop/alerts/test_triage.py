"""What is told of invented traffic, and that ordinary traffic is told nothing of."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.world.traffic import write

from promptop.alerts.changes import Change, sentence
from promptop.alerts.comparison import window_changes
from promptop.alerts.history import TrendHistory
from promptop.alerts.watch import Present, Watch
from promptop.log import LogReader, files, in_flight
from promptop.log.in_flight import InFlight
from promptop.log.rollups.rollups import Rollups

MINUTE, DAY = 60_000, 86_400_000
NOW = 1_795_262_400_000
Effect = Callable[[dict[str, Any], float, random.Random], dict[str, Any] | None]
"""(call, minutes before now, random) → the call as it is then, or None."""


TAIL = 30
"""Minutes before now that each test makes for itself, as its incident has them."""


def traffic(minutes: int, seed: int = 0, effect: Effect | None = None, until: int = 0) -> Iterator[dict[str, Any]]:
    """Yield two programs on two models each, 30 calls a minute together, from ``minutes`` to ``until`` before now."""
    for minute in range(NOW // MINUTE - minutes, NOW // MINUTE - until):
        rng = random.Random(f"{seed} {minute}")
        for second in sorted(rng.uniform(0, 60) for _ in range(round(rng.gauss(30, 5)))):
            app, prompt, version = rng.choice((("shop", "answer", "v3"), ("crawler", "extract", "v8")))
            model = rng.choice(("large", "small"))
            ttft = (0.9 if model == "large" else 0.3) * rng.lognormvariate(0, 0.35)
            row = {
                "started_ms": minute * MINUTE + round(second * 1000),
                "app": app,
                "request_model": model,
                "provider_name": "p",
                "server_address": f"{model}.example",
                "prompt_name": prompt,
                "prompt_version": version,
                "tags": {"user": f"u{int(80 * rng.random() ** 2)}", "release": "r1", "node": f"n{rng.randrange(5)}"},
                "attempt": 1,
                "ttft_s": ttft,
                "duration_s": ttft + rng.lognormvariate(0, 0.3),
                "total_s": ttft + 1.5,
                "usage_input_tokens": round(1000 * rng.lognormvariate(0, 0.3)),
                "usage_output_tokens": round(100 * rng.lognormvariate(0, 0.4)),
                "usage_cache_read_input_tokens": 700 if rng.random() < 0.9 else 0,
                "cost_usd": 0.002 * rng.lognormvariate(0, 0.4),
                "cache_level": "memory" if rng.random() < 0.4 else "miss",
                "response_finish_reasons": '["stop"]',
                "http_response_status_code": 200,
            }
            if rng.random() < 0.003:
                row |= {"error_type": "503", "http_response_status_code": 503, "cost_usd": None}
            changed = effect(row, NOW / MINUTE - row["started_ms"] / MINUTE, rng) if effect is not None else row
            if changed is not None:
                yield changed


def log_of(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Add rows to a log and fold them, as at the present of these tests."""
    write(path, rows)
    with Rollups(path, now_ms=lambda: NOW) as rollups:
        rollups.catch_up(float("inf"), limit=5_000)
    return path


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the log of five ordinary hours, up to :data:`TAIL` minutes before now."""
    folder = tmp_path_factory.mktemp("before")
    log_of(folder / "log.db", traffic(300, until=TAIL))
    return folder


@pytest.fixture
def ordinary(tmp_path: Path, before: Path) -> Callable[..., Path]:
    """Makes a log of five hours, the last :data:`TAIL` minutes of which are as an effect has them."""

    def make(effect: Effect | None = None, name: str = "log") -> Path:
        folder = tmp_path / name
        shutil.copytree(before, folder)
        return log_of(folder / "log.db", traffic(TAIL, effect=effect))

    return make


def looked(path: Path, now_ms: int = NOW) -> Present:
    with LogReader(path) as log:
        *_, present = Watch().steps(log, now_ms)
    assert present is not None
    return present


@pytest.fixture
def told(ordinary: Callable[..., Path]) -> Callable[[Effect], list[Change]]:
    """Returns what is told of such a log."""
    return lambda effect: list(looked(ordinary(effect)).changes)


Told = Callable[[Effect], list[Change]]


def test_ordinary_traffic_is_as_usual(ordinary: Callable[..., Path]) -> None:
    path = ordinary()
    for minutes in (0, 1, 2):
        present = looked(path, NOW - minutes * 7 * MINUTE)
        assert present.ready
        assert present.changes == ()
        assert "as usual, against the 3 hours before" in present.baseline


def test_dearer_calls_are_told_as_such_and_not_as_spend(told: Told) -> None:
    def dearer(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 30 and row["app"] == "shop" and row["cost_usd"] is not None:
            row["cost_usd"] *= 3
        return row

    (spend,) = [each for each in told(dearer) if each.family == "spend"]
    assert spend.figure == "cost_a_call"
    assert spend.factor == pytest.approx(3, rel=0.2)


def test_a_program_that_is_slow_since_seconds(tmp_path: Path) -> None:
    def slow(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        # Three times as busy, so that half a minute holds a dozen calls.
        if row["app"] == "shop" and age < 0.4:
            row["ttft_s"], row["duration_s"], row["total_s"] = (
                4 * row[each] for each in ("ttft_s", "duration_s", "total_s")
            )
        return row

    def busy() -> Iterator[dict[str, Any]]:
        rows = [row for seed in range(5) for row in traffic(40, seed, effect=slow)]
        rows.sort(key=lambda row: row["started_ms"] + 1000 * row["total_s"])
        return iter([row for row in rows if row["started_ms"] + 1000 * row["total_s"] <= NOW])

    (first, *_) = looked(log_of(tmp_path / "log.db", busy())).changes
    assert first.of_seconds
    assert (first.dimension, first.value) in {("app", "shop"), ("prompt", "answer")}
    assert first.factor == pytest.approx(4, rel=0.3)
    assert abs(first.since_ms - (NOW - 24_000)) <= 10_000


@pytest.mark.world
def test_a_burst_like_those_of_the_last_day_is_ordinary(tmp_path: Path) -> None:
    def jobs(hours: tuple[float, ...]) -> Effect:
        def only_in_jobs(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any] | None:
            busy = any(abs(age - 60 * hour) < 6 for hour in hours)
            return row if row["app"] == "shop" or busy or rng.random() < 0.05 else None

        return only_in_jobs

    def counted(name: str, hours: tuple[float, ...]) -> set[str]:
        path = log_of(tmp_path / name, traffic(1600, effect=jobs(hours)))
        return {each.figure for each in looked(path).changes if each.family in ("calls", "spend")}

    assert counted("first.db", (0.05,)) != set()
    assert counted("known.db", (0.05, 7.3, 13.1)) == set()


def test_a_new_session_is_no_news_where_each_is_new(tmp_path: Path) -> None:
    def in_sessions(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any] | None:
        slot = int(age) // 25
        row["tags"] = {"session": f"s{slot}"}
        return row if row["app"] == "shop" and slot in (0, 3, 4, 7, 9, 10, 13) else None

    assert looked(log_of(tmp_path / "log.db", traffic(340, effect=in_sessions))).changes == ()


def test_the_first_look_holds_half_and_the_second_all(ordinary: Callable[..., Path]) -> None:
    with LogReader(ordinary()) as log:
        history = TrendHistory(brief=True)
        minute = NOW // MINUTE
        sums = []
        for _ in range(2):
            for _ in history.read(log, NOW):
                pass
            assert history.whole is not None
            sums.append((history.whole.sum(0, minute - 200, minute), history.whole.sum(0, minute - 300, minute - 230)))
    assert sums[0][0] == sums[1][0] > 0
    assert sums[0][1] == 0 < sums[1][1]


def test_one_slow_model_of_two(told: Told) -> None:
    def slow(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 10 and row["request_model"] == "large":
            row["ttft_s"] *= 3
        return row

    first = told(slow)[0]
    assert (first.figure, first.value) in {("ttft", "large"), ("ttft", "large.example")}
    assert first.factor == pytest.approx(3, rel=0.15)
    assert abs(first.since_ms - (NOW - 10 * MINUTE)) <= 2 * MINUTE
    assert "TTFT ×" in sentence(first, NOW)


def test_rejections_of_one_program(ordinary: Callable[..., Path]) -> None:
    def limited(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 6 and row["app"] == "crawler" and rng.random() < 0.6:
            row |= {"error_type": "429", "http_response_status_code": 429, "cache_level": "miss"}
        return row

    path = ordinary(limited)
    found = looked(path).changes
    assert (found[0].figure, found[0].dimension, found[0].value) == ("limited_share", "app", "crawler")
    assert found[0].after > 0.5
    assert found[0].filter == 'app:"crawler" code:429'
    with LogReader(path) as log:
        compared = window_changes(log, NOW - 6 * MINUTE, NOW)
    assert (compared[0].figure, compared[0].value) in {("limited_share", "crawler"), ("limited_share", "extract")}
    assert compared[0].share > 0.9
    assert "r1" not in {each.value for each in compared}, "what all calls have tells nothing"


def test_one_node_of_five_that_cannot_connect(told: Told) -> None:
    def failing(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 15 and row["tags"]["node"] == "n3" and rng.random() < 0.8:
            row |= {"error_type": "connect", "cache_level": "miss", "http_response_status_code": None}
        return row

    first = told(failing)[0]
    assert (first.dimension, first.value, first.figure) == ("tag.node", "n3", "error_share")


def test_a_new_user_who_spends_as_much_as_all_others(told: Told) -> None:
    def spending(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 12 and rng.random() < 0.3:
            row["tags"]["user"] = "u907"
            row["cost_usd"] = 12 * (row["cost_usd"] or 0.0)
        return row

    found = told(spending)
    cost = next(each for each in found if each.family == "spend")
    assert (cost.dimension, cost.value, cost.figure, cost.new) == ("tag.user", "u907", "cost", True)
    assert cost.factor is None
    assert 0.5 < cost.share < 0.95
    assert "u907: cost new, " in sentence(cost, NOW)


def test_a_release_that_takes_another_ones_place_is_no_new_spend(told: Told) -> None:
    def released(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any]:
        if age < 20:
            row["tags"]["release"] = "r2"
        return row

    assert told(released) == []


def test_silence_suppresses_the_rest_and_age_is_by_the_logs_rhythm(ordinary: Callable[..., Path]) -> None:
    path = ordinary(lambda row, age, rng: row if age > 8 else None)
    present = looked(path)
    assert [(each.figure, each.dimension) for each in present.changes] == [("silence", "all")]
    assert abs(present.changes[0].since_ms - (NOW - 8 * MINUTE)) < MINUTE
    assert present.overdue(NOW) == 2
    assert present.overdue((present.newest_ms or 0) + 3_000) == 0
    assert sentence(present.changes[0], NOW).startswith("no calls since ")


@pytest.mark.world
def test_gaps_of_a_slow_night_excuse_no_silence_of_the_day(tmp_path: Path) -> None:
    def waking(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any] | None:
        if row["app"] == "crawler" and (age < 12 or (age > 200 and rng.random() > 0.02)):
            return None
        return row

    first = looked(log_of(tmp_path / "log.db", traffic(400, effect=waking))).changes[0]
    assert (first.dimension, first.value, first.figure) == ("app", "crawler", "silence")


def test_a_log_that_was_brought_in_is_not_silent_at_once(ordinary: Callable[..., Path]) -> None:
    path = ordinary()
    later = NOW + 3 * MINUTE + MINUTE // 2
    for written_ms, figures in ((NOW, ["silence"]), (later - MINUTE, [])):
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                os.utime(file, (written_ms / 1000, written_ms / 1000))
        assert [each.figure for each in looked(path, later).changes] == figures
    assert [each.figure for each in looked(path, NOW + 9 * MINUTE).changes] == ["silence"]


@pytest.mark.world
def test_this_time_of_yesterday_excuses_what_comes_every_day(tmp_path: Path) -> None:
    def nightly(row: dict[str, Any], age: float, rng: random.Random) -> dict[str, Any] | None:
        busy = age % (DAY / MINUTE) < 20
        if row["app"] == "crawler":
            return row if busy or rng.random() < 0.1 else None
        return row if rng.random() < 0.3 else None

    path = log_of(tmp_path / "log.db", traffic(2 * 1440, effect=nightly))
    assert looked(path).changes == ()
    first_day = log_of(tmp_path / "young.db", traffic(600, effect=nightly))
    assert {each.figure for each in looked(first_day).changes} == {"n", "cost"}


def test_calls_that_hang_are_told_while_they_hang(ordinary: Callable[..., Path]) -> None:
    path = ordinary()
    with LogReader(path) as log:
        watch = Watch()
        hanging = [InFlight("shop", "large", 25, NOW - 40_000), InFlight("crawler", "small", 1, NOW - 2_000)]
        in_flight.write(path, hanging)
        file = in_flight.files_of(path)[0]
        file.write_text(file.read_text().replace(str(json.loads(file.read_text())["at_ms"]), str(NOW)))
        *_, present = watch.steps(log, NOW)
    assert present is not None
    assert present.open_calls == 26
    assert [(each.figure, each.value) for each in present.changes] == [("in_flight", "shop")]
    assert "25 calls in flight unanswered" in sentence(present.changes[0], NOW)


def test_a_look_reads_sums_and_not_rows_and_goes_on_from_the_last(ordinary: Callable[..., Path]) -> None:
    path = ordinary()
    history = TrendHistory()
    with LogReader(path) as log:
        statements: list[str] = []
        log.trace(statements.append)
        for _ in history.read(log, NOW):
            pass
        assert not [each for each in statements if "FROM requests WHERE started" in each]
        whole = history.whole
        assert whole is not None
        minute = NOW // MINUTE
        before = whole.sum(0, minute - 60, minute)
        for _ in history.read(log, NOW + 5 * MINUTE):
            pass
        assert whole.sum(0, minute - 60, minute) == before
        assert whole.sum(0, minute, minute + 6) == 0


def test_without_trends_nothing_is_claimed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(files.open_log(path)):
        pass
    assert not looked(path).ready
    assert looked(path).changes == ()


def test_words_hold_at_any_width() -> None:
    change = Change("app.model.prompt", "a · b · c", "ttft", 0.5, 1.6, NOW - MINUTE, 0.7, 1.0)
    long, short = sentence(change, NOW, 200), sentence(change, NOW, 40)
    assert "(500 ms → 1.60 s)" in long
    assert "×3.2" in short
    assert "since" in short
    assert "500 ms" not in short
    assert change.filter == 'app:"a" model:"b" prompt:"c"'
    assert math.isclose(change.as_json()["factor"], 3.2)
    assert Change("version", "step v13", "n", 0, 1, NOW, 1, 1).filter == 'prompt:"step" version:"v13"'
    assert Change("all", "", "n", 0, 1, NOW, 1, 1).as_json()["factor"] is None
