"""Two requests side by side, and one as a command line for curl."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from promptop.base import units
from promptop.base.sanitize import clean_line
from promptop.base.texts import tr
from promptop_tui.monitor.views.row_cells import clock, name_of, output_rate, status_of

if TYPE_CHECKING:
    from promptop.log import StoredRow
    from promptop.log.write.bodies import StoredBody
    from promptop_tui.monitor.analysis.request_report import Line

_WIDE = 24
"""Cells of a value: two of them, a change and their name fit into 80 columns."""
_PARAMETERS = ("max_tokens", "temperature", "top_p", "seed", "stop_sequences", "reasoning_effort")
_NUMBERS: tuple[tuple[str, Callable[[StoredRow], float | None], Callable[[float | None], str]], ...] = (
    ("headers", lambda row: row.ttfb_s, units.seconds),
    ("first token", lambda row: row.ttft_s, units.seconds),
    ("duration", lambda row: row.duration_s, units.seconds),
    ("total", lambda row: row.total_s, units.seconds),
    ("tokens/s", output_rate, units.rate),
    ("input", lambda row: row.usage_input_tokens, units.count),
    ("cached input", lambda row: row.usage_cache_read_input_tokens, units.count),
    ("output", lambda row: row.usage_output_tokens, units.count),
    ("reasoning", lambda row: row.usage_reasoning_output_tokens, units.count),
    ("cost", lambda row: row.cost_usd, units.usd),
)
_WORDS: tuple[tuple[str, Callable[[StoredRow], object]], ...] = (
    ("started", lambda row: clock(row.started_ms)),
    ("status", lambda row: status_of(row)[0]),
    ("model", lambda row: row.request_model),
    ("answered by", lambda row: row.response_model),
    ("app", lambda row: row.app),
    ("prompt", lambda row: row.prompt_name),
    ("version", lambda row: row.prompt_version),
    ("server", lambda row: row.server_address),
    ("cache", lambda row: row.cache_level),
    *((name.replace("_", " "), lambda row, name=name: getattr(row, f"request_{name}")) for name in _PARAMETERS),
)


def pair_lines(one: StoredRow, two: StoredRow) -> tuple[Line, ...]:
    """Return two requests figure by figure; what differs is marked, what neither has is left out."""
    lines: list[Line] = [("request", _row(name_of(one), name_of(two), "change"), "muted")]
    for name, value in _WORDS:
        left, right = value(one), value(two)
        if left is not None or right is not None:
            shown = [clean_line(str(each), _WIDE) if each is not None else units.UNKNOWN for each in (left, right)]
            differs = left != right
            lines.append((name, _row(shown[0], shown[1], "≠" if differs else ""), "accent" if differs else ""))
    if one.prompt_hash and two.prompt_hash:
        same = one.prompt_hash == two.prompt_hash
        lines.append(("messages", tr("the same") if same else tr("≠ not the same"), "" if same else "accent"))
    for name, number, show in _NUMBERS:
        old, new = number(one), number(two)
        if old is not None or new is not None:
            lines.append((name, _row(show(old), show(new), units.change(new, old)), ""))
    return tuple(lines)


def _row(left: str, right: str, note: str) -> str:
    return f"{left:<{_WIDE}} {right:<{_WIDE}} {note}".rstrip()


def curl(row: StoredRow, body: StoredBody | None) -> tuple[str, bool]:
    """Return the request as a command line, and whether it has the prompt; the key stays a variable of the shell."""
    host = clean_line(row.server_address or "api.openai.com")
    local = host == "localhost"
    try:
        local = local or ip_address(host).is_loopback
        host = f"[{host}]" if ":" in host else host
    except ValueError:
        pass  # a name
    port = f":{row.server_port}" if row.server_port not in (None, 80, 443) else ""
    url = f"{'http' if local else 'https'}://{host}{port}{clean_line(row.url_path or '/v1/chat/completions')}"
    kept = body.request if body is not None else None
    anthropic = row.provider_name == "anthropic"
    key = '"x-api-key: $ANTHROPIC_API_KEY"' if anthropic else '"Authorization: Bearer $OPENAI_API_KEY"'
    parts = ["curl", shlex.quote(url), "-H", key, "-H", shlex.quote("Content-Type: application/json")]
    if anthropic:
        parts += ["-H", shlex.quote("anthropic-version: 2023-06-01")]
    return " ".join(
        [*parts, "-d", shlex.quote(kept if kept is not None else json.dumps(_known(row)))]
    ), kept is not None


def _known(row: StoredRow) -> dict[str, Any]:
    """Return what the log knows of a request whose prompt was not kept."""
    found: dict[str, Any] = {"model": row.request_model, "messages": [{"role": "user", "content": "…"}]}
    for name in ("max_tokens", "temperature", "top_p", "seed"):
        value = getattr(row, f"request_{name}")
        if value is not None:
            found[name] = value
    if row.request_stream:
        found["stream"] = True
    return found
