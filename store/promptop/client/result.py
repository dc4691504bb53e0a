"""What came back: the result of a call, and how far a call in progress has got."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from promptop.base.texts import sentence
from promptop.client.http.timings import Stages

if TYPE_CHECKING:
    from promptop.client.http.raw_stream import Received
    from promptop.client.request import RunRequest
    from promptop.log.row import Row

State = Literal["waiting", "running", "done", "cancelled", "failed"]
Kind = Literal["text", "reasoning", "refusal", "tool"]


CAP = "cap"
"""Type of the error of a call that was not sent, because it could pass a cap."""
LIMIT_REASONS = frozenset({"length", "max_tokens", "max_output_tokens"})
"""Finish reasons of the three APIs for an answer that its limit of output tokens ended."""
FILTER_REASONS = frozenset({"content_filter", "refusal"})
"""Those for an answer that the provider withheld."""


FEW_READS = 2
"""Reads in which no rate can be seen: their times say when packets came, not when tokens were made."""
SHORTEST_SPAN_S = 0.001
"""Seconds from first token to last below which nothing was streamed."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer as it came: visible text, reasoning, a refusal, or a tool call's name and arguments."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class RunError:
    """Why a call did not end well, and what to do about it."""

    type: str
    """As the log names it: cancelled, connect, timeout, incomplete_stream, malformed_event, or an HTTP status."""
    cause: str
    remedy: str = ""
    status: int | None = None

    def __str__(self) -> str:
        cause = sentence(self.cause)
        return f"{cause}\n  → {sentence(self.remedy)}" if self.remedy else cause


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call: its number, how it ended (None: well), and how long was waited before the next."""

    number: int
    error: RunError | None
    wait_s: float | None = None
    place: str = ""
    """Endpoint and key that were asked, where the profile has several."""


@dataclass(frozen=True, slots=True)
class CallUsage:
    """Tokens of a call; None is unknown. Input includes cached tokens, output includes reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    reasoning_output_tokens: int | None = None
    source: str | None = None
    """``reported`` by the server, ``estimated`` by us, or None."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A call that is over. Times are seconds from the start of the last attempt, stamped in the transport."""

    request_model: str
    model: str
    """The model that answered; the one asked for where the server names none."""
    title: str
    text: str
    state: State
    finish_reason: str | None = None
    refused: bool = False
    """Whether the text stands in the field that an API keeps for refusals."""
    reasoning: str = ""
    tool_calls: tuple[tuple[str, str], ...] = ()
    """Name and JSON arguments of each tool call."""
    choices: tuple[str, ...] = ()
    """The text of every choice after the first, where several were asked for."""
    ttfb_s: float | None = None
    ttft_s: float | None = None
    ttfo_s: float | None = None
    duration_s: float | None = None
    total_s: float | None = None
    gap_max_s: float | None = None
    stalls: int | None = None
    connect_s: float | None = None
    tls_s: float | None = None
    connection_reused: bool | None = None
    usage: CallUsage = field(default_factory=CallUsage)
    cost_usd: float | None = None
    cost_status: str | None = None
    error: RunError | None = None
    attempts: tuple[Attempt, ...] = ()
    changes: tuple[str, ...] = ()
    """What was sent otherwise than asked for, because the model refuses it."""
    request_body: Mapping[str, Any] = field(default_factory=dict)
    """The body as sent in the last attempt."""
    response_id: str | None = None
    row: Row | None = None
    queue_s: float | None = None
    """Waited for a limiter before it began; no part of the other times."""
    stages: Stages = field(default_factory=Stages)
    """What happened below HTTP in the last attempt."""
    place: str = ""
    """Host and port that were asked, and the key's variable where the profile has several."""
    token_reads: int | None = None
    """Reads of the body from the first token on; None is unknown."""
    received: Received | None = None
    """What came over the wire in the last attempt; None where nothing did, or it was not kept."""
    cache_refusal: str = ""
    """Why the cache was not asked although that was wanted."""
    cache_prompt: str = ""
    """The other wording whose answer this is, where the semantic level gave it."""

    @property
    def cache_hit(self) -> str:
        """The level of the response cache that answered; empty if the model did."""
        level = self.row.cache_level if self.row is not None else None
        return "" if level in (None, "miss") else str(level)

    @property
    def cut_short(self) -> bool:
        """Whether the limit of output tokens ended the answer, in whatever word its API has for that."""
        return self.finish_reason in LIMIT_REASONS

    @property
    def is_withheld(self) -> bool:
        """Whether the provider refused or filtered the answer, by its own word for that."""
        return self.refused or self.finish_reason in FILTER_REASONS

    @property
    def output_tps(self) -> float | None:
        """Output tokens a second after the first: (n − 1) / (duration − ttft).

        None below two tokens, and where they came in one or two reads: one gap between packets is not a rate.
        """
        tokens = self.usage.output_tokens
        if self.token_reads is not None and self.token_reads <= FEW_READS:
            return None
        if tokens is None or tokens < 2 or self.duration_s is None or self.ttft_s is None:
            return None
        span = self.duration_s - self.ttft_s
        return (tokens - 1) / span if span >= SHORTEST_SPAN_S else None

    @property
    def tpot_s(self) -> float | None:
        """Seconds for each output token after the first."""
        tps = self.output_tps
        return 1 / tps if tps else None

    def sizes(self) -> dict[str, int | None]:
        """Return bytes of both bodies, as written and on the wire; None is unknown."""
        row = self.row
        return {
            "sent": row.bytes_sent if row is not None else None,
            "sent_wire": self.stages.bytes_sent,
            "received_wire": row.bytes_received if row is not None else None,
            "received": row.bytes_decoded if row is not None else None,
        }

    def calls_text(self) -> str:
        """Return the tool calls as they are read, a line each: ``look_up({"word": "猫"})``; empty if there are none."""
        return "\n".join(f"{name}({arguments})" for name, arguments in self.tool_calls)

    def to_json(self) -> dict[str, Any]:
        """Return the documented shape of ``promptop run --json`` (seconds, USD, unknown is None)."""
        error = self.error
        return {
            "model": self.model,
            "text": self.text,
            "finish_reason": self.finish_reason,
            "refused": self.refused,
            "ttfb_s": self.ttfb_s,
            "ttft_s": self.ttft_s,
            "ttfo_s": self.ttfo_s,
            "duration_s": self.duration_s,
            "total_s": self.total_s,
            "output_tps": self.output_tps,
            "usage": {
                "input_tokens": self.usage.input_tokens,
                "output_tokens": self.usage.output_tokens,
                "cache_read_input_tokens": self.usage.cache_read_input_tokens,
                "reasoning_output_tokens": self.usage.reasoning_output_tokens,
                "source": self.usage.source,
            },
            "cost_usd": self.cost_usd,
            "cost_status": self.cost_status,
            "choices": [self.text, *self.choices] if self.choices else None,
            "error": error
            and {"type": error.type, "status": error.status, "cause": error.cause, "remedy": error.remedy},
            "request_model": self.request_model,
            "state": self.state,
            "reasoning": self.reasoning,
            "tool_calls": [{"name": name, "arguments": arguments} for name, arguments in self.tool_calls],
            "gap_max_s": self.gap_max_s,
            "stalls": self.stalls,
            "connect_s": self.connect_s,
            "tls_s": self.tls_s,
            "connection_reused": self.connection_reused,
            "queue_s": self.queue_s,
            "pool_s": self.stages.pool_s,
            "dns_s": self.stages.dns_s,
            "sent_s": self.stages.sent_s,
            "http_version": self.stages.http_version or None,
            "bytes": self.sizes(),
            "place": self.place or None,
            "attempts": len(self.attempts),
            "changes": list(self.changes),
            "response_id": self.response_id,
            "cache": self.row.cache_level if self.row is not None else None,
            "saved_usd": self.row.saved_usd if self.row is not None else None,
            "cache_score": self.row.cache_score if self.row is not None else None,
            "cache_prompt": self.cache_prompt or None,
        }


class CallProgress:
    """How far a call has got: written by the call, read and cancelled by anyone, on any thread.

    The call may run in another process: then :meth:`take` brings what :meth:`snapshot` gave there.
    """

    def __init__(self) -> None:
        self.state: State = "waiting"
        self.attempt = 0
        self.answering = False
        """Whether response headers came in the attempt in progress."""
        self.retry_at: float | None = None
        """``time.perf_counter()`` when the next attempt starts, while waiting for it."""
        self.retry_cause = ""
        self.chunks = 0
        """Pieces of the answer so far; not tokens: several may share a piece."""
        self.changes: list[str] = []
        self.on_streamed: Callable[[], object] | None = None
        """Called once the last byte came; the result follows when the log's writer has priced it, up to 50 ms later."""
        self._ttft_s: float | None = None
        self._sent_at: float | None = None
        self._note: Any = None
        self._cancel: Callable[[], object] | None = None
        self._cancelled = False

    @property
    def call(self) -> Any:
        """The transport's live stamps (``ttfb_s``, ``ttft_s`` …) of the attempt in progress, or None."""
        calls = self._note.calls if self._note is not None else ()
        return calls[-1] if calls else None

    @property
    def ttft_s(self) -> float | None:
        """Seconds to the first token of the attempt in progress, from the transport's stamp."""
        return self._ttft_s if self._note is None else getattr(self.call, "ttft_s", None)

    @property
    def sent_at(self) -> float | None:
        """``time.perf_counter()`` when the attempt in progress left, from the transport's stamp."""
        return self._sent_at if self.call is None else self.call.started_s

    @property
    def elapsed_s(self) -> float | None:
        """Seconds since the attempt in progress was sent; for a clock on a screen, never for a figure that is kept."""
        return None if self.sent_at is None else time.perf_counter() - self.sent_at

    @property
    def over(self) -> bool:
        """Whether the call has ended, in whatever way."""
        return self.state in {"done", "cancelled", "failed"}

    def cancel(self) -> None:
        """Stop the call; what came is kept in its result. Does nothing to a call that is over."""
        self._cancelled = True
        if self._cancel is not None:
            self._cancel()

    def attach(self, cancel: Callable[[], object]) -> None:
        """Take what :meth:`cancel` does; a call that was cancelled before it began is stopped at once."""
        self._cancel = cancel
        if self._cancelled:
            cancel()

    def watch(self, note: Any) -> None:
        """Take the note whose live stamps are shown, at the start of an attempt."""
        self._note = note
        self.answering = False

    def begin_answer(self) -> None:
        """Note that the response headers of the attempt in progress came."""
        self.answering = True

    def snapshot(self) -> dict[str, Any]:
        """Return everything that a screen reads, as plain values."""
        return {
            "state": self.state,
            "attempt": self.attempt,
            "answering": self.answering,
            "_sent_at": self.sent_at,
            "retry_at": self.retry_at,
            "retry_cause": self.retry_cause,
            "chunks": self.chunks,
            "changes": list(self.changes),
            "_ttft_s": self.ttft_s,
        }

    def take(self, snapshot: Mapping[str, Any]) -> None:
        """Take over a snapshot; ``perf_counter`` is one clock for all processes of a machine."""
        for name, value in snapshot.items():
            setattr(self, name, value)


def failed(request: RunRequest, error: RunError) -> RunResult:
    """Return the result of a call that never was sent."""
    return RunResult(request.model, request.model, request.title, "", "failed", error=error)
