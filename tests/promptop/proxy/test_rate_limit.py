"""The limiter in the proxy: places and rates are kept, waiting is logged apart from latency, hits wait for nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import httpx2
import pytest

from promptop.cli import main as cli
from promptop.limits.limiter import RateLimits as Rates
from promptop.settings import CacheSettings
from promptop.simulator import SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "sim-fast",
    "messages": [{"role": "user", "content": "Say something."}],
    "temperature": 0,
    "max_tokens": 5,
}


@pytest.fixture
def slow() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0.3) as endpoint:
        yield endpoint


def most_at_once(endpoint: SimulatedEndpoint) -> int:
    moments = [(r.received_s, 1) for r in endpoint.requests] + [(r.finished_s or 0.0, -1) for r in endpoint.requests]
    running = most = 0
    for _, change in sorted(moments):
        running += change
        most = max(most, running)
    return most


def ask(served: Any, number: int, stream: bool) -> int:
    body = {**ASK, "user": str(number), "messages": [{"role": "user", "content": f"q{number}"}], "stream": stream}
    return httpx2.post(f"{served.base_url}/chat/completions", json=body, timeout=60).status_code


@pytest.mark.parametrize("stream", [False, True])
def test_places_are_kept_and_the_wait_is_no_latency(
    slow: SimulatedEndpoint, serve: Callable[..., Any], stream: bool
) -> None:
    served = serve(slow.base_url, rates=Rates(2, None, None))
    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(lambda n: ask(served, n, stream), range(10))) == {200}
    assert most_at_once(slow) <= 2
    rows = served.rows(10)
    waited = sorted(row.queue_s or 0.0 for row in rows)
    assert waited[0] < 0.2
    assert waited[-1] > median(row.total_s or 0.0 for row in rows), "the last waited for others"
    assert served.figure("promptop_proxy_waited_seconds_total") == pytest.approx(sum(waited), rel=0.05)
    assert served.figure("promptop_proxy_calls_queued") == 0


def test_requests_a_minute_hold_back_and_hits_of_the_cache_do_not_wait(
    slow: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(slow.base_url, rates=Rates(None, 2, None), cache=CacheSettings(disk=False))
    assert [ask(served, n, False) for n in (1, 2)] == [200, 200]
    assert ask(served, 1, False) == 200, "from the cache, at once"
    with pytest.raises(httpx2.ReadTimeout):
        httpx2.post(f"{served.base_url}/chat/completions", json={**ASK, "user": "3"}, timeout=0.3)
    assert len(slow.requests) == 2, "the third waits for the window, and its client has left"
    other = {**ASK, "model": "gpt-4o-mini"}
    assert httpx2.post(f"{served.base_url}/chat/completions", json=other, timeout=60).status_code == 200
    rows = served.rows(5)
    left = next(row for row in rows if row.error_type == "cancelled")
    assert left.queue_s is not None
    assert left.queue_s > 0.2
    levels = [row.cache_level for row in rows]
    assert levels.count("memory") == 1


def test_the_server_s_word_is_obeyed(serve: Callable[..., Any]) -> None:
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        served = serve(endpoint.base_url, rates=Rates(None, 1000, None))
        url = f"{served.base_url}/chat/completions"
        # One client for both: a new one reads its certificates first, for longer than the server asks to wait.
        with httpx2.Client(verify=False, timeout=60) as client:
            refused = client.post(url, json=ASK, headers={"x-simulate": "429;retry_after=0.4"})
            assert refused.status_code == 429
            assert client.post(url, json=ASK).status_code == 200
        first, second = served.rows(2)
    assert (first.queue_s or 0) < 0.1
    assert (second.queue_s or 0) > 0.2


def test_vectors_for_the_cache_keep_the_limits_of_their_model(serve: Callable[..., Any]) -> None:
    cache = CacheSettings(disk=False, semantic="endpoint")
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        served = serve(endpoint.base_url, rates=Rates(2, 100, None), cache=cache)
        assert {ask(served, n, False) for n in range(3)} == {200}
        rows = served.rows(6)
    made = [row for row in rows if row.operation_name == "embeddings"]
    assert len(made) == 3
    assert all(row.queue_s is not None for row in made)


@pytest.mark.parametrize("option", [["--rpm", "0"], ["--rpm", "5", "--workers", "2"]])
def test_limits_that_cannot_be_meant_are_refused(
    option: list[str], private_folders: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["proxy", "--upstream", "http://127.0.0.1:1/v1", "--listen", "0", *option]) == 2
    assert capsys.readouterr().err
