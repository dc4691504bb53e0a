"""Who may call when: concurrency, requests and tokens a minute, per endpoint and model.

A window slides: at no moment do more than the allowed requests or tokens lie in the last 60 seconds. Those who wait
stand in lanes that take turns, first come first served within a lane, so that a batch of thousands does not keep one
interactive call waiting. One timer wakes the one whose turn it is, never all of them. What a server says
(``retry-after``, ``x-ratelimit-*``) is obeyed as well.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

WINDOW_S = 60.0

CallLater = Callable[[float, Callable[[], None]], object]


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What is allowed; None means no limit."""

    concurrency: int | None = 5
    requests_per_minute: int | None = 60
    tokens_per_minute: int | None = None


@dataclass(slots=True)
class Slot:
    """The right to make one call, and what it waited for it."""

    waited_s: float
    tokens: int
    _limiter: Limiter
    _at: float

    def used(self, tokens: int) -> None:
        """Correct the estimate that the slot was granted on by the tokens that the server counted."""
        self._limiter._correct(self._at, tokens - self.tokens)
        self.tokens = tokens

    def heard(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Obey what the server said about its own limits."""
        self._limiter.heard(status, headers)


class Shared(Protocol):
    """Limits kept by several processes together (:mod:`promptop.limits.redis_limiter`)."""

    async def claim(self, tokens: int) -> float:
        """Claim one call; returns 0 if it is granted, else the seconds after which to ask again."""

    async def release(self) -> None:
        """Give the place among the concurrent calls back."""


@dataclass(slots=True, eq=False)
class _Waiter:
    tokens: int
    since: float
    granted: asyncio.Future[float]


class Limiter:
    """Limits of one endpoint and model, for the tasks of one event loop."""

    def __init__(
        self,
        limits: RateLimits | None = None,
        *,
        shared: Shared | None = None,
        clock: Callable[[], float] = time.monotonic,
        call_later: CallLater | None = None,
    ) -> None:
        self.limits = limits or RateLimits()
        self._shared = shared
        self._clock = clock
        self._call_later = call_later
        self._lanes: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._starts: deque[float] = deque()
        self._tokens: deque[list[float]] = deque()  # [start, tokens]
        self._spent = 0.0
        self._paused_until = 0.0
        self._timer_at: float | None = None
        self.in_flight = 0
        """Calls under way."""
        self.waited_s = 0.0
        """Seconds that all calls so far have waited, together."""

    @property
    def queued(self) -> int:
        """Calls that wait."""
        return sum(map(len, self._lanes.values()))

    @asynccontextmanager
    async def slot(self, tokens: int = 0, *, lane: str = "") -> AsyncIterator[Slot]:
        """Wait for the right to make one call of about ``tokens`` tokens, and hold it for the length of the block."""
        since = self._clock()
        at = await self._acquire(tokens, lane)
        try:
            while self._shared is not None and (pause := await self._shared.claim(tokens)) > 0:
                await self._sleep(pause)
            waited = self._clock() - since
            self.waited_s += waited
            try:
                yield Slot(waited, tokens, self, at)
            finally:
                if self._shared is not None:
                    await self._shared.release()
        finally:
            self.in_flight -= 1
            self._pump()

    async def _acquire(self, tokens: int, lane: str) -> float:
        waiter = _Waiter(tokens, self._clock(), asyncio.get_running_loop().create_future())
        self._lanes.setdefault(lane, deque()).append(waiter)
        self._pump()
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.done() and not waiter.granted.cancelled():
                self.in_flight -= 1  # granted and cancelled in the same turn of the loop: the right goes to the next
            elif lane in self._lanes and waiter in self._lanes[lane]:
                self._lanes[lane].remove(waiter)
                if not self._lanes[lane]:
                    del self._lanes[lane]
            self._pump()
            raise

    def _pump(self) -> None:
        """Grant what may be granted now, and set one timer for the next."""
        while self._lanes:
            lane, queue = next(iter(self._lanes.items()))
            if queue[0].granted.cancelled():
                queue.popleft()
                if not queue:
                    del self._lanes[lane]
                continue
            if self.limits.concurrency is not None and self.in_flight >= self.limits.concurrency:
                return  # whoever ends pumps again
            now = self._clock()
            delay = self._delay(queue[0].tokens, now)
            if delay > 0:
                self._wake_in(delay, now)
                return
            waiter = queue.popleft()
            if queue:
                self._lanes.move_to_end(lane)
            else:
                del self._lanes[lane]
            self.in_flight += 1
            self._starts.append(now)
            if waiter.tokens:
                self._tokens.append([now, waiter.tokens])
                self._spent += waiter.tokens
            waiter.granted.set_result(now)

    def _delay(self, tokens: int, now: float) -> float:
        """Return the seconds until a call of ``tokens`` may start."""
        edge = now - WINDOW_S
        while self._starts and self._starts[0] <= edge:
            self._starts.popleft()
        while self._tokens and self._tokens[0][0] <= edge:
            self._spent -= self._tokens.popleft()[1]
        ready = self._paused_until
        most = self.limits.requests_per_minute
        if most is not None and len(self._starts) >= most:
            ready = max(ready, self._starts[-most] + WINDOW_S)
        budget = self.limits.tokens_per_minute
        if budget is not None and self._tokens and self._spent + tokens > budget:
            # A call above the whole budget goes through alone, when the window is empty: it could never start.
            excess = self._spent + tokens - budget
            for start, spent in self._tokens:
                ready = max(ready, start + WINDOW_S)
                excess -= spent
                if excess <= 0:
                    break
        return ready - now

    def _wake_in(self, delay: float, now: float) -> None:
        due = now + delay
        if self._timer_at is not None and self._timer_at <= due and self._timer_at > now:
            return
        self._timer_at = due

        def wake() -> None:
            if self._timer_at == due:
                self._timer_at = None
                self._pump()

        later = self._call_later or asyncio.get_running_loop().call_later
        later(delay, wake)

    async def _sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        later = self._call_later or asyncio.get_running_loop().call_later
        later(seconds, lambda: None if woken.done() else woken.set_result(None))
        await woken

    def _correct(self, at: float, difference: int) -> None:
        for entry in self._tokens:
            if entry[0] == at:
                entry[1] += difference
                self._spent += difference
                break
        else:
            if difference > 0 and at > self._clock() - WINDOW_S:
                self._tokens.append([at, difference])
                self._spent += difference
        self._pump()

    def heard(self, status: int | None, headers: Mapping[str, str]) -> None:
        """Pause as long as the server says: ``retry-after`` of a 429 or 503, or the reset of an exhausted limit."""
        pause = 0.0
        if status in (429, 503):
            pause = retry_after(headers) or 0.0
        for kind in ("requests", "tokens"):
            if headers.get(f"x-ratelimit-remaining-{kind}") == "0":
                pause = max(pause, seconds_of(headers.get(f"x-ratelimit-reset-{kind}", "")) or 0.0)
        if pause > 0:
            self._paused_until = max(self._paused_until, self._clock() + min(pause, 3600.0))
            self._pump()


_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds_of(text: str) -> float | None:
    """Read a duration as servers write it (``12``, ``1.5s``, ``6m0s``, ``20ms``), seconds; None if it is none."""
    text = text.strip().lower()
    try:
        plain = float(text)
    except ValueError:
        parts = _PART.findall(text)
        if not parts or "".join(number + unit for number, unit in parts) != text:
            return None
        return sum(float(number) * _UNITS[unit] for number, unit in parts)
    return plain if 0 <= plain < float("inf") else None


def retry_after(headers: Mapping[str, str], now: Callable[[], float] = time.time) -> float | None:
    """Return the seconds that ``retry-after-ms`` or ``retry-after`` (seconds or a date) asks for; None if neither."""
    if (milliseconds := seconds_of(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := seconds_of(value)) is not None:
        return seconds
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now())
    except (ValueError, TypeError):
        return None
