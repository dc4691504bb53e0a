"""One request spelled out as text: when, who, how long each part took, what it used, how its cost came about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from promptop.base import units
from promptop.base.sanitize import clean, clean_line
from promptop.base.texts import tr
from promptop.client.replay import messages_of
from promptop_tui.monitor.views.row_cells import finish_reasons, output_rate, status_of

if TYPE_CHECKING:
    from promptop.alerts.rules import Alert
    from promptop.log import StoredRow
    from promptop.log.write.bodies import StoredBody
    from promptop.models import Model
    from promptop.models.catalogue import Rates

Line = tuple[str, str, str]
"""Name, value, tone (as in the table); a name alone is a heading."""

_BAR = 24
_SHOWN = 20_000
"""Characters of a message that are shown."""


def receipt(row: StoredRow, model: Model | None = None, body: StoredBody | None = None) -> tuple[Line, ...]:
    """Return all that is known of a row; foreign text is cleaned, unknown parts are left out."""
    lines = list(_head(row))
    lines += _section(tr("Timings"), waterfall(row))
    lines += _section(tr("Usage"), _usage(row))
    lines += _section(tr("Cost"), cost(row, model))
    lines += _section(tr("Parameters"), _parameters(row))
    lines += _section(tr("Answer"), _answer(row))
    lines += _section(tr("Prompt"), _body(body))
    return tuple(lines)


def _body(body: StoredBody | None) -> Iterator[Line]:
    if body is None:
        yield tr("kept"), tr("nothing: [log] bodies is off"), "muted"
        return
    yield tr("kept"), body.mode, "muted"
    if body.request is None:
        yield tr("messages"), tr("{n}, by hash alone", n=len(body.hashes)), "muted"
    else:
        from promptop.client.conversation import shown as shown_of

        for message in messages_of(body.request):
            shown = clean(shown_of(message))[:_SHOWN]
            yield clean_line(str(message.get("role")), 16), (part := shown.split("\n"))[0] or " ", ""
            yield from (("", line or " ", "") for line in part[1:])
    if body.response is not None:
        shown = clean(body.response)[:_SHOWN]
        yield tr("answer"), (part := shown.split("\n"))[0] or " ", ""
        yield from (("", line or " ", "") for line in part[1:])


def _section(title: str, lines: Iterator[Line]) -> list[Line]:
    found = list(lines)
    return [(title, "", ""), *found] if found else []


def _head(row: StoredRow) -> Iterator[Line]:
    status, tone = status_of(row)
    if row.simulated:
        yield "SIMULATED", tr("nothing was called, no money was spent"), "accent"
    if row.started_ms is not None:
        try:
            start = datetime.fromtimestamp(row.started_ms / 1000)
            utc = datetime.fromtimestamp(row.started_ms / 1000, UTC)
            yield (
                "started",
                tr(
                    "{start:%Y-%m-%d %H:%M:%S}.{started_ms:03d} local, {utc:%H:%M:%S} UTC",
                    start=start,
                    started_ms=row.started_ms % 1000,
                    utc=utc,
                ),
                "",
            )
        except (OverflowError, OSError, ValueError):
            yield tr("started"), tr("{started_ms} ms (not a time)", started_ms=row.started_ms), "bad"
    code = (
        tr(" (HTTP {http_response_status_code})", http_response_status_code=row.http_response_status_code)
        if row.http_response_status_code
        else ""
    )
    yield tr("status"), f"{status}{code}", tone
    if row.error_message:
        for part in clean(row.error_message).split("\n"):
            yield tr("error"), part, "bad"
    asked, answered = row.request_model, row.response_model
    named = clean_line(asked or units.UNKNOWN, 80)
    if answered and answered != asked:
        named += tr(", answered by {answered}", answered=clean_line(answered, 80))
    yield tr("model"), named, ""
    host = clean_line(row.server_address or "", 80)
    if host:
        port = f":{row.server_port}" if row.server_port else ""
        yield tr("server"), f"{host}{port}{clean_line(row.url_path or '', 80)}", ""
    for name in ("provider_name", "app", "prompt_name", "prompt_version", "conversation_id", "request_id", "tags"):
        value = getattr(row, name)
        if value:
            yield tr(name.replace("_name", "").replace("_", " ")), clean_line(str(value), 200), ""
    if row.attempt and row.attempt > 1:
        yield tr("attempt"), str(row.attempt), "warn"


def waterfall(row: StoredRow) -> Iterator[Line]:
    """Yield the parts of a request in time, each with a bar where it lies; durations are seconds from the start."""
    end = max((t for t in (row.total_s, row.duration_s, row.ttft_s, row.ttfb_s) if t is not None), default=None)
    if row.queue_s:
        yield tr("queue"), tr("{queue_s:>8}  before the start", queue_s=units.seconds(row.queue_s)), ""
    if end is None or end <= 0:
        return
    connected = (row.connect_s or 0.0) + (row.tls_s or 0.0)
    marks: tuple[tuple[str, float | None, float | None], ...] = (
        (tr("connect"), 0.0 if row.connect_s is not None else None, row.connect_s),
        (tr("tls"), row.connect_s or 0.0 if row.tls_s is not None else None, connected),
        (tr("headers"), connected, row.ttfb_s),
        (tr("first token"), row.ttfb_s if row.ttfb_s is not None else 0.0, row.ttft_s),
        (tr("first visible"), row.ttft_s, row.ttfo_s if row.ttfo_s != row.ttft_s else None),
        (tr("generating"), row.ttft_s if row.ttft_s is not None else row.ttfb_s, row.duration_s),
        (tr("closing"), row.duration_s, row.total_s),
    )
    for name, start, stop in marks:
        if start is None or stop is None or stop - start < 0.00005:
            continue
        first = min(round(start / end * _BAR), _BAR - 1)
        length = max(round(stop / end * _BAR) - first, 1)
        bar = (" " * first + "█" * length)[:_BAR].ljust(_BAR)
        yield name, f"{units.seconds(stop - start):>8}  {bar}  at {units.seconds(stop)}", ""
    if row.connection_reused is not None:
        yield tr("connection"), tr("kept alive from before") if row.connection_reused else "new", ""
    rate = output_rate(row)
    if rate is not None:
        yield tr("speed"), tr("{rate} tokens/s after the first", rate=units.rate(rate)), ""
    if row.gap_p95_s is not None:
        stalls = tr(", {stalls} stalls of more than 1 s", stalls=row.stalls) if row.stalls else ""
        longest = units.seconds(row.gap_max_s)
        yield (
            "gaps",
            tr(
                "p50 {gap_p50_s}, p95 {gap_p95_s}, longest {longest}{stalls}",
                gap_p50_s=units.seconds(row.gap_p50_s),
                gap_p95_s=units.seconds(row.gap_p95_s),
                longest=longest,
                stalls=stalls,
            ),
            "",
        )


def _usage(row: StoredRow) -> Iterator[Line]:
    source = f" ({row.usage_source})" if row.usage_source else ""
    parts = (
        (tr("input"), row.usage_input_tokens, source),
        (tr("of it cached"), row.usage_cache_read_input_tokens, tr(" read from the provider's cache")),
        (tr("of it written"), row.usage_cache_write_input_tokens, tr(" written to the provider's cache")),
        (tr("output"), row.usage_output_tokens, source),
        (tr("of it reasoning"), row.usage_reasoning_output_tokens, " hidden"),
    )
    for name, value, note in parts:
        if value is not None:
            yield name, tr("{value:,} tokens{note}", value=value, note=note), ""
    for name, ours, theirs in (
        (tr("our count, input"), row.estimate_input_tokens, row.usage_input_tokens),
        (tr("our count, output"), row.estimate_output_tokens, row.usage_output_tokens),
    ):
        if ours is not None and ours != theirs:
            yield name, tr("≈ {ours:,} tokens", ours=ours), "muted"


def cost(row: StoredRow, model: Model | None) -> Iterator[Line]:
    """Yield the arithmetic of a row's cost at today's rates, and say so where the stored cost is another."""
    if row.cost_usd is None:
        if row.cost_status == "unpriced" or row.usage_input_tokens is not None:
            yield tr("cost"), tr("n/a: no price is known for this model"), "warn"
        return
    if row.cache_level not in (None, "miss"):
        yield (
            tr("cost"),
            tr("{cost_usd}: answered by our cache, nothing was sent", cost_usd=units.usd(row.cost_usd)),
            "",
        )
        yield from _saved(row)
        return
    mark = {"estimated": "≈ ", "reported": ""}.get(row.cost_status or "", "")
    dated = tr(", prices of {price_as_of}", price_as_of=clean_line(row.price_as_of, 20)) if row.price_as_of else ""
    rates = model.prices if model else None
    total = 0.0
    if rates is not None and row.usage_input_tokens is not None:
        read, written = row.usage_cache_read_input_tokens or 0, row.usage_cache_write_input_tokens or 0
        plain = max(row.usage_input_tokens - read - written, 0)
        for name, tokens, price in (
            (tr("input"), plain, rates.input),
            (tr("cached input"), read, rates.cache_read if rates.cache_read is not None else rates.input),
            (tr("cache writes"), written, rates.cache_write if rates.cache_write is not None else rates.input),
            (tr("output"), row.usage_output_tokens or 0, rates.output),
        ):
            if tokens and price is not None:
                amount = tokens * price / 1e6
                total += amount
                yield name, f"{tokens:>9,} × ${price:g} / 1M = {units.usd(amount)}", ""
    yield (
        "cost",
        f"{mark}{units.usd(row.cost_usd)} ({clean_line(row.cost_status or 'unknown source', 20)}{dated})",
        "",
    )
    if total and abs(total - row.cost_usd) > max(0.01 * row.cost_usd, 1e-9):
        yield (
            "",
            tr("today's rates give {total}: {why_other}", total=units.usd(total), why_other=_why_other(row, rates)),
            "muted",
        )
    yield from _saved(row)


def _why_other(row: StoredRow, rates: Rates | None) -> str:
    """Say why a row's cost is not what the rates of the table come to, as far as that is known."""
    if row.cost_status == "reported":
        return tr("the cost above is what the provider reported")
    if row.response_service_tier not in (None, "", "default", "standard", "auto"):
        return tr("the tier {clean_line} has other rates", clean_line=clean_line(row.response_service_tier or "", 20))
    if rates is not None and rates.tiered:
        return tr("large inputs cost more")
    return tr("rates have changed since, or other ones held (hour, batch, prices.toml)")


def _saved(row: StoredRow) -> Iterator[Line]:
    if row.saved_usd:
        yield (
            "saved",
            tr(
                "{saved_usd} by a hit of our cache ({clean_line})",
                saved_usd=units.usd(row.saved_usd),
                clean_line=clean_line(row.cache_level or "", 20),
            ),
            "good",
        )


def _parameters(row: StoredRow) -> Iterator[Line]:
    for name in (
        "operation_name",
        "request_stream",
        "request_max_tokens",
        "request_temperature",
        "request_top_p",
        "request_stop_sequences",
        "request_seed",
        "request_choice_count",
        "request_reasoning_effort",
        "request_tools",
        "request_messages",
    ):
        value = getattr(row, name)
        if value is not None:
            shown = ("yes" if value else "no") if name == "request_stream" else clean_line(str(value), 200)
            yield name.replace("request_", "").replace("_name", "").replace("_", " "), shown, ""


def _answer(row: StoredRow) -> Iterator[Line]:
    if reasons := finish_reasons(row):
        yield (
            "finish",
            ", ".join(reasons),
            "warn" if {"length", "max_tokens", "max_output_tokens"} & set(reasons) else "",
        )
    if row.cache_level:
        near = tr(", similarity {cache_score:.3f}", cache_score=row.cache_score) if row.cache_score is not None else ""
        yield tr("our cache"), clean_line(row.cache_level, 40) + near, "good" if row.cache_level != "miss" else ""
    if row.cache_match:
        yield tr("answer of"), clean_line(row.cache_match, 70), "muted"
    for name, column in (
        (tr("sent"), row.bytes_sent),
        (tr("received"), row.bytes_received),
        (tr("decoded"), row.bytes_decoded),
    ):
        if column is not None:
            yield name, tr("{column:,} bytes", column=column), ""
    if row.prompt_hash:
        yield tr("prompt hash"), clean_line(row.prompt_hash, 40), "muted"
    for name, text in ((tr("rate limits"), row.rate_limits), (tr("server timings"), row.server_timings)):
        if text:
            yield name, clean_line(text, 300), "muted"


def alert_lines(alerts: Sequence[Alert]) -> tuple[Line, ...]:
    """Return where the rules stand, those that fire first."""
    if not alerts:
        return (
            ("", tr("No rules yet. In [monitor] of the settings:"), "muted"),
            ("", 'alerts = ["p95_ttft>2s over 15m"]', "muted"),
        )
    lines: list[Line] = []
    for alert in sorted(alerts, key=lambda each: not each.firing):
        since = (
            tr(" since {fromtimestamp:%d %b %H:%M:%S}", fromtimestamp=datetime.fromtimestamp(alert.since_ms / 1000))
            if alert.since_ms
            else ""
        )
        state = "▲ fires" if alert.firing else tr("not known") if alert.value is None else "✓ quiet"
        tone = "bad" if alert.firing else "muted" if alert.value is None else "good"
        lines.append((state, f"{clean_line(alert.rule, 80)}: {alert.shown}{since}", tone))
    return tuple(lines)
