"""One call from start to end: attempts, repairs, the stream, and the result with the transport's figures.

Retries are made here, so that each attempt is a row of the log with its own timings and none hides in
another's latency. Nothing is tried again once a token came.
"""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import random
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from promptop.base.errors import PromptopError
from promptop.base.sanitize import whole_text
from promptop.client import errors
from promptop.client.accumulator import AnswerAccumulator
from promptop.client.apis import api_of
from promptop.client.http import timings
from promptop.client.http.api_client import ApiClient
from promptop.client.http.endpoints import Endpoints, base_url_of
from promptop.client.http.load_balancer import Endpoint, blames_place
from promptop.client.http.raw_stream import RawStreamRecorder
from promptop.client.http.timings import Stages
from promptop.client.request import RunRequest
from promptop.client.request_body import body_of, find_model, repair
from promptop.client.result import Attempt, CallProgress, CallUsage, Delta, RunError, RunResult, State
from promptop.client.spending import Hold, cost_of
from promptop.providers.api import AnswerFacts, loads

if TYPE_CHECKING:
    from promptop.log.row import Row

ROW_WAIT_S = 3.0
"""Seconds to wait for the finished row: pricing and counting happen on the log's writer thread."""
LONGEST_WAIT_S = 60.0
"""A server that asks for a longer pause gets no further attempt."""
FIRST_WAIT_S = 0.5
REPAIRS = 6
"""Fields repaired in one call at most."""

OnDelta = Callable[[Delta], None]
Sleep = Callable[[float], Awaitable[object]]


async def run(
    request: RunRequest,
    endpoints: Endpoints,
    *,
    on_delta: OnDelta | None = None,
    progress: CallProgress | None = None,
    sleep: Sleep = asyncio.sleep,
) -> RunResult:
    """Make one call and return its result; a call that fails or is cancelled by ``progress.cancel`` is a result too.

    ``on_delta`` gets each piece of the answer as it comes, on the event loop's thread; it must be quick.
    """
    call = _Call(request, endpoints, on_delta, progress or CallProgress(), sleep)
    task = asyncio.create_task(call.attempts())
    loop = asyncio.get_running_loop()
    call.progress.attach(lambda: None if loop.is_closed() else loop.call_soon_threadsafe(task.cancel))
    try:
        await asyncio.wait({task})
    except asyncio.CancelledError:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise
    if call.progress.on_streamed is not None:
        call.progress.on_streamed()
    if task.cancelled():
        return await call.result(errors.cancelled())
    return await call.result(task.result())


class _Call:
    def __init__(
        self, request: RunRequest, endpoints: Endpoints, on_delta: OnDelta | None, progress: CallProgress, sleep: Sleep
    ) -> None:
        self.request = request
        self.endpoints = endpoints
        self.on_delta = on_delta
        self.progress = progress
        self.sleep = sleep
        self.answer = AnswerAccumulator(self._tell)
        self.api = api_of(request.profile)
        self.body: dict[str, Any] = {}
        self.tried: list[Attempt] = []
        self.note: Any = None
        self.stages = Stages()
        self.balancer = endpoints.balancer(request.profile)
        self.place: Endpoint | None = None
        self.received = RawStreamRecorder()
        self.hold: Hold | None = None

    async def attempts(self) -> RunError | None:
        """Try until it went well, cannot be helped, or the retries are used up; return the last error."""
        request, progress = self.request, self.progress
        model = find_model(request)
        learned = self.endpoints.learned(request.profile, request.model)
        retries = repairs = 0
        avoid: list[Endpoint] = []
        while True:
            self.body, progress.changes = body_of(request, model, learned)
            self.answer.has_choices = isinstance(self.body.get("n"), int) and self.body["n"] > 1
            number = len(self.tried) + 1
            raised, error = await self._at_a_place(number, avoid)
            label = self.place.label if self.place is not None and self.balancer.several else ""
            if error is None:
                self.tried.append(Attempt(number, None, place=label))
                return None
            if error.status in {400, 422} and repairs < REPAIRS and repair(self.body, raised, learned, request):
                repairs += 1
                if "stream_options" in learned.dropped:
                    self._ask_for_no_usage()
                self.tried.append(Attempt(number, error, 0.0, label))
                continue
            if self._elsewhere(error, avoid):
                self.tried.append(Attempt(number, error, 0.0, label))
                continue
            avoid.clear()
            wait_s = self._wait_before_retry(raised, error, retries)
            self.tried.append(Attempt(number, error, wait_s, label))
            if wait_s is None:
                return error
            retries += 1
            progress.retry_cause = error.cause
            progress.retry_at = time.perf_counter() + wait_s
            progress.state = "waiting"
            await self.sleep(wait_s)

    def _ask_for_no_usage(self) -> None:
        """Tell the logging transport what this endpoint refused, or it would ask for usage itself."""
        from promptop.capture.include_usage import remember_refusal

        if self.place is not None:
            url = urlsplit(base_url_of(self.place.profile))
            port = url.port or {"http": 80, "https": 443}.get(url.scheme)
            remember_refusal(url.hostname or "", port, url.path + self.api.path, self.request.model)

    async def _at_a_place(self, number: int, avoid: list[Endpoint]) -> tuple[BaseException | None, RunError | None]:
        """Choose a place, make one attempt there and tell what came of it; return what was raised, and its meaning."""
        provider = self.request.profile.provider or None
        try:
            self.hold = self.endpoints.gate(self.body, self.api.path, provider=provider)
        except PromptopError as over:
            return None, errors.explain(over, self.request)
        place = self.place = self.balancer.choose(avoid)
        raised: BaseException | None = None
        error: RunError | None = errors.cancelled()  # unless it comes to its end
        try:
            client = await self.endpoints.client(place.profile, cached=self.request.cache)
            raised = await self._attempt(client, number, place.label if self.balancer.several else "")
            error = await self._explained(raised)
        except PromptopError as unavailable:
            error = errors.explain(unavailable, self.request)
        finally:
            self.balancer.ended(place, error, ttft_s=self.progress.ttft_s, asked_s=_retry_after(raised))
            if error is not None:
                self._settle(None, error)
        return raised, error

    def _settle(self, row: Row | None, error: RunError | None) -> None:
        """Tell the gate what the last attempt cost; of an answer only its row knows, which comes later."""
        if self.hold is not None:
            sent = self.note is not None and bool(self.note.calls)
            self.hold.settle(cost_of(row, error, was_sent=sent))
            self.hold = None

    def _elsewhere(self, error: RunError, avoid: list[Endpoint]) -> bool:
        """Whether another place may do better at once; the one that failed is not asked again before the others."""
        if self.answer.begun or self.place is None or not self.balancer.several or not blames_place(error):
            return False
        avoid.append(self.place)
        return self.balancer.left(avoid)

    def _wait_before_retry(self, raised: BaseException | None, error: RunError, retries: int) -> float | None:
        """Return the seconds until the next attempt, or None if there is none."""
        if self.answer.begun or retries >= self.request.retries or not errors.retryable(error):
            return None
        asked = _retry_after(raised)
        if asked is None:
            return float(FIRST_WAIT_S * 2**retries * random.uniform(0.5, 1.0))
        return asked + random.uniform(0.0, 0.25) if asked <= LONGEST_WAIT_S else None

    async def _attempt(self, client: ApiClient, number: int, place: str) -> BaseException | None:
        """Send the body and read the stream; return what was raised."""
        from promptop.capture.annotations import annotate

        progress, request = self.progress, self.request
        progress.attempt, progress.state, progress.retry_at = number, "running", None
        self.note = None
        self.stages = Stages()
        seen = timings.current.set(self.stages)
        try:
            with annotate(
                attempt=number,
                prompt_name=request.prompt_name,
                prompt_version=request.prompt_version,
                tags={"place": place} if place else None,
            ) as self.note:
                progress.watch(self.note)
                self.note.tee = self.received.take
                self.note.decision = request.decision
                # Events come as they were sent, and one reader for each API knows their shapes.
                events = client.events(self.api.path, self.body, began=progress.begin_answer)
                async with contextlib.aclosing(events):
                    async for event in events:
                        if isinstance(event, dict):
                            self.answer.read(event, self.api)
                self._take_whole()
                self.answer.check()
        except Exception as error:  # noqa: BLE001 - a boundary: whatever a server provokes becomes a result
            return error
        finally:
            timings.current.reset(seen)
        return None

    def _take_whole(self) -> None:
        """Read an answer that came in one piece, and say so: then there is no first token to be timed."""
        received = None if self.answer.begun else self.received.whole()
        if received is None or received.left_out or not received.reads:
            return
        body = loads("".join(text for _, text in received.decoded()).strip())
        if isinstance(body, dict | list):
            self.answer.read_whole(body, self.api)
        if self.answer.begun:
            self.progress.changes.append("the answer came in one piece, though a stream was asked for")

    async def _explained(self, raised: BaseException | None) -> RunError | None:
        """Return the error of an attempt: of what was raised, or of a stream that ended early without saying so."""
        if raised is None:
            return None if self.answer.finish_reason or self.answer.ended else await self._ended_early()
        error = errors.explain(raised, self.request, self.endpoints.secrets(), answering=self.progress.answering)
        if error.status == 404 and self.place and (known := await self.endpoints.models(self.place.profile)):
            shown = ", ".join(known[:12]) + (f" … ({len(known)} in all)" if len(known) > 12 else "")
            return RunError(error.type, error.cause, f"Models of this endpoint: {shown}", error.status)
        return error

    async def _ended_early(self) -> RunError | None:
        """Some servers never send a finish reason: the transport, which saw ``[DONE]``, decides."""
        row = await self._row()
        if row is not None and row.error_type is None:
            return None
        if row is not None and row.error_type == "unexpected_content":
            return errors.unexpected(row.error_message or "", self.request.profile)
        return errors.incomplete(self.request.model)

    def _token_reads(self) -> int | None:
        """Return how many reads brought the answer, from the one with its first token on; None if that is unknown."""
        received, call = self.received.whole(), self.progress.call
        ttft_s = getattr(call, "ttft_s", None)
        if received is None or ttft_s is None:
            return None
        return sum(at_s >= float(ttft_s) - 1e-6 for at_s, _ in received.reads)

    def _tell(self, delta: Delta) -> None:
        self.progress.chunks += 1
        if self.on_delta is not None:
            self.on_delta(delta)

    async def _row(self) -> Row | None:
        """Return the log's row of the last attempt; None if the log did not deliver it in time."""
        if self.note is None or not self.note.calls:
            return None  # nothing was sent
        if not self.note.rows:
            await self.note.row(ROW_WAIT_S)
        rows: list[Row] = self.note.rows
        return rows[-1] if rows else None

    def _matched(self) -> str:
        """Return the other wording whose answer came, where the cache's semantic level gave it."""
        fact = self.note.calls[-1].cache if self.note is not None and self.note.calls else None
        return fact.prompt if fact is not None else ""

    async def result(self, error: RunError | None) -> RunResult:
        """Put the result together: text from the events, every figure from the transport's row."""
        row = await self._row()
        self._settle(row, error)
        answer, progress = self.answer, self.progress
        state: State = "done" if error is None else "cancelled" if error.type == "cancelled" else "failed"
        progress.state = state
        stamps: Any = row if row is not None else progress.call
        return RunResult(
            request_model=self.request.model,
            model=(row.response_model if row is not None else None) or answer.model or self.request.model,
            title=self.request.title,
            text="".join(answer.text),
            choices=tuple("".join(parts) for _, parts in sorted(answer.others.items())),
            state=state,
            finish_reason=answer.finish_reason,
            refused=answer.refused,
            reasoning="".join(answer.reasoning),
            tool_calls=tuple((whole_text(name), whole_text(arguments)) for name, arguments in answer.tools.values()),
            usage=_usage(row, answer.facts),
            cost_usd=row.cost_usd if row is not None else None,
            cost_status=row.cost_status if row is not None else None,
            connection_reused=None if row is None or row.connection_reused is None else bool(row.connection_reused),
            error=error,
            attempts=tuple(self.tried),
            changes=tuple(progress.changes),
            request_body=self.body,
            response_id=answer.response_id,
            row=row,
            received=self.received.whole(),
            token_reads=self._token_reads(),
            cache_refusal=self.endpoints.refusal(self.request.profile, self.body)
            if self.request.cache and self.body
            else "",
            queue_s=row.queue_s if row is not None else None,
            stages=self.stages,
            place=self.place.label if self.place is not None else "",
            cache_prompt=self._matched(),
            **{name: getattr(stamps, name, None) for name in _STAMPS},
        )


_STAMPS = (
    "ttfb_s",
    "ttft_s",
    "ttfo_s",
    "duration_s",
    "total_s",
    "gap_max_s",
    "stalls",
    "connect_s",
    "tls_s",
)


def _usage(row: Row | None, facts: AnswerFacts) -> CallUsage:
    if row is not None and row.usage_source is not None:
        return CallUsage(
            row.usage_input_tokens,
            row.usage_output_tokens,
            row.usage_cache_read_input_tokens,
            row.usage_reasoning_output_tokens,
            row.usage_source,
        )
    said = facts.read_usage()
    if not said:
        return CallUsage()
    return CallUsage(said.input_tokens, said.output_tokens, said.cache_read, said.reasoning, "reported")


def _retry_after(raised: BaseException | None) -> float | None:
    """Return the seconds that a response's retry-after headers ask for."""
    response = getattr(raised, "response", None)
    if response is None:
        return None
    headers = response.headers
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    value = headers.get("retry-after", "")
    with contextlib.suppress(ValueError):
        return max(0.0, float(value))
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return None
