"""What a way to an upstream gives: an answer whose body is still to be read, or the reason why there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from promptop.proxy.http.fields import Fields

if TYPE_CHECKING:
    from promptop.proxy.upstreams import Upstream

Body = bytes | AsyncIterator[bytes] | None


@dataclass(slots=True)
class Connected:
    """What is known of the connection that a request went out on."""

    reused: bool | None = None
    connect_s: float | None = None
    """Seconds for the name look-up and TCP; None on a reused connection."""
    tls_s: float | None = None
    """Seconds for TLS; None without it and on a reused connection."""


class UpstreamError(Exception):
    """The upstream gave no usable answer; the text holds no address and no credentials."""

    replayable = False
    """No byte of an answer came, on a connection that had been kept from before."""


class ConnectError(UpstreamError):
    """No connection, or one that closed before an answer."""


class UpstreamTimeoutError(UpstreamError, TimeoutError):
    """No connection or no answer in time."""


class TLSError(UpstreamError):
    """The server's certificate or handshake was refused."""


class ProtocolError(UpstreamError):
    """The answer's head is not HTTP, or larger than the limits."""


class CutError(OSError):
    """The answer's body ended before its end."""


class Tunnel(Protocol):
    """The way back into a connection that has left HTTP (status 101)."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was sent."""


@dataclass(slots=True)
class UpstreamAnswer:
    """An upstream's response whose body is still to be read."""

    status: int
    reason: bytes
    fields: Fields
    read: Callable[[], Awaitable[bytes]]
    """Next bytes of the body as they came, ``b""`` at its end; raises :class:`CutError`."""
    close: Callable[[], Awaitable[None]]
    """Give the connection up, or back if the body has been read; idempotent."""
    connected: Connected = field(default_factory=Connected)
    at_hand: Callable[[], bytes] = bytes
    """Bytes of the body that have come already, perhaps none; taken without waiting."""
    tunnel: Tunnel | None = None
    """Where bytes for the peer go, after status 101."""


class Client(Protocol):
    """Sends requests to upstreams."""

    async def send(
        self, upstream: Upstream, method: str, target: str, headers: Fields, body: Body, note: Connected
    ) -> UpstreamAnswer:
        """Send one request and return when the answer's head is there; raise :class:`UpstreamError`."""

    async def close(self) -> None:
        """Close every connection."""


def plain(error: BaseException) -> str:
    """Say what failed without the address, which may hold what should not be shown."""
    reason = getattr(error, "strerror", None)
    return f"{type(error).__name__}: {reason}" if reason else type(error).__name__
