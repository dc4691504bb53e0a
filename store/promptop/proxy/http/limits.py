"""The bounds of the proxy: what one peer, one call and the process may hold, in bytes and seconds."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class ProxyLimits:
    """Every bound that the proxy keeps; a peer that crosses one meets an error, never a growing process."""

    header_bytes: int = 16 * KIB
    """Longest request line or header field, bytes, either side. Long enough for tokens of identity providers."""
    headers: int = 128
    """Most header fields of a message, either side."""
    body_bytes: int = 1024 * MIB
    """Largest request body, bytes; a larger one is answered with 413."""
    held_body_bytes: int = 8 * MIB
    """Largest request body that is held whole, to add ``include_usage`` and to be sent again; longer ones stream."""
    held_bytes: int = 256 * MIB
    """Most bytes of request bodies held at once by all calls; beyond that, bodies stream."""
    event_stream_bytes: int = 512 * MIB
    """Longest event stream, bytes; its connection is then closed."""
    response_bytes: int = 16 * 1024 * MIB
    """Longest other response (files, batches), bytes."""
    buffer_bytes: int = 64 * KIB
    """High-water mark of each buffer between the two peers, bytes; at most a few of them a call."""
    calls: int = 10_000
    """Most calls in flight; one more is answered with 503."""
    connect_s: float = 10.0
    """Seconds until a connection attempt to an upstream is given up."""
    upstream_idle_s: float = 600.0
    """Seconds without a byte from the upstream after which a call is given up (the SDKs' own default)."""
    client_idle_s: float = 120.0
    """Seconds in which a client takes no byte of its answer, or sends none of its body, until it is cut off."""
    keep_alive_s: float = 75.0
    """Seconds until a connection without a complete request head is closed."""
    call_s: float = 3600.0
    """Longest call, seconds."""
    grace_s: float = 30.0
    """Seconds that running calls are given to finish at shutdown."""
