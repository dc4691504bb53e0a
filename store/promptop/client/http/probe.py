"""How near endpoints are: connect, TLS and first byte of a small request that costs nothing and carries no key.

``GET /models`` without a key is answered by the edge of most providers, with a list or a refusal: both are an answer.
It says nothing about how fast a model is. Each try opens a connection of its own and asks twice over it: the second
answer is what later calls of a program pay.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl

MOST_TRIES = 50
GIVE_UP_AFTER = 2
"""Failed tries in a row after which an endpoint is asked no more."""


@dataclass(frozen=True, slots=True)
class Try:
    """One fresh connection. Seconds; None where it did not come to that."""

    dns_s: float | None = None
    """Name look-up; a part of ``connect_s``, and None for an address in digits."""
    connect_s: float | None = None
    """Name look-up and TCP; through a proxy: to the proxy."""
    tls_s: float | None = None
    first_byte_s: float | None = None
    """Response headers, from before the look-up."""
    kept_s: float | None = None
    """Response headers of the second request, over the open connection."""
    status: int | None = None
    http_version: str = ""
    error: str = ""


@dataclass(slots=True)
class Probed:
    """What came of the tries of an endpoint."""

    name: str
    base_url: str
    tries: list[Try] = field(default_factory=list)

    @property
    def answered(self) -> list[Try]:
        """Tries that brought an HTTP response."""
        return [each for each in self.tries if each.first_byte_s is not None]

    @property
    def given_up(self) -> bool:
        """Whether the last tries all failed."""
        last = self.tries[-GIVE_UP_AFTER:]
        return len(last) == GIVE_UP_AFTER and all(each.error for each in last)

    def median(self, of: str) -> float | None:
        """Return the median of one of the times of a try, ``connect_s`` for example; None without a value."""
        values = [value for each in self.answered if (value := getattr(each, of)) is not None]
        return statistics.median(values) if values else None

    def to_json(self) -> dict[str, Any]:
        """Return the shape of ``promptop probe --json`` (seconds, unknown is None)."""
        last = self.answered[-1] if self.answered else None
        return {
            "name": self.name,
            "base_url": self.base_url,
            "n": len(self.answered),
            "failed": len(self.tries) - len(self.answered),
            "dns_s": self.median("dns_s"),
            "connect_s": self.median("connect_s"),
            "tls_s": self.median("tls_s"),
            "first_byte_s": self.median("first_byte_s"),
            "kept_s": self.median("kept_s"),
            "status": last.status if last else None,
            "http_version": last.http_version if last else None,
            "error": next((each.error for each in reversed(self.tries) if each.error), None),
        }


def ranked(found: Sequence[Probed]) -> list[Probed]:
    """Return the nearest first, by the median of the first byte; those that never answered stand last."""
    return sorted(found, key=lambda each: (each.median("first_byte_s") is None, each.median("first_byte_s") or 0.0))


async def probe(
    targets: Sequence[Probed], *, tries: int, timeout_s: float, on_try: Callable[[], object] | None = None
) -> None:
    """Try each endpoint in turns, ``tries`` rounds at most, one connection at a time; results go into ``targets``."""
    import httpx2

    context = await asyncio.to_thread(httpx2.create_ssl_context)
    for _ in range(min(tries, MOST_TRIES)):
        for target in targets:
            if not target.given_up:
                target.tries.append(await _try(target.base_url, timeout_s, context))
                if on_try is not None:
                    on_try()


async def _try(base_url: str, timeout_s: float, context: ssl.SSLContext) -> Try:
    import httpx2

    from promptop.client.http.timings import Stages, current
    from promptop.client.http.transport import Connection, proxy_for
    from promptop.settings import Profile

    began: dict[str, float] = {}
    took: dict[str, float] = {}

    async def trace(name: str, _: Any) -> None:
        step, _, moment = name.rpartition(".")
        if moment == "started":
            began[step] = time.perf_counter()
        elif moment == "complete" and step in began:
            took.setdefault(step, time.perf_counter() - began[step])

    url = base_url.rstrip("/") + "/models"
    # Enabled as in real calls: what is negotiated is what they get.
    transport = Connection(Profile(base_url=base_url), proxy_for(base_url), tls=context)
    stages = Stages()
    token = current.set(stages)
    try:
        async with asyncio.timeout(timeout_s), httpx2.AsyncClient(transport=transport, timeout=timeout_s) as client:
            start = time.perf_counter()
            async with client.stream("GET", url, extensions={"trace": trace}) as response:
                first_byte_s = time.perf_counter() - start
                await response.aread()
            began.clear()
            start = time.perf_counter()
            async with client.stream("GET", url, extensions={"trace": trace}) as again:
                kept_s = time.perf_counter() - start
                await again.aread()
    except TimeoutError:
        return Try(error=f"no answer within {timeout_s:g} s")
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
        return Try(error=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    finally:
        current.reset(token)
    return Try(
        dns_s=stages.dns_s,
        connect_s=took.get("connection.connect_tcp"),
        tls_s=took.get("connection.start_tls"),
        first_byte_s=first_byte_s,
        kept_s=None if "connection.connect_tcp" in began else kept_s,
        status=response.status_code,
        http_version=response.http_version,
    )
