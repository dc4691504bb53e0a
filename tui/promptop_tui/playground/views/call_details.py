"""A call in full, as text: the request as it was sent, its attempts, where its time went."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from promptop.base import units
from promptop.base.sanitize import clean, clean_line
from promptop.base.text_table import fitted
from promptop.base.texts import tr
from promptop.client.apis import api_of
from promptop.client.http.waterfall import sizes, waterfall
from promptop.client.request import RunRequest
from promptop.client.result import RunResult
from promptop.experiments.checks import Checked


def details(
    request: RunRequest, result: RunResult, checked: Sequence[Checked] = (), first_call: tuple[float, int] | None = None
) -> str:
    """Return everything known of a call, safe to show.

    ``first_call`` says of repeated calls by how many seconds the first one's TTFT exceeded the median of how many later
    ones.
    """
    parts = [_head(request, result), _first_call(first_call), _checks(checked)]
    parts += ["\n".join(lines) for lines in (waterfall(result), sizes(result))]
    parts.append(_attempts(result))
    if result.changes:
        parts.append(tr("Changed") + "\n" + "\n".join(f"  {clean_line(change)}" for change in result.changes))
    parts.append(tr("Request as sent\n") + body_text(result.request_body))
    return "\n\n".join(part for part in parts if part)


def _first_call(found: tuple[float, int] | None) -> str:
    """Say what being the first cost a call: with a local model mostly its loading."""
    if found is None:
        return ""
    longer_s, later = found
    took = tr("{longer_s} longer than", longer_s=units.seconds(longer_s)) if longer_s else tr("no longer than")
    return tr(
        "First call\n  its first token took {took} the median of the later ones (n={later})\n"
        "  loading a model that was not loaded is in it, and connecting and caches: an upper bound of each",
        took=took,
        later=later,
    )


def _checks(checked: Sequence[Checked]) -> str:
    lines = [f"  {'✓' if each.passed else '✗'} {clean_line(each.text, 100)}" for each in checked]
    for number, each in enumerate(checked):
        lines[number] += f"   {clean_line(each.why)}" if each.why else ""
    return "\n".join([tr("Checks"), *lines]) if lines else ""


def body_text(body: Mapping[str, Any]) -> str:
    """Return a request's body as indented JSON, escapes of line breaks kept."""
    if not body:
        return tr("  nothing was sent")
    text = json.dumps(body, ensure_ascii=False, indent=2, default=str)
    return clean("\n".join(f"  {line}" for line in text.splitlines()))


def _head(request: RunRequest, result: RunResult) -> str:
    usage = result.usage
    lines = [
        (tr("endpoint"), f"{request.profile.base_url} ({api_of(request.profile).title})"),
        *([(tr("asked at"), result.place)] if request.profile.endpoints or request.profile.api_key_envs else []),
        (tr("model"), f"{request.model} → {result.model}" if result.model != request.model else request.model),
        (tr("ended"), result.finish_reason or (result.error.type if result.error else tr("without a finish reason"))),
        (
            tr("input"),
            tr(
                "{input_tokens} tokens, {cache_read_input_tokens} cached",
                input_tokens=units.count(usage.input_tokens),
                cache_read_input_tokens=units.count(usage.cache_read_input_tokens),
            ),
        ),
        (
            tr("output"),
            tr(
                "{output_tokens} tokens, {reasoning_output_tokens} reasoning",
                output_tokens=units.count(usage.output_tokens),
                reasoning_output_tokens=units.count(usage.reasoning_output_tokens),
            ),
        ),
        (tr("counts"), usage.source or "unknown"),
        (tr("cost"), f"{units.usd(result.cost_usd)} ({result.cost_status or 'unknown'})"),
        *_cache(result),
        (tr("response id"), result.response_id or units.UNKNOWN),
        (tr("request id"), (result.row.request_id if result.row is not None else None) or units.UNKNOWN),
    ]
    return "\n".join(f"{fitted(name, 12)} {clean_line(text, 200)}" for name, text in lines)


def _cache(result: RunResult) -> list[tuple[str, str]]:
    """Say what our cache had to do with the call; of another wording's answer, which wording and how near it is."""
    row = result.row
    if row is None or row.cache_level is None:
        return []
    saved = tr(", saved {saved_usd}", saved_usd=units.usd(row.saved_usd)) if result.cache_hit else ""
    lines = [(tr("our cache"), f"{row.cache_level}{saved}"), (tr("cache key"), row.cache_key or units.UNKNOWN)]
    if row.cache_score is not None:
        lines += [
            (tr("similarity"), tr("{cache_score:.3f} to the prompt whose answer this is", cache_score=row.cache_score)),
            (tr("its prompt"), result.cache_prompt or units.UNKNOWN),
            (tr("its key"), row.cache_match or units.UNKNOWN),
        ]
    return lines


def _attempts(result: RunResult) -> str:
    if len(result.attempts) < 2 and result.error is None:
        return ""
    lines = ["Attempts"]
    for attempt in result.attempts:
        said = clean_line(attempt.error.cause) if attempt.error is not None else tr("went well")
        waited = tr("; next after {wait_s:.1f} s", wait_s=attempt.wait_s) if attempt.wait_s else ""
        at = f"{clean_line(attempt.place, 60)}: " if attempt.place else ""
        lines.append(f"  {attempt.number}  {at}{said}{waited}")
    if result.error is not None and result.error.remedy:
        lines.append(f"  → {clean_line(result.error.remedy)}")
    return "\n".join(lines)
