"""The figures of ``/metrics``: OpenTelemetry GenAI names in Prometheus' text format.

Rows feed them on the log's writer thread, after parsing; the handler only moves two counters. The number of series is
bounded: a client that invents model names cannot grow the process, its calls are counted under ``other``.
"""

from __future__ import annotations

import json
import re
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptop.log.row import Row

SECONDS = tuple(0.01 * 2**k for k in range(14))
"""Bucket bounds of the client's durations, seconds (OpenTelemetry GenAI)."""
TOKENS = tuple(float(4**k) for k in range(14))
FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
PER_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)

_HISTOGRAMS: dict[str, tuple[tuple[float, ...], str]] = {
    "gen_ai_client_operation_duration_seconds": (SECONDS, "Duration of calls."),
    "gen_ai_client_operation_time_to_first_chunk_seconds": (SECONDS, "Time to the first event of a stream."),
    "gen_ai_client_operation_time_per_output_chunk_seconds": (SECONDS, "Mean time between a stream's content events."),
    "gen_ai_client_token_usage": (TOKENS, "Tokens of a call, by type."),
    "gen_ai_server_time_to_first_token_seconds": (FIRST_TOKEN, "Time to the first generated token, as seen here."),
    "gen_ai_server_time_per_output_token_seconds": (PER_TOKEN, "Time per output token after the first, as seen here."),
}
_COUNTERS: dict[str, str] = {
    "gen_ai_client_inference_usage_input_tokens_total": "Input tokens, cached ones included.",
    "gen_ai_client_inference_usage_output_tokens_total": "Output tokens, reasoning included.",
    "gen_ai_client_inference_usage_cache_read_input_tokens_total": "Input tokens read from the provider's cache.",
    "gen_ai_client_inference_usage_cache_write_input_tokens_total": "Input tokens written to the provider's cache.",
    "gen_ai_client_inference_usage_reasoning_output_tokens_total": "Output tokens of hidden reasoning.",
    "promptop_cost_usd_total": "Cost in USD of the calls that have a price.",
    "promptop_calls_unpriced_total": "Calls with usage and no price.",
    "promptop_saved_usd_total": "Cost in USD that hits of the response cache saved.",
    "promptop_proxy_cache_total": "Calls that the response cache was asked for, by the level that answered, or miss.",
    "promptop_proxy_waited_seconds_total": "Seconds that calls waited for the limits of requests, tokens or places.",
    "promptop_proxy_refused_total": "Requests that the proxy answered itself, by reason.",
    "promptop_proxy_replays_total": "Requests sent again because a kept connection had been closed.",
    "promptop_proxy_cut_total": "Calls that the proxy ended, by reason.",
    "promptop_log_written_total": "Rows committed to the log.",
    "promptop_log_dropped_total": "Rows dropped because the log's queue was full.",
    "promptop_log_failed_total": "Rows that could not be written.",
}
_GAUGES: dict[str, str] = {
    "promptop_proxy_calls_active": "Calls in flight.",
    "promptop_proxy_calls_queued": "Calls that wait for the limits.",
    "promptop_proxy_held_body_bytes": "Bytes of request bodies held.",
    "promptop_log_queued": "Rows that wait for the log's writer.",
}
_NO_LABEL = re.compile(r"[^A-Za-z0-9_]")
_USAGE = {
    "usage_input_tokens": "gen_ai_client_inference_usage_input_tokens_total",
    "usage_output_tokens": "gen_ai_client_inference_usage_output_tokens_total",
    "usage_cache_read_input_tokens": "gen_ai_client_inference_usage_cache_read_input_tokens_total",
    "usage_cache_write_input_tokens": "gen_ai_client_inference_usage_cache_write_input_tokens_total",
    "usage_reasoning_output_tokens": "gen_ai_client_inference_usage_reasoning_output_tokens_total",
}

Labels = tuple[tuple[str, str], ...]
Snapshot = dict[str, list[tuple[Labels, list[float]]]]
"""Metric → its series: labels, and one value or a histogram's ``[*buckets, over, sum]``. Survives JSON as lists."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MAX_SERIES = 2_000
MAX_LABEL = 120
MAX_VALUES = 20
"""Values of a label that callers choose (app, tags); whatever comes after them is counted under ``other``."""


class Metrics:
    """Counters and histograms of one process; safe to feed from any thread."""

    def __init__(self, max_series: int = MAX_SERIES, *, tags: Sequence[str] = ()) -> None:
        """``tags`` are the keys of the callers' tags that become labels."""
        self._tags = {key: f"promptop_tag_{_NO_LABEL.sub('_', key)}" for key in tags}
        self._values: dict[str, set[str]] = {}
        self._lock = threading.Lock()
        self._series: dict[str, dict[Labels, list[float]]] = {}
        self._names: set[Labels] = set()
        self._max_series = max_series

    def count(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Add ``value`` to a counter."""
        with self._lock:
            self._add(name, tuple(labels.items()), value)

    def observe(self, row: Row) -> None:
        """Add one finished call; a hit of the response cache is none of the model's, and only its saving counts."""
        with self._lock:
            labels = self._labels_of(row)
            if row.cache_level not in (None, "miss"):
                if row.saved_usd:
                    self._add("promptop_saved_usd_total", labels, row.saved_usd)
                return
            failed = (("error_type", _short(row.error_type)),) if row.error_type else ()
            streamed = row.response_time_to_first_chunk is not None
            self._record("gen_ai_client_operation_duration_seconds", labels + failed, row.total_s)
            self._record(
                "gen_ai_client_operation_time_to_first_chunk_seconds", labels, row.response_time_to_first_chunk
            )
            if not failed and row.duration_s is not None and row.ttft_s is not None:
                spent = row.duration_s - row.ttft_s
                if streamed and row.chunks and row.chunks > 1:
                    each = spent / (row.chunks - 1)
                    self._record("gen_ai_client_operation_time_per_output_chunk_seconds", labels, each)
                if row.usage_output_tokens and row.usage_output_tokens > 1:
                    each = spent / (row.usage_output_tokens - 1)
                    self._record("gen_ai_server_time_per_output_token_seconds", labels, each)
            self._record("gen_ai_server_time_to_first_token_seconds", labels, row.ttft_s)
            for kind, tokens in (("input", row.usage_input_tokens), ("output", row.usage_output_tokens)):
                self._record("gen_ai_client_token_usage", (*labels, ("gen_ai_token_type", kind)), tokens)
            for column, name in _USAGE.items():
                tokens = getattr(row, column)
                if tokens:
                    self._add(name, labels, tokens)
            if row.cost_usd is not None:
                self._add("promptop_cost_usd_total", labels, row.cost_usd)
            elif row.cost_status == "unpriced":
                self._add("promptop_calls_unpriced_total", labels, 1)

    def snapshot(self) -> Snapshot:
        """Return a copy of every series."""
        with self._lock:
            return {name: [(labels, list(v)) for labels, v in series.items()] for name, series in self._series.items()}

    def _labels_of(self, row: Row) -> Labels:
        operation = ("gen_ai_operation_name", row.operation_name or "")
        provider = ("gen_ai_provider_name", _short(row.provider_name))
        server = (("server_address", _short(row.server_address)), ("server_port", str(row.server_port or "")))
        models = (
            ("gen_ai_request_model", _short(row.request_model)),
            ("gen_ai_response_model", _short(row.response_model)),
        )
        labels: Labels = (operation, provider, *models, *server, *self._caller_labels(row))
        if labels not in self._names:
            if len(self._names) >= self._max_series // 16:  # a set of labels makes up to 16 series
                return (("gen_ai_operation_name", "other"),)
            self._names.add(labels)
        return labels

    def _caller_labels(self, row: Row) -> Labels:
        """Return who called: host, app and the chosen tags, each only where the row has it."""
        labels = [("host_name", _short(row.host_name))] if row.host_name else []
        if row.app:
            labels.append(("promptop_app", self._bounded("promptop_app", row.app)))
        given = _tags_of(row) if self._tags and row.tags else {}
        for key, label in self._tags.items():
            if key in given:
                labels.append((label, self._bounded(label, str(given[key]))))
        return tuple(labels)

    def _bounded(self, label: str, value: str) -> str:
        known = self._values.setdefault(label, set())
        value = _short(value)
        if value not in known:
            if len(known) >= MAX_VALUES:
                return "other"
            known.add(value)
        return value

    def _add(self, name: str, labels: Labels, value: float) -> None:
        series = self._series.setdefault(name, {})
        held = series.get(labels)
        if held is None:
            series[labels] = [value]
        else:
            held[0] += value

    def _record(self, name: str, labels: Labels, value: float | None) -> None:
        if value is None:
            return
        bounds = _HISTOGRAMS[name][0]
        held = self._series.setdefault(name, {}).setdefault(labels, [0.0] * (len(bounds) + 2))
        held[bisect_left(bounds, value)] += 1
        held[-1] += value


def _tags_of(row: Row) -> dict[str, Any]:
    try:
        found = json.loads(row.tags or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def merge(snapshots: Iterable[Mapping[str, Any]]) -> Snapshot:
    """Add up the snapshots of several processes; they may have been through JSON."""
    merged: dict[str, dict[Labels, list[float]]] = {}
    for snapshot in snapshots:
        for name, series in snapshot.items():
            into = merged.setdefault(name, {})
            for raw, values in series:
                labels = tuple((key, value) for key, value in raw)
                held = into.get(labels)
                into[labels] = list(values) if held is None else [a + b for a, b in zip(held, values, strict=True)]
    return {name: list(series.items()) for name, series in merged.items()}


def render(snapshot: Snapshot) -> str:
    """Return the snapshot in Prometheus' text format; every histogram and counter is named, seen or not."""
    lines: list[str] = []
    for name, (bounds, text) in _HISTOGRAMS.items():
        lines += (f"# HELP {name} {text}", f"# TYPE {name} histogram")
        for labels, values in snapshot.get(name, ()):
            lines += _histogram(name, labels, bounds, values)
    for kind, table in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for name, text in table.items():
            lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
            lines += [f"{name}{_shown(labels)} {_number(values[0])}" for labels, values in snapshot.get(name, ())]
    return "\n".join(lines) + "\n"


def _histogram(name: str, labels: Labels, bounds: tuple[float, ...], values: list[float]) -> list[str]:
    lines, below = [], 0.0
    for bound, n in zip((*map(_number, bounds), "+Inf"), values[:-1], strict=True):
        below += n
        lines.append(f"{name}_bucket{_shown((*labels, ('le', bound)))} {_number(below)}")
    return [
        *lines,
        f"{name}_sum{_shown(labels)} {_number(values[-1])}",
        f"{name}_count{_shown(labels)} {_number(below)}",
    ]


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(round(value, 12))


def _shown(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    value = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", " ")
    return value.encode("utf-8", "replace").decode("utf-8")


def _short(value: str | None) -> str:
    return (value or "")[:MAX_LABEL]
