"""Several endpoints or keys for one profile: shared out, ejected, probed back, and seen."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from promptop.batch.input import read_jsonl
from promptop.batch.journal import Journal
from promptop.batch.runner import Batch
from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.http.load_balancer import Balancer, places_of
from promptop.client.request import RunRequest
from promptop.client.result import RunError
from promptop.experiments.comparison import verdicts
from promptop.log import LogReader, StoredRow, Writer
from promptop.settings import Profile
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
TALK = [{"role": "user", "content": "你好"}]
DOWN = "http://127.0.0.1:9/v1"


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def failure(status: int | None = None, kind: str = "connect") -> RunError:
    return RunError(str(status) if status else kind, "it failed", status=status)


def balanced(balance: str = "round-robin", number: int = 3) -> tuple[Balancer, Clock]:
    clock = Clock()
    urls = tuple(f"http://h{each}/v1" for each in range(number))
    return Balancer(Profile(base_url=urls[0], endpoints=urls[1:], balance=balance, eject_s=30.0), clock), clock


def ask_each(balancer: Balancer, times: int, ttft: dict[str, float] | None = None) -> list[str]:
    asked = []
    for _ in range(times):
        place = balancer.choose()
        asked.append(place.label)
        balancer.ended(place, None, ttft_s=(ttft or {}).get(place.label, 0.1))
    return asked


def test_every_endpoint_with_every_key_is_a_place() -> None:
    profile = Profile(base_url="http://a:1/v1", endpoints=("http://b/v1",), api_key_env="K1", api_key_envs=("K2",))
    places = places_of(profile)
    assert [place.label for place in places] == ["a:1 $K1", "a:1 $K2", "b $K1", "b $K2"]
    assert [(place.profile.base_url, place.profile.api_key_env) for place in places][2] == ("http://b/v1", "K1")
    assert not any(place.profile.endpoints or place.profile.api_key_envs for place in places)
    assert [place.label for place in places_of(Profile(base_url="http://u:p@a/v1"))] == ["a"]
    assert [place.label for place in places_of(Profile(base_url="http://a/v1", api_key_envs=("A", "B")))] == [
        *("a $A", "a $B")
    ]


def test_round_robin_takes_turns() -> None:
    balancer, _ = balanced()
    assert ask_each(balancer, 6) == ["h0", "h1", "h2"] * 2


def test_least_latency_measures_each_and_then_prefers_the_nearest() -> None:
    balancer, _ = balanced("least-latency")
    times = {"h0": 0.5, "h1": 0.1, "h2": 0.9}
    asked = Counter(ask_each(balancer, 12, times))
    assert asked == {"h0": 1, "h1": 10, "h2": 1}
    # Under load a queue makes the near place far: with five calls under way it costs 0.6.
    under_way = [balancer.choose().label for _ in range(6)]
    assert Counter(under_way) == {"h1": 5, "h0": 1}


def test_a_place_that_fails_is_left_out_for_a_time_and_then_tried_by_one_call() -> None:
    balancer, clock = balanced()
    place = balancer.choose()
    balancer.ended(place, failure())
    assert place.label == "h0"
    assert (place.failed, place.why) == (1, "it failed")
    assert ask_each(balancer, 4) == ["h1", "h2"] * 2
    clock.now = 30.0
    back = balancer.choose()
    assert back is place  # due: asked first
    assert balancer.choose() is not place  # by one call only
    balancer.ended(back, failure(500))
    assert place.until_s == 90.0  # twice as long
    clock.now = 90.0
    again = balancer.choose()
    balancer.ended(again, None, ttft_s=0.2)
    assert (again is place, place.until_s, place.why, place.ejections) == (True, None, "", 0)


@pytest.mark.parametrize(
    ("error", "until"),
    [
        (failure(500), None),
        (failure(400), None),
        (failure(401), 30.0),
        (failure(429), 30.0),
        (failure(kind="key"), 30.0),
    ],
)
def test_what_one_failure_says_of_a_place(error: RunError, until: float | None) -> None:
    balancer, _ = balanced()
    place = balancer.choose()
    balancer.ended(place, error)
    assert place.until_s == until


def test_three_passing_troubles_in_a_row_and_the_pause_that_a_server_asks_for() -> None:
    balancer, _ = balanced(number=2)
    place = balancer.places[0]
    for _ in range(3):
        balancer.choose([balancer.places[1]])
        balancer.ended(place, failure(503))
    assert place.until_s == 30.0
    other = balancer.choose()
    balancer.ended(other, failure(429), asked_s=7.0)
    assert other.until_s == 7.0
    assert balancer.choose() is other  # all are ejected: the one that is due first
    assert not balancer.left(balancer.places)


def test_a_single_place_is_never_ejected() -> None:
    balancer = Balancer(Profile())
    for _ in range(5):
        balancer.ended(balancer.choose(), failure())
    assert (balancer.several, balancer.places[0].until_s, balancer.places[0].failed) == (False, None, 5)


@pytest.fixture
def second() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0, api_key="sk-good") as running:
        yield running


async def test_calls_go_on_elsewhere_when_an_endpoint_is_down(
    endpoints: Endpoints, endpoint: SimulatedEndpoint, rows: Rows
) -> None:
    profile = Profile(name="fleet", base_url=DOWN, endpoints=(endpoint.base_url,))
    results = [
        await run(RunRequest(profile=profile, model="gpt-4o-mini", messages=TALK, max_tokens=2), endpoints)
        for _ in range(3)
    ]
    assert [result.state for result in results] == ["done"] * 3
    assert [len(result.attempts) for result in results] == [2, 1, 1]  # the second call knows
    assert [attempt.place for attempt in results[0].attempts] == ["127.0.0.1:9", f"127.0.0.1:{endpoint.port}"]
    assert results[0].attempts[0].wait_s == 0.0
    assert results[2].to_json()["place"] == f"127.0.0.1:{endpoint.port}"
    assert [(row.server_port, row.error_type) for row in rows()][:2] == [(9, "connect"), (endpoint.port, None)]
    assert "127.0.0.1:9" in str(rows()[0].tags)
    (said,) = verdicts(["gpt"], [results])
    assert said == f"gpt went to 127.0.0.1:{endpoint.port} 3, 127.0.0.1:9 1 (1 failed)."
    (balancer,) = endpoints.balancers()
    down, up = [place.to_json() for place in balancer.places]
    assert (down["sent"], down["failed"], up["sent"], up["failed"]) == (1, 1, 3, 0)
    assert "Nothing answers" in str(down["ejected"])


async def test_a_key_that_is_refused_or_not_set_leaves_the_others(
    endpoints: Endpoints, second: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAD", "sk-bad")
    monkeypatch.setenv("GOOD", "sk-good")
    profile = Profile(
        name="keys", base_url=second.base_url, api_key_env="BAD", api_key_envs=("NOT_SET_ANYWHERE", "GOOD")
    )
    results = [
        await run(RunRequest(profile=profile, model="gpt-4o-mini", messages=TALK, max_tokens=2), endpoints)
        for _ in range(2)
    ]
    assert [result.state for result in results] == ["done"] * 2
    assert [attempt.error.type if attempt.error else None for attempt in results[0].attempts] == ["401", "key", None]
    assert results[1].place.endswith("$GOOD")
    counts = [(place.sent, place.failed) for balancer in endpoints.balancers() for place in balancer.places]
    assert counts == [(1, 1), (0, 1), (2, 0)]  # without a key nothing was sent
    assert "sk-" not in repr(results[0].to_json())


async def test_a_batch_finds_an_endpoint_whose_version_has_another_name(tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        return web.json_response({"choices": [{"message": {"content": body["model"]}}], "usage": {}})

    app = web.Application()
    app.add_routes([web.post("/api/paas/v4/chat/completions", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    source = tmp_path / "in.jsonl"
    source.write_text('{"prompt": "你好"}')
    items = read_jsonl(source, model="glm-5")
    profile = Profile(base_url=f"http://127.0.0.1:{runner.addresses[0][1]}/api/paas/v4/")
    journal = Journal(tmp_path / "out.jsonl")
    with Writer(tmp_path / "log.db") as writer:
        tally = await Batch(items, profile, journal, transport={"log": writer}).run()
    journal.close()
    await runner.cleanup()
    assert (tally.done, tally.failed) == (1, 0)


async def test_a_batch_shares_out_its_requests_and_speaks_its_profiles_api(
    endpoint: SimulatedEndpoint, tmp_path: Path
) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as other:
        source = tmp_path / "in.jsonl"
        asked = {"max_tokens": 3, "seed": 1}
        lines = [{"body": {**asked, "messages": [{"role": "user", "content": f"问题 {n}"}]}} for n in range(6)]
        source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        items = read_jsonl(source, model="claude-haiku-4-5")
        profile = Profile(name="fleet", base_url=endpoint.root_url, endpoints=(other.root_url, DOWN), api="anthropic")
        journal = Journal(tmp_path / "out.jsonl")
        with Writer(tmp_path / "log.db") as writer:
            before = len(endpoint.requests)
            batch = Batch(items, profile, journal, transport={"log": writer})
            tally = await batch.run()
            assert (tally.done, tally.failed, tally.unpriced) == (6, 0, 0)
            assert tally.spent_usd > 0
            shared = [len(endpoint.requests) - before, len(other.requests)]
            assert sum(shared) == 6 and min(shared) >= 2
            assert {request.path for request in other.requests} == {"/v1/messages"}
            answers = list(journal.results(items))
            assert all(answer is not None and answer["response"]["body"]["type"] == "message" for answer in answers)
        journal.close()
        with LogReader(tmp_path / "log.db") as reader:
            assert {row.server_port for row in reader.latest(50)} == {endpoint.port, other.port, 9}
