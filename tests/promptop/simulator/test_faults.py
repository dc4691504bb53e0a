"""Each fault of the simulated endpoint, read from the raw bytes of its answer."""

from __future__ import annotations

import json
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from promptop.simulator import FAULTS, SimulatedEndpoint
from promptop.simulator.server.faults import parse

ASK = [{"role": "user", "content": "解释潮汐 and tides, please"}]
BODY = {"model": "sim-fast", "messages": ASK, "seed": 1, "stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[SimulatedEndpoint]:
    with SimulatedEndpoint.in_thread(speed=0) as running:
        yield running


@pytest.fixture
def http(endpoint: SimulatedEndpoint) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=endpoint.base_url, timeout=5) as made:
        yield made


class Read:
    """A stream read to its end, whatever the end was."""

    def __init__(self, http: httpx2.Client, fault: str, **changes: Any) -> None:
        self.error: Exception | None = None
        self.parts: list[bytes] = []
        headers = {"x-simulate": fault} if fault else {}
        with http.stream("POST", "/chat/completions", json={**BODY, **changes}, headers=headers) as answer:
            self.status = answer.status_code
            try:
                self.parts += answer.iter_raw()
            except httpx2.TransportError as error:
                self.error = error
        self.raw = b"".join(self.parts)

    @property
    def chunks(self) -> list[dict[str, Any]]:
        lines = self.raw.decode().replace("\r\n", "\n").removeprefix("\ufeff").split("\n\n")
        data = ["\n".join(part[6:] for part in line.split("\n") if part.startswith("data: ")) for line in lines]
        return [json.loads(item) for item in data if item and item != "[DONE]"]

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk.get("choices", ())
        )


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ("400-stream_options", 400, "stream_options"),
        ("401", 401, "invalid_api_key"),
        ("403", 403, "permission_error"),
        ("404", 404, "model_not_found"),
        ("429", 429, "rate_limit_exceeded"),
        ("429;quota=1", 429, "insufficient_quota"),
        ("500", 500, "server_error"),
        ("500-text", 500, "Internal Server Error"),
        ("502-html", 502, "<h1>502"),
        ("503", 503, "overloaded"),
        ("529", 529, "Overloaded"),
    ],
)
def test_errors_instead_of_an_answer(http: httpx2.Client, fault: str, status: int, said: str) -> None:
    read = Read(http, fault)
    assert read.status == status
    assert said in read.raw.decode()


def test_retry_after_is_said_twice(http: httpx2.Client) -> None:
    answer = http.post("/chat/completions", json=BODY, headers={"x-simulate": "429;retry_after=2.5"})
    assert (answer.headers["retry-after"], answer.headers["retry-after-ms"]) == ("2.5", "2500")


def test_a_fault_with_times_is_over_after_so_many(http: httpx2.Client) -> None:
    assert [Read(http, "503;times=2;retry_after=0").status for _ in range(3)] == [503, 503, 200]


def test_a_400_names_only_what_was_sent(http: httpx2.Client) -> None:
    fault = "400;param=max_tokens"
    assert Read(http, fault, max_tokens=9).status == 400
    assert Read(http, fault).status == 200


def test_a_model_carries_its_faults_in_its_name(http: httpx2.Client) -> None:
    assert Read(http, "", model="sim-fault-401").status == 401
    both = Read(http, "", model="sim-fault-crlf+no-done")
    assert b"\r\n\r\n" in both.raw
    assert b"[DONE]" not in both.raw
    assert Read(http, "", model="sim-fault-nonsense").status == 400


def test_an_error_under_200(http: httpx2.Client) -> None:
    first = Read(http, "error-200")
    assert (first.status, first.text) == (200, "")
    assert first.chunks[-1]["error"]["code"] == "provider_error"
    later = Read(http, "error-200;after=2")
    assert len([chunk for chunk in later.chunks if "choices" in chunk]) == 3
    assert "error" in later.chunks[-1]
    whole = http.post("/chat/completions", json={**BODY, "stream": False}, headers={"x-simulate": "error-200"})
    assert whole.status_code == 200
    assert "error" in whole.json()


def test_slow_faults_take_their_real_seconds(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    Read(http, "slow;s=0.1")
    late = endpoint.requests[-1]
    assert late.headers_s is not None
    assert (late.first("content") or 0) - late.headers_s >= 0.1
    Read(http, "slow-headers;s=0.1")
    late = endpoint.requests[-1]
    assert (late.headers_s or 0) - late.received_s >= 0.1
    Read(http, "stall;s=0.1;after=2")
    stamps = [sent.at_s for sent in endpoint.requests[-1].events if sent.kind == "content"]
    assert stamps[2] - stamps[1] >= 0.1 > stamps[1] - stamps[0]


@pytest.mark.parametrize("fault", ["hang", "stall;s=60"])
def test_a_client_that_leaves_ends_the_request(endpoint: SimulatedEndpoint, fault: str) -> None:
    with httpx2.Client(base_url=endpoint.base_url, timeout=0.2) as impatient, pytest.raises(httpx2.ReadTimeout):
        impatient.post("/chat/completions", json=BODY, headers={"x-simulate": fault})
    deadline = time.monotonic() + 5
    while not endpoint.requests[-1].how and time.monotonic() < deadline:
        time.sleep(0.005)
    assert endpoint.requests[-1].how == "client gone"


def test_an_endless_stream_goes_on_until_the_client_leaves(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    with http.stream("POST", "/chat/completions", json=BODY, headers={"x-simulate": "endless"}) as answer:
        got = 0
        for part in answer.iter_raw():
            got += len(part)
            if got > 300_000:
                break
    assert got > 300_000


def test_headers_without_end_are_refused_by_the_client(http: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        Read(http, "endless-headers")


@pytest.mark.parametrize(("fault", "how"), [("cut", "cut"), ("cut;after=0", "cut"), ("reset", "reset")])
def test_a_stream_that_breaks_off(endpoint: SimulatedEndpoint, http: httpx2.Client, fault: str, how: str) -> None:
    read = Read(http, fault)
    assert isinstance(read.error, httpx2.RemoteProtocolError if how == "cut" else httpx2.ReadError)
    assert not read.raw.endswith(b"\n\n")
    assert endpoint.requests[-1].how == how
    assert len([sent for sent in endpoint.requests[-1].events if sent.kind == "content"]) == (0 if "=0" in fault else 3)


def test_a_whole_answer_that_breaks_off(http: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        http.post("/chat/completions", json={**BODY, "stream": False}, headers={"x-simulate": "cut"})


def test_a_dropped_request_gets_no_byte(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    with pytest.raises(httpx2.RemoteProtocolError, match="without sending a response"):
        Read(http, "drop")
    assert endpoint.requests[-1].how == "dropped"


def test_only_a_reused_connection_is_dropped(http: httpx2.Client) -> None:
    assert Read(http, "drop-reused").status == 200
    with pytest.raises(httpx2.RemoteProtocolError):
        Read(http, "drop-reused")


def test_an_idle_connection_is_closed(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    for _ in range(2):
        assert Read(http, "close-idle").error is None
        time.sleep(0.05)  # the client's pool notices the FIN when it takes the connection up again
    first, second = endpoint.requests[-2:]
    assert first.connection != second.connection


def test_the_answer_is_the_same_under_every_fault_of_framing(http: httpx2.Client) -> None:
    text = Read(http, "unicode").text
    for fault in ("split", "batch", "crlf", "multi-data", "bom", "comments", "no-done", "usage-every", "azure"):
        assert Read(http, fault).text == text, fault


def test_framing_faults_are_in_the_bytes(http: httpx2.Client) -> None:
    assert all(part.endswith(b"\n\n") for part in Read(http, "").parts)
    assert any(not part.endswith(b"\n") for part in Read(http, "split").parts)
    assert max(part.count(b"\n\n") for part in Read(http, "batch;n=3").parts) >= 3
    assert b"\n\n" not in Read(http, "crlf").raw
    assert Read(http, "bom").raw.startswith(b"\xef\xbb\xbfdata")
    assert b"\n: keep-alive\n" in Read(http, "comments").raw
    assert b"[DONE]" not in Read(http, "no-done").raw
    assert Read(http, "multi-data").raw.count(b"data: ") > 5 * len(Read(http, "").chunks)


def test_writes_end_inside_a_character(http: httpx2.Client) -> None:
    read = Read(http, "split-utf8")
    broken = 0
    for part in read.parts:
        try:
            part.decode()
        except UnicodeDecodeError:
            broken += 1
    assert broken > 2
    assert "潮汐" in read.text


def test_broken_events(http: httpx2.Client) -> None:
    with pytest.raises(json.JSONDecodeError):
        Read(http, "malformed").chunks  # noqa: B018
    with pytest.raises(UnicodeDecodeError):
        Read(http, "bad-utf8").chunks  # noqa: B018
    assert max(len(event) for event in Read(http, "huge;kb=300").raw.split(b"\n\n")) > 300 * 1024


def test_usage_where_it_should_not_be_and_where_it_should(http: httpx2.Client) -> None:
    def usages(fault: str, **changes: Any) -> list[Any]:
        return [chunk.get("usage") for chunk in Read(http, fault, **changes).chunks]

    plain = usages("")
    assert (plain[:-1], bool(plain[-1])) == ([None] * (len(plain) - 1), True)
    assert usages("usage-missing") == [None] * (len(plain) - 1)
    assert usages("usage-unasked", stream_options=None)[-1] == plain[-1]
    every = usages("usage-every")
    counts = [usage["completion_tokens"] for usage in every]
    assert counts == sorted(counts)
    assert every[-1] == plain[-1]
    last = Read(http, "usage-on-last").chunks[-1]
    assert last["usage"] == plain[-1]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert '"usage":null' in Read(http, "usage-null").raw.decode()
    assert usages("cost")[-1]["cost"] > 0
    timed = Read(http, "timings").chunks[-1]
    assert {"timings", "x_groq"} <= timed.keys()


def test_oddities_of_content(http: httpx2.Client) -> None:
    def deltas(fault: str) -> list[dict[str, Any]]:
        return [chunk["choices"][0]["delta"] for chunk in Read(http, fault).chunks if chunk["choices"]]

    def finish(fault: str) -> str:
        return [chunk for chunk in Read(http, fault).chunks if chunk["choices"]][-1]["choices"][0]["finish_reason"]

    assert deltas("null-content")[0] == {"role": "assistant", "content": None}
    assert deltas("")[0] == {"role": "assistant", "content": ""}
    assert "reasoning_content" in deltas("reasoning")[1]
    assert "reasoning" in deltas("reasoning-field")[1]
    assert "refusal" in deltas("refusal")[1]
    assert (Read(http, "empty").text, finish("empty")) == ("", "stop")
    assert (finish("length"), finish("filter")) == ("length", "content_filter")
    assert "\x1b]52;" in Read(http, "controls").text
    assert Read(http, "other-model").chunks[0]["model"] == "sim-elsewhere"
    assert Read(http, "azure").chunks[0]["choices"] == []


@pytest.mark.parametrize(("fault", "window"), [("gzip", 31), ("deflate", 15)])
def test_a_compressed_stream_can_be_read_as_it_comes(http: httpx2.Client, fault: str, window: int) -> None:
    unpack = zlib.decompressobj(window)
    read = Read(http, fault)
    events = [unpack.decompress(part) for part in read.parts]
    assert sum(event.endswith(b"\n\n") for event in events) > 10
    assert b"".join(events).endswith(b"[DONE]\n\n")


def test_a_bomb_is_small_on_the_wire(http: httpx2.Client) -> None:
    with http.stream("POST", "/chat/completions", json=BODY, headers={"x-simulate": "bomb;mb=8"}) as answer:
        assert len(b"".join(answer.iter_raw())) < 20_000


def test_the_other_dialects_have_their_own_errors(endpoint: SimulatedEndpoint, http: httpx2.Client) -> None:
    said = {"model": "claude-haiku-4-5", "max_tokens": 40, "messages": ASK, "stream": True}
    error = http.post("/messages", json=said, headers={"x-simulate": "error-200;after=2"}).text
    assert '"type":"overloaded_error"' in error
    assert error.rstrip().split("\n")[-2] == "event: error"
    refused = http.post("/messages", json=said, headers={"x-simulate": "429"})
    assert refused.json()["error"]["type"] == "rate_limit_error"
    with openai.OpenAI(base_url=endpoint.base_url, api_key="sk-none", max_retries=0) as client:
        asked = {"model": "gpt-4o", "input": "tides", "extra_headers": {"x-simulate": "error-200;after=1"}}
        last = list(client.responses.create(**asked, stream=True))[-1]
    assert (last.type, last.code) == ("error", "provider_error")


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_named(name: str) -> None:
    assert name in parse(name, "")
    assert name in parse("", f"sim-fault-{name}")


@pytest.mark.parametrize("bad", ["nope", "429;retry_after", "429;retry_after=soon", "cut,,;x=1"])
def test_a_fault_that_cannot_be_meant_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        parse(bad, "")


def test_the_documentation_lists_every_fault() -> None:
    page = (Path(__file__).parents[3] / "docs" / "demo.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w-]+)` \| (.+) \|$", page, re.MULTILINE))
    assert {name: listed.get(name) for name in FAULTS} == dict(FAULTS)
