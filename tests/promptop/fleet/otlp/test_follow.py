"""A log that is sent to a collector as it grows: over refusals, restarts and a new file in its place."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from tests.support.waits import until

from promptop.base.errors import PromptopError
from promptop.cli.main import main
from promptop.fleet.otlp.follow import FollowingExporter, marks_path
from promptop.log import Row, Writer


class Collector:
    """Decodes what it is sent as collectors do; refuses while told to."""

    def __init__(self) -> None:
        self.spans: list[tuple[bytes, str]] = []
        self.tokens: dict[str, int] = {}
        """Instance and start → input tokens by the newest point; a collector adds them up over starts."""
        self.names: set[str] = set()
        self.refused: set[str] = set()
        kept = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *ignored: object) -> None:
                """Say nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.path not in kept.refused:
                    kept.take(self.path, body)
                self.send_response(400 if self.path in kept.refused else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def take(self, path: str, body: bytes) -> None:
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        model = next(a.value.string_value for a in span.attributes if a.key == "gen_ai.request.model")
                        self.spans.append((span.span_id, model))
            return
        for one in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            given = {a.key: a.value.string_value for a in one.resource.attributes}
            assert given["service.name"] == "promptop"
            for metric in (metric for scope in one.scope_metrics for metric in scope.metrics):
                self.names.add(metric.name)
                if metric.name == "gen_ai.client.inference.usage.input_tokens":
                    for point in metric.sum.data_points:
                        model = next(a.value.string_value for a in point.attributes if a.key == "gen_ai.request.model")
                        series = f"{given['service.instance.id']} {point.start_time_unix_nano} {model}"
                        self.tokens[series] = int(point.as_int)

    @property
    def models(self) -> list[str]:
        return [model for _, model in self.spans]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


def put(log: Path, *models: str, **more: Any) -> None:
    with Writer(log) as writer:
        for model in models:
            writer.put(Row(operation_name="chat", request_model=model, usage_input_tokens=100, total_s=1.0, **more))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    put(tmp_path / "log.db", "old", started_ms=1_790_000_000_000)
    return tmp_path / "log.db"


def test_only_what_comes_is_sent_and_after_a_restart_what_came_meanwhile(log: Path, collector: Collector) -> None:
    first = FollowingExporter(log, collector.url)
    assert first.step() == 0 and not collector.spans
    put(log, "a", "b")
    assert (first.step(), first.step()) == (2, 0)
    first.close()
    put(log, "c")
    again = FollowingExporter(log, collector.url, since_ms=0)  # the mark counts, and not where one would have begun
    assert (again.step(), again.step()) == (1, 0)
    again.close()
    assert collector.models == ["a", "b", "c"]
    assert sum(collector.tokens.values()) == 300
    assert marks_path(log).stat().st_mode & 0o777 == 0o600


def test_it_begins_with_a_time_where_one_is_named_and_each_filter_has_its_mark(log: Path, collector: Collector) -> None:
    put(log, "a", "b", started_ms=1_790_000_100_000)
    for where in ("", "model:b"):
        exporter = FollowingExporter(log, collector.url, where=where, since_ms=1_790_000_050_000)
        exporter.step()
        exporter.close()
    assert collector.models == ["a", "b", "b"]
    assert collector.spans[1] == collector.spans[2]  # equal ids


@pytest.mark.parametrize("path", ["/v1/traces", "/v1/metrics"])
def test_what_is_refused_is_sent_again_and_counted_once(log: Path, collector: Collector, path: str) -> None:
    exporter = FollowingExporter(log, collector.url)
    put(log, "a")
    collector.refused = {path}
    for _ in range(2):
        with pytest.raises(PromptopError, match="did not take"):
            exporter.step()
    collector.refused = set()
    put(log, "b")
    assert (exporter.step(), exporter.step(), exporter.step()) == (1, 1, 0)
    exporter.close()
    assert list(dict.fromkeys(collector.models)) == ["a", "b"]
    assert len({span for span, _ in collector.spans}) == 2
    assert sum(collector.tokens.values()) == 200


def test_another_file_in_the_logs_place_is_sent_whole(log: Path, collector: Collector) -> None:
    exporter = FollowingExporter(log, collector.url)
    for each in log.parent.glob("log.db*"):
        if each != marks_path(log) and not each.name.startswith(f"{marks_path(log).name}-"):
            each.unlink()
    put(log, "new")
    assert exporter.step() == 1
    exporter.close()
    assert collector.models == ["new"]


def test_a_second_process_for_the_same_collector_is_refused(log: Path, collector: Collector) -> None:
    one, other = (FollowingExporter(log, collector.url) for _ in range(2))
    put(log, "a")
    one.step()
    with pytest.raises(PromptopError, match="Another process sends"):
        other.step()
    one.close()
    other.close()


def test_the_command_goes_on_after_a_kill_with_the_names_of_the_settings(
    log: Path, collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.toml").write_text('[metrics]\nnames = "new"\n')
    monkeypatch.setenv("PROMPTOP_CONFIG_DIR", str(tmp_path))
    code = "import sys; from promptop.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "log", "export", "--log", str(log), "--otlp", collector.url, "--follow"]
    put(log, "a")
    with subprocess.Popen([*command, "--since", "2026-01-01"], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and "Ctrl-C ends it" in process.stderr.readline()
        until(lambda: marks_path(log).exists() and len(collector.spans) == 2)
        process.kill()
    put(log, "b")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: "b" in collector.models)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert set(collector.models) == {"old", "a", "b"}
    assert "gen_ai.client.inference.duration" in collector.names
    assert "gen_ai.client.operation.duration" not in collector.names


def test_following_needs_a_collector_and_a_log_file(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["log", "export", "--log", str(log), "--follow"]) == 2
    assert "--otlp http://HOST:4318 --follow" in capsys.readouterr().err
