"""Rows sent to a collector by the official exporters, and taken in again by our receiver."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from promptop.cli.main import main
from promptop.fleet.otlp import messages
from promptop.fleet.otlp.receiver import Receiver, receiving
from promptop.log import LogReader, Row, Writer

ROW: dict[str, Any] = {
    "started_ms": 1_790_000_000_123,
    "app": "shop",
    "service_name": "shop",
    "host_name": "box",
    "operation_name": "chat",
    "provider_name": "openai",
    "request_model": "gpt-4o",
    "response_model": "gpt-4o-2024-08-06",
    "request_reasoning_effort": "low",
    "request_stream": 1,
    "prompt_name": "greeting",
    "prompt_version": "3",
    "response_finish_reasons": '["stop"]',
    "response_time_to_first_chunk": 0.25,
    "usage_input_tokens": 120,
    "usage_output_tokens": 30,
    "usage_cache_read_input_tokens": 64,
    "usage_cache_write_input_tokens": 5,
    "usage_reasoning_output_tokens": 8,
    "usage_source": "reported",
    "total_s": 1.5,
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    with Writer(path) as writer:
        writer.put(Row(**ROW))
        writer.put(Row(started_ms=1_790_000_001_000, operation_name="chat", request_model="m", error_type="429"))
    return path


class Collector(BaseHTTPRequestHandler):
    """Keeps what it is sent."""

    kept: list[tuple[str, bytes]]

    def log_message(self, *ignored: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        self.kept.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    kept: list[tuple[str, bytes]] = []
    server = HTTPServer(("127.0.0.1", 0), type("Kept", (Collector,), {"kept": kept}))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kept
    server.shutdown()
    thread.join()
    server.server_close()


def metrics_of(kept: list[tuple[str, bytes]]) -> set[str]:
    bodies = [body for path, body in kept if path == "/v1/metrics"]
    return {e.fields["name"] for body in bodies for e in messages.entries("metrics", body, is_json=False)}


@pytest.mark.parametrize("names", ["new", "old", "both"])
def test_spans_and_metrics_carry_the_names_that_were_chosen(
    log: Path, collector: tuple[str, list[tuple[str, bytes]]], names: str
) -> None:
    url, kept = collector
    assert main(["log", "export", "--log", str(log), "--otlp", url, "--otlp-names", names]) == 0
    spans = [
        each for path, body in kept if path == "/v1/traces" for each in messages.entries("traces", body, is_json=False)
    ]
    first, second = spans
    assert first.fields["name"] == "chat gpt-4o" and first.fields["kind"] == 3
    assert int(first.fields["endTimeUnixNano"]) - int(first.fields["startTimeUnixNano"]) == 1_500_000_000
    assert first.resource["service.name"] == "shop" and first.resource["host.name"] == "box"
    given = first.attributes
    assert ("gen_ai.request.reasoning.level" in given, "gen_ai.request.reasoning.effort" in given) == (
        names != "old",
        names != "new",
    )
    assert ("gen_ai.provider.name" in given, "gen_ai.system" in given) == (names != "old", names != "new")
    assert given["gen_ai.usage.input_tokens"] == 120 and given["gen_ai.response.finish_reasons"] == ["stop"]
    assert second.fields["status"]["code"] == 2 and second.attributes["error.type"] == "429"
    found = metrics_of(kept)
    assert ("gen_ai.client.inference.duration" in found) == (names != "old")
    assert ("gen_ai.client.token.usage" in found) == (names != "new")
    assert ("gen_ai.client.inference.usage.input_tokens" in found) == (names != "old")


def test_what_is_exported_twice_is_received_once_and_the_same(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with receiving(Receiver(other, admit=lambda host, origin: "")) as port:
        for _ in range(2):
            assert main(["log", "export", "--log", str(log), "--otlp", f"http://127.0.0.1:{port}"]) == 0
    with LogReader(other) as reader:
        second, first = reader.latest(10)
    for name, value in ROW.items():
        assert getattr(first, name) == value, name
    assert second.error_type == "429"


def test_a_collector_that_is_not_there_is_said(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "export", "--log", str(log), "--otlp", "ftp://x"]) == 2
    assert "not an address of a collector" in capsys.readouterr().err
