from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from promptop.client.call import run
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.result import CallProgress, Delta
from promptop.experiments.comparison import compare, ending
from promptop.log import StoredRow, Writer
from promptop.settings import CacheSettings, Profile
from promptop.simulator import SimulatedEndpoint

Rows = Callable[[], list[StoredRow]]
Ask = Callable[..., RunRequest]


class Slept:
    """Stands for asyncio.sleep: notes how long a retry would have waited."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


async def test_a_call_brings_text_figures_and_a_row(endpoints: Endpoints, ask: Ask, rows: Rows) -> None:
    deltas: list[Delta] = []
    progress = CallProgress()
    result = await run(ask(max_tokens=20, seed=3), endpoints, on_delta=deltas.append, progress=progress)
    assert (result.state, result.error, result.finish_reason) == ("done", None, "length")
    assert result.text == "".join(delta.text for delta in deltas) != ""
    assert result.usage.source == "reported"
    assert result.usage.output_tokens == 20
    assert result.model == "gpt-4o-mini-2024-07-18"
    assert result.cost_usd is not None
    assert result.cost_status == "table"
    assert result.ttfb_s and result.ttft_s and result.duration_s and result.total_s
    assert result.ttfb_s <= result.ttft_s <= result.duration_s <= result.total_s
    assert progress.over
    assert progress.ttft_s == result.ttft_s
    (row,) = rows()
    assert (row.ttft_s, row.total_s, row.cost_usd) == (result.ttft_s, result.total_s, result.cost_usd)
    assert (row.app, row.simulated, row.attempt, row.request_seed) == ("tests", 1, 1, 3)
    shape = result.to_json()
    assert shape["usage"]["output_tokens"] == 20
    assert shape["output_tps"] == result.output_tps


async def test_what_an_endpoint_lists_is_asked_over_its_connection_and_not_logged(
    endpoints: Endpoints, ask: Ask, rows: Rows
) -> None:
    request = ask(max_tokens=3)
    assert "gpt-4o" in await endpoints.models(request.profile)
    assert (await run(request, endpoints)).connection_reused
    assert [row.request_model for row in rows()] == ["gpt-4o-mini"]


async def test_the_second_call_finds_the_connection_open(endpoints: Endpoints, ask: Ask) -> None:
    first = await run(ask(max_tokens=3), endpoints)
    second = await run(ask("gpt-4o", max_tokens=3), endpoints)
    assert (first.connection_reused, second.connection_reused) == (False, True)
    assert second.connect_s is None


async def test_stop_and_reasoning(endpoints: Endpoints, ask: Ask) -> None:
    kinds: list[str] = []
    result = await run(
        ask("sim-fault-reasoning", stop=(" ",)), endpoints, on_delta=lambda delta: kinds.append(delta.kind)
    )
    assert " " not in result.text
    assert result.finish_reason == "stop"
    assert result.reasoning
    assert kinds[0] == "reasoning"
    assert result.ttft_s is not None and result.ttfo_s is not None
    assert result.ttft_s <= result.ttfo_s


async def test_no_authorization_is_sent_without_a_key_and_the_profiles_key_with_one(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-not-a-real-one")
    with_key = Profile(name="k", base_url=endpoint.base_url, api_key_env="SOME_KEY", headers={"x-team": "red"})
    await run(ask(max_tokens=2), endpoints)
    assert "authorization" not in {name.lower() for name in endpoint.requests[-1].headers}
    await run(ask(max_tokens=2, profile=with_key), endpoints)
    headers = {name.lower(): value for name, value in endpoint.requests[-1].headers.items()}
    assert headers["authorization"] == "Bearer sk-not-a-real-one"
    assert headers["x-team"] == "red"


async def test_429_is_tried_again_as_the_server_asks_and_each_attempt_is_a_row(
    endpoints: Endpoints, ask: Ask, rows: Rows
) -> None:
    sleep = Slept()
    result = await run(ask("sim-fault-429;retry_after=7;times=1", max_tokens=3), endpoints, sleep=sleep)
    assert result.state == "done"
    assert len(sleep.waits) == 1
    assert 7 <= sleep.waits[0] <= 7.25
    assert [attempt.error.type if attempt.error else None for attempt in result.attempts] == ["429", None]
    assert [(row.attempt, row.http_response_status_code) for row in rows()] == [(1, 429), (2, 200)]


@pytest.mark.parametrize("fault", ["500", "503", "drop", "502-html"])
async def test_failures_before_the_first_token_are_retried_with_growing_jittered_waits(
    endpoints: Endpoints, ask: Ask, rows: Rows, fault: str
) -> None:
    sleep = Slept()
    result = await run(ask(f"sim-fault-{fault}", retries=2), endpoints, sleep=sleep)
    assert result.state == "failed"
    assert result.error is not None and result.error.remedy
    assert [row.attempt for row in rows()] == [1, 2, 3]
    assert len(sleep.waits) == 2
    if fault != "503":  # that one asks for a time
        assert 0.25 <= sleep.waits[0] <= 0.5 <= sleep.waits[1] <= 1.0


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        ("cut", "incomplete_stream", "broke"),
        ("reset", "incomplete_stream", "broke"),
        ("malformed", "malformed_event", "not JSON"),
    ],
)
async def test_a_broken_stream_keeps_what_came_and_is_never_tried_again(
    endpoints: Endpoints, ask: Ask, rows: Rows, fault: str, kind: str, says: str
) -> None:
    result = await run(ask(f"sim-fault-{fault}"), endpoints, sleep=Slept())
    assert result.state == "failed"
    assert result.text
    assert result.error is not None
    assert (result.error.type, len(result.attempts)) == (kind, 1)
    assert says in result.error.cause
    assert result.usage.source == "estimated"
    assert len(rows()) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "remedy"),
    [
        ("401", "401", "api_key_env"),
        ("403", "403", "model access"),
        ("404", "404", "gpt-4o-mini"),
        ("429;quota=1", "insufficient_quota", "credit"),
        ("error-200", "provider_error", "another model"),
    ],
)
async def test_refusals_are_not_tried_again_and_name_a_remedy(
    endpoints: Endpoints, ask: Ask, fault: str, kind: str, remedy: str
) -> None:
    result = await run(ask(f"sim-fault-{fault}"), endpoints, sleep=Slept())
    assert result.error is not None
    assert (result.error.type, len(result.attempts)) == (kind, 1)
    assert remedy in result.error.remedy
    assert result.usage.input_tokens is None


async def test_a_stream_without_done_that_says_how_it_ended_went_well(endpoints: Endpoints, ask: Ask) -> None:
    result = await run(ask("sim-fault-no-done", max_tokens=5), endpoints)
    assert (result.state, result.finish_reason) == ("done", "length")


async def test_a_refused_field_is_repaired_once_shown_and_remembered(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint, rows: Rows
) -> None:
    model = "sim-fault-400;param=seed"
    first = await run(ask(model, seed=4, max_tokens=3), endpoints, sleep=Slept())
    assert first.state == "done", first.error
    assert any("seed not sent" in change for change in first.changes)
    assert "seed" not in first.request_body
    assert [row.http_response_status_code for row in rows()] == [400, 200]
    second = await run(ask(model, seed=4, max_tokens=3), endpoints, sleep=Slept())
    assert len(second.attempts) == 1
    assert second.changes == first.changes


async def test_cancelling_keeps_what_came_and_leaves_its_row(endpoints: Endpoints, ask: Ask, rows: Rows) -> None:
    progress = CallProgress()
    seen = 0

    def on_delta(_: Delta) -> None:
        nonlocal seen
        seen += 1
        if seen == 5:
            progress.cancel()

    result = await run(ask("sim-fault-endless"), endpoints, on_delta=on_delta, progress=progress)
    assert (result.state, progress.state) == ("cancelled", "cancelled")
    assert result.error is not None and result.error.type == "cancelled"
    assert result.text
    (row,) = rows()
    assert row.error_type == "cancelled"
    assert row.ttft_s == result.ttft_s is not None


async def test_cancelling_before_the_first_token_and_while_waiting_to_retry(
    endpoints: Endpoints, ask: Ask, rows: Rows
) -> None:
    early = CallProgress()
    early.cancel()
    result = await run(ask(), endpoints, progress=early)
    assert (result.state, result.text) == ("cancelled", "")
    assert rows() == []
    waiting = CallProgress()

    async def forever(_: float) -> None:
        waiting.cancel()
        await asyncio.Event().wait()

    result = await run(ask("sim-fault-500"), endpoints, progress=waiting, sleep=forever)
    assert result.state == "cancelled"
    assert [row.attempt for row in rows()] == [1]


async def test_a_cancelled_task_cancels_its_call(endpoints: Endpoints, ask: Ask) -> None:
    progress = CallProgress()
    begun = asyncio.Event()
    task = asyncio.create_task(
        run(ask("sim-fault-endless"), endpoints, progress=progress, on_delta=lambda _: begun.set())
    )
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_address_where_nothing_listens(endpoints: Endpoints, ask: Ask) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        profile = Profile(name="off", base_url=f"http://127.0.0.1:{port}/v1")
        result = await run(ask(profile=profile, retries=0), endpoints)
    assert result.error is not None
    assert result.error.type == "connect"
    assert str(port) in result.error.cause
    assert "running" in result.error.remedy


async def test_a_server_that_sends_nothing_times_out(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint
) -> None:
    profile = Profile(name="slow", base_url=endpoint.base_url, timeout_s=0.2)
    result = await run(ask("sim-fault-hang", profile=profile, retries=0), endpoints)
    assert result.error is not None
    assert result.error.type == "timeout"
    assert "0.2 s" in result.error.cause


async def test_a_key_that_is_missing_names_its_variable(endpoints: Endpoints, ask: Ask, rows: Rows) -> None:
    profile = Profile(name="p", base_url="http://127.0.0.1:9/v1", api_key_env="NO_SUCH_KEY")
    result = await run(ask(profile=profile), endpoints)
    assert result.error is not None
    assert "NO_SUCH_KEY" in result.error.remedy
    assert rows() == []


async def test_keys_do_not_stand_in_messages(
    endpoints: Endpoints, ask: Ask, endpoint: SimulatedEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptop.client.errors import explain

    monkeypatch.setenv("SOME_KEY", "sk-secret-value-1234")
    profile = Profile(name="k", base_url=endpoint.base_url, api_key_env="SOME_KEY")
    await run(ask(max_tokens=1, profile=profile), endpoints)
    said = explain(ValueError("Bearer sk-secret-value-1234 is wrong\x1b]52;"), ask(), endpoints.secrets())
    assert "secret-value" not in said.cause
    assert "\x1b" not in said.cause


async def test_a_request_that_asks_for_it_is_answered_from_the_cache(
    endpoint: SimulatedEndpoint, log: Writer, ask: Ask, rows: Rows
) -> None:
    endpoints = Endpoints(log=log, simulated=True, cache=CacheSettings())
    try:
        before = len(endpoint.requests)
        first = await run(ask(temperature=0.0, max_tokens=8, cache=True), endpoints)
        second = await run(ask(temperature=0.0, max_tokens=8, cache=True), endpoints)
        other = await run(ask(temperature=0.0, max_tokens=8), endpoints)
        sampled = await run(ask(temperature=1.0, max_tokens=8, cache=True), endpoints)
    finally:
        await endpoints.aclose()
    assert len(endpoint.requests) == before + 3
    assert (first.cache_hit, second.cache_hit, other.cache_hit) == ("", "memory", "")
    assert second.text == first.text
    assert second.cost_usd == 0
    assert second.to_json()["cache"] == "memory"
    assert second.to_json()["saved_usd"] == first.cost_usd
    assert "temperature" in sampled.cache_refusal
    assert [row.cache_level for row in rows()] == ["miss", "memory", None, None]
    assert ending(second).endswith("memory hit")
    hit, miss = compare([second, first])
    assert not any(cell.best for cell in (*hit, *miss)), "a hit is not a rival of a model"


async def test_without_cache_settings_a_wish_for_the_cache_is_an_ordinary_call(
    endpoints: Endpoints, ask: Ask, rows: Rows
) -> None:
    for _ in range(2):
        assert (await run(ask(temperature=0.0, max_tokens=4, cache=True), endpoints)).cache_hit == ""
    assert [row.cache_level for row in rows()] == [None, None]
