"""The receiver over a real socket: the SDK's exporters, agents' events, retries, bounds and what is refused."""

from __future__ import annotations

import gzip
import http.client
import json
import random
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode

from promptop.fleet.otlp.receiver import Receiver, receiving
from promptop.log import LogReader

T0 = 1_790_000_000_000_000_000
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
    "gen_ai.usage.cache_read.input_tokens": 64,
    "gen_ai.usage.reasoning.output_tokens": 8,
    "gen_ai.response.time_to_first_chunk": 0.2,
    "gen_ai.request.stream": True,
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"content": "the secret plan"}]}]',
    "gen_ai.prompt.name": "greeting",
    "gen_ai.prompt.version": "3",
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


@pytest.fixture
def receiver(log: Path) -> Iterator[tuple[Receiver, int]]:
    made = Receiver(log, admit=lambda host, origin: "no" if origin else "")
    with receiving(made) as port:
        yield made, port


def post(
    port: int, path: str, body: bytes, kind: str = "application/json", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", path, body, {"Content-Type": kind, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


def value(given: Any) -> dict[str, Any]:
    if isinstance(given, bool):
        return {"boolValue": given}
    if isinstance(given, int):
        return {"intValue": str(given)}
    if isinstance(given, float):
        return {"doubleValue": given}
    if isinstance(given, list):
        return {"arrayValue": {"values": [value(item) for item in given]}}
    return {"stringValue": given}


def pairs(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(each)} for key, each in given.items()]


def span(number: int, parent: int = 0, *, kind: int = 3, attributes: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "traceId": "ab" * 16,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "kind": kind,
        "name": "chat",
        "startTimeUnixNano": str(T0 + number * 1_000_000),
        "endTimeUnixNano": str(T0 + 2_000_000_000),
        "attributes": pairs(CHAT if attributes is None else attributes),
    }


def traces(*spans: dict[str, Any], service: str = "shop") -> bytes:
    resource = {"attributes": pairs({"service.name": service, "host.name": "box", "process.pid": 7})}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]}).encode()


def logs(service: str, *records: tuple[str, dict[str, Any]]) -> bytes:
    made = [
        {
            "timeUnixNano": str(T0 + 10**9 * (1 + at)),
            "body": {"stringValue": name},
            "attributes": pairs({"event.name": name.rpartition(".")[2], "event.sequence": at, **given}),
        }
        for at, (name, given) in enumerate(records)
    ]
    resource = {"attributes": pairs({"service.name": service})}
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": made}]}]}).encode()


def rows(log: Path) -> list[Any]:
    with LogReader(log) as reader:
        return sorted(reader.latest(1000), key=lambda row: row.id)


def test_spans_of_the_sdks_exporter_become_rows_once(receiver: tuple[Receiver, int], log: Path) -> None:
    kept = InMemorySpanExporter()
    resource = Resource({"service.name": "shop", "service.instance.id": "one", "host.name": "box"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    tracer = provider.get_tracer("t")
    tracer.start_span("chat gpt-4o", kind=SpanKind.CLIENT, attributes=CHAT, start_time=T0).end(T0 + 1_500_000_000)
    failed = tracer.start_span(
        "chat gpt-4o",
        kind=SpanKind.CLIENT,
        start_time=T0,
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "gpt-4o",
            "error.type": "openai.RateLimitError",
        },
    )
    failed.set_status(Status(StatusCode.ERROR, "slow down, key sk-abcdefghijklmnop123456"))
    failed.end(T0 + 10_000_000)
    tracer.start_span("GET /", kind=SpanKind.CLIENT).end()
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{receiver[1]}/v1/traces")
    for _ in range(2):
        assert exporter.export(kept.get_finished_spans()).name == "SUCCESS"
    exporter.shutdown()

    first, second = rows(log)
    assert (first.started_ms, first.total_s, first.duration_s) == (T0 // 1_000_000, 1.5, 1.5)
    assert (first.app, first.service_name, first.service_instance_id, first.host_name) == ("shop", "shop", "one", "box")
    assert (first.request_model, first.response_model, first.provider_name) == ("gpt-4o", "gpt-4o-2024-08-06", "openai")
    assert (first.usage_input_tokens, first.usage_output_tokens, first.usage_cache_read_input_tokens) == (120, 30, 64)
    assert (first.usage_reasoning_output_tokens, first.usage_source) == (8, "reported")
    assert (first.response_time_to_first_chunk, first.ttft_s, first.request_stream) == (0.2, None, 1)
    assert (first.prompt_name, first.prompt_version) == ("greeting", "3")
    assert first.cost_usd is not None and first.cost_usd > 0 and first.cost_status == "table"
    assert (second.error_type, second.http_response_status_code) == ("429", 429)
    assert "sk-abc" not in (second.error_message or "") and "slow down" in second.error_message
    assert (receiver[0].received.rows, receiver[0].received.known) == (2, 2)
    assert b"secret plan" not in log.read_bytes() and not log.with_name("log.db.bodies").exists()


def test_a_repeated_request_is_one_row_after_a_restart_too(log: Path) -> None:
    body = gzip.compress(traces(span(1), span(2)))
    for _ in range(2):
        with receiving(Receiver(log, admit=lambda host, origin: "")) as port:
            status, answer, _ = post(port, "/v1/traces", body, **{"Content-Encoding": "gzip"})
            assert (status, json.loads(answer)) == (200, {})
    assert len(rows(log)) == 2


def test_a_call_that_client_and_gateway_both_report_is_one_row(receiver: tuple[Receiver, int], log: Path) -> None:
    http_span = span(6, 5, attributes={"http.request.method": "POST"})
    post(receiver[1], "/v1/traces", traces(span(5), http_span, span(7, 6)))  # 7 in 6 in 5
    post(receiver[1], "/v1/traces", traces(span(9, 8)))
    post(receiver[1], "/v1/traces", traces(span(8)))  # the outer one comes later
    post(receiver[1], "/v1/traces", traces(span(10)))
    post(receiver[1], "/v1/traces", traces(span(11, 10)))  # the outer one came first
    assert [row.request_id.rpartition("-")[2] for row in rows(log)] == [f"{n:016x}" for n in (7, 9, 10)]


def test_older_names_and_other_conventions_are_read(receiver: tuple[Receiver, int], log: Path) -> None:
    older = {
        "gen_ai.operation.name": "chat",
        "gen_ai.system": "az.ai.openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.usage.prompt_tokens": 10,
        "gen_ai.usage.completion_tokens": 5,
        "gen_ai.request.reasoning.effort": "low",
    }
    inference = {
        "openinference.span.kind": "LLM",
        "llm.model_name": "gpt-4o",
        "llm.token_count.prompt": 20,
        "llm.token_count.completion": 6,
    }
    apart = {**CHAT, "gen_ai.usage.input_tokens": 3, "gen_ai.usage.cache_creation.input_tokens": 30}
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 1000}
    server = {"kind": 2}
    post(
        receiver[1],
        "/v1/traces",
        traces(
            span(1, attributes=older),
            span(2, attributes=inference),
            span(3, attributes=apart),
            span(4, attributes=agent),
            span(5) | server,
        ),
    )
    first, second, third = rows(log)
    assert (first.provider_name, first.usage_input_tokens, first.request_reasoning_effort) == (
        "azure.ai.openai",
        10,
        "low",
    )
    assert (second.operation_name, second.usage_input_tokens, second.usage_output_tokens) == ("chat", 20, 6)
    assert (third.usage_input_tokens, third.usage_cache_read_input_tokens) == (97, 64)


def test_events_of_agents_become_rows(receiver: tuple[Receiver, int], log: Path) -> None:
    claude = logs(
        "claude-code",
        (
            "claude_code.api_request",
            {
                "session.id": "s1",
                "model": "claude-sonnet-4-5",
                "cost_usd": 0.012,
                "duration_ms": "1500",
                "input_tokens": 4,
                "cache_read_tokens": 1000,
                "cache_creation_tokens": 50,
                "output_tokens": 20,
                "query_source": "main",
            },
        ),
        (
            "claude_code.api_error",
            {
                "session.id": "s1",
                "model": "claude-sonnet-4-5",
                "status_code": "529",
                "error": "overloaded",
                "attempt": 2,
            },
        ),
        ("claude_code.user_prompt", {"session.id": "s1", "prompt": "private words"}),
    )
    codex = logs(
        "codex_cli_rs",
        ("codex.api_request", {"conversation.id": "c1", "duration_ms": "400", "http.response.status_code": 200}),
        (
            "codex.sse_event",
            {
                "conversation.id": "c1",
                "event.kind": "response.completed",
                "model": "gpt-5",
                "input_token_count": "900",
                "cached_token_count": 700,
                "output_token_count": 40,
                "reasoning_token_count": 10,
                "duration_ms": 3,
            },
        ),
        (
            "codex.api_request",
            {
                "conversation.id": "c1",
                "duration_ms": 10,
                "http.response.status_code": 429,
                "model": "gpt-5",
                "error.message": "wait",
            },
        ),
    )
    gemini = logs(
        "gemini-cli",
        (
            "gemini_cli.api_response",
            {
                "session.id": "g1",
                "model": "gemini-2.5-pro",
                "status_code": 200,
                "duration_ms": 800,
                "input_token_count": 300,
                "cached_content_token_count": 100,
                "output_token_count": 20,
                "thoughts_token_count": 30,
            },
        ),
        ("gen_ai.client.inference.operation.details", {"session.id": "g1"}),
    )
    for body in (claude, codex, gemini) * 2:
        assert post(receiver[1], "/v1/logs", body)[0] == 200
    found = rows(log)
    told = [(r.app, r.error_type, r.usage_input_tokens, r.usage_output_tokens, r.total_s) for r in found]
    assert told == [
        ("claude-code", None, 1054, 20, 1.5),
        ("claude-code", "529", None, None, None),
        ("codex", None, 900, 40, 1.4),
        ("codex", "429", None, None, 0.01),
        ("gemini-cli", None, 300, 50, 0.8),
    ]
    assert (found[0].cost_usd, found[0].cost_status, found[0].conversation_id) == (0.012, "reported", "s1")
    assert found[2].started_ms == T0 // 1_000_000 + 600
    assert b"private words" not in log.read_bytes()


def test_bodies_are_kept_where_they_are_chosen(log: Path) -> None:
    with receiving(Receiver(log, admit=lambda host, origin: "", bodies="full")) as port:
        post(port, "/v1/traces", traces(span(1)))
    from promptop.log.write.bodies import read_body

    found = read_body(log, rows(log)[0].id)
    assert found is not None and "the secret plan" in (found.request or "")


def test_what_is_refused(receiver: tuple[Receiver, int], log: Path) -> None:
    port = receiver[1]
    assert post(port, "/v1/traces", b"{}", Origin="https://example.com")[0] == 403
    assert post(port, "/v1/traces", b"{}", kind="text/plain")[0] == 415
    assert post(port, "/v1/traces", b"{", kind="application/json")[0] == 400
    assert post(port, "/v1/traces", b"\xff\xff\xff", kind="application/x-protobuf")[0] == 400
    assert post(port, "/v1/traces", b"not gzip", **{"Content-Encoding": "gzip"})[0] == 400
    bomb = gzip.compress(bytes(40 << 20))
    assert len(bomb) < 100_000
    assert post(port, "/v1/traces", bomb, **{"Content-Encoding": "gzip"})[0] == 413
    status, answer, _ = post(port, "/v1/traces", traces({**span(1), "startTimeUnixNano": "0"}, span(2)))
    assert (status, json.loads(answer)["partialSuccess"]["rejectedSpans"]) == (200, "1")
    assert len(rows(log)) == 1


def test_a_log_that_is_locked_is_said_with_retry_after(receiver: tuple[Receiver, int], log: Path) -> None:
    assert post(receiver[1], "/v1/traces", traces(span(1)))[0] == 200
    receiver[0]._inserter._connection.execute("PRAGMA busy_timeout = 20")  # type: ignore[union-attr]
    other = sqlite3.connect(log, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    status, _, headers = post(receiver[1], "/v1/traces", traces(span(2)))
    other.execute("ROLLBACK")
    other.close()
    assert (status, headers["Retry-After"]) == (503, "2")
    assert post(receiver[1], "/v1/traces", traces(span(2)))[0] == 200
    assert len(rows(log)) == 2


def test_off_loopback_a_token_is_needed(log: Path) -> None:
    with receiving(Receiver(log, admit=lambda host, origin: "", token="open sesame")) as port:
        assert post(port, "/v1/traces", traces(span(1)))[0] == 401
        assert post(port, "/v1/traces", traces(span(1)), Authorization="Bearer open sesame")[0] == 200


def test_mixed_and_cut_messages_never_fail(receiver: tuple[Receiver, int], log: Path) -> None:
    dice = random.Random(4)
    body = traces(span(1), span(2), span(3, attributes={}))
    junk: list[Any] = [None, [], {}, "", -1, 1 << 70, "ff", 1e308, True, [[]], {"a": 1}, "\ud800"]

    def mixed(node: Any) -> Any:
        if dice.random() < 0.05:
            return dice.choice(junk)
        if isinstance(node, dict):
            return {key: mixed(item) for key, item in node.items()}
        return [mixed(item) for item in node] if isinstance(node, list) else node

    from promptop.fleet.otlp import messages

    for _ in range(2000):
        data = json.dumps(mixed(json.loads(body))).encode()
        if dice.random() < 0.2:
            data = data[: dice.randrange(len(data))]
        try:
            found = messages.entries("traces", data, is_json=True)
        except messages.UnreadableError:
            continue
        receiver[0]._write("traces", found)
    assert all(row.started_ms for row in rows(log))


def test_promptop_collect_serves_until_a_signal(tmp_path: Path) -> None:
    import os
    import signal
    import subprocess
    import sys

    log = tmp_path / "log.db"
    code = "import sys; from promptop.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "collect", "--listen", "127.0.0.1:0", "--log", str(log)]
    environment = {**os.environ, "HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    try:
        said = child.stdout.readline()
        port = int(said.split("http://127.0.0.1:")[1].split()[0])
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/traces", traces(span(1)), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            assert answer.status == 200
        assert post(port, "/v1/traces", b"{}", Host="evil.example")[0] == 403
        child.send_signal(signal.SIGTERM)
        out, _ = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == 0 and "1 calls from 1 spans" in out
    assert len(rows(log)) == 1
