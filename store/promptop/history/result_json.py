"""A call's result as JSON and back, for keeping: the shape of ``promptop run --json``, with its texts or without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from promptop.client.http.timings import Stages
from promptop.client.result import Attempt, CallUsage, RunError, RunResult, State
from promptop.log.row import Row

_TIMES = ("ttfb_s", "ttft_s", "ttfo_s", "duration_s", "total_s", "gap_max_s", "stalls", "connect_s", "tls_s")
_TEXTS = ("text", "choices", "reasoning", "tool_calls", "changes")


def figures_of(result: RunResult) -> dict[str, Any]:
    """Return a result as JSON in which nothing of prompt or answer is left: a server's message may quote either."""
    shape = result.to_json() | {"title": result.title}
    for name in _TEXTS:
        del shape[name]
    if shape["error"]:
        shape["error"] = shape["error"] | {"cause": "", "remedy": ""}
    return shape


def texts_of(result: RunResult) -> dict[str, Any]:
    """Return what :func:`figures_of` leaves out."""
    shape = result.to_json()
    return {name: shape[name] for name in (*_TEXTS, "error")}


def read_result(shape: Mapping[str, Any]) -> RunResult:
    """Return the result of figures, and of texts where they are in it too; what was left out is empty."""
    usage, error = shape.get("usage") or {}, shape.get("error")
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "reasoning_output_tokens", "source")
    times: dict[str, Any] = {name: shape.get(name) for name in _TIMES}
    level = shape.get("cache")
    return RunResult(
        request_model=str(shape.get("request_model") or ""),
        model=str(shape.get("model") or ""),
        title=str(shape.get("title") or ""),
        text=str(shape.get("text") or ""),
        choices=tuple((shape.get("choices") or [""])[1:]),
        state=cast(State, shape.get("state") or "failed"),
        finish_reason=shape.get("finish_reason"),
        refused=bool(shape.get("refused")),
        reasoning=str(shape.get("reasoning") or ""),
        tool_calls=tuple((call["name"], call["arguments"]) for call in shape.get("tool_calls") or ()),
        connection_reused=shape.get("connection_reused"),
        usage=CallUsage(**{name: usage.get(name) for name in names}),
        cost_usd=shape.get("cost_usd"),
        cost_status=shape.get("cost_status"),
        error=RunError(error["type"], error["cause"], error["remedy"] or "", error["status"]) if error else None,
        attempts=tuple(Attempt(number + 1, None) for number in range(int(shape.get("attempts") or 0))),
        changes=tuple(shape.get("changes") or ()),
        response_id=shape.get("response_id"),
        queue_s=shape.get("queue_s"),
        stages=Stages(
            shape.get("pool_s"),
            shape.get("dns_s"),
            shape.get("sent_s"),
            shape.get("http_version") or "",
            (shape.get("bytes") or {}).get("sent_wire"),
        ),
        place=str(shape.get("place") or ""),
        row=_row(shape, level),
        **times,
    )


def _row(shape: Mapping[str, Any], level: Any) -> Row | None:
    """Return as much of the log's row as the shape holds; None where it holds nothing of it."""
    sizes = shape.get("bytes") or {}
    if not level and not any(sizes.values()):
        return None
    return Row(
        cache_level=level,
        saved_usd=shape.get("saved_usd"),
        bytes_sent=sizes.get("sent"),
        bytes_received=sizes.get("received_wire"),
        bytes_decoded=sizes.get("received"),
    )
