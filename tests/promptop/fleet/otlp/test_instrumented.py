"""A program with the official OpenAI instrumentation and the SDK's exporters, received as it comes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.instrumentation.genai.openai")

from promptop.fleet.otlp.receiver import Receiver, receiving
from promptop.log import LogReader
from promptop.simulator.server.server import SimulatedEndpoint

PROGRAM = """
import sys, openai
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

traces = TracerProvider()
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(traces)
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
metrics.set_meter_provider(meters)
OpenAIInstrumentor().instrument()
client = openai.OpenAI(base_url=sys.argv[1], api_key="sk-not-a-real-key-123456", max_retries=0)
asked = [{"role": "user", "content": "the private question"}]
client.chat.completions.create(model="gpt-4o-mini", messages=asked, temperature=0.5)
for event in client.chat.completions.create(
    model="gpt-4o-mini", messages=asked, stream=True, stream_options={"include_usage": True}
):
    pass
traces.force_flush(); traces.shutdown(); meters.shutdown()
"""


def test_a_program_with_the_openai_instrumentation_is_received(tmp_path: Path) -> None:
    log = tmp_path / "log.db"
    receiver = Receiver(log, admit=lambda host, origin: "")
    with SimulatedEndpoint.in_thread(speed=0) as endpoint, receiving(receiver) as port:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_SERVICE_NAME": "shop",
        }
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, endpoint.base_url],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
    with LogReader(log) as reader:
        streamed, plain = reader.latest(10)
    for row in (plain, streamed):
        assert (row.app, row.operation_name, row.request_model) == ("shop", "chat", "gpt-4o-mini")
        assert row.usage_input_tokens and row.usage_output_tokens and row.cost_usd and row.total_s
        assert row.error_type is None
    assert (plain.request_temperature, plain.request_stream, streamed.request_stream) == (0.5, None, 1)
    assert streamed.response_time_to_first_chunk is not None and streamed.ttft_s is None
    assert receiver.received.metrics > 0 and receiver.received.rows == 2
    kept = log.read_bytes()
    assert b"private question" not in kept and b"sk-not-a-real" not in kept
