"""The report as Prometheus' text format: the names, bounds and renderer of the proxy's ``/metrics``, fed from the log.

For node_exporter's textfile collector, where programs log in process and there is no proxy to scrape. Counters hold for
the report's window: with a ``--since`` that stands still (a date) they only grow, as counters must.
"""

from __future__ import annotations

from bisect import bisect_left

from promptop.cli.report_formats.report_text import Report
from promptop.log import Sketch, Stats
from promptop.proxy.metrics import FIRST_TOKEN, SECONDS, Labels, Snapshot, render

_LABELS = {
    "model": "gen_ai_request_model",
    "provider": "gen_ai_provider_name",
    "server": "server_address",
    "host": "host_name",
    "service": "service_name",
    "instance": "service_instance_id",
    "operation": "gen_ai_operation_name",
    "error": "error_type",
    "prompt": "gen_ai_prompt_name",
}
"""Group → label; others are ``promptop_…``."""


def prometheus_text(report: Report) -> str:
    """Return the groups of a report as metrics."""
    name = _LABELS.get(report.by, f"promptop_{report.by}")
    found: Snapshot = {}
    for group, stats in report.groups:
        labels: Labels = ((name, group[:120]),)
        _histogram(found, "gen_ai_client_operation_duration_seconds", labels, SECONDS, stats.latency)
        _histogram(found, "gen_ai_server_time_to_first_token_seconds", labels, FIRST_TOKEN, stats.ttft)
        for metric, value in _sums(stats).items():
            if value:
                found.setdefault(metric, []).append((labels, [float(value)]))
        for level, hits in (*stats.hits_by_level.items(), ("miss", stats.lookups - stats.hits)):
            if hits:
                found.setdefault("promptop_proxy_cache_total", []).append(((*labels, ("level", level)), [float(hits)]))
    seen = {line.split(" ")[2] for line in render({}).splitlines()} - found.keys()
    lines = render(found).splitlines()
    return "\n".join(line for line in lines if not line.startswith("#") or line.split(" ")[2] not in seen)


def _sums(stats: Stats) -> dict[str, float]:
    return {
        "gen_ai_client_inference_usage_input_tokens_total": stats.input_tokens,
        "gen_ai_client_inference_usage_output_tokens_total": stats.output_tokens,
        "gen_ai_client_inference_usage_cache_read_input_tokens_total": stats.cache_read,
        "gen_ai_client_inference_usage_cache_write_input_tokens_total": stats.cache_write,
        "gen_ai_client_inference_usage_reasoning_output_tokens_total": stats.reasoning,
        "promptop_cost_usd_total": stats.cost_usd,
        "promptop_calls_unpriced_total": stats.unpriced,
        "promptop_saved_usd_total": stats.saved_usd,
    }


def _histogram(found: Snapshot, metric: str, labels: Labels, bounds: tuple[float, ...], sketch: Sketch) -> None:
    """Add a distribution; its own buckets are 1 % wide, so that few samples fall on the other side of a bound."""
    if not sketch.n:
        return
    values = [0.0] * (len(bounds) + 2)
    for value, count in sketch.buckets():
        values[bisect_left(bounds, value)] += count
    values[-1] = (sketch.mean or 0.0) * sketch.n
    found.setdefault(metric, []).append((labels, values))
