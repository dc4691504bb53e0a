"""The response cache through real SDKs over real sockets: what hits, what does not, and what the row says."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

import promptop
from promptop.cache import Cache, DiskLevel, MemoryLevel, Policy, ProcessMemory, Semantic
from promptop.capture.annotations import annotate
from promptop.capture.caching.transport import HEADER
from promptop.log import LogReader, Row, Writer
from promptop.simulator import SimulatedEndpoint

ASK: dict[str, Any] = {
    "model": "gpt-4o-mini",
    "messages": [{"role": "user", "content": "Name three rivers of China. 请用中文回答"}],
    "temperature": 0,
    "max_tokens": 60,
}


@pytest.fixture
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer(tmp_path / "log.db")
    yield made
    made.close()


def rows(writer: Writer) -> list[Row]:
    assert writer.flush(10)
    with LogReader(writer.path) as reader:
        return list(reversed(reader.latest(1000)))


def chats(endpoint: SimulatedEndpoint) -> int:
    return sum(request.path.endswith("/chat/completions") for request in endpoint.requests)


def client(endpoint: SimulatedEndpoint, writer: Writer, cache: Cache, **options: Any) -> openai.OpenAI:
    plain = openai.OpenAI(api_key="k", base_url=endpoint.base_url, max_retries=0)
    return promptop.observe(plain, log=writer, cache=cache, **options)


def stream_text(sdk: openai.OpenAI, **ask: Any) -> str:
    chunks = sdk.chat.completions.create(stream=True, **{**ASK, **ask})
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_a_miss_tells_what_differs_in_white_space_alone(endpoint: SimulatedEndpoint, writer: Writer) -> None:
    with client(endpoint, writer, Cache([MemoryLevel()])) as sdk:
        for text in ("写一首诗,  quickly", "写一首诗, quickly", "写一首诗, slowly"):
            sdk.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": text}]})
    one, two, other = rows(writer)
    assert one.cache_key != two.cache_key
    assert one.cache_words_key == two.cache_words_key != other.cache_words_key
    assert one.cache_words_key
    policy = Policy(normalize_whitespace=True)
    with client(endpoint, writer, Cache([MemoryLevel()]), cache_policy=policy) as sdk:
        sdk.chat.completions.create(**ASK)
    assert rows(writer)[-1].cache_words_key is None  # the key itself does not regard it


def test_a_repeat_is_answered_without_the_server_costs_nothing_and_carries_its_saving(
    endpoint: SimulatedEndpoint, writer: Writer
) -> None:
    with client(endpoint, writer, Cache([MemoryLevel()])) as sdk:
        first = sdk.chat.completions.create(**ASK)
        again = sdk.chat.completions.with_raw_response.create(**ASK)
    assert chats(endpoint) == 1
    assert again.parse() == first
    assert again.headers[HEADER] == "memory"
    fetched, hit = rows(writer)
    assert (fetched.cache_level, hit.cache_level) == ("miss", "memory")
    assert fetched.cache_key == hit.cache_key
    assert fetched.cost_usd
    assert hit.cost_usd == 0
    assert hit.saved_usd == pytest.approx(fetched.cost_usd)
    assert hit.usage_output_tokens == fetched.usage_output_tokens


def test_a_streamed_hit_is_a_stream_with_the_same_bytes(endpoint: SimulatedEndpoint, writer: Writer) -> None:
    cache = Cache([MemoryLevel()])
    transport = promptop.transport(httpx2.HTTPTransport(), log=writer, cache=cache)
    bodies = []
    with httpx2.Client(transport=transport) as http:
        for _ in range(2):
            url = f"{endpoint.base_url}/chat/completions"
            with http.stream("POST", url, json={**ASK, "stream": True}) as response:
                parts = list(response.iter_raw())
            bodies.append((b"".join(parts), len(parts)))
    assert chats(endpoint) == 1
    assert bodies[0][0] == bodies[1][0]
    assert bodies[1][1] > 3, "given in the parts that it came in, not as one block"
    assert b"usage" not in bodies[1][0].split(b"finish_reason")[-1], "the usage that we asked for is hidden again"
    fetched, hit = rows(writer)
    assert hit.cache_level == "memory"
    assert hit.saved_usd == pytest.approx(fetched.cost_usd)
    assert hit.ttft_s is not None


def test_the_recorded_pace_is_kept_where_it_is_asked_for(writer: Writer) -> None:
    with SimulatedEndpoint.in_thread(speed=1.0) as endpoint:
        cache = Cache([MemoryLevel()])
        with client(endpoint, writer, cache, cache_pace="recorded") as sdk:
            texts = [stream_text(sdk), stream_text(sdk)]
        with client(endpoint, writer, cache) as sdk:
            texts.append(stream_text(sdk))
    assert len(set(texts)) == 1
    fetched, paced, instant = rows(writer)
    assert fetched.duration_s is not None
    assert paced.duration_s is not None
    assert instant.duration_s is not None
    assert paced.duration_s >= fetched.duration_s * 0.9
    assert instant.duration_s < fetched.duration_s / 2


@pytest.mark.parametrize(
    "ask",
    [{"temperature": 0.5}, {"n": 2}, {"tools": [{"type": "function", "function": {"name": "f"}}]}],
    ids=["sampled", "n", "tools"],
)
def test_what_must_not_be_kept_goes_to_the_server_each_time(
    endpoint: SimulatedEndpoint, writer: Writer, ask: dict[str, Any]
) -> None:
    with client(endpoint, writer, Cache([MemoryLevel()])) as sdk:
        for _ in range(2):
            sdk.chat.completions.create(**{**ASK, **ask})
    assert chats(endpoint) == 2
    assert [row.cache_level for row in rows(writer)] == [None, None]


def test_answers_are_forgotten_by_the_tags_of_client_and_note(endpoint: SimulatedEndpoint, writer: Writer) -> None:
    cache = Cache([MemoryLevel()])
    with client(endpoint, writer, cache, tags={"team": "web"}) as sdk:
        with annotate(tags={"job": 7}):
            sdk.chat.completions.create(**asks("one"))
        sdk.chat.completions.create(**asks("two"))
    assert cache.remove(tag="job:7") == 1
    assert cache.remove(tag="team:other") == 0
    assert cache.remove(tag="team:web") == 1


def test_sampled_answers_are_kept_where_it_is_asked_for(endpoint: SimulatedEndpoint, writer: Writer) -> None:
    cache = Cache([MemoryLevel()])
    with client(endpoint, writer, cache, cache_policy=Policy(any_temperature=True)) as sdk:
        texts = {stream_text(sdk, temperature=1) for _ in range(3)}
    assert chats(endpoint) == 1
    assert len(texts) == 1


@pytest.mark.parametrize("fault", ["401", "500", "cut", "malformed", "error-200"])
def test_a_failed_or_broken_answer_is_never_kept(endpoint: SimulatedEndpoint, writer: Writer, fault: str) -> None:
    cache = Cache([MemoryLevel()])
    with client(endpoint, writer, cache) as sdk:
        for _ in range(2):
            try:
                for _ in sdk.chat.completions.create(stream=True, extra_headers={"x-simulate": fault}, **ASK):
                    pass
            except (openai.OpenAIError, ValueError, httpx2.HTTPError):
                pass
    assert chats(endpoint) == 2
    assert cache.stats()[0].total == 0
    assert [row.cache_level for row in rows(writer)] == ["miss", "miss"]


def test_a_stream_that_was_closed_early_is_not_kept_and_does_not_hold_up_the_next(
    endpoint: SimulatedEndpoint, writer: Writer
) -> None:
    cache = Cache([MemoryLevel()])
    with client(endpoint, writer, cache) as sdk:
        stream = sdk.chat.completions.create(stream=True, **ASK)
        next(iter(stream))
        stream.close()
        assert cache.stats()[0].total == 0
        stream_text(sdk)
    assert chats(endpoint) == 2
    assert cache.stats()[0].total == 1


def test_a_hundred_identical_requests_in_flight_make_one_upstream_call(writer: Writer) -> None:
    with SimulatedEndpoint.in_thread(speed=0.2) as endpoint, client(endpoint, writer, Cache([MemoryLevel()])) as sdk:
        ready = threading.Barrier(100)

        def ask() -> str:
            ready.wait(30)
            return stream_text(sdk)

        with ThreadPoolExecutor(100) as pool:
            texts = {future.result(60) for future in [pool.submit(ask) for _ in range(100)]}
        assert chats(endpoint) == 1
    assert len(texts) == 1
    levels = [row.cache_level for row in rows(writer)]
    assert sorted(set(levels), key=str) == ["memory", "miss"]
    assert levels.count("miss") == 1


async def test_tasks_at_once_make_one_call_and_the_next_process_finds_it_on_disk(
    endpoint: SimulatedEndpoint, writer: Writer, tmp_path: Path
) -> None:
    async def ask(cache: Cache, times: int) -> set[str]:
        plain = openai.AsyncOpenAI(api_key="k", base_url=endpoint.base_url, max_retries=0)
        async with promptop.observe(plain, log=writer, cache=cache) as sdk:
            answers = await asyncio.gather(*(sdk.chat.completions.create(**ASK) for _ in range(times)))
        return {answer.choices[0].message.content or "" for answer in answers}

    first = Cache([MemoryLevel(), DiskLevel(tmp_path / "cache.db")])
    texts = await ask(first, 50)
    first.close()
    second = Cache([MemoryLevel(), DiskLevel(tmp_path / "cache.db")])
    assert await ask(second, 1) == texts
    second.close()
    assert chats(endpoint) == 1
    assert rows(writer)[-1].cache_level == "disk"


def test_the_cache_loads_only_the_standard_library_until_redis_is_used() -> None:
    import subprocess
    import sys

    code = (
        "import promptop.capture.caching.transport, sys;"
        "print([m for m in ('redis', 'openai', 'aiohttp') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


SAME = ("How can I reset my password?", "How do I reset my password?", "How do I delete my password?")


def asks(text: str) -> dict[str, Any]:
    return {**ASK, "messages": [{"role": "user", "content": text}]}


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_another_wording_is_answered_with_vectors_of_the_request_s_own_endpoint(
    writer: Writer, asynchronous: bool
) -> None:
    with SimulatedEndpoint.in_thread(speed=0, api_key="k") as endpoint:
        semantic = Semantic(ProcessMemory(), threshold=0.7, model="text-embedding-3-small")
        cache = Cache([MemoryLevel()], semantic=semantic)
        options: dict[str, Any] = {"api_key": "k", "base_url": endpoint.base_url, "max_retries": 0}
        if asynchronous:
            async with promptop.observe(openai.AsyncOpenAI(**options), log=writer, cache=cache) as sdk:
                with annotate(prompt_name="p") as note:
                    answers = [await sdk.chat.completions.with_raw_response.create(**asks(text)) for text in SAME]
        else:
            with (
                promptop.observe(openai.OpenAI(**options), log=writer, cache=cache) as plain,
                annotate(prompt_name="p") as note,
            ):
                answers = [plain.chat.completions.with_raw_response.create(**asks(text)) for text in SAME]
        assert chats(endpoint) == 2
    assert answers[0].content == answers[1].content != answers[2].content
    assert [answer.headers.get(HEADER) for answer in answers] == [None, "semantic", None]
    assert 0.7 < float(answers[1].headers["x-promptop-cache-score"]) < 1
    every = rows(writer)
    made = [row for row in every if row.operation_name == "embeddings"]
    fetched, hit, other = (row for row in every if row.operation_name == "chat")
    assert len(made) == 3
    assert all(row.cost_usd and row.tags and "semantic cache" in row.tags for row in made), "paid for, and shown"
    assert (hit.cache_level, hit.cost_usd, hit.cache_match) == ("semantic", 0, fetched.cache_key)
    assert hit.saved_usd == pytest.approx(fetched.cost_usd)
    assert hit.cache_score is not None
    assert 0.7 < hit.cache_score < 1
    assert hit.cache_key != fetched.cache_key
    assert other.cache_level == "miss"
    assert len(note.rows) == 3, "the caller's note has the caller's calls"


def test_an_endpoint_without_embeddings_costs_nothing_but_the_level(writer: Writer) -> None:
    notices: list[str] = []
    with SimulatedEndpoint.in_thread(speed=0) as endpoint:
        semantic = Semantic(ProcessMemory(), threshold=0.7, model="gpt-4o-mini", notice=notices.append)
        cache = Cache([MemoryLevel()], semantic=semantic)
        with client(endpoint, writer, cache) as sdk:
            for number in range(6):
                assert sdk.chat.completions.create(**asks(f"question {number}")).choices
        tries = sum(request.path.endswith("/embeddings") for request in endpoint.requests)
    assert tries == 3, "then it is left alone"
    assert len(notices) == 1
    assert "answered 400" in notices[0]
