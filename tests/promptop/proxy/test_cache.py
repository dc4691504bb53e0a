"""The response cache in the proxy: SDKs, accounts, streams, and calls at the same time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from promptop.cache import Cache
from promptop.capture.faults import faults
from promptop.cli import main as cli
from promptop.proxy.cache import account_of
from promptop.settings import CacheSettings
from promptop.simulator import SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Tell me 你好 in two sentences, please."}],
    "temperature": 0,
    "max_tokens": 20,
}
MEMORY = CacheSettings(disk=False)


@pytest.fixture
def alone() -> Iterator[SimulatedEndpoint]:
    """An endpoint of this test's own: its requests are counted."""
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        yield endpoint


def client(served: Any, key: str = "sk-one") -> openai.OpenAI:
    return openai.OpenAI(base_url=served.base_url, api_key=key, max_retries=0)


def streamed(sdk: openai.OpenAI, **more: Any) -> tuple[str, list[Any]]:
    chunks = list(sdk.chat.completions.create(**{**ASK, **more}, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    return text, [chunk.usage for chunk in chunks]


def test_hits_are_streams_without_a_cost_and_with_the_saving_of_their_entry(
    alone: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    with client(served) as sdk:
        first, second = streamed(sdk), streamed(sdk)
        asked = streamed(sdk, stream_options={"include_usage": True})
        whole = [sdk.chat.completions.create(**ASK).choices[0].message.content for _ in range(2)]
    assert first == second
    assert set(first[1]) == {None}, "the usage that the proxy asked for stays its own, in a hit too"
    assert asked[0] == first[0]
    assert asked[1][-1] is not None
    assert whole[0] == whole[1]
    rows = served.rows(5)
    assert [row.cache_level for row in rows] == ["miss", "memory", "memory", "miss", "memory"]
    assert len(alone.requests) == 2
    miss, hit = rows[:2]
    assert (hit.cost_usd, hit.saved_usd, hit.cache_key) == (0.0, miss.cost_usd, miss.cache_key)
    assert hit.usage_output_tokens == miss.usage_output_tokens
    assert hit.chunks == miss.chunks
    assert served.figure("promptop_proxy_cache_total", level="memory") == 3
    assert served.figure("promptop_proxy_cache_total", level="miss") == 2
    assert served.figure("promptop_saved_usd_total") == pytest.approx(sum(row.saved_usd or 0 for row in rows))


def test_the_bytes_of_a_hit_are_those_that_were_fetched(alone: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    for stream in (True, False):
        answers = [
            httpx2.post(f"{served.base_url}/chat/completions", json={**ASK, "stream": stream}, headers=headers)
            for headers in ({}, {}, {"Cache-Control": "no-cache"})
        ]
        assert answers[0].content == answers[1].content
        assert [answer.headers.get("x-promptop-cache") for answer in answers] == [None, "memory", None]
        assert answers[1].headers["content-type"] == answers[0].headers["content-type"]
    assert len(alone.requests) == 4


def test_accounts_do_not_see_each_others_answers(alone: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    for key in ("sk-one", "sk-two", "sk-one", "sk-two"):
        with client(served, key) as sdk:
            streamed(sdk)
    assert len(alone.requests) == 2
    rows = served.rows(4)
    assert [row.cache_level for row in rows] == ["miss", "miss", "memory", "memory"]
    assert rows[0].cache_key != rows[1].cache_key
    assert rows[0].cache_words_key != rows[1].cache_words_key
    assert rows[0].cache_words_key
    assert rows[2].cache_words_key is None  # a hit


def test_what_names_one_request_is_no_account() -> None:
    base = [("Authorization", "Bearer a"), ("x-stainless-retry-count", "0"), ("Idempotency-Key", "1")]
    again = [("x-stainless-retry-count", "1"), ("Idempotency-Key", "2"), ("authorization", "Bearer a")]
    assert account_of(base, "") == account_of(again, "")
    others = [("Authorization", "Bearer b")], [*base, ("OpenAI-Organization", "o")], [("x-api-key", "a")]
    assert len({account_of(each, "") for each in (base, *others)} | {account_of(base, "api-version=2")}) == 5


def test_a_hundred_calls_at_once_make_one(alone: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    with client(served) as sdk, ThreadPoolExecutor(20) as pool:
        texts = set(pool.map(lambda _: streamed(sdk)[0], range(100)))
    assert len(alone.requests) == 1
    assert len(texts) == 1
    assert sorted(row.cache_level or "" for row in served.rows(100)) == ["memory"] * 99 + ["miss"]


def test_failures_and_cut_streams_are_not_kept(alone: SimulatedEndpoint, serve: Callable[..., Any]) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    url = f"{served.base_url}/chat/completions"
    for seed, fault in enumerate(("500", "cut", "error-200")):
        with (
            httpx2.Client() as http,
            http.stream(
                "POST", url, json={**ASK, "stream": True, "seed": seed}, headers={"x-simulate": fault}
            ) as answer,
        ):
            try:
                for _ in answer.iter_raw():
                    pass
            except httpx2.RemoteProtocolError:
                assert fault == "cut"
        good = httpx2.post(url, json={**ASK, "stream": True, "seed": seed})
        assert good.status_code == 200
        assert good.content.rstrip().endswith(b"[DONE]")
        assert "x-promptop-cache" not in good.headers
    assert len(alone.requests) == 6


def test_a_client_that_leaves_does_not_keep_the_others_waiting(
    alone: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    body = {**ASK, "stream": True}
    with (
        httpx2.Client() as http,
        http.stream(
            "POST", f"{served.base_url}/chat/completions", json=body, headers={"x-simulate": "stall;s=60"}
        ) as answer,
    ):
        next(answer.iter_raw())
        with ThreadPoolExecutor(1) as pool:
            other = pool.submit(httpx2.post, f"{served.base_url}/chat/completions", json=body)
            answer.close()
            assert other.result(20).content.rstrip().endswith(b"[DONE]")
    assert sorted(row.cache_level or "" for row in served.rows(2)) == ["miss", "miss"]


def test_it_is_off_unless_asked_for_and_sampled_answers_pass(
    alone: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    plain, cached = serve(alone.base_url), serve(alone.base_url, cache=MEMORY)
    for served, more in ((plain, {}), (cached, {"temperature": 0.7})):
        with client(served) as sdk:
            for _ in range(2):
                streamed(sdk, **more)
        assert [row.cache_level for row in served.rows(2)] == [None, None]
    assert len(alone.requests) == 4


def test_the_disk_level_outlives_the_proxy_and_other_apis_are_cached_too(
    alone: SimulatedEndpoint, serve: Callable[..., Any], tmp_path: Path
) -> None:
    served = serve(alone.base_url, cache=CacheSettings(memory_mb=0))
    with (
        client(served) as sdk,
        anthropic.Anthropic(base_url=served.url, api_key="k", max_retries=0) as claude,
    ):
        vectors = [sdk.embeddings.create(model="sim-embed", input=["a"]).data[0].embedding for _ in range(2)]
        answers = [sdk.responses.create(model="gpt-4o-mini", input="hi", temperature=0).output_text for _ in range(2)]
        said = [
            claude.messages.create(
                model="sim-smart",
                max_tokens=9,
                extra_body={"temperature": 0},
                messages=[{"role": "user", "content": "x"}],
            )
            .content[0]
            .text
            for _ in range(2)
        ]
    assert vectors[0] == vectors[1]
    assert answers[0] == answers[1]
    assert said[0] == said[1]
    assert [row.cache_level for row in served.rows(6)] == ["miss", "disk"] * 3
    kept = served.log.with_name("cache.db")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert b"sk-one" not in kept.read_bytes()


def test_a_failing_cache_leaves_a_proxy_without_one(
    alone: SimulatedEndpoint, serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = serve(alone.base_url, cache=MEMORY)

    def broken(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Cache, "_look", broken)
    before = faults().count
    with client(served) as sdk:
        assert streamed(sdk)[0]
    assert faults().count == before + 1


def test_a_cache_that_cannot_be_opened_is_said_before_anything_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_VARIABLE", raising=False)
    config = tmp_path / "c.toml"
    config.write_text('[cache]\nredis_env = "NO_SUCH_VARIABLE"\n')
    line = ["proxy", "--upstream", "http://127.0.0.1:1/v1", "--listen", "127.0.0.1:0", "--config", str(config)]
    assert cli.main([*line, "--cache"]) == 1
    assert "$NO_SUCH_VARIABLE" in capsys.readouterr().err


def test_another_wording_is_answered_with_vectors_of_the_client_s_own_account(
    alone: SimulatedEndpoint, serve: Callable[..., Any]
) -> None:
    served = serve(alone.base_url, cache=CacheSettings(disk=False, semantic="endpoint", semantic_threshold=0.7))
    asked = ("How can I reset my password?", "How do I reset my password?", "How do I delete my password?")
    texts = []
    for text in asked:
        with client(served) as sdk:
            texts.append(streamed(sdk, messages=[{"role": "user", "content": text}])[0])
    with client(served, "sk-two") as sdk:
        streamed(sdk, messages=[{"role": "user", "content": asked[1]}])
    assert texts[0] == texts[1] != texts[2]
    rows = served.rows(8)
    chats = [row for row in rows if row.operation_name == "chat"]
    made = [row for row in rows if row.operation_name == "embeddings"]
    assert [row.cache_level for row in chats] == ["miss", "semantic", "miss", "miss"], "accounts stay apart"
    assert chats[1].cache_match == chats[0].cache_key
    assert len(made) == 4
    assert all(row.cost_usd and "semantic cache" in (row.tags or "") for row in made)
    keys = {request.headers["authorization"] for request in alone.requests if request.path.endswith("/embeddings")}
    assert keys == {"Bearer sk-one", "Bearer sk-two"}


def test_calls_that_are_not_kept_are_said_once(
    alone: SimulatedEndpoint, serve: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    served = serve(alone.base_url, cache=MEMORY)
    with client(served) as sdk:
        for _ in range(3):
            sdk.chat.completions.create(**{**ASK, "temperature": 1})
    assert len(alone.requests) == 3
    assert capfd.readouterr().err.count("any_temperature = true") == 1
    assert served.figure("promptop_proxy_cache_total", level="refused") == 3
