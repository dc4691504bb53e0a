"""Rows as spans and metrics to any collector over OTLP/HTTP, by the official exporters (extra ``otel``).

Ids are made of the log's id and the row's, so that a second export gives the same spans. Names follow the conventions
of today; ``names`` adds those of the generation before, which most instrumentations still send.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from promptop.base.errors import PromptopError
from promptop.base.sqlite import connect_for_reading
from promptop.log import files
from promptop.log.row import Row
from promptop.log.schema import otel_names

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from promptop.log.read.log_file import StoredRow

Names = Literal["new", "old", "both"]
_SECONDS = tuple(0.01 * 2**k for k in range(14))
_TOKENS = tuple(float(4**k) for k in range(14))
_RENAMED = {
    "request_reasoning_effort": "gen_ai.request.reasoning.level",
    "prompt_version": "gen_ai.prompt.version",
    "usage_cache_write_input_tokens": "gen_ai.usage.cache_write.input_tokens",
}
_OLD = {
    "provider_name": "gen_ai.system",
    "request_reasoning_effort": "gen_ai.request.reasoning.effort",
    "usage_cache_write_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
}
_RESOURCE = ("host_name", "process_pid", "service_name", "service_instance_id")
_LISTS = frozenset(("response_finish_reasons", "request_stop_sequences"))
_LEFT_OUT = frozenset((*_RESOURCE, "started_ms", "usage_raw", "prefix_hashes", "cache_key", "cache_words_key", "tags"))
_BATCH = 512


class Exporter:
    """Sends rows of one log to one collector; for one thread."""

    def __init__(self, url: str, *, names: Names = "both", log_id: str = "", timeout_s: float = 10.0) -> None:
        """``url`` is the collector's base address, for example ``http://127.0.0.1:4318``."""
        try:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        except ImportError:
            raise PromptopError("OTLP needs the extra otel.", "pip install 'promptop[otel]'") from None
        base = url.rstrip("/")
        self._url, self._names, self.log_id = base, names, log_id
        self._recorder = _Recorder(names, log_id)
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=timeout_s)
        self._metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=timeout_s)

    def send(self, rows: Iterable[StoredRow]) -> int:
        """Send rows as spans, in batches, and then their metrics; return how many.

        Raises :class:`PromptopError` if the collector does not take them.
        """
        total = 0
        waiting = iter(rows)
        while batch := list(islice(waiting, _BATCH)):
            self.send_spans(batch)
            self.count(batch)
            total += len(batch)
        if total:
            self.send_metrics()
        return total

    def send_spans(self, rows: Sequence[StoredRow]) -> None:
        """Send rows as spans; raises as :meth:`send` does."""
        for at in range(0, len(rows), _BATCH):
            self._send([span_of(row, self.log_id, self._names) for row in rows[at : at + _BATCH]])

    def count(self, rows: Iterable[StoredRow]) -> None:
        """Add rows to the metrics, which are cumulative since the exporter was made."""
        for row in rows:
            self._recorder.add(row)

    def send_metrics(self) -> None:
        """Send the metrics as they stand, if there are any; raises as :meth:`send` does."""
        found = self._recorder.data()
        if found is not None and self._metrics.export(found).name != "SUCCESS":
            raise self._refused()

    def close(self) -> None:
        """Close the connections."""
        self._recorder.close()
        self._spans.shutdown()  # type: ignore[no-untyped-call]  # the SDK's own lacks annotations
        self._metrics.shutdown()

    def _send(self, batch: Sequence[ReadableSpan]) -> None:
        if self._spans.export(batch).name != "SUCCESS":
            raise self._refused()

    def _refused(self) -> PromptopError:
        return PromptopError(
            f"The collector at {self._url} did not take what was sent.", "Send again: equal spans have equal ids."
        )


def log_id_of(log: Path) -> str:
    """Return the id that a log was given when it was made; raises :class:`PromptopError` if it cannot be read."""
    try:
        with contextlib.closing(connect_for_reading(log)) as connection:
            return str(connection.execute("SELECT value FROM meta WHERE key = 'log_id'").fetchone()[0])
    except (sqlite3.Error, OSError) as error:
        raise files.explain(log, error) from None


def span_of(row: StoredRow, log_id: str, names: Names) -> ReadableSpan:
    """Return a row as a finished span of kind CLIENT."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    digest = hashlib.blake2b(f"{log_id}:{row.source}:{row.id}".encode(), digest_size=24).digest()
    context = SpanContext(
        int.from_bytes(digest[:16]), int.from_bytes(digest[16:]), is_remote=False, trace_flags=TraceFlags(1)
    )
    start = (row.started_ms or 0) * 1_000_000
    took = row.total_s if row.total_s is not None else row.duration_s or 0.0
    failed = Status(StatusCode.ERROR, row.error_message or row.error_type or "")
    return ReadableSpan(
        name=f"{row.operation_name or 'chat'} {row.request_model or row.response_model or ''}".strip(),
        context=context,
        kind=SpanKind.CLIENT,
        start_time=start,
        end_time=start + round(took * 1e9),
        attributes=attributes_of(row, names),
        resource=_resource(row),
        status=failed if row.error_type else Status(StatusCode.UNSET),
    )


def attributes_of(row: Row, names: Names) -> dict[str, Any]:
    """Return a row's columns under their dotted names; what is unknown is left out."""
    found: dict[str, Any] = {}
    for column, name in otel_names().items():
        value = getattr(row, column)
        if value is None or column in _LEFT_OUT:
            continue
        if column in _LISTS:
            value = [str(item) for item in _parsed(value, [])]
        elif column in ("request_stream", "simulated"):
            if not value:
                continue
            value = True
        old = _OLD.get(column)
        if names != "old" or old is None:
            found[_RENAMED.get(column, name)] = value
        if names != "new" and old is not None:
            found[old] = value
    for key, value in _parsed(row.tags, {}).items():
        found[f"promptop.tag.{key}"] = value if isinstance(value, bool | int | float) else str(value)
    return found


def _resource(row: Row) -> Any:
    from opentelemetry.sdk.resources import Resource

    known = {otel_names()[name]: getattr(row, name) for name in _RESOURCE if getattr(row, name) is not None}
    return Resource({"service.name": row.app or "promptop", **known})


def _parsed(text: str | None, default: Any) -> Any:
    try:
        found = json.loads(text) if text else default
    except ValueError:
        return default
    return found if isinstance(found, type(default)) else default


class _Recorder:
    """The metrics of rows, by the SDK's own instruments."""

    def __init__(self, names: Names, log_id: str) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        from opentelemetry.sdk.resources import Resource

        self._names = names
        self._reader = InMemoryMetricReader()
        # Without an id of its own the series of two logs would be one to a collector.
        resource = Resource({"service.name": "promptop", "service.instance.id": log_id})
        self._provider = MeterProvider([self._reader], resource=resource)
        meter = self._provider.get_meter("promptop")

        def histogram(name: str, unit: str, bounds: Sequence[float]) -> Any:
            return meter.create_histogram(name, unit, explicit_bucket_boundaries_advisory=bounds)

        self._old_duration = histogram("gen_ai.client.operation.duration", "s", _SECONDS)
        self._old_tokens = histogram("gen_ai.client.token.usage", "{token}", _TOKENS)
        self._duration = histogram("gen_ai.client.inference.duration", "s", _SECONDS)
        self._first = histogram("gen_ai.client.inference.time_to_first_chunk", "s", _SECONDS)
        kinds = ("input_tokens", "output_tokens")
        self._sizes = [histogram(f"gen_ai.client.inference.operation.{kind}", "{token}", _TOKENS) for kind in kinds]
        self._counters = {
            f"usage_{name.replace('.', '_')}": meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}")
            for name in (*kinds, "cache_read.input_tokens", "cache_write.input_tokens", "reasoning.output_tokens")
        }

    def add(self, row: Row) -> None:
        if row.cache_level not in (None, "miss"):
            return  # a hit of our cache is no call of a model
        labels = {
            otel_names()[name]: getattr(row, name)
            for name in ("operation_name", "provider_name", "request_model", "response_model", "server_address")
            if getattr(row, name) is not None
        }
        failed = {"error.type": row.error_type} if row.error_type else {}
        embeddings = row.operation_name == "embeddings"
        if row.total_s is not None:
            if self._names != "new" or embeddings:  # the older name stays right for embeddings
                self._old_duration.record(row.total_s, {**labels, **failed})
            if self._names != "old" and not embeddings:
                self._duration.record(row.total_s, {**labels, **failed})
        if self._names != "old" and row.response_time_to_first_chunk is not None:
            self._first.record(row.response_time_to_first_chunk, labels)
        counts = (row.usage_input_tokens, row.usage_output_tokens)
        for kind, size, tokens in zip(("input", "output"), self._sizes, counts, strict=True):
            if tokens is not None and self._names != "new":
                self._old_tokens.record(tokens, {**labels, "gen_ai.token.type": kind})
            if tokens is not None and self._names != "old":
                size.record(tokens, labels)
        if self._names != "old":
            for column, counter in self._counters.items():
                counter.add(getattr(row, column) or 0, {**labels, "gen_ai.token.modality": "unknown"})

    def data(self) -> Any:
        return self._reader.get_metrics_data()

    def close(self) -> None:
        self._provider.shutdown()
