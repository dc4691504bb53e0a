"""One call that is answered in one piece, to hold a streamed one against: its text comes at once, at the end.

Only Chat Completions; no retries and no repairs, since a measurement counts each attempt. There is no first token: of
its times it has response headers and total.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from promptop.errors import PromptopError
from promptop.runs import explain
from promptop.runs.body import body_of, find_model
from promptop.runs.endpoints import Endpoints
from promptop.runs.request import RunRequest
from promptop.runs.result import Attempt, Progress, RunError, RunResult, Usage, failed

ROW_WAIT_S = 3.0
"""Seconds to wait for the row that holds the figures: it is priced on the log's writer thread."""


async def run_unstreamed(request: RunRequest, endpoints: Endpoints, *, progress: Progress | None = None) -> RunResult:
    """Make the call and return its result; a call that fails or is cancelled is a result too."""
    progress = progress or Progress()
    task = asyncio.create_task(_call(request, endpoints, progress))
    loop = asyncio.get_running_loop()
    progress.attach(lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel))
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise
    result = failed(request, explain.cancelled()) if task.cancelled() else task.result()
    progress.state = result.state
    return result


async def _call(request: RunRequest, endpoints: Endpoints, progress: Progress) -> RunResult:
    from promptop.shim import annotate

    try:
        client = await endpoints.client(request.profile)
    except PromptopError as unavailable:
        return failed(request, explain.explain(unavailable, request))
    body, changes = body_of(request, find_model(request), endpoints.learned(request.profile, request.model))
    extra = {
        name: value for name, value in body.items() if name not in {"model", "messages", "stream", "stream_options"}
    }
    answer: Any = None
    error: RunError | None = None
    progress.attempt, progress.state = 1, "running"
    with annotate(attempt=1, prompt_name=request.prompt_name, prompt_version=request.prompt_version) as note:
        progress.watch(note)
        try:
            answer = await client.chat.completions.create(
                model=body["model"], messages=body["messages"], stream=False, extra_body=extra
            )
        except Exception as raised:  # noqa: BLE001 - a boundary: whatever a server provokes becomes a result
            error = explain.explain(raised, request, endpoints.secrets())
    row = await note.row(ROW_WAIT_S) if note.calls else None
    choice = answer.choices[0] if answer is not None and answer.choices else None
    return RunResult(
        request.model,
        (row.response_model if row is not None else None) or request.model,
        request.title,
        (choice.message.content or "") if choice is not None else "",
        "done" if error is None else "failed",
        finish_reason=choice.finish_reason if choice is not None else None,
        ttfb_s=row.ttfb_s if row is not None else None,
        total_s=row.total_s if row is not None else None,
        connect_s=row.connect_s if row is not None else None,
        tls_s=row.tls_s if row is not None else None,
        connection_reused=None if row is None or row.connection_reused is None else bool(row.connection_reused),
        usage=Usage()
        if row is None
        else Usage(
            row.usage_input_tokens,
            row.usage_output_tokens,
            row.usage_cache_read_input_tokens,
            row.usage_reasoning_output_tokens,
            row.usage_source,
        ),
        cost_usd=row.cost_usd if row is not None else None,
        cost_status=row.cost_status if row is not None else None,
        error=error,
        attempts=(Attempt(1, error),),
        changes=tuple(changes),
        row=row,
    )
