"""Limits that several processes keep together, in Redis.

One script claims a call: it forgets what has left the window, checks requests, tokens and concurrency, and notes the
call, all in one step on the server's own clock. A process that dies holds its place for :data:`LEASE_S` at most. A
Redis that fails lets calls through under the process's own limits: nothing is worse than without it.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable

from promptop.cache.circuit_breaker import Breaker
from promptop.cache.redis_client import GuardedRedis
from promptop.limits.limiter import WINDOW_S, RateLimits

LEASE_S = 900.0
"""How long a call may run before its place among the concurrent ones is given to another."""
POLL_S = 0.05
"""How soon a process asks again when all places are taken."""

# KEYS: starts (members end in ":<tokens>"), running; one hash slot by their common tag.
_CLAIM = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local window, most, budget, places = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local tokens, id, lease = tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
if places >= 0 and redis.call('ZCARD', KEYS[2]) >= places then return '-1' end
local entries = redis.call('ZRANGE', KEYS[1], 0, -1, 'WITHSCORES')
local count = #entries / 2
if most >= 0 and count >= most then
  return tostring(tonumber(entries[(count - most) * 2 + 2]) + window - now)
end
if budget >= 0 and count > 0 then
  local held = 0
  for i = 1, #entries, 2 do held = held + tonumber(string.match(entries[i], ':(%d+)$')) end
  if held + tokens > budget then
    local excess = held + tokens - budget
    for i = 1, #entries, 2 do
      excess = excess - tonumber(string.match(entries[i], ':(%d+)$'))
      if excess <= 0 or i == #entries - 1 then return tostring(tonumber(entries[i + 1]) + window - now) end
    end
  end
end
redis.call('ZADD', KEYS[1], now, id .. ':' .. tokens)
redis.call('ZADD', KEYS[2], now + lease, id)
redis.call('EXPIRE', KEYS[1], math.ceil(window) + 1)
redis.call('EXPIRE', KEYS[2], math.ceil(lease) + 1)
return '0'
"""


class SharedLimits:
    """The limits of one endpoint and model, for every process that names the same Redis and the same ``name``."""

    def __init__(
        self,
        url: str,
        name: str,
        limits: RateLimits,
        *,
        prefix: str = "promptop:",
        timeout_s: float = 0.5,
        breaker: Breaker | None = None,
        notice: Callable[[str], None] | None = None,
        window_s: float = WINDOW_S,
    ) -> None:
        """``notice`` is told once when the server is given up and once when it is back."""
        tag = f"{prefix}limit:{{{name}}}"
        self._keys = (f"{tag}:starts", f"{tag}:running")
        self._limits = limits
        self._window_s = window_s
        self._server = GuardedRedis(url, "The shared limit", timeout_s=timeout_s, breaker=breaker, notice=notice)
        self._held: list[str] = []

    async def claim(self, tokens: int) -> float:
        """Claim one call; 0 if it may start now, else the seconds after which to ask again."""
        return await asyncio.to_thread(self._claim, tokens)

    def _claim(self, tokens: int) -> float:
        token = secrets.token_hex(8)
        limits = self._limits
        most = [
            -1 if n is None else n for n in (limits.requests_per_minute, limits.tokens_per_minute, limits.concurrency)
        ]
        arguments = (self._window_s, *most, tokens, token, LEASE_S)
        answer = self._server.do(lambda client: client.eval(_CLAIM, 2, *self._keys, *arguments), b"0")
        wait = float(answer)
        if wait == 0:
            self._held.append(token)
            return 0.0
        return POLL_S if wait < 0 else max(wait, 0.001)

    async def release(self) -> None:
        """Give the place among the concurrent calls back; the call still counts in the window."""
        if self._held:
            token = self._held.pop(0)
            await asyncio.to_thread(self._server.do, lambda client: client.zrem(self._keys[1], token), 0)

    def close(self) -> None:
        """Close the connections."""
        self._server.close()
