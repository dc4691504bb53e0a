"""One call that is answered in one piece, to hold a streamed one against: its text comes at once, at the end.

No retries and no repairs, since a measurement counts each attempt. There is no first token: of its times it has
response headers and total.
"""

from __future__ import annotations

import asyncio
import contextlib

from promptop.base.errors import PromptopError
from promptop.client import errors
from promptop.client.accumulator import AnswerAccumulator
from promptop.client.apis import api_of
from promptop.client.http.endpoints import Endpoints
from promptop.client.request import RunRequest
from promptop.client.request_body import whole_body
from promptop.client.result import Attempt, CallProgress, CallUsage, RunError, RunResult, failed
from promptop.client.spending import cost_of

ROW_WAIT_S = 3.0
"""Seconds to wait for the row that holds the figures: it is priced on the log's writer thread."""


async def run_unstreamed(
    request: RunRequest, endpoints: Endpoints, *, progress: CallProgress | None = None
) -> RunResult:
    """Make the call and return its result; a call that fails or is cancelled is a result too."""
    progress = progress or CallProgress()
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
    result = failed(request, errors.cancelled()) if task.cancelled() else task.result()
    progress.state = result.state
    return result


async def _call(request: RunRequest, endpoints: Endpoints, progress: CallProgress) -> RunResult:
    from promptop.capture.annotations import annotate

    balancer = endpoints.balancer(request.profile)
    body = {**whole_body(request, endpoints.learned(request.profile, request.model)), "stream": False}
    api = api_of(request.profile)
    answer = AnswerAccumulator(lambda _: None)
    try:
        hold = endpoints.gate(body, api.path, provider=request.profile.provider or None)
    except PromptopError as over:
        return failed(request, errors.explain(over, request))
    place = balancer.choose()
    error: RunError | None = errors.cancelled()  # unless it comes to its end
    progress.attempt, progress.state = 1, "running"
    tags = {"place": place.label} if balancer.several else None
    with annotate(attempt=1, prompt_name=request.prompt_name, prompt_version=request.prompt_version, tags=tags) as note:
        progress.watch(note)
        try:
            client = await endpoints.client(place.profile)
            answer.read_whole(await client.post(api.path, body), api)
            answer.check()
            error = None
        except PromptopError as unavailable:
            error = errors.explain(unavailable, request)
        except Exception as raised:  # noqa: BLE001 - a boundary: whatever a server provokes becomes a result
            error = errors.explain(raised, request, endpoints.secrets())
        finally:
            balancer.ended(place, error)
            if error is not None:
                hold.settle(cost_of(None, error, was_sent=bool(note.calls)))
    row = await note.row(ROW_WAIT_S) if note.calls else None
    if error is None and row is not None and row.error_type == "unexpected_content":
        error = errors.unexpected(row.error_message or "", request.profile)
    if error is None:
        hold.settle(cost_of(row, None, was_sent=True))
    return RunResult(
        request.model,
        (row.response_model if row is not None else None) or request.model,
        request.title,
        "".join(answer.text),
        "done" if error is None else "failed",
        finish_reason=answer.finish_reason,
        refused=answer.refused,
        place=place.label,
        ttfb_s=row.ttfb_s if row is not None else None,
        total_s=row.total_s if row is not None else None,
        connect_s=row.connect_s if row is not None else None,
        tls_s=row.tls_s if row is not None else None,
        connection_reused=None if row is None or row.connection_reused is None else bool(row.connection_reused),
        usage=CallUsage()
        if row is None
        else CallUsage(
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
        request_body=body,
        row=row,
    )
